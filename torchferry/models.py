"""The models of a release: checked where they lie, then brought into its folder, each below models/NAME-VERSION/.

A file that lies there and is untouched since its hash was found is not read again. What a model no longer has goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from torchferry import console, files, model_files
from torchferry.blobs import full_disk_at
from torchferry.errors import ModelError
from torchferry.layout import Layout
from torchferry.manifest import model_folder
from torchferry.memory import Memory
from torchferry.model import Project, Release
from torchferry.model_files import Found, ModelFile
from torchferry.running import Model

SHOWN = 40
"""Problems that are told at once."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A model, what was found of it, and its folder in the release."""

    model: Model
    found: Found
    folder: Path

    def target(self, file: ModelFile) -> Path:
        return self.folder / file.path


def place(project: Project, layout: Layout, *, held: Collection[str] = ()) -> tuple[Row, ...]:
    """Bring every model of a project into its release folder; what the manifest says of them, by name and version.

    Those whose folder is ``held`` by the servers are told of and not brought.

    Raises ModelError with all that is wrong in any of them, before anything is changed; DiskFull.
    """
    chosen, top = require(project, layout), layout.models(project.release)
    before = {model_folder(row): row for row in listed(layout, project.release)}
    memory = Memory(layout.verified)
    try:
        brought = [one for one in chosen if one.model.folder not in held]
        wanted = {one.target(file) for one in brought for file in one.found.files}
        remove(set(ours(layout, project.release, memory)) - wanted, top, memory)
        _require_space(brought, top, memory)
        rows = tuple(_place(one, memory) if one in brought else _known(one, memory) for one in chosen)
    finally:
        memory.save()
    for one, row in zip(chosen, rows, strict=True):
        _tell(one, row, before.get(one.model.folder))
    return rows


def require(project: Project, layout: Layout) -> tuple[Chosen, ...]:
    """The models of a project as they lie in it, by name and version; ModelError with all that is wrong in any."""
    chosen = _find(project, layout)
    _refuse(chosen)
    return chosen


def sizes(project: Project, layout: Layout) -> tuple[int, int]:
    """Bytes of all models as they lie in a project, and of those files that are not in its release yet.

    What is wrong with them is `require`'s to say.
    """
    memory, whole, missing = Memory(layout.verified), 0, 0
    for one in _find(project, layout):
        for file in one.found.files:
            whole += file.size
            missing += 0 if _lies_there(file, one.target(file), memory) else file.size
    return whole, missing


def listed(layout: Layout, release: Release) -> tuple[Row, ...]:
    """The models that the manifest in a release folder names; none where it cannot be read."""
    try:
        said = json.loads(layout.manifest(release).read_text(encoding="utf-8"))
        rows = tuple({**row, "files": [dict(file) for file in row["files"]]} for row in said.get("models", ()))
        named = [PurePosixPath(model_folder(row), str(file["path"])) for row in rows for file in row["files"]]
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return ()
    return rows if not any(name.is_absolute() or ".." in name.parts for name in named) else ()


def ours(layout: Layout, release: Release, memory: Memory) -> Iterator[Path]:
    """Every file below a release's models/ that torchferry put there, or began to put there."""
    top = layout.models(release)
    for row in listed(layout, release):
        yield from (top / model_folder(row) / str(file["path"]) for file in row["files"])
    yield from memory.below(top)
    yield from (path for path in top.rglob(".*") if files.PARTIAL.fullmatch(path.name))


def remove(gone: Collection[Path], top: Path, memory: Memory) -> int:
    """Remove files below ``top``, and folders in it that are empty then; returns the bytes that were freed."""
    freed = 0
    for path in sorted(gone):
        memory.forget(path)
        if path.is_file() and path.parent.resolve().is_relative_to(top.resolve()):
            status = path.lstat()
            freed += status.st_size if status.st_nlink == 1 else 0
            path.unlink()
    for folder in sorted({above for path in gone for above in path.parents if above.is_relative_to(top)}, reverse=True):
        with suppress(OSError):  # something lies in it, or it was not there
            folder.rmdir()
    return freed


