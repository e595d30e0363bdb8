"""The rows of compat.yaml and the door through which they come in.

A malformed table is a mistake of ours, not of the person at the keyboard: it raises ValueError and names the row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version


@dataclass(frozen=True, kw_only=True)
class Row:
    """What every row says of itself: names of ``sources`` and the day on which they were looked at."""

    source: tuple[str, ...]
    checked: date


@dataclass(frozen=True, kw_only=True)
class CudaRow(Row):
    """One CUDA release ('12.1'): the oldest driver that runs it, and the one from which everything works."""

    release: str
    floor: str
    toolkit_driver: str

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
class Table:
    """compat.yaml, understood; CUDA and torch rows ascend."""

    index: str
    sources: Mapping[str, str]
    cuda: tuple[CudaRow, ...]
    torch: tuple[TorchRow, ...]
    capabilities: tuple[CapabilityRow, ...]
    companions: tuple[CompanionRow, ...]
    build_requirements: tuple[BuildRow, ...]


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same rules in C where PyYAML has it: every start reads this table."""


class _Fields:
    """A mapping while it is read: each value is taken out once, so that what is left over is unknown."""

    def __init__(self, where: str, content: object) -> None:
        if not isinstance(content, dict):
            raise ValueError(f"compat.yaml, {where}: expected a mapping, found {content!r}")
        self.where = where
        self.left = dict(content)

    def refuse(self, name: str, expected: str, found: object) -> ValueError:
        return ValueError(f"compat.yaml, {self.where}: {name} must be {expected}, is {found!r}")

    def text(self, name: str, pattern: str = r".+") -> str:
        found = self.left.pop(name, None)
        if not isinstance(found, str) or not re.fullmatch(pattern, found):
            raise self.refuse(name, f"quoted text like {pattern}", found)
        return found

    def optional(self, name: str, pattern: str) -> str | None:
        return self.text(name, pattern) if name in self.left else None

    def texts(self, name: str, pattern: str) -> tuple[str, ...]:
        found = self.left.pop(name, None)
        if not isinstance(found, list) or not found:
            raise self.refuse(name, "a list that is not empty", found)
        return tuple(_Fields(f"{self.where}, {name}", {"entry": entry}).text("entry", pattern) for entry in found)

    def mapping(self, name: str, pattern: str) -> dict[str, str]:
        inner = _Fields(f"{self.where}, {name}", self.left.pop(name, None))
        return {str(key): inner.text(key, pattern) for key in list(inner.left)}

    def day(self, name: str) -> date:
        found = self.left.pop(name, None)
        if type(found) is not date:
            raise self.refuse(name, "a day like 2026-11-23", found)
        return found

    def rows(self, name: str) -> list[_Fields]:
        found = self.left.pop(name, None)
        if not isinstance(found, list) or not found:
            raise self.refuse(name, "a list of rows", found)
        return [_Fields(f"{name}, row {number}", row) for number, row in enumerate(found, start=1)]

    def end(self) -> None:
        if self.left:
            raise ValueError(f"compat.yaml, {self.where}: unknown: {', '.join(map(str, self.left))}")


RELEASE = r"\d+(\.\d+)+"
BUILD = r"cpu|cu\d{3}"
CAPABILITY = r"\d{2,3}[a-z]?(\+PTX)?"


def _cuda(fields: _Fields, source: tuple[str, ...], checked: date) -> CudaRow:
    return CudaRow(
        release=fields.text("release", r"\d\d\.\d"), floor=fields.text("floor", RELEASE),
        toolkit_driver=fields.text("toolkit_driver", RELEASE), source=source, checked=checked,
    )


def _torch(fields: _Fields, source: tuple[str, ...], checked: date) -> TorchRow:
    numpy = fields.optional("numpy", r"[<>=!~].+")
    return TorchRow(
        version=fields.text("version", RELEASE), builds=fields.texts("builds", BUILD),
        pypi=fields.mapping("pypi", BUILD), pythons=fields.texts("pythons", r"3\.\d+"),
        glibc=fields.text("glibc", r"2\.\d+"), torchvision=fields.text("torchvision", RELEASE),
        torchaudio=fields.optional("torchaudio", RELEASE), numpy=numpy and str(SpecifierSet(numpy)),
        source=source, checked=checked,
    )


def _capability(fields: _Fields, source: tuple[str, ...], checked: date) -> CapabilityRow:
    return CapabilityRow(
        torch=SpecifierSet(fields.text("torch")), build=fields.text("build", BUILD),
        capabilities=fields.texts("capabilities", CAPABILITY), source=source, checked=checked,
    )


def _companion(fields: _Fields, source: tuple[str, ...], checked: date) -> CompanionRow:
    return CompanionRow(
        package=fields.text("package"), torch=SpecifierSet(fields.text("torch")),
        constraint=str(SpecifierSet(fields.text("constraint"))), source=source, checked=checked,
    )


def _build(fields: _Fields, source: tuple[str, ...], checked: date) -> BuildRow:
    return BuildRow(requirement=str(Requirement(fields.text("requirement"))), source=source, checked=checked)


R = TypeVar("R", bound=Row)
Parser = Callable[[_Fields, tuple[str, ...], date], R]


def parse_table(text: str) -> Table:
    """Read compat.yaml; ValueError where a row is malformed, unsourced, double, or speaks of what has no row."""
    document = _Fields("top level", yaml.load(text, Loader=_LOADER))
    sources = document.mapping("sources", r".+")

    def rows(name: str, parse: Parser[R]) -> tuple[R, ...]:
        found = []
        for fields in document.rows(name):
            source = fields.texts("source", "|".join(map(re.escape, sources)))
            found.append(parse(fields, source, fields.day("checked")))
            fields.end()
        return tuple(found)

    table = Table(
        index=document.text("index", r"https://.+\{variant\}"),
        sources=sources,
        cuda=tuple(sorted(rows("cuda", _cuda), key=lambda row: Version(row.release))),
        torch=tuple(sorted(rows("torch", _torch), key=lambda row: Version(row.version))),
        capabilities=rows("capabilities", _capability),
        companions=rows("companions", _companion),
        build_requirements=rows("build_requirements", _build),
    )
    document.end()
    _refuse_gaps(table)
    return table


def _refuse_gaps(table: Table) -> None:
    """Each release has one row; each pair of torch and CUDA build has one CUDA row and one list of capabilities."""
    keys = [f"CUDA {row.release}" for row in table.cuda] + [f"torch {Version(row.version)}" for row in table.torch]
    for key, count in Counter(keys).items():
        if count > 1:
            raise ValueError(f"compat.yaml: {key} has {count} rows")
    known = {row.build for row in table.cuda}
    for torch in table.torch:
        if torch.pypi.get("x86_64") not in torch.builds:
            raise ValueError(f"compat.yaml: torch {torch.version}: PyPI's x86_64 build is not among its builds")
        for build in torch.builds:
            lists = [row for row in table.capabilities if row.build == build and torch.version in row.torch]
            if build != "cpu" and (build not in known or len(lists) != 1):
                raise ValueError(f"compat.yaml: torch {torch.version}, {build}: {len(lists)} lists of capabilities, "
                                 f"{'a' if build in known else 'no'} CUDA row")
