"""An archive in a release folder: one file, or parts of a size that a stick or a network takes, each with its hash.

Parts are written one after another while the archive is, so it never lies there a second time: `cat` of all parts in
their order is the archive.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from torchferry import files
from torchferry.memory import Memory
from torchferry.model import Archive, Image, Part

_PART = re.compile(r"\.part[0-9]{3,}")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One file to write or read: its final place, the place where it lies now, and its size in bytes."""

    place: Path
    now: Path
    size: int


def names(name: str, size: int, split: int | None) -> tuple[tuple[str, int], ...]:
    """The files of an archive in their order, with their sizes; one that is not larger than ``split`` stays whole."""
    if split is None or size <= split:
        return ((name, size),)
    count = -(-size // split)
    width = max(3, len(str(count)))  # so that their names sort as they follow each other
    return tuple(
        (f"{name}.part{number + 1:0{width}}", min(split, size - number * split)) for number in range(count)
    )


class Writer:
    """Takes the bytes of an archive and lays them into its pieces; ``size`` is what it has."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._todo = list(pieces)
        self._sink: BinaryIO | None = None
        self._room = 0
        self.size = 0

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(self._file(), rest[:self._room])
            self._wrote(written)
            rest = rest[written:]

    def take(self, source: int, count: int) -> int:
        """Copy up to ``count`` bytes from a file descriptor, in the kernel if it can; how many (0: it has no more)."""
        taken = _transfer(source, self._file(), min(count, self._room))
        self._wrote(taken)
        return taken

    def close(self) -> None:
        """Bring the piece under way to the disk."""
        if self._sink is not None:
            with self._sink:
                os.fsync(self._sink.fileno())
            self._sink = None

    def _file(self) -> int:
        while not self._room:
            self.close()
            piece = self._todo.pop(0)
            self._sink, self._room = piece.now.open("wb", buffering=0), piece.size
        assert self._sink is not None
        return self._sink.fileno()

    def _wrote(self, count: int) -> None:
        self._room -= count
        self.size += count


class Reader:
    """Reads the pieces of an archive as one, and takes the SHA-256 of each."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._todo = list(pieces)
        self._source: BinaryIO | None = None
        self._left = 0
        self._digests = [hashlib.sha256() for _ in pieces]

    def read(self, count: int, /) -> bytes:
        """Up to ``count`` bytes; fewer where a piece ends."""
        while not self._left and self._todo:
            self.close()
            piece = self._todo.pop(0)
            self._source, self._left = piece.now.open("rb"), piece.size
        if self._source is None:
            return b""
        data = self._source.read(min(count, self._left))
        self._left -= len(data)
        if len(self._pieces) > 1:  # the hash of a single one is that of the whole
            self._digests[len(self._pieces) - len(self._todo) - 1].update(data)
        return data

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def parts(self, whole: str) -> tuple[Part, ...]:
        """The pieces that were read; ``whole`` is the SHA-256 of all of it."""
        digests = [whole] if len(self._pieces) == 1 else [digest.hexdigest() for digest in self._digests]
        return tuple(
            Part(name=piece.place.name, size=piece.size, sha256=digest)
            for piece, digest in zip(self._pieces, digests, strict=True)
        )


@contextmanager
def written(target: Path, size: int, split: int | None) -> Iterator[tuple[Writer, Reader]]:
    """Write an archive of ``size`` bytes under temporary names; its files take their places when the block ends well.

    The reader may follow the writer. Files of an earlier archive of this name that was cut otherwise vanish then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    pieces = [
        Piece(place=target.with_name(name), now=target.with_name(f".{name}.partial-{os.getpid()}"), size=count)
        for name, count in names(target.name, size, split)
    ]
    writer, reader = Writer(pieces), Reader(pieces)
    try:
        yield writer, reader
        writer.close()
        for piece in pieces:
            piece.now.replace(piece.place)
        for place in set(lying(target)) - {piece.place for piece in pieces}:
            place.unlink()
    finally:
        with suppress(OSError):  # it is given up: the disk's own trouble was told where it began
            writer.close()
        reader.close()
        for piece in pieces:
            piece.now.unlink(missing_ok=True)


def reader(paths: Sequence[Path]) -> Reader:
    """Files that lie there, read as one."""
    return Reader([Piece(place=path, now=path, size=path.stat().st_size) for path in paths])


def lying(target: Path) -> tuple[Path, ...]:
    """The files of an archive of this name, however it was cut, by name."""
    return tuple(sorted(
        place for place in (target.parent.iterdir() if target.parent.is_dir() else ())
        if place.name.startswith(target.name) and place.is_file()
        and (place == target or _PART.fullmatch(place.name.removeprefix(target.name)))
    ))


def listed(row: Mapping[str, Any]) -> tuple[Part, ...]:
    """The parts that a manifest names of an archive; `row` is what it says of that."""
    said = row.get("parts") or [row]
    return tuple(Part(name=str(one["name"]), size=int(one["size"]), sha256=str(one["sha256"])) for one in said)


def stands(row: Mapping[str, Any], folder: Path) -> bool:
    """Whether every part that a manifest names lies in ``folder``, in its full length."""
    return all(
        "/" not in part.name and (folder / part.name).is_file() and (folder / part.name).stat().st_size == part.size
        for part in listed(row)
    )


def remove(row: Mapping[str, Any], folder: Path) -> None:
    """Remove the parts that a manifest names, and the other beginning of theirs."""
    for name in (*(part.name for part in listed(row)), str(row["head"]["name"])):
        if ".." not in Path(name).parts and not Path(name).is_absolute():
            (folder / name).unlink(missing_ok=True)


def is_cut(row: Mapping[str, Any], split: int | None) -> bool:
    """Whether an archive was cut as ``split`` asks for."""
    have = tuple((part.name, part.size) for part in listed(row))
    return have == names(str(row["name"]), int(row["size"]), split)


def damaged(archive: Archive, memory: Memory) -> tuple[str, ...]:
    """The names of parts that no longer have their hash; those that are untouched since it was right are not read."""
    return tuple(
        part.name for part in archive.parts if not memory.checked(archive.path.with_name(part.name), part.sha256)
    )


def as_listed(row: Mapping[str, Any], place: Path, image: Image) -> Archive:
    """The archive at ``place`` as a manifest tells it."""
    return Archive(
        path=place, size=row["size"], sha256=row["sha256"], image=image, parts=listed(row), omits=row["omits"],
    )


def _transfer(source: int, sink: int, count: int) -> int:
    """Copy bytes within the kernel, or share them where the filesystem can; through here where it cannot do either."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, sink, count)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
    data = os.read(source, min(count, files.CHUNK))
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sink, rest):]
    return len(data)
