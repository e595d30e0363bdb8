"""The picture of what one service's variants run on: driver branches by generations of GPUs.

It asks `verdict` for every cell, so that picture and doctor cannot differ. CUDA builds are for x86_64: boards that
exist only beside an Arm CPU have no place in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from torchferry.compat import Compat
from torchferry.model import Variant
from torchferry.server import Gpu, Server, branch_of
from torchferry.verdict import YES, Branches, Rule, judge, rules

NEWEST = 9999
"""A patch level that no driver has: a cell speaks for the newest driver of its branch."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Driver branches that no floor and no GPU generation tells apart; ``last`` None: all that are to come."""

    first: int
    last: int | None

    @property
    def label(self) -> str:
        if self.last is None:
            return f"{self.first} and newer"
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"

    def holds(self, branch: int) -> bool:
        return self.first <= branch and (self.last is None or branch <= self.last)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One variant in one cell: whether with full support, and for which capabilities where not for all (else ())."""

    variant: str
    full: bool
    only: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.variant + ("" if self.full else "~") + (f" ({' '.join(self.only)})" if self.only else "")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What runs on one generation with drivers of one span, which serve the GPUs of these ``capabilities``."""

    generation: str
    capabilities: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def exists(self) -> bool:
        """Whether there are such servers."""
        return bool(self.capabilities)

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The capabilities that no variant runs on."""
        if any(not run.only for run in self.runs):
            return ()
        return tuple(one for one in self.capabilities if not any(one in run.only for run in self.runs))

    @property
    def state(self) -> str:
        """absent, none, one or several."""
        if not self.exists:
            return "absent"
        return ("none", "one")[len(self.runs)] if len(self.runs) < 2 else "several"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One generation, with those of its compute capabilities that x86_64 servers can have."""

    generation: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The whole picture of some services that have the same variants; ``rows`` follow ``spans``, oldest first."""

    services: tuple[str, ...]
    rules: tuple[Rule, ...]
    columns: tuple[Column, ...]
    spans: tuple[Span, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def cuda(self) -> tuple[Rule, ...]:
        """The rules that are about GPUs."""
        return tuple(rule for rule in self.rules if rule.cuda)


def coverages(variants: Sequence[Variant], compat: Compat) -> tuple[Coverage, ...]:
    """One picture for each set of variants that services share; services without CUDA variants have none.

    CompatError where a variant cannot exist.
    """
    services: dict[tuple[Rule, ...], list[str]] = {}
    for name in dict.fromkeys(variant.service.name for variant in variants):
        made = rules((variant for variant in variants if variant.service.name == name), compat)
        if any(rule.cuda for rule in made):
            services.setdefault(made, []).append(name)
    return tuple(_coverage(tuple(names), made, compat) for made, names in services.items())


def columns(compat: Compat) -> tuple[Column, ...]:
    """The generations that some build of the table has code for, oldest first."""
    here = {row.capability for row in compat.table.gpus if row.arch is None}
    built = {int(_digits(code)[:-1]) for row in compat.table.capabilities for code in row.capabilities}
    found = []
    for row in compat.table.generations:
        capabilities = tuple(one for one in row.capabilities if one in here)
        if built & {int(one.partition(".")[0]) for one in capabilities}:
            found.append(Column(generation=row.name, capabilities=capabilities))
    return tuple(found)


def _digits(code: str) -> str:
    """'120' of '120+PTX', '90' of '90a'."""
    return "".join(character for character in code.partition("+")[0] if character.isdigit())


def spans(compat: Compat) -> tuple[Span, ...]:
    """The branches that the table tells apart: from just before the oldest floor up to what is to come."""
    table = compat.table
    floors = {branch_of(row.floor) for row in table.cuda}
    edges = floors | {branch_of(row.toolkit_driver) for row in table.cuda}
    edges |= {row.first_branch for row in table.generations if row.first_branch is not None}
    edges |= {row.last_branch + 1 for row in table.generations if row.last_branch is not None}
    before = max(edge for edge in edges if edge < min(floors))
    firsts = sorted(edge for edge in edges if edge >= before)
    return tuple(
        Span(first=first, last=after and after - 1) for first, after in zip(firsts, [*firsts[1:], None], strict=True)
    )


def _coverage(services: tuple[str, ...], made: tuple[Rule, ...], compat: Compat) -> Coverage:
    wide = columns(compat)
    rows: list[tuple[Span, tuple[Cell, ...]]] = []
    for span in spans(compat):
        cells = tuple(_cell(span, column, made, compat) for column in wide)
        if rows and rows[-1][1] == cells:
            rows[-1] = (replace(rows[-1][0], last=span.last), cells)
        else:
            rows.append((span, cells))
    return Coverage(
        services=services, rules=made, columns=wide, spans=tuple(span for span, _ in rows),
        rows=tuple(cells for _, cells in rows),
    )


def _cell(span: Span, column: Column, made: Sequence[Rule], compat: Compat) -> Cell:
    driven = Branches.of(span.first, compat, windows=False).served
    served = [one for one in column.capabilities if one in driven]
    found: dict[str, list[str]] = {}
    full: dict[str, bool] = {}
    for capability in served:
        gpu = Gpu(index=0, name="", capability=capability)
        server = Server(driver=f"{span.first}.{NEWEST}", gpus=(gpu,), arch="x86_64")
        for name, verdict in judge(server, made, compat).verdicts.items():
            if verdict.runs == YES:
                found.setdefault(name, []).append(capability)
                full[name] = verdict.full_support
    runs = (
        Run(variant=rule.name, full=full[rule.name],
            only=() if found[rule.name] == served else tuple(found[rule.name]))
        for rule in made if rule.cuda and rule.name in found
    )
    return Cell(generation=column.generation, capabilities=tuple(served), runs=tuple(runs))


# In words


def summary(coverage: Coverage) -> tuple[str, ...]:
    """What is covered by one variant alone, by several, and by none: one line for each set of variants."""
    groups: dict[tuple[str, ...], dict[tuple[Span, ...], list[str]]] = {}
    for place in range(len(coverage.columns)):
        found: dict[tuple[tuple[str, ...], str], list[Span]] = {}
        for span, row in zip(coverage.spans, coverage.rows, strict=True):
            for names, gpus in _covering(row[place]):
                found.setdefault((names, gpus), []).append(span)
        for (names, gpus), where in found.items():
            groups.setdefault(names, {}).setdefault(tuple(where), []).append(gpus)
    order = sorted(groups, key=lambda names: (not names, len(names)))
    return tuple(f"{_who(names)}: {_where(groups[names])}" for names in order)


def _covering(cell: Cell) -> list[tuple[tuple[str, ...], str]]:
    """The variants that run in a cell, and on which GPUs; () for GPUs that none runs on."""
    names = tuple(run.variant for run in cell.runs)
    if not cell.exists or not cell.uncovered:
        return [(names, cell.generation)] if cell.exists else []
    lost = f"{cell.generation} ({' '.join(cell.uncovered)})" if names else cell.generation
    return [*([(names, cell.generation)] if names else []), ((), lost)]


def _who(names: tuple[str, ...]) -> str:
    if not names:
        return "covered by none"
    return f"{names[0]} alone" if len(names) == 1 else f"covered by {len(names)} ({', '.join(names)})"


def _where(places: dict[tuple[Span, ...], list[str]]) -> str:
    return "; ".join(
        f"{', '.join(gpus)} on drivers {', '.join(span.label for span in joined(where))}"
        for where, gpus in places.items()
    )


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Neighbouring spans as one."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1].last is not None and found[-1].last + 1 == span.first:
            found[-1] = replace(found[-1], last=span.last)
        else:
            found.append(span)
    return tuple(found)


def column_of(coverage: Coverage, capability: str | None) -> int | None:
    """The place of the column that a compute capability belongs to."""
    return next((place for place, one in enumerate(coverage.columns) if capability in one.capabilities), None)


def row_of(coverage: Coverage, driver: str | None) -> int | None:
    """The place of the row that a driver belongs to."""
    if driver is None:
        return None
    return next((place for place, span in enumerate(coverage.spans) if span.holds(branch_of(driver))), None)


def text_table(coverage: Coverage) -> tuple[list[str], list[list[str]]]:
    """Header and rows for a terminal; generations with equal columns share one."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for place, column in enumerate(coverage.columns):
        shown = tuple(_shown(row[place]) for row in coverage.rows)
        groups.setdefault(shown, []).append(column.generation)
    header = ["drivers", *(", ".join(generations) for generations in groups.values())]
    rows = [
        [span.label, *(shown[place] for shown in groups)] for place, span in enumerate(coverage.spans)
    ]
    return header, rows


def _shown(cell: Cell) -> str:
    if not cell.exists:
        return "."
    return " ".join(run.label for run in cell.runs) or "NONE"
