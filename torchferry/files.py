"""The door to the disk: whole files only, hashes, links, free space.

A file with its final name is whole: written under a temporary name in the same folder, synced, renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from torchferry.errors import DiskFull

CHUNK = 1 << 20

PARTIAL = re.compile(r"\..+\.partial-[0-9]+")
"""The names of files that are not whole yet, or never will be: somebody pulled the plug."""

FICLONE = 0x40049409
"""The ioctl that makes a file share another's blocks: Linux, on btrfs, XFS and their like."""


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling for writing; it becomes ``target`` when the block ends well, else it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with temporary.open("w+b") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_bytes(target: Path, data: bytes) -> None:
    """Write a file whole."""
    with whole_file(target) as sink:
        sink.write(data)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file whole, with Unix line ends."""
    write_bytes(target, text.encode("utf-8"))


def ignore(count: int) -> None:
    """A listener for progress that nobody shows."""


def sha256(path: Path, *, passed: Callable[[int], object] = ignore, size: int | None = None) -> str:
    """The hex SHA-256 of a file, or of its first ``size`` bytes; ``passed`` hears the count of each block of bytes."""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as source:
        while block := source.read(CHUNK if left is None else min(CHUNK, left)):
            digest.update(block)
            passed(len(block))
            left = None if left is None else left - len(block)
    return digest.hexdigest()


def blocks(path: Path, *, start: int = 0, passed: Callable[[int], object] = ignore) -> Iterator[bytes]:
    """The bytes of a file from ``start`` on; ``passed`` hears the count of each block once it was taken."""
    with path.open("rb") as source:
        source.seek(start)
        while block := source.read(CHUNK):
            yield block
            passed(len(block))


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link where the disk allows it, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.partial-{os.getpid()}")
    with suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copy2(source, temporary)
    temporary.replace(target)
    with suppress(FileNotFoundError):  # rename(2) of two links to one inode does nothing
        temporary.unlink()


def reflink(source: Path, target: Path) -> bool:
    """Make ``target`` a file of the same bytes that takes no room until one of the two changes.

    False where the disk cannot do that; ``target`` is then as it was. A hard link would be no way out: who writes into
    the one file changes the other.
    """
    try:
        with source.open("rb") as have, whole_file(target) as sink:
            fcntl.ioctl(sink.fileno(), FICLONE, have.fileno())
    except OSError:
        return False
    target.chmod(source.stat().st_mode & 0o777)
    return True


def copy(source: Path, target: Path, *, passed: Callable[[int], object] = ignore) -> str:
    """Copy a file, whole or not at all; returns the hex SHA-256 of the bytes that were written."""
    digest = hashlib.sha256()
    with source.open("rb") as have, whole_file(target) as sink:
        while block := have.read(CHUNK):
            sink.write(block)
            digest.update(block)
            passed(len(block))
    return digest.hexdigest()


def remove_tree(folder: Path) -> int:
    """Remove a folder and all in it; returns the bytes that were freed (0 where it was not there)."""
    if not folder.exists():
        return 0
    freed = tree_size(folder)
    shutil.rmtree(folder)
    return freed


def tree_size(folder: Path) -> int:
    """Bytes of all regular files below a folder; a file with other links elsewhere counts as nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            status = Path(where, name).lstat()
            total += status.st_size if status.st_nlink == 1 else 0
    return total


def free_bytes(place: Path) -> int:
    """Bytes an ordinary user may still write where ``place`` is, or would be made."""
    here = place.absolute()
    while not here.exists():
        here = here.parent
    return shutil.disk_usage(here).free


def require_space(place: Path, needed: int, *, what: str) -> None:
    """Raise DiskFull unless ``place`` can take ``needed`` more bytes."""
    free = free_bytes(place)
    if free < needed:
        raise DiskFull(
            f"{place}: {what} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            cure="free space there (inv clean removes what torchferry made), or put the project on a larger disk",
        )