def _find(project: Project, layout: Layout) -> tuple[Chosen, ...]:
    top = layout.models(project.release)
    return tuple(
        Chosen(model=model, found=model_files.find(project.root / model.source, model), folder=top / model.folder)
        for model in sorted(project.models, key=lambda model: model.folder)
    )


def _refuse(chosen: Sequence[Chosen]) -> None:
    lines = [
        f"model {one.model.name} ({one.model.source}): {problem}" for one in chosen for problem in one.found.problems
    ]
    lines += [
        f"models {one.model.name} and {other.model.name}: both would lie in {one.folder.name}: rename one"
        for one, other in pairwise(chosen) if one.folder == other.folder  # a-b 1 and a b-1
    ]
    if lines:
        more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise ModelError("\n".join([*lines[:SHOWN], *more]), cure="complete or mend these files, then run it again")


def _require_space(chosen: Sequence[Chosen], top: Path, memory: Memory) -> None:
    """Raise DiskFull where this disk cannot take the files that are not there yet."""
    needed = sum(
        file.size for one in chosen for file in one.found.files if not _lies_there(file, one.target(file), memory)
    )
    if needed:
        files.require_space(top, needed, what="models")


def _lies_there(file: ModelFile, target: Path, memory: Memory) -> str | None:
    """The hash of a file that was brought before and is as it was, at both ends."""
    digest = memory.recall(file.source)
    return digest if digest and memory.knows(target, digest) else None


def _place(one: Chosen, memory: Memory) -> Row:
    """Bring one model's files; its row."""
    digests = {file.path: _lies_there(file, one.target(file), memory) for file in one.found.files}
    todo = [file for file in one.found.files if digests[file.path] is None]
    if todo:
        with (
            full_disk_at(one.folder),
            console.progress(f"model {one.model.folder}", sum(file.size for file in todo)) as step,
        ):
            for file in todo:
                digests[file.path] = bring(file, one.target(file), memory, step.advance)
    else:
        console.say(f"model {one.model.folder}: current")
    return _row(one, digests)


def _known(one: Chosen, memory: Memory) -> Row:
    """The row of a model that is not brought: its files are only read, and only once."""
    digests: dict[str, str | None] = {file.path: memory.recall(file.source) for file in one.found.files}
    todo = [file for file in one.found.files if digests[file.path] is None]
    with console.progress(f"model {one.model.folder}", sum(file.size for file in todo)) as step:
        for file in todo:
            digests[file.path] = digest = files.sha256(file.source, passed=step.advance)
            memory.learn(file.source, digest)
    return _row(one, digests)


def _row(one: Chosen, digests: Mapping[str, str | None]) -> Row:
    return {
        "name": one.model.name, "version": one.model.version, "at": one.model.at,
        "services": sorted(one.model.services),
        "files": [{"path": file.path, "size": file.size, "sha256": digests[file.path]} for file in one.found.files],
    }


def bring(file: ModelFile, target: Path, memory: Memory, passed: Callable[[int], object]) -> str:
    """Put a file in its place, whole or not at all; its SHA-256, which is then remembered of both."""
    before, known = file.source.stat(), memory.recall(file.source)
    try:
        if files.reflink(file.source, target):
            digest = known or files.sha256(file.source, passed=passed)
        else:
            digest = files.copy(file.source, target, passed=passed)
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        raise ModelError(
            f"{target}: something else lies in its place", cure="move that out of the release folder"
        ) from error
    after = file.source.stat()
    if (before.st_mtime_ns, file.size) != (after.st_mtime_ns, after.st_size):
        raise ModelError(
            f"{file.source}: it changed while it was read", cure="run it again when nobody writes there any more"
        )
    memory.learn(file.source, digest)
    memory.learn(target, digest)
    return digest


def _tell(one: Chosen, row: Row, before: Row | None) -> None:
    name = f"model {one.model.folder}"
    if one.found.left_out:
        console.say(f"{name}: left out {', '.join(sorted(one.found.left_out))}")
    if before is not None and before["files"] != row["files"]:
        console.say(f"warning: {name}: its files changed, but its version is still {one.model.version}")
