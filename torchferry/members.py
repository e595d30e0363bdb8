"""Compressed data as many small gzip members, made and read on all cores.

A member holds at most BLOCK bytes. Its header states its length, so a reader finds the next one without inflating
it, and the CRC-32 of its deflated bytes: gzip's own is over what they inflate to, and a changed deflate stream can
inflate to the same. To gzip, zcat and Docker the concatenation is one ordinary gzip stream. Nothing may stand between
members or after the last one: Docker's Go reader refuses padding that unpigz lets pass.

A long member is a deflate stream that somebody else made, of any length, taken as it is. Its header states its length
and how much it inflates to; the CRC-32 of its deflated bytes is known only when they have passed, so an empty member
right behind it, the seal, states that one. A reader inflates it a piece at a time.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Protocol

from isal import igzip_lib, isal_zlib

from torchferry.errors import IntegrityError
from torchferry.inflate import PIECE, BadMember, Inflater

BLOCK = 1 << 20
COMPRESSIONS = ("fast", "small")

# RFC 1952: deflate, an extra field, no time, unknown system; one subfield "TF": member's length, CRC-32 deflated.
_HEADER = struct.Struct("<4sIBBH2sHQI")
_TRAILER = struct.Struct("<II")
_SHORTEST = _HEADER.size + _TRAILER.size
_LONGEST = BLOCK + BLOCK // 8

# Subfield "TL": the long member's length, and bytes it inflates to; "TS" in the seal: CRC-32 of its deflated bytes.
_LONG_HEADER = struct.Struct("<4sIBBH2sHQQ")
_SEAL = struct.Struct("<4sIBBH2sHI2sII")
_EMPTY = b"\x03\x00"


class Readable(Protocol):
    """Anything bytes can be read from; a read may return fewer than asked for, and nothing only at the end."""

    def read(self, count: int, /) -> bytes: ...


class Chunks:
    """An iterator of byte chunks as a `Readable`; what it raises goes through."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, count: int, /) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:count], self._rest[count:]
        return bytes(taken)


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _header(length: int, crc: int) -> bytes:
    return _HEADER.pack(b"\x1f\x8b\x08\x04", 0, 0, 255, 16, b"TF", 12, length, crc)


def long_header(deflated: int, size: int) -> bytes:
    """What stands before a deflate stream of ``deflated`` bytes that inflates to ``size`` bytes."""
    length = _LONG_HEADER.size + deflated + _TRAILER.size
    return _LONG_HEADER.pack(b"\x1f\x8b\x08\x04", 0, 0, 255, 20, b"TL", 16, length, size)


def long_end(*, crc: int, size: int, deflated_crc: int) -> bytes:
    """What stands behind that stream: CRC-32 and size of what it inflates to, and the seal."""
    seal = _SEAL.pack(b"\x1f\x8b\x08\x04", 0, 0, 255, 8, b"TS", 4, deflated_crc, _EMPTY, 0, 0)
    return _TRAILER.pack(crc, size & 0xFFFFFFFF) + seal


def _deflate(block: bytes, compression: str) -> bytes:
    # 420 MB of torch 2.1.2's largest libraries, two busy cores: ISA-L 1/2/3 0.489/0.480/0.474 of the size, level 2 as
    # quick as level 1 (400 to 670 MB/s), level 3 half of that; zlib 4/6/9 0.456/0.447/0.446 at 65/18/11 MB/s.
    # Blocks of 4 MiB instead of 1 gain 0.0005.
    if compression == "fast":
        return isal_zlib.compress(block, 2, wbits=-15)
    return zlib.compress(block, 6, wbits=-15)


def member(block: bytes, compression: str) -> bytes:
    """One gzip member of a block; it has been inflated again and found equal before it is returned."""
    deflated = _deflate(block, compression)
    if isal_zlib.decompress(deflated, wbits=-15, bufsize=BLOCK + 1) != block:
        raise IntegrityError("compressed data does not inflate to what went in", cure="test this machine's memory")
    length = _HEADER.size + len(deflated) + _TRAILER.size
    return _header(length, isal_zlib.crc32(deflated)) + deflated + _TRAILER.pack(isal_zlib.crc32(block), len(block))


def inflate(data: bytes) -> bytes:
    """The block in one member; raises BadMember where it is damaged, or holds more than a block."""
    deflated = memoryview(data)[_HEADER.size:-_TRAILER.size]
    if isal_zlib.crc32(deflated) != _HEADER.unpack_from(data)[-1]:
        raise BadMember("the deflated bytes of a gzip member have another CRC-32 than it states")
    inflater = isal_zlib.decompressobj(wbits=31)
    try:
        block: bytes = inflater.decompress(data, BLOCK)
    except igzip_lib.error as error:  # type: ignore[misc]  # the stub calls this class an instance
        raise BadMember(str(error)) from error
    if not inflater.eof or inflater.unused_data:
        raise BadMember("a gzip member of another length than it states")
    return block


