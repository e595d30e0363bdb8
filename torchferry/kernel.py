"""What the kernel of a server tells of its NVIDIA driver, whether nvidia-smi is there or not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torchferry.gpus import GpuNames
from torchferry.server import LINUX, NOT_INSTALLED, TEGRA, Gpu, Server
from torchferry.smi_forms import loaded_module

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""CPUs as some kernels call them, by the name that the others use."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The driver whose module is loaded, the CPU, and the names of GPUs in /proc/driver/nvidia/gpus."""

    driver: str | None = None
    arch: str | None = None
    models: tuple[str, ...] = ()


def parse(text: str) -> Kernel:
    """The lines in which ferry.sh writes it: 'module NVRM version: ...', 'arch x86_64', 'model NVIDIA A10'."""
    said: dict[str, list[str]] = {"module": [], "arch": [], "model": []}
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        if kind in said:
            said[kind].append(value.strip())
    return Kernel(
        driver=loaded_module("\n".join(said["module"])), arch=next(iter(said["arch"]), None),
        models=tuple(said["model"]),
    )


def completed(server: Server, kernel: Kernel, names: GpuNames) -> Server:
    """What nvidia-smi told of a server, with what its kernel adds: the CPU, and the driver where it told none.

    Where there is no nvidia-smi at all, the GPUs are those of the kernel. A driver behind an nvidia-smi that failed
    does not mend the failure.
    """
    server = replace(server, arch=kernel.arch or server.arch)
    if server.driver is not None or kernel.driver is None:
        return server
    if server.failure != NOT_INSTALLED:
        return replace(server, driver=kernel.driver)
    gpus = tuple(
        Gpu(index=index, name=name, capability=row.capability if (row := names.row(name)) else None)
        for index, name in enumerate(kernel.models)
    )
    return Server(
        driver=kernel.driver, gpus=gpus, arch=server.arch, platform=TEGRA if server.platform == TEGRA else LINUX,
    )
