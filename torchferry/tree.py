"""The files below a service's source, one by one: what is taken, what a rule leaves out, what is refused."""

from __future__ import annotations

import errno
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torchferry import console, ignore
from torchferry.errors import ConfigError
from torchferry.model import APP

LIMIT = 200_000_000
"""Bytes; the source of a service is a few megabytes, models and data are not source."""

LIMIT_FILES = 20_000


@dataclass(frozen=True, kw_only=True)
class ContextFile:
    """One file of the image: ``path`` in the project, ``target`` below /app, both with /; ``link`` is a symlink's text.

    Modes are 0o644, 0o755 where the owner may execute, and 0o777 for links; size is in bytes.
    """

    path: str
    target: str
    mode: int
    size: int
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file, or a whole folder (its path then ends with /), that a rule keeps out of the image."""

    path: str
    target: str
    rule: str


def walk_part(root: Path, path: str, target: str, source: str, *, what: str) -> tuple[ContextFile | LeftOut, ...]:
    """Every file of a source or include entry ``path``, by name; ``what`` is the key in variants.yaml."""
    place = root / path
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ConfigError(f"{what}: {path}: leaves the project", cure=f"name a path below {root}")
    if not os.path.lexists(place) or (what == "source" and not place.is_dir()):
        kind = "no such folder" if what == "source" else "no such file or folder"
        raise ConfigError(f"{what}: {path}: {kind} in {root}", cure=f"correct {what} in variants.yaml")
    behind = path and not place.parent.resolve().is_relative_to(root.resolve())
    if behind or (path and what == "source" and place.is_symlink()):
        raise ConfigError(f"{what}: {path}: is or lies behind a symbolic link", cure="name the real folder")
    rules = tuple(ignore.read_ignore_file(root, base) for base in sorted({"", source}))
    try:
        found = tuple(_walk(root, path, target, rules))
    except PermissionError as error:
        raise ConfigError(f"{error.filename}: cannot be read", cure="give yourself the right to read it") from error
    if not any(isinstance(each, ContextFile) for each in found):
        rule = next((f": left out by {each.rule}" for each in found if isinstance(each, LeftOut)), "")
        raise ConfigError(
            f"{what}: {path or '.'}: no file of it would be in the image{rule}", cure=f"change {what}, or that rule"
        )
    return found


def _walk(
    root: Path, path: str, target: str, rules: tuple[ignore.IgnoreFile, ...]
) -> Iterator[ContextFile | LeftOut]:
    status = (root / path).lstat()
    folder = stat.S_ISDIR(status.st_mode)
    if path:
        always = ignore.always_left_out(root, path)
        if always:
            end = "/" if folder else ""
            yield LeftOut(path=path + end, target=target + end, rule=f"torchferry ({always})")
            return
        rule = next(filter(None, (file.rule_for(path) for file in rules)), None)
        if rule and not folder:
            yield LeftOut(path=path, target=target, rule=str(rule))
            return
    if not folder:
        yield _file(root, path, target, status)
        return
    for name in sorted(child.name for child in (root / path).iterdir()):
        yield from _walk(root, f"{path}/{name}".lstrip("/"), f"{target}/{name}".lstrip("/"), rules)


def _file(root: Path, path: str, target: str, status: os.stat_result) -> ContextFile:
    if not path.isprintable():
        raise ConfigError(
            f"{path!r}: a file name that is not plain text", cure=f"rename it, or name it in {ignore.IGNORE_FILE}"
        )
    if stat.S_ISLNK(status.st_mode):
        return ContextFile(path=path, target=target, mode=0o777, size=0, link=str((root / path).readlink()))
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(
            f"{path}: neither a file, a folder nor a link (a socket, pipe or device)",
            cure=f"remove it, or name it in {ignore.IGNORE_FILE}",
        )
    if not os.access(root / path, os.R_OK):
        raise PermissionError(errno.EACCES, "cannot be read", str(root / path))
    mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    return ContextFile(path=path, target=target, mode=mode, size=status.st_size)


def without_doubles(found: Iterable[ContextFile]) -> tuple[ContextFile, ...]:
    """The files by target; ConfigError where two want the same place, or one is in the way of another."""
    by_target: dict[str, ContextFile] = {}
    for file in found:
        other = by_target.setdefault(file.target, file)
        if other.path != file.path:
            raise ConfigError(
                f"{other.path} and {file.path} would both be {APP / file.target}",
                cure="take one of them out of include, or rename it",
            )
    for target, file in by_target.items():
        for above in PurePosixPath(target).parents:
            if str(above) in by_target:
                raise ConfigError(
                    f"{by_target[str(above)].path} would be {APP / above}, which {file.path} needs to be a folder",
                    cure="take one of them out of include, or rename it",
                )
    return tuple(by_target[target] for target in sorted(by_target))


def refuse_too_much(chosen: tuple[ContextFile, ...]) -> None:
    """Raise ConfigError above LIMIT bytes or LIMIT_FILES files; it names the ten largest entries of the source."""
    size = sum(file.size for file in chosen)
    if size <= LIMIT and len(chosen) <= LIMIT_FILES:
        return
    entries: dict[str, list[ContextFile]] = defaultdict(list)
    for file in chosen:
        first, *below = PurePosixPath(file.target).parts
        entries[f"{first}/" if below else first].append(file)
    by_files = size <= LIMIT
    sums = [(sum(file.size for file in inside), len(inside), name) for name, inside in entries.items()]
    sums.sort(key=lambda row: (row[1] if by_files else row[0], row[2]), reverse=True)
    rows = [f"  {console.size(amount):>10} in {count:,} files: {name}" for amount, count, name in sums[:10]]
    raise ConfigError(
        f"the service's source holds {console.size(size)} in {len(chosen):,} files, "
        f"at most {console.size(LIMIT)} and {LIMIT_FILES:,} files go into an image; largest first:\n" + "\n".join(rows),
        cure=f"models and data do not belong into an image: list them in {ignore.IGNORE_FILE}, and mount them (mounts)",
    )


def refuse_bad_links(chosen: tuple[ContextFile, ...]) -> None:
    """Raise ConfigError for links that are absolute, leave /app, or lead to nothing that is in the image."""
    links = {file.target: file.link for file in chosen if file.link is not None}
    places = {file.target for file in chosen}
    places |= {str(above) for target in places for above in PurePosixPath(target).parents}
    wrong = [
        f"{file.path} -> {file.link}: {problem}"
        for file in chosen if file.link is not None and (problem := _link_problem(file.target, links, places))
    ]
    if wrong:
        raise ConfigError(
            "symbolic links that break in the image:\n" + "\n".join(wrong),
            cure=f"put the file itself there, make the link relative, or name it in {ignore.IGNORE_FILE}",
        )


def _link_problem(target: str, links: Mapping[str, str], places: set[str]) -> str | None:
    """Follow a link as the kernel will in the image; why it leads nowhere, or None."""
    here: list[str] = []
    todo = target.split("/")
    hops = 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            if not here:
                return f"it leaves {APP}"
            here.pop()
        elif part not in ("", "."):
            here.append(part)
        place = "/".join(here)
        if place in links:
            hops += 1
            if links[place].startswith("/"):
                return "it is absolute"
            if hops > 40:  # the kernel's own bound
                return "it leads to itself"
            here.pop()
            todo = [*links[place].split("/"), *todo]
        elif here and place not in places:
            return f"nothing in the image lies at {APP / place}"
    return None
