"""Taking back what torchferry made, file by file: a project may keep things of its own in the same folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import delta, files, manifest, models, parts
from torchferry.errors import IntegrityError
from torchferry.layout import DOCKERFILE, OF_EVERY_RELEASE, RELEASE_FOLDERS, SBOMS, VERIFIED, Layout
from torchferry.memory import Memory
from torchferry.model import Project

_SUM = re.compile(r"[0-9a-f]{64} [ *](.+)")


@dataclass(frozen=True, kw_only=True)
class Freed:
    """One place that was removed, and the bytes it held."""

    place: str
    size: int


def clean(project: Project, layout: Layout, *, wheels: bool) -> tuple[Freed, ...]:
    """Remove what was built, this release and its deltas; ``wheels`` also what was downloaded.

    Locks and what is not ours stay.
    """
    releases = (project, *delta.packed(project, layout.dist))
    places = [*_built(project, layout), *(place for one in releases for place in _released(one, layout))]
    if wheels:
        places += _fetched(project, layout)
    freed = [Freed(place=str(place), size=_remove(place)) for place in places if os.path.lexists(place)]
    tops = [layout.release(one.release) for one in releases]
    above = {folder for place in places for folder in place.parents if any(map(folder.is_relative_to, tops))}
    for folder in (layout.build, *sorted({*above, *tops}, reverse=True), *_wheel_folders(project, layout)):
        _remove_if_empty(folder)
    return tuple(freed)


def _built(project: Project, layout: Layout) -> Iterator[Path]:
    contexts = (layout.context(variant) for variant in project.variants)
    yield from (context for context in contexts if (context / DOCKERFILE).is_file())
    yield from (
        layout.blobs, layout.bases, layout.logs, layout.smoke, layout.images, layout.verified, layout.coverage,
        layout.audits, layout.sboms, layout.bake_file,
    )


def _released(project: Project, layout: Layout) -> Iterator[Path]:
    """The files of this release that we wrote: those its lists name, those of every release, and what was begun."""
    release, folder = project.release, layout.release(project.release)
    named = {place for variant in project.variants for place in parts.lying(layout.archive(variant))}
    place = layout.manifest(release)
    with suppress(FileNotFoundError, IntegrityError):  # without a manifest, or with a damaged one
        rows = manifest.entries(place.read_text(encoding="utf-8"), file=place.name)
        named |= {folder / part.name for row in rows for part in parts.listed(row["archive"])}
        named |= {folder / _head(row) for row in rows}
    named |= {folder / name for name in _summed(layout.sums(release))}
    named |= set((folder / SBOMS).glob("*.cdx.json"))
    named |= set(models.ours(layout, release, Memory(layout.verified)))
    named |= {place for place in folder.glob(".*") if files.PARTIAL.fullmatch(place.name)}
    inside = {place for place in named if ".." not in place.parts and folder in place.parents}
    last = [folder / name for name in OF_EVERY_RELEASE]
    yield from sorted(place for place in inside - set(last) if _is_plain(place, folder))
    yield from last


def _head(row: Mapping[str, Any]) -> str:
    """The name of an archive's other beginning, "" where the manifest has none."""
    return str(row["archive"].get("head", {}).get("name", ""))


def _summed(sums: Path) -> Iterator[str]:
    """The names in a SHA256SUMS that are in folders of ours; a person may have added what else he sends along."""
    with suppress(FileNotFoundError, UnicodeDecodeError):
        found = (_SUM.fullmatch(line) for line in sums.read_text(encoding="utf-8").split("\n"))
        yield from (line[1] for line in found if line and line[1].startswith(RELEASE_FOLDERS))


def _is_plain(place: Path, folder: Path) -> bool:
    """Whether it is no folder, and nothing on the way to it is a link to elsewhere."""
    above = [one for one in place.parents if folder in one.parents]
    return not place.is_dir() and not any(one.is_symlink() for one in above)


def _fetched(project: Project, layout: Layout) -> Iterator[Path]:
    for folder in _wheel_folders(project, layout):
        yield from sorted([*folder.glob("*.whl"), *folder.glob(".*.partial"), *folder.glob(".*.version")])
        yield folder / VERIFIED
    yield layout.sdists_folder


def _wheel_folders(project: Project, layout: Layout) -> Iterable[Path]:
    return sorted({layout.tools_folder, *(layout.wheel_folder(variant) for variant in project.variants)})


def _remove(place: Path) -> int:
    if place.is_dir() and not place.is_symlink():
        return files.remove_tree(place)
    status = place.lstat()
    place.unlink()
    return status.st_size if status.st_nlink == 1 else 0


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
