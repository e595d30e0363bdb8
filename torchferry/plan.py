"""What would be done, before anything is: bytes to download, to build and to ship, room at each place, minutes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import base, console, context, fetch, files, lockfile, models, packing
from torchferry.engines.daemon import IMAGE_PER_WHEEL_BYTE, DaemonEngine
from torchferry.engines.docker import DockerEngine
from torchferry.errors import FerryError, ToolMissing
from torchferry.model import BuiltImage, Lock, Variant
from torchferry.pipeline import Road

BASE_SIZE = 175_000_000
"""Bytes of a bookworm base with python3, unpacked."""
ARCHIVE_PER_WHEEL_BYTE = 1.1
"""Bytes of a fast archive per byte of its wheels; the base comes on top."""
BASE_PACKED = 75_000_000
RATES = (10, 100, 1000)
"""Mbit/s for which the time to ship is told."""


@dataclass(frozen=True, kw_only=True)
class VariantPlan:
    """One variant: state of each step (current, to do, unknown), and bytes; None where there is no lock to tell."""

    variant: str
    engine: str
    lock: str
    wheels: str
    image: str
    archive: str
    download: int | None
    image_size: int | None
    archive_size: int | None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Room at one place: bytes that the plan needs there, and bytes that are free."""

    name: str
    path: str
    needed: int
    free: int

    @property
    def enough(self) -> bool:
        return self.free >= self.needed


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of it, ready to be shown."""

    variants: tuple[VariantPlan, ...]
    places: tuple[Place, ...]
    docker: str
    models: int = 0
    """Bytes of all models."""

    @property
    def ship(self) -> dict[int, float]:
        """Minutes to ship all archives and models, by Mbit/s."""
        total = self.models + sum(row.archive_size or 0 for row in self.variants)
        return {rate: total * 8 / (rate * 1_000_000) / 60 for rate in RATES}

    def as_json(self) -> dict[str, Any]:
        return {
            "variants": [dataclasses.asdict(row) for row in self.variants],
            "places": [{**dataclasses.asdict(place), "enough": place.enough} for place in self.places],
            "models": self.models,
            "ship_minutes": {str(rate): round(minutes, 1) for rate, minutes in self.ship.items()},
            "docker": self.docker,
        }


def make_plan(road: Road, chosen: Sequence[Variant]) -> Plan:
    """Look at everything, change nothing; a daemon that does not answer makes its images 'unknown', not an error."""
    rows = tuple(_variant(road, variant) for variant in chosen)
    docker, answer = _docker(road) if any(row.engine == "docker" for row in rows) else (None, "not needed")
    size, missing = models.sizes(road.project, road.layout)
    return Plan(variants=rows, places=_places(road, rows, missing, docker), docker=answer, models=size)


def _docker(road: Road) -> tuple[DockerEngine | None, str]:
    """The daemon, and 'answers' or why there is none."""
    try:
        return road.engines.docker, "answers"
    except ToolMissing as error:
        return None, error.message


def _variant(road: Road, variant: Variant) -> VariantPlan:
    lock, state = _lock(road, variant)
    if lock is None:
        return VariantPlan(
            variant=variant.label, engine=road.engines.usual, lock=state, wheels="to do", image="to do",
            archive="to do", download=None, image_size=None, archive_size=None,
        )
    missing = fetch.missing(lock, variant, road.layout)
    engine, image, built = _image(road, variant, lock)
    built = built if not missing else None
    packed = packing.listed_size(variant, built, road.layout) if built else None
    return VariantPlan(
        variant=variant.label, engine=engine, lock=state, wheels="to do" if missing else "current",
        image="current" if built else image,
        archive="current" if packed is not None else "to do",
        download=sum(wheel.size for wheel in missing),
        image_size=built.size if built else int(lock.size * IMAGE_PER_WHEEL_BYTE) + BASE_SIZE,
        archive_size=packed if packed is not None else int(lock.size * ARCHIVE_PER_WHEEL_BYTE) + BASE_PACKED,
    )


def _image(road: Road, variant: Variant, lock: Lock) -> tuple[str, str, BuiltImage | None]:
    """The engine that will build, the state of an image that is not current, and the image that is."""
    wanted = variant.service.base
    if wanted.debian and base.read_base(wanted, road.layout, variant.architecture) is None:
        return road.engines.usual, "to do", None
    drafted = road.draft(variant, lock, context.select_files(road.project.root, variant))
    try:
        engine = road.engines.choose(variant, lock, drafted.text)
        present = engine.present(variant)
    except ToolMissing:
        return "docker", "unknown", None
    name = "docker" if isinstance(engine, DaemonEngine) else "direct"
    return name, "to do", present if present is not None and present.recipe == drafted.digest else None


def _lock(road: Road, variant: Variant) -> tuple[Lock | None, str]:
    place = road.layout.lock(variant)
    if not place.is_file():
        return None, "to do"
    try:
        known = lockfile.parse(place.read_text(encoding="utf-8"), file=place.name)
    except FerryError:
        return None, "damaged"
    return known, "current" if known.fingerprint == road.asked(variant) else "stale"


def _places(
    road: Road, rows: Sequence[VariantPlan], models_size: int, docker: DockerEngine | None,
) -> tuple[Place, ...]:
    """What is still to come at each place; Docker takes the context, the image, and a temporary copy when it saves."""
    todo_image = [row for row in rows if row.image != "current"]
    todo_archive = [row for row in rows if row.archive != "current"]
    download = sum(row.download or 0 for row in rows)
    images = sum(row.image_size or 0 for row in todo_image if row.engine == "docker")
    archives = sum(row.archive_size or 0 for row in todo_archive)
    copy = max((row.image_size or 0 for row in todo_archive if row.engine == "docker"), default=0)
    layout = road.layout
    wanted: list[tuple[str, Path, int]] = [
        ("build folder (wheels, layers)", layout.build, download + archives),
        ("dist", layout.dist, archives + models_size),
    ]
    root = docker.root() if docker is not None else None
    if root is not None:
        wanted.append(("Docker's root", root, int(images * 1.5) + copy))
    return tuple(
        Place(name=name, path=str(path), needed=needed, free=files.free_bytes(path)) for name, path, needed in wanted
    )


def as_text(plan: Plan) -> str:
    """The plan for people."""
    def amount(count: int | None) -> str:
        return "?" if count is None else console.size(count)

    rows = [
        [row.variant, row.engine, row.lock, row.wheels, row.image, row.archive,
         amount(row.download), amount(row.image_size), amount(row.archive_size)]
        for row in plan.variants
    ]
    header = ["variant", "engine", "lock", "wheels", "image", "archive", "download", "image size", "archive size"]
    places = [
        [place.name, place.path, console.size(place.needed), console.size(place.free), "yes" if place.enough else "NO"]
        for place in plan.places
    ]
    ship = ", ".join(f"{minutes:.1f} min at {rate} Mbit/s" for rate, minutes in plan.ship.items())
    blocks = [
        console.table(rows, header=header),
        console.table(places, header=["place", "path", "needed", "free", "enough"]),
        f"to ship: {ship}" + (f"; {amount(plan.models)} of it are models" if plan.models else ""),
    ]
    if plan.docker not in ("answers", "not needed"):
        blocks.append(f"Docker: {plan.docker}")
    if any(row.download is None for row in plan.variants):
        blocks.append("? becomes a number after: inv lock")
    return "\n\n".join(blocks)
