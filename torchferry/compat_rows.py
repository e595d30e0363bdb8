"""The rows of compat.yaml, as nouns; `compat_table.py` is the door through which they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from packaging.specifiers import SpecifierSet


@dataclass(frozen=True, kw_only=True)
class Row:
    """What every row says of itself: names of ``sources`` and the day on which they were looked at."""

    source: tuple[str, ...]
    checked: date


@dataclass(frozen=True, kw_only=True)
class Floors:
    """Drivers of one platform for one CUDA release: the oldest that runs it, and the one from which everything works.

    ``doubtful_from``: from here up to the floor, NVIDIA's own tables disagree.
    """

    floor: str
    toolkit_driver: str
    doubtful_from: str | None = None


@dataclass(frozen=True, kw_only=True)
class CudaRow(Row):
    """One CUDA release ('12.1'): the oldest driver that runs it, and the one from which everything works.

    ``windows`` are the same for Windows and WSL, whose drivers have numbers of their own.
    """

    release: str
    floor: str
    toolkit_driver: str
    windows: Floors

    @property
    def linux(self) -> Floors:
        return Floors(floor=self.floor, toolkit_driver=self.toolkit_driver)

    @property
    def build(self) -> str:
        return f"cu{self.release.replace('.', '')}"

    @property
    def require_cuda(self) -> str:
        """The NVIDIA_REQUIRE_CUDA that refuses only hosts below the floor; a space means OR, a comma AND."""
        # "cuda" is the newest CUDA that the host's driver offers. Asking for 12.4 there would refuse a 535 driver that
        # runs cu124 well; the first release of the major is offered by every driver from the floor's branch on. OR, not
        # AND: either fact is proof enough, and a container must not be refused because one of them is reported oddly.
        major, branch = self.release.split(".")[0], self.floor.split(".")[0]
        return f"cuda>={major}.0 driver>={branch}"


@dataclass(frozen=True, kw_only=True)
class TorchRow(Row):
    """One torch release: x86_64 builds on the PyTorch index, what PyPI has per architecture, and what goes with it."""

    version: str
    builds: tuple[str, ...]
    pypi: Mapping[str, str]
    pythons: tuple[str, ...]
    glibc: str
    torchvision: str
    torchaudio: str | None
    numpy: str | None


@dataclass(frozen=True, kw_only=True)
class CapabilityRow(Row):
    """The GPU code in one build over a range of torch releases: '86' is sm_86, '120+PTX' sm_120 and compute_120."""

    torch: SpecifierSet
    build: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CompanionRow(Row):
    """A bound that a package needs over a range of torch releases and does not declare."""

    package: str
    torch: SpecifierSet
    constraint: str


@dataclass(frozen=True, kw_only=True)
class BuildRow(Row):
    """A bound on what builds source distributions."""

    requirement: str


@dataclass(frozen=True, kw_only=True)
class GenerationRow(Row):
    """A generation of GPUs: its compute capabilities ('8.6'), the first and the last driver branch that serve it.

    ``first_branch`` None: older than anything here; ``last_branch`` None: still served.
    """

    name: str
    capabilities: tuple[str, ...]
    first_branch: int | None
    last_branch: int | None


@dataclass(frozen=True, kw_only=True)
class GpuRow(Row):
    """GPU names of one compute capability, each as the words that stand side by side in it.

    ``arch`` is the CPU that these boards exist beside, where it is always the same one; ``tegra``: they are part of it.
    """

    capability: str
    names: tuple[str, ...]
    arch: str | None
    tegra: bool


@dataclass(frozen=True, kw_only=True)
class CudnnRow(Row):
    """The major version of the cuDNN that comes with a range of torch releases."""

    torch: SpecifierSet
    major: str


@dataclass(frozen=True, kw_only=True)
class RuntimeRow(Row):
    """What a package with CUDA code of its own looks for when it runs: library majors, or the package that does."""

    package: str
    versions: SpecifierSet
    cuda: str | None
    cudnn: str | None
    requires: str | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """compat.yaml, understood; CUDA and torch rows ascend."""

    index: str
    sources: Mapping[str, str]
    cuda: tuple[CudaRow, ...]
    torch: tuple[TorchRow, ...]
    capabilities: tuple[CapabilityRow, ...]
    companions: tuple[CompanionRow, ...]
    build_requirements: tuple[BuildRow, ...]
    generations: tuple[GenerationRow, ...]
    gpus: tuple[GpuRow, ...]
    cudnn: tuple[CudnnRow, ...]
    runtimes: tuple[RuntimeRow, ...]
