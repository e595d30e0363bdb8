"""Writes a tar as gzip members: plain bytes in blocks, and deflate streams that others made as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from torchferry import members
from torchferry.inflate import Inflater
from torchferry.model import Layer


class LayerPacker:
    """One tar on its way into ``write``; compression is for its plain bytes, as in `members`."""

    def __init__(self, write: Callable[[bytes], object], compression: str) -> None:
        self._write = write
        self._compression = compression
        self._digest = hashlib.sha256()
        self._size = 0
        self._waiting: list[bytes] = []
        self._waiting_size = 0

    def plain(self, data: bytes) -> None:
        """The next bytes of the tar."""
        self._waiting.append(data)
        self._waiting_size += len(data)
        if self._waiting_size >= members.BLOCK:
            self._flush(members.BLOCK)

    def transplant(self, stream: Iterable[tuple[bytes, bytes]], inflater: Inflater, *, size: int) -> None:
        """The next ``size`` bytes of the tar, as a deflate stream: what goes into ``inflater``, and what comes out."""
        self._flush(1)
        self._write(members.long_header(inflater.left, size))
        for deflated, piece in stream:
            if deflated:
                self._write(deflated)
            self._digest.update(piece)
        self._size += size
        self._write(members.long_end(crc=inflater.crc, size=size, deflated_crc=inflater.deflated_crc))

    def finish(self) -> Layer:
        """Write what waits; the layer that the tar is."""
        self._flush(1)
        return Layer(diff_id=self._digest.hexdigest(), size=self._size)

    def _flush(self, least: int) -> None:
        """Write what waits in full blocks, and a last one of ``least`` bytes or more."""
        plain = b"".join(self._waiting)
        while len(plain) >= least:
            block, plain = plain[:members.BLOCK], plain[members.BLOCK:]
            self._digest.update(block)
            self._size += len(block)
            self._write(members.member(block, self._compression))
        self._waiting, self._waiting_size = [plain], len(plain)
