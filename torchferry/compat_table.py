"""The door through which compat.yaml comes in: text to rows.

A malformed table is a mistake of ours, not of the person at the keyboard: it raises ValueError and names the row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from torchferry.compat_rows import (
    BuildRow,
    CapabilityRow,
    CompanionRow,
    CudaRow,
    CudnnRow,
    Floors,
    GenerationRow,
    GpuRow,
    Row,
    RuntimeRow,
    Table,
    TorchRow,
)
from torchferry.table_fields import Fields, load

RELEASE = r"\d+(\.\d+)+"
BUILD = r"cpu|cu\d{3}"
CAPABILITY = r"\d{2,3}[a-z]?(\+PTX)?"


COMPUTE = r"\d{1,2}\.\d"


def _cuda(fields: Fields, source: tuple[str, ...], checked: date) -> CudaRow:
    toolkit, windows = fields.text("toolkit_driver", RELEASE), fields.inner("windows")
    row = CudaRow(
        release=fields.text("release", r"\d\d\.\d"), floor=fields.text("floor", RELEASE), toolkit_driver=toolkit,
        windows=Floors(
            floor=windows.text("floor", r"\d+(\.\d+)*"),
            toolkit_driver=windows.optional("toolkit_driver", RELEASE) or toolkit,
            doubtful_from=windows.optional("doubtful_from", RELEASE),
        ),
        source=source, checked=checked,
    )
    windows.end()
    return row


def _torch(fields: Fields, source: tuple[str, ...], checked: date) -> TorchRow:
    numpy = fields.optional("numpy", r"[<>=!~].+")
    return TorchRow(
        version=fields.text("version", RELEASE), builds=fields.texts("builds", BUILD),
        pypi=fields.mapping("pypi", BUILD), pythons=fields.texts("pythons", r"3\.\d+"),
        glibc=fields.text("glibc", r"2\.\d+"), torchvision=fields.text("torchvision", RELEASE),
        torchaudio=fields.optional("torchaudio", RELEASE), numpy=numpy and str(SpecifierSet(numpy)),
        source=source, checked=checked,
    )


def _capability(fields: Fields, source: tuple[str, ...], checked: date) -> CapabilityRow:
    return CapabilityRow(
        torch=SpecifierSet(fields.text("torch")), build=fields.text("build", BUILD),
        capabilities=fields.texts("capabilities", CAPABILITY), source=source, checked=checked,
    )


def _companion(fields: Fields, source: tuple[str, ...], checked: date) -> CompanionRow:
    return CompanionRow(
        package=fields.text("package"), torch=SpecifierSet(fields.text("torch")),
        constraint=str(SpecifierSet(fields.text("constraint"))), source=source, checked=checked,
    )


def _build(fields: Fields, source: tuple[str, ...], checked: date) -> BuildRow:
    return BuildRow(requirement=str(Requirement(fields.text("requirement"))), source=source, checked=checked)


def _branch(fields: Fields, name: str) -> int | None:
    found = fields.optional(name, r"\d{3}")
    return int(found) if found else None


def _generation(fields: Fields, source: tuple[str, ...], checked: date) -> GenerationRow:
    return GenerationRow(
        name=fields.text("name", r"[A-Z][a-z]+"), capabilities=fields.texts("capabilities", COMPUTE),
        first_branch=_branch(fields, "first_branch"), last_branch=_branch(fields, "last_branch"),
        source=source, checked=checked,
    )


def _gpu(fields: Fields, source: tuple[str, ...], checked: date) -> GpuRow:
    return GpuRow(
        capability=fields.text("capability", COMPUTE), names=fields.texts("names", r"[A-Za-z0-9]+( [A-Za-z0-9]+)*"),
        arch=fields.optional("arch", "aarch64|x86_64"), tegra=fields.flag("tegra"), source=source, checked=checked,
    )


def _cudnn(fields: Fields, source: tuple[str, ...], checked: date) -> CudnnRow:
    return CudnnRow(
        torch=SpecifierSet(fields.text("torch")), major=fields.text("major", r"\d+"), source=source, checked=checked,
    )


def _runtime(fields: Fields, source: tuple[str, ...], checked: date) -> RuntimeRow:
    requires = fields.optional("requires", ".+")
    return RuntimeRow(
        package=fields.text("package"), versions=SpecifierSet(fields.text("versions")),
        cuda=fields.optional("cuda", r"\d\d"), cudnn=fields.optional("cudnn", r"\d+"),
        requires=requires and str(Requirement(requires)), source=source, checked=checked,
    )


R = TypeVar("R", bound=Row)
Parser = Callable[[Fields, tuple[str, ...], date], R]


def parse_table(text: str) -> Table:
    """Read compat.yaml; ValueError where a row is malformed, unsourced, double, or speaks of what has no row."""
    document = load("compat.yaml", text)
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
        generations=rows("generations", _generation),
        gpus=rows("gpus", _gpu),
        cudnn=rows("cudnn", _cudnn),
        runtimes=rows("runtimes", _runtime),
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
    _refuse_gpus(table)
    known = {row.build for row in table.cuda}
    for torch in table.torch:
        if torch.pypi.get("x86_64") not in torch.builds:
            raise ValueError(f"compat.yaml: torch {torch.version}: PyPI's x86_64 build is not among its builds")
        for build in torch.builds:
            lists = [row for row in table.capabilities if row.build == build and torch.version in row.torch]
            if build != "cpu" and (build not in known or len(lists) != 1):
                raise ValueError(f"compat.yaml: torch {torch.version}, {build}: {len(lists)} lists of capabilities, "
                                 f"{'a' if build in known else 'no'} CUDA row")


def _refuse_gpus(table: Table) -> None:
    """Each compute capability belongs to one generation, each GPU name to one capability."""
    served = Counter(capability for row in table.generations for capability in row.capabilities)
    named = Counter(name.lower() for row in table.gpus for name in row.names)
    for key, count in (served + named).items():
        if count > 1:
            raise ValueError(f"compat.yaml: {key} stands in {count} rows")
    for row in table.gpus:
        if row.capability not in served:
            raise ValueError(f"compat.yaml: {row.names[0]}: no generation has compute capability {row.capability}")
