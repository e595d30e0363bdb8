"""Tar as a stream, read once and never extracted; only what Docker's archives need, all else is refused."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torchferry.errors import IntegrityError
from torchferry.members import exactly

RECORD = 512
END = bytes(2 * RECORD)
_PAX_LIMIT = 64 << 10
_KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a tar: name, kind (file, folder, link), bytes of its body, where a link points, its raw header."""

    name: str
    kind: str
    size: int
    target: str
    header: bytes


def header(name: str, size: int) -> bytes:
    """The one header this project writes for a file: mode 644, owner 0, time 0.

    Sizes from 8 GiB on are base-256, which Go's archive/tar has read since before Docker used it.
    """
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def padding(size: int) -> bytes:
    """The zeros between a body of ``size`` bytes and the next header."""
    return bytes(-size % RECORD)


class TarStream:
    """Iterates over the entries of a tar; ``read`` gives the body of the current one.

    Raises IntegrityError for a stream that is cut, damaged, or holds what no image archive needs.
    """

    def __init__(self, read: Callable[[int], bytes], *, what: str, cure: str) -> None:
        self._read = read
        self.what = what
        self._cure = cure
        self._left = 0
        self._pad = 0
        self.trailer = 0

    def __iter__(self) -> Iterator[Entry]:
        while True:
            self._skip()
            raw = self._exactly(RECORD)
            if not any(raw):
                self._finish()
                return
            info = self._parse(raw)
            size = info.size
            if info.type == tarfile.XHDTYPE:
                info, size = self._extended(info)
            kind = _KINDS.get(info.type)
            if kind is None or size < 0 or (kind != "file" and size):
                raise self.refused(f"entry {info.name!r} of tar type {info.type!r} and {size} bytes is not accepted")
            self._left, self._pad = size, -size % RECORD
            yield Entry(name=info.name, kind=kind, size=size, target=info.linkname, header=raw)

    def read(self, count: int, /) -> bytes:
        """The next bytes of the current body, none at its end."""
        if not self._left:
            return b""
        part = self._read(min(count, self._left))
        if not part:
            raise self.refused("it ends too early")
        self._left -= len(part)
        return part

    def body_read_elsewhere(self) -> None:
        """Take the current body as read: its bytes did not pass through this stream."""
        self._left = 0

    def refused(self, cause: str) -> IntegrityError:
        """The refusal of this stream."""
        return IntegrityError(f"{self.what}: {cause}", cure=self._cure)

    def _exactly(self, count: int) -> bytes:
        data = exactly(self._read, count)
        if len(data) != count:
            raise self.refused("it ends too early")
        return data

    def _skip(self) -> None:
        while self._left:
            self.read(1 << 20)
        self._zeros(self._pad)
        self._pad = 0

    def _zeros(self, count: int) -> None:
        if any(self._exactly(count)):
            raise self.refused("bytes where a tar has padding")

    def _finish(self) -> None:
        self._zeros(RECORD)
        self.trailer = len(END)
        while rest := self._read(1 << 20):
            if any(rest):
                raise self.refused("bytes after its end")
            self.trailer += len(rest)

    def _parse(self, raw: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(raw, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self.refused(f"damaged tar header: {error}") from error

    def _extended(self, pax: tarfile.TarInfo) -> tuple[tarfile.TarInfo, int]:
        """The header after a pax header, and the size of its body, which the pax header states from 8 GiB on."""
        if not 0 <= pax.size <= _PAX_LIMIT:
            raise self.refused(f"pax header of {pax.size} bytes")
        records = self._exactly(pax.size)
        self._zeros(-pax.size % RECORD)
        info = self._parse(self._exactly(RECORD))
        stated = self._pax_size(records)
        return info, info.size if stated is None else stated

    def _pax_size(self, records: bytes) -> int | None:
        """The size that pax records state, if any; records that rename an entry or spread its data are refused."""
        size: int | None = None
        while records:
            found = re.match(rb"([0-9]{1,5}) ([^=\n]+)=", records)
            length = int(found[1]) if found else 0
            if found is None or length > len(records) or length <= found.end() or records[length - 1:length] != b"\n":
                raise self.refused("damaged pax header")
            key, value = found[2], records[found.end():length - 1]
            if key == b"size" and re.fullmatch(rb"[0-9]{1,18}", value):
                size = int(value)
            elif key in (b"size", b"path", b"linkpath") or key.startswith(b"GNU."):
                raise self.refused(f"pax record {key!r} is not accepted")
            records = records[length:]
        return size
