"""What `inv check` looks at beside what cannot exist: pointless rows, imports, and what the indexes offer today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torchferry import context, fetch, lockfile, refresh, remarks
from torchferry.compat import Problem
from torchferry.errors import ConfigError, FerryError, LockError
from torchferry.model import Variant, WheelSet
from torchferry.remarks import Remark

if TYPE_CHECKING:
    from torchferry.pipeline import Road

SHOWN = 3
"""How many file names stand in for a longer list."""


def offers(road: Road) -> refresh.Refreshed:
    """What the indexes offer of torch, each where this project would look for it. Raises SourceError."""
    rows = {variant.name: variant for variant in road.project.variants}
    table = road.compat.table
    asked = {
        build: rows.get(build) or replace(road.project.variants[0], name=build, index=None)
        for build in refresh.builds(table)
    }
    return refresh.look(table, {build: road.sources(variant) for build, variant in asked.items()})


@dataclass(frozen=True, kw_only=True)
class VainImports:
    """What one variant's source imports in vain: errors that would stop the image, and what may fail."""

    errors: tuple[FerryError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The errors line by line, each with its cure."""
        return tuple(
            Problem(message=line, cure=error.cure) for error in self.errors for line in error.message.splitlines()
        )


NOTHING = VainImports()


def remarks_on(road: Road, chosen: Sequence[Variant]) -> tuple[Remark, ...]:
    """What is worth knowing of the chosen variants beside all others of their services.

    Where one of a service cannot exist, its rows are to be changed first.
    """
    services = {variant.service.name for variant in chosen}
    rows = [variant for variant in road.project.variants if variant.service.name in services]
    wrong = {variant.service.name for variant in rows if road.compat.problems(variant)}
    made = remarks.remarks([variant for variant in rows if variant.service.name not in wrong], road.compat)
    return tuple(one for one in made if one.about in {*services, *(variant.label for variant in chosen)})


def refuse_imports(found: Mapping[str, VainImports]) -> None:
    """Raise one error that tells every problem of every variant, of the kind that must be cured first; none: nothing.

    Variants of one service share its source, so a line that several have is told once.
    """
    errors = [error for one in found.values() for error in one.errors]
    if not errors:
        return
    lines = remarks.grouped(
        Remark(about=label, level="", text=problem.message) for label, one in found.items() for problem in one.problems
    )
    first = min(errors, key=lambda error: error.exit_code)
    raise type(first)(
        "\n".join(f"{line.about}: {line.text}" for line in lines),
        cure="\n      ".join(dict.fromkeys(error.cure for error in errors)),
    )


def check_imports(road: Road, variant: Variant) -> VainImports:
    """Hold what a service's source imports against its own files and its lock's wheels; nothing is fetched.

    A lock or wheels that are not there are an error too: what was not looked at is not known to be well.
    """
    errors: list[FerryError] = []
    warnings: list[str] = []
    try:
        selection = context.select_files(road.project.root, variant)
    except ConfigError as error:
        return VainImports(errors=(error,))
    warnings += selection.warnings
    try:
        warnings += context.check_imports(selection, variant, _wheels(road, variant))
    except FerryError as error:
        errors.append(error)
    return VainImports(errors=tuple(errors), warnings=tuple(warnings))


def _wheels(road: Road, variant: Variant) -> WheelSet:
    """The fetched wheels of the current lock; LockError says what to run where they are not there."""
    choice = f"--service {variant.service.name} --variant {variant.name}"
    place = road.layout.lock(variant)
    if not place.is_file():
        raise LockError("its imports cannot be checked without a lock", cure=f"inv lock {choice}")
    lock = lockfile.parse(place.read_text(encoding="utf-8"), file=place.name)
    if lock.fingerprint != road.asked(variant):
        raise LockError(f"its imports cannot be checked, {place.name} is stale", cure=f"inv lock {choice}")
    missing = [wheel.filename for wheel in fetch.missing(lock, variant, road.layout) if wheel != lock.installer]
    if missing:
        raise LockError(
            f"its imports cannot be checked, {len(missing)} of {len(lock.wheels)} wheels are not here: "
            + _shortened(missing),
            cure=f"inv fetch {choice}",
        )
    return fetch.fetched(lock, variant, road.layout)


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
