"""Opens a wheel as a hostile thing: safe names, one file per path, sizes within limits, and a RECORD that agrees.

Nothing is extracted. What is read is read by offset, so several threads may read one wheel at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from torchferry import zipdir
from torchferry.errors import IntegrityError
from torchferry.inflate import PIECE, BadMember, Inflater
from torchferry.wheel_record import BadRecord, Row, parse_record
from torchferry.zipdir import BadZip, Entry

CURE = "fetch it again (inv fetch); if it stays so, require another version of it, or build with --engine docker"

DOCUMENT_LIMIT = 64 << 20
"""Bytes of a file that is read whole; torch's RECORD, a large one, has 1 MB."""

INFLATED_LIMIT = 256 << 30
RATIO_LIMIT = 100
RATIO_FREE = 1 << 30
"""A wheel may inflate to 1 GiB, or to 100 times its length; CUDA libraries reach 4 times."""


@dataclass(frozen=True, kw_only=True)
class OpenZip:
    """An open zip: its entries by path (folders without the slash)."""

    path: Path
    source: BinaryIO = field(repr=False)
    entries: Mapping[str, Entry] = field(repr=False)

    def read(self, name: str) -> bytes:
        """The whole of a small file; raises IntegrityError where it is missing, damaged or too large."""
        entry = self.entries.get(name)
        if entry is None or entry.is_folder:
            raise self.refused(f"{name} is missing")
        if entry.size > DOCUMENT_LIMIT:
            raise self.refused(f"{name} has {entry.size} bytes, too many for such a file")
        return b"".join(self.chunks(entry))

    def head(self, entry: Entry, count: int) -> bytes:
        """The first bytes of a file, unproven."""
        found = b""
        for piece in self._chunks(entry):
            found += piece
            if len(found) >= count:
                break
        return found[:count]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """The bytes of a file in pieces, at the end proven by their CRC-32; raises IntegrityError if they are not."""
        if entry.method == zipdir.DEFLATED and max(entry.packed_size, entry.size) <= PIECE:
            yield self._whole(entry)
        else:
            yield from self._chunks(entry)

    def inflate(self, entry: Entry, inflater: Inflater) -> Iterator[tuple[bytes, bytes]]:
        """A deflated file in pieces: bytes that went into ``inflater``, and bytes that came out, proven at the end."""
        while not inflater.done:
            data = self._raw(entry, entry.packed_size - inflater.left) if inflater.hungry else b""
            try:
                yield data, inflater.step(data)
            except BadMember as error:
                raise self.refused(f"{entry.name}: {error}") from error
        self._check_crc(entry, inflater.crc)

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        if entry.method == zipdir.DEFLATED:
            inflater = Inflater(deflated=entry.packed_size, size=entry.size)
            yield from (piece for _, piece in self.inflate(entry, inflater))
            return
        start = crc = 0
        while start < entry.size:
            piece = self._raw(entry, start)
            crc = isal_zlib.crc32(piece, crc)
            start += len(piece)
            yield piece
        self._check_crc(entry, crc)

    def _whole(self, entry: Entry) -> bytes:
        """A small deflated file at one go: wheels have tens of thousands of them."""
        inflater = isal_zlib.decompressobj(wbits=-15)
        try:
            data: bytes = inflater.decompress(self._raw(entry, 0), entry.size + 1)
        except igzip_lib.error as error:  # type: ignore[misc]  # the stub calls this class an instance
            raise self.refused(f"{entry.name}: it does not inflate: {error}") from error
        if not inflater.eof or inflater.unused_data or len(data) != entry.size:
            raise self.refused(f"{entry.name}: it inflates to another length than it states")
        self._check_crc(entry, isal_zlib.crc32(data))
        return data

    def _raw(self, entry: Entry, start: int) -> bytes:
        """Up to PIECE bytes of an entry's data as they lie in the zip, from ``start`` on."""
        data = os.pread(self.source.fileno(), min(PIECE, entry.packed_size - start), entry.offset + start)
        if not data and start < entry.packed_size:
            raise self.refused(f"{entry.name}: the file became shorter while it was read")
        return data

    def _check_crc(self, entry: Entry, crc: int) -> None:
        if crc != entry.crc:
            raise self.refused(f"{entry.name}: its bytes have another CRC-32 than the zip directory states")

    def refused(self, cause: str, *, cure: str = CURE) -> IntegrityError:
        """The refusal of this file."""
        return IntegrityError(f"{self.path.name}: {cause}", cure=cure)


