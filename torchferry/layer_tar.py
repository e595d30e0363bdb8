"""The tar headers of a layer's files: the same bytes on every machine and with every Python.

All have one time, since the true one would make every layer another. It is 2 January 1980: zip
files, which programs make of installed ones, begin in 1980, and the second of January is in 1980 in every time zone.
"""

from __future__ import annotations

from torchferry.tarstream import RECORD, padding

MTIME = 315_619_200

_NAME, _PREFIX = 100, 155
_SIZE_LIMIT = 8 ** 11
_PAX_NAME = "././@PaxHeader"
_TIME = b"%011o\0" % MTIME
_REST = b"ustar\x0000" + bytes(32) + bytes(32) + b"0000000\0" * 2


def file_header(path: str, *, mode: int, size: int, owner: int = 0) -> bytes:
    """The header of a file; ``path`` has no leading slash, ``owner`` is user and group."""
    return _headers(path, mode, size, b"0", owner)


def folder_header(path: str, *, mode: int = 0o755, owner: int = 0) -> bytes:
    """The header of a folder; ``path`` has no slash at either end."""
    return _headers(f"{path}/", mode, 0, b"5", owner)


def link_header(path: str, target: str, *, owner: int = 0) -> bytes:
    """The header of a symbolic link."""
    return _headers(path, 0o777, 0, b"2", owner, target)


def _headers(path: str, mode: int, size: int, kind: bytes, owner: int, target: str = "") -> bytes:
    """A plain ustar header where it can say all, a pax header before it where it cannot."""
    name = _split(path) if path.isascii() else None
    records = [] if name else [_pax("path", path)]
    short = target.isascii() and len(target) <= _NAME
    if not short:
        records.append(_pax("linkpath", target))
    if size >= _SIZE_LIMIT:
        records.append(_pax("size", str(size)))
    if name is None:
        name = path.encode("ascii", "replace")[:_NAME], b""
    link = target.encode("ascii", "replace")[:_NAME]
    plain = _header(name, mode, size if size < _SIZE_LIMIT else 0, kind, owner, link)
    if not records:
        return plain
    body = b"".join(records)
    return _header((_PAX_NAME.encode(), b""), 0o644, len(body), b"x", 0, b"") + body + padding(len(body)) + plain


def _split(path: str) -> tuple[bytes, bytes] | None:
    """A path as name and prefix of a ustar header, if it fits."""
    if len(path) <= _NAME:
        return path.encode("ascii"), b""
    cut = path.find("/", len(path) - _NAME - 1, -1)
    if not 0 < cut <= _PREFIX:
        return None
    return path[cut + 1:].encode("ascii"), path[:cut].encode("ascii")


def _pax(key: str, value: str) -> bytes:
    """One pax record; its length counts its own digits."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode("ascii") + rest


def _header(name: tuple[bytes, bytes], mode: int, size: int, kind: bytes, owner: int, target: bytes) -> bytes:
    numbers = (mode, owner, owner)
    start = name[0].ljust(_NAME, b"\0") + b"".join(b"%07o\0" % number for number in numbers) + b"%011o\0" % size + _TIME
    end = kind + target.ljust(_NAME, b"\0") + _REST + name[1].ljust(_PREFIX, b"\0")
    checksum = b"%06o\0 " % (sum(start) + sum(end) + 8 * ord(" "))
    return (start + checksum + end).ljust(RECORD, b"\0")
