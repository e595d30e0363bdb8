"""What the libraries of a wheel say of themselves, as it is remembered by the wheel's hash."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torchferry.wheels import TORCH_FAMILY, is_cuda_wheel

FACTS_VERSION = 1
"""Goes up with every change of what is read of a wheel; remembered facts then count no more."""


@dataclass(frozen=True, kw_only=True)
class Elf:
    """What a library or program says of itself.

    ``search`` are the folders of RPATH or RUNPATH as written; ``glibc`` is the oldest that has all symbol versions it
    needs; ``opened`` are libraries of CUDA that its constants name; ``code`` is its GPU code (sm_90, compute_90),
    ``flags`` torch's own list of that.
    """

    machine: str
    soname: str | None = None
    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    is_runpath: bool = False
    glibc: tuple[int, int] | None = None
    opened: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    flags: str | None = None


@dataclass(frozen=True, kw_only=True)
class Library:
    """One ELF file of a wheel; ``path`` is below site-packages, and begins with ../ for what lies elsewhere."""

    path: str
    elf: Elf

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class WheelFacts:
    """One wheel: ``files`` maps each path (as in Library) to its hash, ``unread`` says what could not be understood."""

    name: str
    version: str
    requires_torch: bool = False
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    libraries: tuple[Library, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def is_cuda(self) -> bool:
        """Whether this is one of NVIDIA's wheels of CUDA libraries."""
        return is_cuda_wheel(self.name)

    @property
    def comes_with_torch(self) -> bool:
        """Whether its libraries are loaded with torch or after it: CUDA, torch's family, and what requires torch."""
        return self.is_cuda or self.name in TORCH_FAMILY or self.requires_torch


def as_json(facts: WheelFacts) -> dict[str, Any]:
    """Facts as plain data, with the version of their form."""
    return {"version": FACTS_VERSION, "facts": dataclasses.asdict(facts)}


def from_json(data: Any) -> WheelFacts | None:
    """Facts as they were remembered; None for those of another form."""
    try:
        if data["version"] != FACTS_VERSION:
            return None
        row = data["facts"]
        libraries = tuple(Library(path=one["path"], elf=_elf(one["elf"])) for one in row["libraries"])
        return WheelFacts(**{**row, "libraries": libraries, "unread": tuple(row["unread"])})
    except (KeyError, TypeError):
        return None


def _elf(row: dict[str, Any]) -> Elf:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Elf(**values)
