"""Taking back what torchferry made, file by file: a project may keep things of its own in the same folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torchferry import files, manifest
from torchferry.errors import IntegrityError
from torchferry.layout import DOCKERFILE, FERRY, VERIFIED, Layout
from torchferry.model import Project


@dataclass(frozen=True, kw_only=True)
class Freed:
    """One place that was removed, and the bytes it held."""

    place: str
    size: int


def clean(project: Project, layout: Layout, *, wheels: bool) -> tuple[Freed, ...]:
    """Remove what was built and this release; ``wheels`` also what was downloaded. Locks and what is not ours stay."""
    places = [*_built(project, layout), *_released(project, layout)]
    if wheels:
        places += _fetched(project, layout)
    freed = [Freed(place=str(place), size=_remove(place)) for place in places if place.exists()]
    for folder in (layout.build, layout.release(project.release), *_wheel_folders(project, layout)):
        _remove_if_empty(folder)
    return tuple(freed)


def _built(project: Project, layout: Layout) -> Iterator[Path]:
    contexts = (layout.context(variant) for variant in project.variants)
    yield from (context for context in contexts if (context / DOCKERFILE).is_file())
    yield from (
        layout.blobs, layout.bases, layout.logs, layout.smoke, layout.images, layout.verified, layout.coverage,
        layout.audits,
    )


def _released(project: Project, layout: Layout) -> Iterator[Path]:
    """The files of this release that its manifest names, and those that belong to every release."""
    folder = layout.release(project.release)
    named = {layout.archive_name(variant) for variant in project.variants}
    place = layout.manifest(project.release)
    with suppress(FileNotFoundError, IntegrityError):  # without a manifest, or with a damaged one
        rows = manifest.entries(place.read_text(encoding="utf-8"), file=place.name)
        named |= {str(row["archive"]["name"]) for row in rows}
    yield from (folder / name for name in sorted(named) if "/" not in name)
    yield from (folder / FERRY, layout.sums(project.release), layout.signature(project.release), place)


def _fetched(project: Project, layout: Layout) -> Iterator[Path]:
    for folder in _wheel_folders(project, layout):
        yield from sorted([*folder.glob("*.whl"), *folder.glob(".*.partial"), *folder.glob(".*.version")])
        yield folder / VERIFIED
    yield layout.sdists_folder


def _wheel_folders(project: Project, layout: Layout) -> Iterable[Path]:
    return sorted({layout.tools_folder, *(layout.wheel_folder(variant) for variant in project.variants)})


def _remove(place: Path) -> int:
    if place.is_dir():
        return files.remove_tree(place)
    status = place.lstat()
    place.unlink()
    return status.st_size if status.st_nlink == 1 else 0


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
