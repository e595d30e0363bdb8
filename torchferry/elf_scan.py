"""Finds in the bytes of a library, as they pass by once: GPU code, names of CUDA libraries, torch's list of its GPUs.

GPU code lies in fat binaries (section .nv_fatbin): a header with the length of all, then one header an entry (cubin or
PTX) with the length of its own. So most of such a library is stepped over, never looked at.
"""

from __future__ import annotations

import re
import struct

MAGIC = struct.pack("<I", 0xBA55ED50)
_FATBIN = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<2HIQ2I2HI")
"""Kind, version, length of this header, length of what follows, compressed length, unknown, version, capability."""

PTX, CUBIN = 1, 2
_KINDS = {PTX: "compute_", CUBIN: "sm_"}

OVERLAP = 512
"""Bytes of a piece that are looked at again with the next one: no text that is looked for is longer."""

# A text of its own, nothing behind it that could be read (nor before it, see _texts): not the middle of a message.
# Both begin with letters as they are, so that the search for them is a fast one.
_OPENED = re.compile(rb"lib(?:cu|nv|nccl|npp)[\w-]{0,40}\.so(?:\.\d{1,4}){0,3}(?![\x20-\x7e])")
_FLAGS = re.compile(rb"sm_\d{2,3}a?(?: (?:sm|compute)_\d{2,3}a?){0,30}(?![\x20-\x7e])")
_READABLE = range(0x20, 0x7f)


class Scanner:
    """What was found so far in the bytes of a file from ``start`` to ``stop``; feed it the file in order.

    ``names`` are names of libraries with the place of each; ``code`` is GPU code as sm_90 or compute_90; ``flags`` are
    texts like "sm_80 sm_90", looked for only ``with_flags``.
    """

    def __init__(self, start: int, stop: int, *, with_flags: bool = False) -> None:
        self.start, self.stop = start, stop
        self.names: set[tuple[int, str]] = set()
        self.code: set[str] = set()
        self.flags: set[str] = set()
        self._with_flags = with_flags
        self._at = start
        self._kept = b""
        self._entry: int | None = None  # where the next entry of a fat binary begins, while in one
        self._fat_end = 0

    def feed(self, offset: int, piece: bytes) -> None:
        """The next bytes of the file, which lie at ``offset``."""
        low, high = max(offset, self.start), min(offset + len(piece), self.stop)
        if low >= high:
            return
        if high <= self._at:  # all of it is inside one kernel
            self._kept = b""
            return
        data = self._kept + piece[low - offset:high - offset]
        base = low - len(self._kept)
        self._at = self._look(data, base, max(self._at, base))
        self._kept = data[self._at - base:]

    def _look(self, data: bytes, base: int, at: int) -> int:
        """Look at ``data``, which lies at ``base``, from place ``at``; the place from which it has to be seen again."""
        end = base + len(data)
        while at < end:
            if self._entry is not None:
                if self._entry + _ENTRY.size > min(end, self._fat_end):
                    if self._entry + _ENTRY.size <= self._fat_end:
                        return self._entry
                    at, self._entry = self._fat_end, None
                else:
                    at = self._entry = self._step(data, base, self._entry)
                continue
            found = data.find(MAGIC, at - base)
            self._texts(data, at - base, base, found if found >= 0 else len(data))
            if found < 0:
                return max(at, end - OVERLAP)
            if base + found + _FATBIN.size > end:
                return base + found
            at = self._begin(data, base, found)
        return at

    def _begin(self, data: bytes, base: int, found: int) -> int:
        _, version, header, size = _FATBIN.unpack_from(data, found)
        if version != 1 or header != _FATBIN.size or base + found + header + size > self.stop:
            return base + found + len(MAGIC)  # four bytes that look like it
        self._entry = base + found + header
        self._fat_end = self._entry + size
        return self._entry

    def _step(self, data: bytes, base: int, entry: int) -> int:
        """Note one entry of a fat binary; where the next one begins."""
        kind: int
        header: int
        size: int
        kind, _, header, size, _, _, _, _, capability = _ENTRY.unpack_from(data, entry - base)
        if kind not in _KINDS or header < _ENTRY.size or not 10 <= capability < 1000:
            return self._fat_end  # another form than is known: what is behind the fat binary still counts
        self.code.add(f"{_KINDS[kind]}{capability}")
        return min(entry + header + size, self._fat_end)

    def _texts(self, data: bytes, start: int, base: int, end: int) -> None:
        """Texts that lie whole in data[start:end]; one that touches an edge is whole in the piece before or behind."""
        last = base + len(data) >= self.stop
        for pattern in (_OPENED, _FLAGS) if self._with_flags else (_OPENED,):
            for found in pattern.finditer(data, start, min(len(data), end + 1)):
                at = found.start()
                if (found.end() == len(data) and not last) or (at == 0 and base > self.start):
                    continue
                if at and data[at - 1] in _READABLE:
                    continue
                text = found[0].decode("ascii")
                if pattern is _OPENED:
                    self.names.add((base + at, text))
                else:
                    self.flags.add(text)
