"""One library of a wheel, read in one pass over its deflate stream: what it needs, and where it looks for that.

Libraries have hundreds of megabytes, so no file is held: the pass keeps the few ranges that program headers and the
dynamic section name (tags, strings, version needs), and hands the rest to a scanner. Section headers stand at a file's
end and are not needed: the loader does without them too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.construct.core import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from torchferry.elf_scan import Scanner
from torchferry.library_facts import Elf
from torchferry.wheel_reader import OpenZip
from torchferry.zipdir import Entry

HEAD = 64 << 10
"""Bytes in which the ELF header and all program headers must lie; they take less than one thousand."""
DYNAMIC_LIMIT = 1 << 20
STRINGS_LIMIT = 64 << 20
"""libtorch_cuda.so of torch 2.1.2 has 10 MB of dynamic strings."""
VERSIONS_LIMIT = 64 << 10

_TEXTS = {"DT_NEEDED": "needed", "DT_SONAME": "soname", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
"""Tags whose value is a text, and where pyelftools puts that."""

_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")
_RELR = "GLIBC_ABI_DT_RELR"
"""A version that glibc has from 2.36 on, without saying so in its name."""


class BadElf(Exception):
    """Why a file that begins like ELF cannot be read."""


def is_elf(wheel: OpenZip, entry: Entry) -> bool:
    """Whether a file begins like ELF."""
    return entry.size >= 64 and not entry.is_folder and wheel.head(entry, 4) == b"\x7fELF"


def read_elf(wheel: OpenZip, entry: Entry, *, with_flags: bool = False) -> Elf:
    """Read one ELF file of a wheel. Raises BadElf for one that is not understood, IntegrityError for a damaged zip."""
    try:
        return _Reading(wheel, entry, with_flags).elf()
    except (ELFError, ConstructError, AssertionError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise BadElf(f"{type(error).__name__}: {error}") from error


class _Ranges(io.RawIOBase):
    """A file of which some ranges are there, as a file object for pyelftools; all other bytes are refused."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._at = 0
        self.known: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, count: int = -1) -> bytes:
        for start, data in self.known:
            if start <= self._at < start + len(data):
                found = data[self._at - start:][:count if count >= 0 else None]
                self._at += len(found)
                return found
        raise BadElf(f"it names bytes at {self._at}, outside of what a loader reads")


class _Reading:
    """One file while it is read; ``_pass`` goes on where it stood, or begins anew for what lies before."""

    def __init__(self, wheel: OpenZip, entry: Entry, with_flags: bool) -> None:
        self._wheel, self._entry, self._with_flags = wheel, entry, with_flags
        self._file = _Ranges(entry.size)
        self._stream: Iterator[bytes] = iter(())
        self._position = entry.size
        self._piece = b""  # the bytes right before the position

    def elf(self) -> Elf:
        head = bytearray(self._wheel.head(self._entry, HEAD))
        # Without section headers pyelftools goes the loader's way, over program headers and the dynamic section.
        wide = head[4] == 2
        head[slice(40, 48) if wide else slice(32, 36)] = bytes(8 if wide else 4)
        self._file.known.append((0, bytes(head)))
        elf = ELFFile(self._file)  # type: ignore[arg-type]  # all it does is seek, tell and read
        segments = list(elf.iter_segments())
        machine = elf.get_machine_arch()
        dynamic = next((one for one in segments if isinstance(one, DynamicSegment)), None)
        if dynamic is None or not dynamic["p_filesz"]:
            return Elf(machine=machine)  # a static program, or an object file: no loader is asked for anything
        start, size = dynamic["p_offset"], dynamic["p_filesz"]
        if size > DYNAMIC_LIMIT:
            raise BadElf(f"a dynamic section of {size} bytes")
        scanners = [Scanner(low, high, with_flags=self._with_flags) for low, high in _read_only(segments)]
        self._gather([(start, start + size)], scanners)
        tags = {tag["d_tag"]: tag["d_val"] for tag in dynamic._iter_tags()}
        strings = self._place(elf, tags, "DT_STRTAB", tags.get("DT_STRSZ", 0), STRINGS_LIMIT)
        versions = self._place(elf, tags, "DT_VERNEED", VERSIONS_LIMIT, VERSIONS_LIMIT)
        self._gather([one for one in (strings, versions) if one], [])
        needs = _versions(elf, versions[0], tags["DT_VERNEEDNUM"], strings[0]) if versions and strings else ()
        return _made(machine, dynamic, frozenset(needs), scanners, strings)

    def _place(
        self, elf: ELFFile, tags: dict[str, int], tag: str, size: int, limit: int
    ) -> tuple[int, int] | None:
        """The range of a table that a tag names by its address."""
        if tag not in tags:
            return None
        start = next(elf.address_offsets(tags[tag]), None)
        if start is None or size > limit:
            raise BadElf(f"{tag} of {size} bytes at address {tags[tag]}, which is in no segment")
        return start, min(start + size, self._entry.size)

    def _gather(self, wanted: list[tuple[int, int]], scanners: list[Scanner]) -> None:
        """Make these ranges known, and show the scanners theirs: first what lies ahead, then what lies behind."""
        ahead = [one for one in wanted if one[0] >= self._position - len(self._piece)]
        behind = [one for one in wanted if one not in ahead]
        if ahead:
            self._pass(ahead, scanners)
        if behind:
            self._stream, self._position, self._piece = self._wheel.chunks(self._entry), 0, b""
            self._pass(behind, scanners)

    def _pass(self, wanted: list[tuple[int, int]], scanners: list[Scanner]) -> None:
        parts: list[list[bytes]] = [[] for _ in wanted]
        end = max(*(high for _, high in wanted), *(one.stop for one in scanners), 0)
        offset, piece = self._position - len(self._piece), self._piece
        while True:
            for (low, high), found in zip(wanted, parts, strict=True):
                if low < offset + len(piece) and high > offset:
                    found.append(piece[max(0, low - offset):high - offset])
            for scanner in scanners:
                scanner.feed(offset, piece)
            if offset + len(piece) >= end:
                break
            following = next(self._stream, None)  # an empty piece is not the end: an inflater may still be hungry
            if following is None:
                raise BadElf(f"it ends at {offset + len(piece)}, before what it names at {end}")
            offset, piece = offset + len(piece), following
        self._position, self._piece = offset + len(piece), piece
        self._file.known += [(low, b"".join(found)) for (low, _), found in zip(wanted, parts, strict=True)]


