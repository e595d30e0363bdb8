"""The table that a plain `nvidia-smi` prints, from the layout of 2014 to the one that says KMD and UMD.

Read cell by cell, not line by line, so rows that were joined, wrapped or lost their first border are read too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torchferry.server import Gpu

MOST = 256
"""GPUs of one server that are looked at; sixteen is the most that one has."""

DRIVER = r"\d{3}\.\d{1,3}(?:\.\d{1,3})?"
LIMIT = r"\d{1,2}\.\d{1,2}|\[?N/A\]?|ERR!|Not Found|Unknown"

_HEADER = re.compile(
    rf"(?ai)(?<!CUDA )\b(?:Driver|KMD) {{1,3}}Version {{0,60}}: {{0,3}}(?P<driver>{DRIVER}|\[?N/A\]?|ERR!)(?![\w.])"
)
_SMI = re.compile(rf"(?a)NVIDIA-SMI(?:\s+version\s*:)?\s+(?P<smi>{DRIVER})", re.IGNORECASE)
_LIMIT = re.compile(rf"(?ai)\bCUDA\s+(?:UMD\s+)?Version\s*:\s*(?P<limit>{LIMIT})")
NEAR = 420
"""Characters from the header's start within which its own "CUDA Version" stands; torch and nvcc print others below."""

_MODE = r"On|Off|N/A|WDDM|TCC|MCDM|Enabled|Disabled|ERR!|Unknown Error"
_ROW = re.compile(
    r"(?a)(?:^|[|>#:\]])[ ]{0,60}(?P<index>\d{1,3}) {1,6}(?P<name>[A-Za-z][^|\n]{0,90}?) {0,40}"
    rf"(?<= )(?P<mode>{_MODE}) {{0,12}}\| {{0,12}}"
    r"(?P<bus>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]|N/A {1,20}(?:N/A|On|Off)|ERR!)",
    re.MULTILINE,
)
_BROKEN = re.compile(r"(?ai)(?:ERR!|Unknown Error|GPU is lost)")
_MIG = re.compile(r"(?am)\|\s*Enabled\*?\s*\||\bMIG devices:")
_WINDOWS = re.compile(r"(?a)TCC/WDDM|Driver-Model|[|\s](?:WDDM|MCDM|TCC)\s*\||\b[A-Z]:\\")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: version of nvidia-smi itself, driver and CUDA limit of its header, the GPUs that answer, lost rows."""

    smi: str | None
    driver: str | None
    limit: str | None
    gpus: tuple[Gpu, ...]
    lost: tuple[int, ...]
    mig: bool
    windows: bool
    start: int


def tables(text: str) -> tuple[Table, ...]:
    """Every table of a text, in order; rows without any header make one of their own."""
    heads = list(_HEADER.finditer(text))
    if not heads:
        table = _table(text, 0, None)
        return (table,) if table.gpus or table.lost else ()
    starts = [_start(text, head) for head in heads]
    ends = [*starts[1:], len(text)]
    return tuple(_table(text[start:end], start, head) for start, end, head in zip(starts, ends, heads, strict=True))


def _start(text: str, head: re.Match[str]) -> int:
    """Where the table of a driver version begins: at nvidia-smi's own version, where that stands right before it."""
    before = text[max(0, head.start() - 160):head.start()]
    named = [found.start() for found in _SMI.finditer(before)]
    return head.start() - len(before) + named[-1] if named else head.start()


def current(found: Sequence[Table]) -> Table | None:
    """Of several tables the last that shows a GPU: what was pasted last is what is so now."""
    return next((one for one in reversed(found) if one.gpus or one.lost), found[-1] if found else None)


def _table(part: str, start: int, head: re.Match[str] | None) -> Table:
    gpus, lost = [], []
    for row in _ROW.finditer(part):
        if _BROKEN.match(row["name"]) or _BROKEN.match(row["bus"]):
            lost.append(int(row["index"]))
        else:
            gpus.append(Gpu(index=int(row["index"]), name=row["name"].strip()))
    said = _SMI.match(part)
    near = _LIMIT.search(part[:NEAR]) if head else None
    return Table(
        smi=said["smi"] if said else None, driver=head["driver"] if head and head["driver"][0].isdigit() else None,
        limit=near["limit"].strip("[]") if near else None, gpus=_first_of_each(gpus), lost=tuple(lost),
        mig=bool(_MIG.search(part)), windows=bool(_WINDOWS.search(part)), start=start,
    )


def _first_of_each(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    seen: dict[int, Gpu] = {}
    for gpu in gpus:
        seen.setdefault(gpu.index, gpu)
    return tuple(seen.values())[:MOST]
