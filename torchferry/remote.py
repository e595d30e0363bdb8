"""Files that are read here and there over HTTP Range: the metadata of a 2 GB wheel without its 2 GB."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from torchferry import web

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 18
"""Bytes a request brings at least: the metadata of a wheel lies together, in many small entries."""


class RemoteFile(io.RawIOBase):
    """A read-only, seekable file over HTTP Range; wrap it with `open_remote` to read it in useful blocks."""

    def __init__(self, http: web.Client, url: str, patience: web.Patience) -> None:
        super().__init__()
        self._http, self._url, self._patience = http, url, patience
        self._position = 0
        self.size = web.patiently(self._learn_size, patience)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if origin + offset < 0:
            raise OSError("negative seek position")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        wanted = min(len(target), self.size - self._position)
        if wanted <= 0:
            return 0
        content = web.patiently(lambda: self._read(self._position, self._position + wanted), self._patience)
        target[:wanted] = content
        self._position += wanted
        return wanted

    def _learn_size(self) -> int:
        with web.open_part(self._http, self._url, start=0, stop=1) as part:
            if not part.ranged or part.total is None:
                raise web.RangeIgnored("the server does not serve parts of this file")
            return part.total

    def _read(self, start: int, stop: int) -> bytes:
        with web.open_part(self._http, self._url, start=start, stop=stop) as part:
            if not part.ranged or part.start != start:
                raise web.RangeIgnored(f"asked for byte {start}, the answer starts at byte {part.start}")
            content = b"".join(part.blocks)
        if len(content) != stop - start:
            raise web.Transient(f"asked for {stop - start} bytes, got {len(content)}")
        return content


def open_remote(http: web.Client, url: str, *, patience: web.Patience | None = None) -> io.BufferedReader:
    """Open a remote file for reading here and there, as zipfile does; its ``raw.size`` is the size in bytes.

    Raises RangeIgnored where the server does not serve parts, Transient or Refused where it does not serve at all.
    """
    return io.BufferedReader(RemoteFile(http, url, patience or web.Patience()), buffer_size=BLOCK)
