"""The geometry of the coverage picture, and the text of its page; all sizes are in the units of the SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchferry import render
from torchferry.compat import Compat
from torchferry.coverage import Cell, Coverage, column_of, row_of, summary
from torchferry.fleet import Fleet

LEFT, TOP = 118, 46
WIDTH, LINE = 122, 16
PAD = 8
NAMED = 12
"""How many hosts of one cell are named in its tooltip."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of text in the picture; ``y`` is its baseline."""

    y: int
    text: str
    full: bool = True


@dataclass(frozen=True, kw_only=True)
class Box:
    """One cell as it is drawn."""

    x: int
    y: int
    height: int
    state: str
    lines: tuple[Line, ...]
    said: str
    hosts: Line | None


@dataclass(frozen=True, kw_only=True)
class Label:
    """One head of a column or row."""

    x: int
    y: int
    text: str
    small: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One service's picture with its words."""

    title: str
    width: int
    height: int
    heads: tuple[Label, ...]
    sides: tuple[Label, ...]
    boxes: tuple[Box, ...]
    summary: tuple[str, ...]
    coverage: Coverage
    fleet: Fleet | None


def picture(coverage: Coverage, fleet: Fleet | None) -> Picture:
    """Place every cell; hosts of a fleet stand where their driver and GPU do."""
    hosts = _hosts(coverage, fleet)
    sides, boxes = [], []
    y = TOP
    for row, (span, cells) in enumerate(zip(coverage.spans, coverage.rows, strict=True)):
        lines = max(1, *(len(cell.runs) for cell in cells)) + any((row, place) in hosts for place in range(len(cells)))
        height = lines * LINE + 2 * PAD
        sides.append(Label(x=LEFT - PAD, y=y + height // 2 + 4, text=span.label))
        boxes += [
            _box(cell, place, y, height, span.label, hosts.get((row, place), []))
            for place, cell in enumerate(cells)
        ]
        y += height
    heads = tuple(
        Label(x=LEFT + place * WIDTH + WIDTH // 2, y=18, text=column.generation, small=" ".join(column.capabilities))
        for place, column in enumerate(coverage.columns)
    )
    return Picture(
        title=", ".join(coverage.services), width=LEFT + WIDTH * len(coverage.columns) + PAD, height=y + PAD,
        heads=heads, sides=tuple(sides), boxes=tuple(boxes), summary=summary(coverage), coverage=coverage, fleet=fleet,
    )


def page(
    pictures: Sequence[Picture], compat: Compat, *, templates: Path, release: str, hosts_file: str | None
) -> str:
    """The HTML page: no script, nothing from elsewhere, well-formed as XML."""
    floors = {row.release: row for row in compat.table.cuda}
    checked = max(row.checked for row in (*compat.table.cuda, *compat.table.generations, *compat.table.capabilities))
    return render.page(
        templates, "coverage.html.j2", pictures=pictures, floors=floors, release=release, hosts_file=hosts_file,
        checked=checked.isoformat(), width=WIDTH,
    )


def _hosts(coverage: Coverage, fleet: Fleet | None) -> dict[tuple[int, int], list[str]]:
    found: dict[tuple[int, int], list[str]] = {}
    for host in fleet.hosts if fleet else ():
        row = row_of(coverage, host.server.driver)
        columns = dict.fromkeys(column_of(coverage, gpu.capability) for gpu in host.server.gpus)
        for column in columns:
            if row is not None and column is not None:
                found.setdefault((row, column), []).append(host.name)
    return found


def _box(cell: Cell, place: int, y: int, height: int, drivers: str, hosts: list[str]) -> Box:
    texts = [(run.label, run.full) for run in cell.runs]
    if cell.state == "none":
        texts = [("none", True)]
    count = len(texts) + bool(hosts)
    top = y + (height - count * LINE) // 2 + 12
    where = f"{cell.generation}, drivers {drivers}"
    runs = ", ".join(f"{run.label.replace('~', '')} {'in full' if run.full else 'by minor-version compatibility'}"
                     for run in cell.runs)
    said = {"absent": "no such driver serves these GPUs", "none": "no variant runs"}.get(cell.state, runs)
    named = ", ".join(hosts[:NAMED]) + (f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else "")
    badge = Line(y=top + len(texts) * LINE, text=f"{len(hosts)} host{'s' if len(hosts) > 1 else ''}")
    return Box(
        x=LEFT + place * WIDTH, y=y, height=height, state=cell.state,
        lines=tuple(Line(y=top + number * LINE, text=text, full=full) for number, (text, full) in enumerate(texts)),
        said=f"{where}: {said}" + (f"; hosts: {named}" if hosts else ""),
        hosts=badge if hosts else None,
    )
