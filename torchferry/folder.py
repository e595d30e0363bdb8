"""The door to a folder of this machine, a mounted stick above all: the same steps as over ssh, on a disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torchferry import download, files
from torchferry.carriers import Begun, Busy, Garbled, Item, Survey
from torchferry.errors import DiskFull, ShipError
from torchferry.patience import Transient

CURES = {
    errno.ENOSPC: "free space there and run it again; it goes on from here",
    errno.EDQUOT: "free space there or have the quota raised, and run it again; it goes on from here",
    errno.EFBIG: "FAT32 holds no file of 4 GiB or more: format it as exFAT, or pack the release with split: 2GiB",
    errno.EROFS: "it is mounted read-only: mount it writable, or take another",
    errno.EACCES: "name a folder that you may write",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder into which a release goes."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)


class Folder:
    """Carries into one folder. Another ship to the same folder is waited for, file by file."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder

    def survey(self, items: Sequence[Item]) -> Survey:
        with _told(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            probe = self._folder / f".torchferry.{os.getpid()}.partial"
            probe.touch()
            probe.unlink()
            whole = frozenset(one.name for one in items if self._is_whole(one))
            parts = {one.name: _wanted(self._folder, one).partial for one in items if one.name not in whole}
            return Survey(
                place=str(self._folder.absolute()), free=files.free_bytes(self._folder), whole=whole,
                begun={name: Begun(size=part.stat().st_size, sha256=files.sha256(part))
                       for name, part in parts.items() if part.is_file()},
            )

    def send(self, item: Item, start: int, passed: Callable[[int], object]) -> None:
        wanted = _wanted(self._folder, item)
        with _told(wanted.target), download.claimed(wanted, waiting=lambda: _wait(wanted)) as partial:
            if self._is_whole(item):
                return
            if os.fstat(partial.fileno()).st_size < start:
                raise Transient("what was there changed meanwhile")
            partial.truncate(start)
            partial.seek(start)
            for block in item.blocks(start, passed):
                partial.write(block)
            partial.flush()
            os.fsync(partial.fileno())
            _forget_cached(partial.fileno())
            if files.sha256(wanted.partial) != item.sha256:
                partial.truncate(0)
                raise Garbled
            if item.executable:
                wanted.partial.chmod(0o755)
            wanted.partial.replace(wanted.target)

    def remove(self, name: str) -> None:
        with _told(self._folder / name):
            (self._folder / name).unlink(missing_ok=True)

    def ferry(self, words: Sequence[str], heard: Callable[[str], object], script: Path | None = None) -> int:
        raise ShipError(f"{self._folder}: a folder is no server that could run ferry.sh", cure="name the server itself")

    def _is_whole(self, item: Item) -> bool:
        there = self._folder / item.name
        return there.is_file() and there.stat().st_size == item.size and files.sha256(there) == item.sha256


def _wait(wanted: download.Wanted) -> None:
    raise Busy(wanted.partial.stat().st_size)


def _wanted(folder: Path, item: Item) -> download.Wanted:
    return download.Wanted(target=folder / item.name, size=item.size, sha256=item.sha256)


def _forget_cached(handle: int) -> None:
    """Let the next reader ask the disk, not the memory of it, where the system can be told so."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """What the system says of a place, told with a cure."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (DiskFull if full else ShipError)(
            f"{place}: cannot be written: {error.strerror}",
            cure=CURES.get(error.errno or 0, "look whether it is still mounted, and a folder that you may write"),
        ) from error
