"""The files of a model's folder: what a release takes, what it leaves out, and all that is wrong with them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torchferry import model_checks
from torchferry.running import Model

LEFT_OUT = frozenset({".git", ".cache", ".huggingface", ".gitattributes", ".gitignore", ".DS_Store", "__MACOSX"})
"""What a clone or a download leaves beside a model, gigabytes sometimes; a service reads none of it."""

UNFINISHED = (".incomplete", ".crdownload", ".aria2", ".part", ".partial", ".download")

NAME_BYTES = 200
"""A file's name grows a little while it is written."""
PATH_BYTES = 1024
INDEX_LIMIT = 64 << 20


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of a model: its ``path`` there, with /, and the file that has its bytes."""

    path: str
    source: Path
    size: int


@dataclass(kw_only=True)
class Found:
    """What lies in a model's folder; ``problems`` are sentences that begin with a path."""

    files: list[ModelFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find(folder: Path, model: Model) -> Found:
    """Look at every file of a model, and into those that tell their own length. The whole is not read."""
    found = Found()
    if not folder.is_dir():
        found.problems.append("there is no such folder")
        return found
    try:
        _walk(folder, "", folder.resolve(), found)
    except OSError as error:
        found.problems.append(f"{error.filename}: cannot be read: {error.strerror}")
        return found
    if not found.files and not found.problems:
        found.problems.append("there is no file in it")
    found.files.sort(key=lambda file: file.path)
    named = {file.path for file in found.files}
    wanted = dict.fromkeys(model.expect, "variants.yaml expects it")
    for file in found.files:
        _look_into(file, found, wanted)
    found.problems += [f"{path}: is missing, {why}" for path, why in sorted(wanted.items()) if path not in named]
    return found


def _walk(folder: Path, above: str, top: Path, found: Found) -> None:
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        path = f"{above}{entry.name}"
        if entry.name in LEFT_OUT:
            found.left_out.append(path)
        elif wrong := _name_problem(path, entry.name):
            found.problems.append(wrong)
        elif entry.is_symlink():
            _link(Path(entry.path), path, top, found)
        elif entry.is_dir():
            _walk(Path(entry.path), f"{path}/", top, found)
        else:
            _file(Path(entry.path), path, found)


def _name_problem(path: str, name: str) -> str | None:
    """Why a name cannot go into a release: its lists are read by programs that know no quoting."""
    if not name.isprintable() or "\\" in name or '"' in name or name != name.strip():
        return f"{path!r}: has a name that is not plain text without quotes and backslashes: rename it"
    if len(name.encode()) > NAME_BYTES or len(path.encode()) > PATH_BYTES:
        return f"{path[:60]}...: has a name that is too long: rename it"
    if name.endswith(UNFINISHED):
        return f"{path}: is an unfinished download: finish it, or remove it"
    return None


def _link(place: Path, path: str, top: Path, found: Found) -> None:
    """A link to a file of the same folder stands for that file; no other can be followed on a server."""
    told = f"{path}: is a link to {place.readlink()}"
    try:
        target = place.resolve(strict=True)
    except (OSError, RuntimeError):  # a ring of links is a RuntimeError before Python 3.13
        found.problems.append(f"{told}, where nothing is: download it again, or remove it")
        return
    if not target.is_relative_to(top):
        found.problems.append(f"{told}, outside the model's folder: put the file itself there (cp -L)")
    elif target.is_dir():
        found.problems.append(f"{told}, a folder: put its files there (cp -rL), or remove it")
    else:
        _file(target, path, found)


def _file(place: Path, path: str, found: Found) -> None:
    status = place.stat()
    if not stat.S_ISREG(status.st_mode):
        found.problems.append(f"{path}: is a socket, pipe or device, not a file: remove it")
        return
    found.files.append(ModelFile(path=path, source=place, size=status.st_size))


def _look_into(file: ModelFile, found: Found, wanted: dict[str, str]) -> None:
    """Add what is wrong with a file, and what else its own list says must be there."""
    try:
        wrong = model_checks.problem(file.source, file.path)
        if wrong is None:
            for path in _shards(file):
                wanted.setdefault(path, f"{file.path} names it")
    except OSError as error:
        wrong = f"cannot be read: {error.strerror}"
    if wrong:
        found.problems.append(f"{file.path}: {wrong}")


def _shards(file: ModelFile) -> Iterator[str]:
    """The files over which weights are spread, as the index beside them names them."""
    if not file.path.endswith(".index.json") or file.size > INDEX_LIMIT:
        return
    above = file.path.rpartition("/")[0]
    try:
        names = json.loads(file.source.read_bytes())["weight_map"].values()
        shards = {str(name) for name in names}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return
    yield from (f"{above}/{name}".lstrip("/") for name in sorted(shards))
