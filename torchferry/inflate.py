"""Inflates a raw deflate stream of any length a piece at a time, and proves that it is what was said of it."""

from __future__ import annotations

from isal import igzip_lib, isal_zlib

PIECE = 256 << 10
"""Bytes a step takes and gives at most: what the second-level cache of a core holds (1 MiB is a fifth slower)."""


class BadMember(Exception):
    """A deflate stream or gzip member that is not what it says; who reads it says in whose file."""


class Inflater:
    """One stream of ``deflated`` bytes that must inflate to exactly ``size`` bytes.

    Give it ``left`` bytes in all, PIECE at most at a time and only while it is ``hungry``; it is ``done`` when all
    came out. ``crc`` is the CRC-32 of what came out, ``deflated_crc`` of what went in.
    """

    def __init__(self, *, deflated: int, size: int) -> None:
        self._inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)
        self._missing = size
        self.left = deflated
        self.crc = 0
        self.deflated_crc = 0

    @property
    def done(self) -> bool:
        return self._inflater.eof

    @property
    def hungry(self) -> bool:
        return self._inflater.needs_input and not self.done

    def step(self, data: bytes) -> bytes:
        """The next bytes that come out, perhaps none; raises BadMember where the stream breaks its word."""
        self.left -= len(data)
        self.deflated_crc = isal_zlib.crc32(data, self.deflated_crc)
        try:
            piece = self._inflater.decompress(data, PIECE)
        except igzip_lib.error as error:  # type: ignore[misc]  # the stub calls this class an instance
            raise BadMember(f"it does not inflate: {error}") from error
        self.crc = isal_zlib.crc32(piece, self.crc)
        self._missing -= len(piece)
        if self._missing < 0:
            raise BadMember("it inflates to more bytes than it states")
        if self.done and (self._missing or self.left or self._inflater.unused_data):
            raise BadMember("it ends before its stated length")
        if self.hungry and not self.left:
            raise BadMember("it does not end where it states")
        return piece