def crc32(data: bytes, before: int = 0) -> int:
    """The CRC-32 of bytes, going on from that of what came before them."""
    return isal_zlib.crc32(data, before)


def compress(blocks: Iterable[bytes], compression: str, *, threads: int) -> Iterator[bytes]:
    """The members of blocks, in their order; the same bytes whatever the number of threads."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[bytes]] = deque()
        for block in blocks:
            waiting.append(pool.submit(member, block, compression))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def blocks_of(stream: Readable, *, size: int = BLOCK) -> Iterator[bytes]:
    """A stream in blocks of exactly ``size`` bytes, the last one shorter."""
    while block := exactly(stream.read, size):
        yield block


def exactly(read: Callable[[int], bytes], count: int) -> bytes:
    """``count`` bytes, fewer only where the stream ends."""
    first = read(count) if count else b""
    if len(first) == count or not first:
        return first
    parts, missing = [first], count - len(first)
    while missing and (part := read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


class MemberReader:
    """Reads what a file of members holds; members are inflated by ``pool``, up to ``ahead`` of them in advance.

    Of a long member one piece is inflated in advance, whatever ``ahead``: each needs the one before it.
    """

    def __init__(self, source: Readable, *, what: str, cure: str, pool: Executor, ahead: int) -> None:
        self._source = source
        self._what = what
        self._cure = cure
        self._pool = pool
        self._ahead = ahead
        self._waiting: deque[Future[bytes]] = deque()
        self._long: tuple[Inflater, int] | None = None
        self._block = memoryview(b"")

    @property
    def between_members(self) -> bool:
        """Whether all that was taken from the source has been read."""
        return not self._block and not self._waiting and self._long is None

    def read(self, count: int, /) -> bytes:
        """At least one byte and at most ``count``; none at the end. Raises IntegrityError on damage."""
        while not self._block:
            self._look_ahead()
            if not self._waiting:
                return b""
            try:
                self._block = memoryview(self._waiting.popleft().result())
            except BadMember as error:
                raise self._damaged(str(error)) from error
            self._step()
        taken, self._block = self._block[:count], self._block[count:]
        return bytes(taken)

    def _look_ahead(self) -> None:
        while self._long is None and len(self._waiting) < self._ahead:
            start = exactly(self._source.read, _HEADER.size)
            if not start:
                break
            if start[12:14] == b"TL":
                self._long = self._begin(start + self._exactly(_LONG_HEADER.size - _HEADER.size))
            else:
                self._waiting.append(self._pool.submit(inflate, self._whole(start)))
        self._step()

    def _whole(self, start: bytes) -> bytes:
        length, crc = _HEADER.unpack(start)[-2:] if len(start) == _HEADER.size else (0, 0)
        if start != _header(length, crc) or not _SHORTEST < length <= _LONGEST:
            raise self._damaged("no gzip member of torchferry where one must begin")
        return start + self._exactly(length - _HEADER.size)

    def _begin(self, start: bytes) -> tuple[Inflater, int]:
        length, size = _LONG_HEADER.unpack(start)[-2:] if len(start) == _LONG_HEADER.size else (0, 0)
        deflated = length - _LONG_HEADER.size - _TRAILER.size
        if deflated <= 0 or start != long_header(deflated, size):
            raise self._damaged("no gzip member of torchferry where one must begin")
        return Inflater(deflated=deflated, size=size), size

    def _step(self) -> None:
        """Go on with a long member as soon as nothing before it is waited for."""
        if self._long is None or self._waiting:
            return
        inflater, size = self._long
        if inflater.done:
            end = long_end(crc=inflater.crc, size=size, deflated_crc=inflater.deflated_crc)
            if self._exactly(len(end)) != end:
                raise self._damaged("a long gzip member is not what its end states")
            self._long = None
        else:
            data = self._exactly(min(PIECE, inflater.left)) if inflater.hungry else b""
            self._waiting.append(self._pool.submit(inflater.step, data))

    def _exactly(self, count: int) -> bytes:
        data = exactly(self._source.read, count)
        if len(data) != count:
            raise self._damaged("it ends in the middle of a gzip member")
        return data

    def _damaged(self, cause: str) -> IntegrityError:
        return IntegrityError(f"{self._what}: damaged: {cause}", cure=self._cure)
