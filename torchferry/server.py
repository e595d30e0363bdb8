"""What is known of a server, as nouns: the facts that a pasted text, a person or the machine itself can tell."""

from __future__ import annotations

from dataclasses import dataclass

LINUX, WINDOWS, WSL, TEGRA = "linux", "windows", "wsl", "tegra"

DRIVER_NOT_LOADED, NVML_MISMATCH, NVML_UNKNOWN = "driver_not_loaded", "nvml_mismatch", "nvml_unknown"
NVML_PERMISSION, NO_DEVICES, NOT_INSTALLED = "nvml_permission", "no_devices", "not_installed"
GPU_LOST, NO_LIBNVML, UNREADABLE = "gpu_lost", "no_libnvml", "unreadable"

FAILURES = (
    DRIVER_NOT_LOADED, NVML_MISMATCH, NVML_UNKNOWN, NVML_PERMISSION, NO_DEVICES, NOT_INSTALLED, GPU_LOST, NO_LIBNVML,
    UNREADABLE,
)
"""Every way in which nvidia-smi says nothing of use, or only part of it (gpu_lost)."""


WINDOWS_SPREAD = 9
"""Windows numbers the releases of one branch upwards from it: 528.24 is of branch 525, 473.81 of 470."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU: its index for --gpus, its name as printed, its compute capability ('8.6') where name or text tell it."""

    index: int
    name: str
    capability: str | None = None


@dataclass(frozen=True, kw_only=True)
class Server:
    """The facts about one server; what the text does not tell is None.

    ``cuda_limit`` is the newest CUDA that the driver offers ('12.4'), or what stood in its place ('N/A', 'ERR!').
    ``looked_for`` is filled when nothing could be read.
    """

    driver: str | None = None
    cuda_limit: str | None = None
    gpus: tuple[Gpu, ...] = ()
    mig: bool = False
    platform: str = LINUX
    arch: str | None = None
    failure: str | None = None
    looked_for: tuple[str, ...] = ()

    @property
    def branch(self) -> int | None:
        """The driver's branch; None where no driver is known."""
        return branch_of(self.driver) if self.driver else None

    @property
    def windows_driver(self) -> bool:
        """Whether the driver is Windows', numbered as Windows does: under WSL it is."""
        return self.platform in (WINDOWS, WSL)


def branch_of(driver: str) -> int:
    """535 of 535.104.05."""
    return int(driver.partition(".")[0])


def version(driver: str) -> tuple[int, ...]:
    """A driver version in an order of numbers: 450.80.02 and 450.80.2 are the same, 535.104 is above 535.86."""
    parts = [int(part) for part in driver.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
