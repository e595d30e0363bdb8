"""What was measured, and what it comes to: steps, ratios with the bounds we promise, tables, JSON. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BUILD = "build"
PACK = "pack"
PACK_COLD = "pack, cold"
PACK_WARM = "pack, warm"
PACK_UNCHANGED = "pack, nothing changed"
WHOLE = "wheels to archive, cold"
UNCHANGED = "again, nothing changed"
CHANGED = "one line of the service changed"
COPY = "cp of the archive"
COPY_SYNCED = "cp of the archive, brought to the disk"

VERSION = 1
"""Of the JSON document; grows when a key changes its meaning."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One timed step of a way: seconds; and CPU seconds and the largest sum of resident bytes of what it started."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way, from wheels to archive."""

    way: str
    image_bytes: int
    archive_bytes: int
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step | None:
        """The step of this name, if this way has one."""
        return next((step for step in self.steps if step.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Two figures of one kind; ``speed`` says how many times faster ours is, else what part of the usual ours is."""

    what: str
    way: str
    usual: float
    ours: float
    speed: bool = False
    bound: float | None = None

    @property
    def value(self) -> float:
        over, under = (self.usual, self.ours) if self.speed else (self.ours, self.usual)
        return over / under if under else float("inf")

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None where nothing is promised."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.speed else self.value <= self.bound

    @property
    def promise(self) -> str:
        """The bound in words."""
        if self.bound is None:
            return ""
        return f">= {self.bound:g}x" if self.speed else f"<= {self.bound:g}"


@dataclass(frozen=True, kw_only=True)
class Race:
    """Seconds of some steps of the usual way against some of another way; every step must be there to count."""

    what: str
    usual: tuple[str, ...]
    ours: tuple[str, ...]
    bound: float | None = None


RACES = (
    Race(what="build", usual=(BUILD,), ours=(BUILD,)),
    Race(what="pack, cold", usual=(PACK,), ours=(PACK_COLD,), bound=8),
    Race(what="pack, warm", usual=(PACK,), ours=(PACK_WARM,), bound=30),
    Race(what="pack, nothing changed", usual=(PACK,), ours=(PACK_UNCHANGED,)),
    Race(what="wheels to archive", usual=(BUILD, PACK), ours=(BUILD, PACK_COLD)),
    Race(what="wheels to archive", usual=(BUILD, PACK), ours=(WHOLE,), bound=35),
    Race(what="nothing changed", usual=(BUILD, PACK), ours=(UNCHANGED,)),
    Race(what="one line changed", usual=(BUILD, PACK), ours=(CHANGED,)),
)
COPY_BOUND = 1.2
"""What a changed line may take, in times of a plain cp of the archive."""
IMAGE_BOUND = 0.66


def ratios(usual: Measured, other: Measured) -> tuple[Ratio, ...]:
    """Every comparison that the steps of ``other`` allow."""
    timed = []
    for race in RACES:
        theirs, ours = _seconds(usual, race.usual), _seconds(other, race.ours)
        if theirs is not None and ours is not None:
            timed.append(Ratio(
                what=race.what, way=other.way, usual=theirs, ours=ours, speed=True, bound=race.bound,
            ))
    changed = other.step(CHANGED)
    for name, bound in ((COPY, COPY_BOUND), (COPY_SYNCED, None)):  # ours brings its archive to the disk; cp does not
        copied = other.step(name)
        if copied and changed:
            timed.append(Ratio(
                what=f"one line changed, against {name}", way=other.way, usual=copied.seconds, ours=changed.seconds,
                bound=bound,
            ))
    return (
        *timed,
        Ratio(
            what="image", way=other.way, usual=usual.image_bytes, ours=other.image_bytes, bound=IMAGE_BOUND,
        ),
        Ratio(what="archive", way=other.way, usual=usual.archive_bytes, ours=other.archive_bytes),
        Ratio(what="peak memory", way=other.way, usual=_peak(usual), ours=_peak(other)),
    )


def document(
    facts: Mapping[str, Any], measured: Sequence[Measured], compared: Iterable[Ratio]
) -> dict[str, Any]:
    """Everything as one JSON document; ``facts`` are the machine, the daemon and the wheels."""
    return {
        "version": VERSION,
        **facts,
        "ways": [
            {
                "way": one.way, "image_bytes": one.image_bytes, "archive_bytes": one.archive_bytes,
                "steps": [
                    {
                        "step": step.name, "seconds": round(step.seconds, 2),
                        "cpu_seconds": round(step.cpu_seconds, 2), "peak_bytes": step.peak_bytes,
                    }
                    for step in one.steps
                ],
            }
            for one in measured
        ],
        "ratios": [
            {
                "what": one.what, "way": one.way, "kind": "times faster" if one.speed else "part of the usual",
                "usual": round(one.usual, 2), "ours": round(one.ours, 2), "value": round(one.value, 3),
                "bound": one.bound, "met": one.met,
            }
            for one in compared
        ],
    }


def report(measured: Sequence[Measured], compared: Sequence[Ratio]) -> str:
    """The tables, in Markdown."""
    steps = markdown(
        ("way", "step", "seconds", "CPU seconds", "peak memory"),
        [(one.way, step.name, f"{step.seconds:.1f}", f"{step.cpu_seconds:.1f}", f"{step.peak_bytes / 1e6:.0f} MB")
         for one in measured for step in one.steps],
    )
    sizes = markdown(
        ("way", "image", "archive"), [(one.way, _gigabytes(one.image_bytes), _gigabytes(one.archive_bytes))
                                      for one in measured],
    )
    if not compared:
        return f"{steps}\n\n{sizes}"
    judged = markdown(
        ("against the usual way", "way", "ratio", "promised", "kept"),
        [(one.what, one.way, f"{one.value:.1f}x faster" if one.speed else f"{one.value:.2f} of it", one.promise,
          {True: "yes", False: "NO", None: ""}[one.met]) for one in compared],
    )
    return f"{steps}\n\n{sizes}\n\n{judged}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for reading as plain text too."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def _seconds(measured: Measured, names: Iterable[str]) -> float | None:
    steps = [measured.step(name) for name in names]
    return None if None in steps else sum(step.seconds for step in steps if step)


def _peak(measured: Measured) -> int:
    return max((step.peak_bytes for step in measured.steps), default=0)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
