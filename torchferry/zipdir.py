"""Reads the directory of a zip file with a hostile eye: what two readers could understand differently is refused.

Every byte of the file is accounted for: local headers, data and descriptors lie side by side from the first byte to
the central directory, no two share a byte, nothing stands between them, and each local header says what the central
directory says. So there is one way to read the file, and it is this one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

STORED, DEFLATED = 0, 8

ENTRIES_LIMIT = 500_000
DIRECTORY_LIMIT = 128 << 20
"""torch 2.1.2, with very many files, has 11 000 entries in a directory of 1.6 MB."""

RATIO_LIMIT = 1040
"""No deflate stream inflates to more than 1032 times its length."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_EXTRA = struct.Struct("<2H")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_DESCRIPTOR = 1 << 3
_PATCHED = 1 << 5
_UTF8 = 1 << 11
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075


class BadZip(Exception):
    """Why a zip file is refused; who reads it says which file."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file or folder of a zip; ``offset`` is where its data begins, sizes are bytes.

    ``mode`` is the Unix mode that the entry states, whatever system is said to have written it; 0 where it has none.
    """

    name: str
    mode: int
    method: int
    crc: int
    packed_size: int
    size: int
    offset: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


class _End(NamedTuple):
    entries: int
    size: int
    start: int


class _Central(NamedTuple):
    """A row of the central directory."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed_size: int
    size: int
    header: int
    attributes: int


def read_directory(source: BinaryIO) -> tuple[Entry, ...]:
    """The entries of a zip file in the order in which they lie there. Raises BadZip for all that is not plain."""
    end = _end(source)
    rows = sorted(_rows(_at(source, end.start, end.size), end.entries), key=lambda row: row.header)
    starts = [*(row.header for row in rows), end.start]
    if starts[0] != 0:
        raise BadZip("bytes before its first entry")
    return tuple(_entry(source, row, limit) for row, limit in zip(rows, starts[1:], strict=True))


def _at(source: BinaryIO, offset: int, count: int) -> bytes:
    data = os.pread(source.fileno(), count, offset) if offset >= 0 else b""
    if len(data) != count:
        raise BadZip("it is cut, or names a place outside itself")
    return data


def _end(source: BinaryIO) -> _End:
    """The end record; nothing may follow it but its own comment."""
    length = os.fstat(source.fileno()).st_size
    tail_at = max(0, length - _END.size - _FULL16)
    tail = _at(source, tail_at, length - tail_at)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise BadZip("it has no end record: no zip file, or cut")
    _, disk, first_disk, here, entries, size, start, comment = _END.unpack_from(tail, found)
    if found + _END.size + comment != len(tail):
        raise BadZip("bytes after its end, or a second end record in its comment")
    position = tail_at + found
    is_long = _at(source, position - _LOCATOR64.size, 4) == b"PK\x06\x07" if position >= _LOCATOR64.size else False
    if is_long:
        disk, first_disk, here, entries, size, start, position = _end64(source, position, (entries, size, start))
    if (disk, first_disk) != (0, 0) or here != entries:
        raise BadZip("it is spread over several files")
    if entries > ENTRIES_LIMIT or size > DIRECTORY_LIMIT:
        raise BadZip(f"{entries} entries in a directory of {size} bytes are too many")
    if start + size != position:
        raise BadZip("its central directory is not right before its end record")
    return _End(entries, size, start)


def _end64(source: BinaryIO, position: int, short: tuple[int, int, int]) -> tuple[int, ...]:
    """Disks, entries, size, start and own position of a zip64 end record, which must lie before its locator."""
    _, disk, place, disks = _LOCATOR64.unpack(_at(source, position - _LOCATOR64.size, _LOCATOR64.size))
    own = position - _LOCATOR64.size - _END64.size
    record = _END64.unpack(_at(source, own, _END64.size))
    magic, length, _, _, own_disk, first_disk, here, entries, size, start = record
    if (magic, length, place, disk) != (b"PK\x06\x06", _END64.size - 12, own, 0) or disks > 1:
        raise BadZip("its zip64 end record is not plain")
    for said, full, value in zip(short, (_FULL16, _FULL32, _FULL32), (entries, size, start), strict=True):
        if said not in (full, value):
            raise BadZip("its two end records differ")
    return own_disk, first_disk, here, entries, size, start, own


def _rows(directory: bytes, count: int) -> Iterator[_Central]:
    position = 0
    for _ in range(count):
        if len(directory) - position < _CENTRAL.size:
            raise BadZip("its central directory is cut")
        (magic, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size, comment_size, disk, _,
         attributes, header) = _CENTRAL.unpack_from(directory, position)
        start = position + _CENTRAL.size
        position = start + name_size + extra_size + comment_size
        if magic != b"PK\x01\x02" or position > len(directory) or disk not in (0, _FULL16):
            raise BadZip("its central directory is damaged")
        name = directory[start:start + name_size]
        wide = _zip64(directory[start + name_size:start + name_size + extra_size], name)
        size, packed, header = _widen((size, packed, header), wide, name)
        yield _Central(name, flags, method, crc, packed, size, header, attributes)
    if position != len(directory):
        raise BadZip("its central directory holds more than its entries")


def _zip64(extra: bytes, name: bytes) -> bytes:
    """The body of the zip64 field in an extra area; a second name for the entry is refused."""
    found, position = b"", 0
    while len(extra) - position >= _EXTRA.size:
        kind, size = _EXTRA.unpack_from(extra, position)
        body = extra[position + _EXTRA.size:position + _EXTRA.size + size]
        position += _EXTRA.size + size
        if kind == _UNICODE_PATH or (kind == _ZIP64 and found):
            raise BadZip(f"{_shown(name)}: a second name or size in its extra field")
        if kind == _ZIP64:
            found = body
    if position > len(extra):
        raise BadZip(f"{_shown(name)}: damaged extra field")
    return found


def _widen(short: tuple[int, ...], wide: bytes, name: bytes) -> Iterator[int]:
    """The values, each that is all ones replaced by the next of the zip64 field."""
    position = 0
    for value in short:
        if value == _FULL32 and wide:
            if len(wide) - position < 8:
                raise BadZip(f"{_shown(name)}: damaged zip64 field")
            value, position = int.from_bytes(wide[position:position + 8], "little"), position + 8
        yield value


def _entry(source: BinaryIO, row: _Central, limit: int) -> Entry:
    """The entry of a row; its local header is read and compared, and all before ``limit`` must belong to it."""
    name = _name(row)
    body = row.header + _LOCAL.size + len(row.raw_name)
    if body > limit:
        raise BadZip(f"{name}: overlaps what is behind it")
    data = _at(source, row.header, body - row.header)
    magic, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(data)
    if (magic, data[_LOCAL.size:], name_size) != (b"PK\x03\x04", row.raw_name, len(row.raw_name)):
        raise BadZip(f"{name}: its local header has another name")
    wide = _zip64(_at(source, body, extra_size), row.raw_name) if extra_size else b""
    size, packed = _widen((size, packed), wide, row.raw_name)
    said, agreed = (flags, method, crc, packed, size), row[1:6]
    if said != agreed and not (flags & _DESCRIPTOR and said == (*agreed[:2], 0, 0, 0)):
        raise BadZip(f"{name}: its local header and the central directory say different things")
    offset = body + extra_size
    _check_end(source, row, name, offset + row.packed_size, limit)
    made = Entry(
        name=name, mode=row.attributes >> 16 & 0o7777, method=row.method, crc=row.crc,
        packed_size=row.packed_size, size=row.size, offset=offset,
    )
    _check(made, row)
    return made


def _check_end(source: BinaryIO, row: _Central, name: str, position: int, limit: int) -> None:
    """Between the data and ``limit`` stands nothing, or the data descriptor in one of its four forms."""
    if position > limit:
        raise BadZip(f"{name}: overlaps what is behind it")
    if not row.flags & _DESCRIPTOR:
        if position != limit:
            raise BadZip(f"{name}: a gap behind it")
        return
    numbers = (row.crc, row.packed_size, row.size)
    forms = {struct.pack("<I2Q", *numbers)}
    if max(numbers) <= _FULL32:
        forms.add(struct.pack("<I2I", *numbers))
    found = _at(source, position, min(24, limit - position))
    if limit - position > 24 or not {found, found.removeprefix(b"PK\x07\x08")} & forms:
        raise BadZip(f"{name}: its data descriptor and the central directory say different things")


def _name(row: _Central) -> str:
    try:
        return row.raw_name.decode("utf-8" if row.flags & _UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise BadZip(f"{_shown(row.raw_name)}: its name is not said to be UTF-8, or is not") from error


def _shown(raw_name: bytes) -> str:
    return repr(raw_name.decode("utf-8", "backslashreplace"))


def _check(entry: Entry, row: _Central) -> None:
    kind = row.attributes >> 28  # of a Unix mode; nothing where none is stated
    if row.flags & (_ENCRYPTED | _PATCHED):
        raise BadZip(f"{entry.name}: it is encrypted or a patch")
    if entry.method not in (STORED, DEFLATED):
        raise BadZip(f"{entry.name}: compression method {entry.method} is neither stored nor deflate")
    if kind not in ((0, 4) if entry.is_folder else (0, 8)):
        raise BadZip(f"{entry.name}: a symbolic link, device or other special file")
    if entry.is_folder and (entry.size or entry.crc):
        raise BadZip(f"{entry.name}: a folder with content")
    if entry.method == STORED and entry.size != entry.packed_size:
        raise BadZip(f"{entry.name}: stored, but with two sizes")
    if entry.size > RATIO_LIMIT * entry.packed_size:
        raise BadZip(f"{entry.name}: {entry.packed_size} bytes cannot inflate to {entry.size}")
