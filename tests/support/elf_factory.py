"""Makes small ELF64 libraries by hand, with no compiler: dynamic section, version needs, constants and GPU code.

Addresses are file offsets. What a linker lays out and what patchelf makes of it differ in where the strings lie; both
are made here, since a reader that goes through a file once meets them in another order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

MACHINES = {"x86_64": 62, "aarch64": 183, "i386": 3}
_NULL, _NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 0, 1, 5, 10, 14, 15, 29
_VERNEED, _VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_LOAD, _DYNAMIC = 1, 2
READ, READ_EXECUTE, READ_WRITE = 4, 5, 6


def make_elf(
    soname: str | None = None,
    *,
    needed: Sequence[str] = (),
    rpath: str | None = None,
    runpath: str | None = None,
    versions: Mapping[str, Sequence[str]] | None = None,
    texts: Sequence[str] = (),
    code: Sequence[str] = (),
    machine: str = "x86_64",
    patched: bool = False,
    apart: bool = False,
    filler: int = 0,
) -> bytes:
    """One shared library.

    ``versions`` maps a library to symbol versions needed of it; ``texts`` are constants; ``code`` is GPU code (sm_80,
    compute_90). ``patched`` puts the strings at the end, as patchelf does; ``apart`` puts constants into a segment
    behind the code, as newer linkers do; ``filler`` bytes lie between.
    """
    table = _Strings()
    tags = [(_NEEDED, table.at(name)) for name in needed]
    tags += [(tag, table.at(text)) for tag, text in ((_SONAME, soname), (_RPATH, rpath), (_RUNPATH, runpath)) if text]
    needs = _version_needs(versions or {}, table)
    constants = b"\0" + b"".join(text.encode() + b"\0" for text in texts)
    constants += bytes(-len(constants) % 8) + (fatbin(code) if code else b"")
    count = 3 + int(apart) + int(patched)
    head = 64 + 56 * count
    strings = bytes(table.content)
    early = needs + (b"" if patched else strings)
    early += bytes(-len(early) % 8)
    middle = bytes(filler) + constants
    middle += bytes(-len(middle) % 8)
    start = head + len(early)
    dynamic_at = start + len(middle)
    strings_at = dynamic_at + 16 * (len(tags) + 5) if patched else head + len(needs)
    tags += [(_STRTAB, strings_at), (_STRSZ, len(strings))]
    tags += [(_VERNEED, head), (_VERNEEDNUM, len(versions))] if versions else [(21, 0), (21, 0)]
    dynamic = b"".join(struct.pack("<2Q", *tag) for tag in [*tags, (_NULL, 0)])
    segments = [(_LOAD, READ_EXECUTE, 0, start if apart else dynamic_at)]
    segments += [(_LOAD, READ, start, len(middle))] if apart else []
    segments += [(_LOAD, READ_WRITE, dynamic_at, len(dynamic)), (_DYNAMIC, READ_WRITE, dynamic_at, len(dynamic))]
    segments += [(_LOAD, READ_WRITE, strings_at, len(strings))] if patched else []
    body = _header(machine, count) + b"".join(_segment(*one) for one in segments)
    return body + early + middle + dynamic + (strings if patched else b"")


def fatbin(code: Sequence[str], *, size: int = 40) -> bytes:
    """A fat binary with one entry of ``size`` bytes for each of sm_80, compute_90."""
    entries = b""
    for name in code:
        kind, _, capability = name.partition("_")
        payload = bytes([0xAB]) * size
        entries += struct.pack(
            "<2HIQ2I2HI", {"compute": 1, "sm": 2}[kind], 0x101, 64, len(payload), 0, 0, 8, 0, int(capability),
        ).ljust(64, b"\0") + payload
    return struct.pack("<I2HQ", 0xBA55ED50, 1, 16, len(entries)) + entries


class _Strings:
    """A string table while it grows."""

    def __init__(self) -> None:
        self.content = bytearray(b"\0")

    def at(self, text: str) -> int:
        place = len(self.content)
        self.content += text.encode() + b"\0"
        return place


def _version_needs(versions: Mapping[str, Sequence[str]], table: _Strings) -> bytes:
    parts = []
    for number, (library, names) in enumerate(versions.items(), start=1):
        size = 16 * (1 + len(names))
        parts.append(struct.pack("<2H3I", 1, len(names), table.at(library), 16, size if number < len(versions) else 0))
        for place, name in enumerate(names, start=1):
            parts.append(struct.pack("<I2H2I", 0, 0, 2, table.at(name), 16 if place < len(names) else 0))
    return b"".join(parts)


def _header(machine: str, segments: int) -> bytes:
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    return ident + struct.pack("<2HI3QI6H", 3, MACHINES[machine], 1, 0, 64, 0, 0, 64, 56, segments, 64, 0, 0)


def _segment(kind: int, flags: int, offset: int, size: int) -> bytes:
    return struct.pack("<2I6Q", kind, flags, offset, offset, offset, size, size, 8)