def _read_only(segments: list[Any]) -> list[tuple[int, int]]:
    """The file ranges that may hold constants and GPU code: what is loaded and cannot be written.

    A linker that keeps code apart puts constants into a segment behind it; then only those are looked at.
    """
    loaded = [(one["p_offset"], one["p_offset"] + one["p_filesz"], one["p_flags"]) for one in segments
              if one["p_type"] == "PT_LOAD" and one["p_filesz"] and not one["p_flags"] & 2]
    code = [low for low, _, flags in loaded if flags & 1]
    constants = [(low, high) for low, high, flags in loaded if not flags & 1 and code and low > min(code)]
    return sorted(constants or [(low, high) for low, high, _ in loaded])


def _made(
    machine: str, dynamic: DynamicSegment, needs: frozenset[str], scanners: list[Scanner],
    strings: tuple[int, int] | None,
) -> Elf:
    texts: dict[str, list[str]] = {}
    for tag in dynamic.iter_tags():
        if tag["d_tag"] in _TEXTS:
            texts.setdefault(tag["d_tag"], []).append(getattr(tag, _TEXTS[tag["d_tag"]]))
    runpath, rpath = texts.get("DT_RUNPATH", []), texts.get("DT_RPATH", [])
    # The loader's own strings name every library that is needed, and old names of it: those were not opened by code.
    low, high = strings or (0, 0)
    opened = {name for one in scanners for place, name in one.names if not low <= place < high}
    flags = sorted((flags for one in scanners for flags in one.flags), key=len)
    return Elf(
        machine=machine,
        soname=next(iter(texts.get("DT_SONAME", [])), None),
        needed=tuple(texts.get("DT_NEEDED", [])),
        search=tuple(folder for path in runpath or rpath for folder in path.split(":") if folder),
        is_runpath=bool(runpath),
        glibc=_glibc(needs),
        opened=tuple(sorted(opened)),
        code=tuple(sorted({code for one in scanners for code in one.code})),
        flags=flags[-1] if flags else None,
    )


def _versions(elf: ELFFile, at: int, count: int, strings: int) -> Iterator[str]:
    """The names of all symbol versions that are needed of other libraries."""
    def text(offset: int) -> str:
        elf.stream.seek(strings + offset)
        return elf.stream.read(256).partition(b"\0")[0].decode("utf-8")

    for _ in range(min(count, 100)):
        need = struct_parse(elf.structs.Elf_Verneed, elf.stream, at)
        one = at + need["vn_aux"]
        for _ in range(min(need["vn_cnt"], 500)):
            version = struct_parse(elf.structs.Elf_Vernaux, elf.stream, one)
            yield text(version["vna_name"])
            one += version["vna_next"]
        at += need["vn_next"]


def _glibc(needs: frozenset[str]) -> tuple[int, int] | None:
    found = [(int(match[1]), int(match[2])) for name in needs if (match := _GLIBC.fullmatch(name))]
    if _RELR in needs:
        found.append((2, 36))
    return max(found, default=None)