@dataclass(frozen=True, kw_only=True)
class WheelZip(OpenZip):
    """An open wheel: also the name of its .dist-info folder and the rows of its RECORD."""

    info: str
    record: tuple[Row, ...] = field(repr=False)


@contextmanager
def open_wheel(path: Path) -> Iterator[WheelZip]:
    """The wheel at ``path``, open for the block. Raises IntegrityError for anything odd in its directory or RECORD."""
    with path.open("rb") as source:
        opened = OpenZip(path=path, source=source, entries={})
        try:
            found = zipdir.read_directory(source)
            opened = replace(opened, entries=_by_path(found))
            _check_sizes(found, os.fstat(source.fileno()).st_size)
            info = _info(opened.entries)
            rows = parse_record(opened.read(f"{info}/RECORD"))
            _check_record(rows, opened.entries, info)
        except BadZip as error:
            raise opened.refused(str(error)) from error
        except BadRecord as error:
            raise opened.refused(f"RECORD: {error}") from error
        yield WheelZip(path=path, source=source, entries=opened.entries, info=info, record=rows)


def _by_path(found: tuple[Entry, ...]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for entry in found:
        path = entry.name.removesuffix("/")
        if problem := bad_name(path):
            raise BadZip(f"{entry.name!r}: {problem}")
        if path in entries:
            raise BadZip(f"{entry.name}: two entries for one path")
        entries[path] = entry
    for path in entries:
        at = path.rfind("/")
        while at > 0:
            above = entries.get(path[:at])
            if above is not None and not above.is_folder:
                raise BadZip(f"{path}: below {path[:at]}, which is a file")
            at = path.rfind("/", 0, at)
    return entries


def bad_name(path: str) -> str | None:
    """Why a relative path is refused, or None."""
    if not path or path.startswith("/") or path[1:2] == ":":
        return "an absolute path, or none"
    if "\\" in path:
        return "a backslash in a path: systems disagree on what it means"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "a path that leads elsewhere than it says"
    if not path.isprintable():
        return "a path with characters that nobody can see"
    return None


def _check_sizes(found: tuple[Entry, ...], length: int) -> None:
    total = sum(entry.size for entry in found)
    if total > INFLATED_LIMIT or total > max(RATIO_FREE, RATIO_LIMIT * length):
        raise BadZip(f"its {length} bytes would inflate to {total}: too many for a wheel")


def _info(entries: Mapping[str, Entry]) -> str:
    tops = sorted({path.partition("/")[0] for path in entries if ".dist-info/" in path or path.endswith(".dist-info")})
    found = [top for top in tops if top.endswith(".dist-info")]
    if len(found) != 1:
        raise BadZip(f"{' and '.join(found) or 'no .dist-info'}: a wheel has exactly one .dist-info folder")
    return found[0]


def _check_record(rows: tuple[Row, ...], entries: Mapping[str, Entry], info: str) -> None:
    """RECORD must name every file once, with its size and a hash, and no other file."""
    named: set[str] = set()
    bare = {f"{info}/RECORD", f"{info}/RECORD.jws", f"{info}/RECORD.p7s"}
    for row in rows:
        entry = entries.get(row.path)
        if entry is None or entry.is_folder:
            raise BadRecord(f"{row.path} is listed and not in the wheel")
        if row.path in named:
            raise BadRecord(f"{row.path} is listed twice")
        if row.size not in (None, entry.size):
            raise BadRecord(f"{row.path} has {entry.size} bytes, listed are {row.size}")
        if not row.hash and row.path not in bare:
            raise BadRecord(f"{row.path} is listed without a hash")
        named.add(row.path)
    unsigned = bare - {f"{info}/RECORD"}
    known = named | unsigned
    missing = [path for path, entry in entries.items() if not entry.is_folder and path not in known]
    if missing:
        raise BadRecord(f"{missing[0]} ({len(missing)} such) is in the wheel and not listed")
