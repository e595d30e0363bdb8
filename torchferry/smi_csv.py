"""`nvidia-smi --query-gpu=... --format=csv`: any fields in any order, with a header or none, also shortened by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from torchferry.server import Gpu
from torchferry.smi_forms import BRANDS, Facts
from torchferry.smi_table import DRIVER, MOST

INDEX, NAME, RELEASE, CAPABILITY, MIG = "index", "name", "driver", "capability", "mig"
_HEADS = {
    "index": INDEX, "idx": INDEX, "#": INDEX, "gpu index": INDEX, "gpu id": INDEX,
    "name": NAME, "gpu name": NAME, "gpuname": NAME, "product name": NAME, "model": NAME, "gpu": NAME,
    "driver version": RELEASE, "driver": RELEASE, "compute cap": CAPABILITY, "compute capability": CAPABILITY,
    "cc": CAPABILITY, "mig.mode.current": MIG, "mig mode": MIG,
}
LONGEST = 1500
"""Characters of a row: all fields that nvidia-smi knows make a third of that."""

_SPLIT = re.compile(r"\s*[,;]\s*|\s{0,40}\t\s*")
_BRAND = re.compile(rf"(?:^|[:>\]$] )\s{{0,20}}(?P<name>(?:{BRANDS}|[A-Z]{{1,3}}\d{{2,4}}[A-Z]?)\b[^,;]{{0,80}})$")
_TITLE = re.compile(r"(?:(?:[A-Z0-9(][\w().+-]{0,40}|with|nvgpu)(?: |$))+")
"""A name has no verb: "NVIDIA A100 is not supported" is not one."""

_CERTAIN = re.compile(r"\d{3}\.\d{1,3}\.\d{1,3}")
_OF_A_GPU = re.compile(
    r"\d{3}\.\d{1,3}\.\d{1,3}|[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d|GPU-[0-9a-f-]+|\d+ MiB"
)
"""Cells beside which a name of a product is that of a GPU, also of one that no table knows."""

_LIKELY = re.compile(r"[3-9]\d{2}\.(?!00$)\d{2,3}")


@dataclass(frozen=True, kw_only=True)
class _Row:
    cells: tuple[str, ...]
    fields: dict[str, str]


def table(text: str, known: Callable[[str], bool]) -> Facts:
    """The GPUs and the driver of CSV rows; ``known`` says whether a bare word is the name of a GPU."""
    rows = list(islice(_rows(text, known), MOST))
    drivers = {row.fields[RELEASE] for row in rows if RELEASE in row.fields}
    # Without a header a power limit can look like a driver; but all GPUs of a host have the same driver.
    driver = drivers.pop() if len(drivers) == 1 else None
    gpus: dict[int, Gpu] = {}
    for row in rows:
        if NAME in row.fields or CAPABILITY in row.fields:
            index = int(row.fields.get(INDEX, max(gpus, default=-1) + 1))
            capability = row.fields.get(CAPABILITY)
            gpus.setdefault(index, Gpu(index=index, name=row.fields.get(NAME, ""), capability=capability))
    return Facts(driver=driver, gpus=tuple(gpus.values()), mig=any(row.fields.get(MIG) == "Enabled" for row in rows))


def _rows(text: str, known: Callable[[str], bool]) -> Iterator[_Row]:
    heads: list[str | None] | None = None
    for line in (line for line in text.split("\n") if 0 < len(line) <= LONGEST):
        cells = tuple(cell.strip().strip('"').strip() for cell in _SPLIT.split(line.strip()))[:64]
        if found := _header(cells):
            heads = found
            continue
        fields = _by_head(cells, heads) if heads and len(cells) == len(heads) else {}
        if not {NAME, RELEASE, CAPABILITY} & fields.keys():
            fields = _by_look(cells, known)
        if fields:
            yield _Row(cells=cells, fields=fields)


def _header(cells: Sequence[str]) -> list[str | None] | None:
    heads = [_HEADS.get(re.sub(r"\s*\[.*?\]$", "", cell.lower()).replace("_", " ")) for cell in cells]
    first = re.split(r"[:>\]$] ", cells[0].lower())[-1].strip().replace("_", " ")
    heads[0] = heads[0] or _HEADS.get(first)
    return heads if any(head in (NAME, RELEASE, CAPABILITY) for head in heads) else None


def _by_head(cells: Sequence[str], heads: Sequence[str | None]) -> dict[str, str]:
    found = {}
    for cell, head in zip(cells, heads, strict=True):
        value = _value(cell, head)
        if head and value:
            found[head] = value
    return found


def _value(cell: str, head: str | None) -> str | None:
    """The part of a cell that its field can hold; None where it holds none ("[N/A]")."""
    patterns = {
        INDEX: r"(?:.*[:>\]$#]\s+)?(\d{1,3})(?:\s*(?:\.\.|-|~).*)?", RELEASE: rf"(?:.*\s)?({DRIVER})",
        CAPABILITY: r"(?:.*\s)?(\d{1,2}\.\d)", MIG: r"(Enabled|Disabled)",
    }
    if head == NAME:
        named = _BRAND.search(cell)
        return named["name"].strip() if named else cell if re.search("[A-Za-z]{2}", cell) and len(cell) < 80 else None
    found = re.fullmatch(patterns[head], cell[:120]) if head in patterns else None
    return found[1] if found else None


def _by_look(cells: Sequence[str], known: Callable[[str], bool]) -> dict[str, str]:
    """A row without header: what its cells can only be."""
    found: dict[str, str] = {}
    certain = any(_OF_A_GPU.fullmatch(cell) for cell in cells)
    for cell in cells:
        named = _BRAND.search(cell)
        if named and NAME not in found and _TITLE.fullmatch(named["name"]) and (
            certain or known(named["name"])
        ):
            found[NAME] = named["name"].strip()
        elif re.fullmatch(r"(?:.*\s)?" + _CERTAIN.pattern, cell[-40:]):
            found[RELEASE] = cell.split()[-1]
        elif _LIKELY.fullmatch(cell):
            found.setdefault(RELEASE, cell)
        elif re.fullmatch(r"\d{1,2}\.\d", cell) and len(cells) > 1:
            found.setdefault(CAPABILITY, cell)
    if NAME not in found and not (len(cells) == 1 and RELEASE in found and found[RELEASE] == cells[0]):
        return {}
    if (index := _value(cells[0], INDEX)) is not None:
        found[INDEX] = index
    return found
