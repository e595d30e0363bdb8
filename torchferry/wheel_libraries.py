"""Reads the libraries of wheels, several at once, and what else of a wheel the audit has to know."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from torchferry import elf_file, files
from torchferry.elf_file import BadElf
from torchferry.errors import IntegrityError
from torchferry.library_facts import Library, WheelFacts
from torchferry.model import Wheel
from torchferry.wheel_reader import WheelZip, open_wheel
from torchferry.zipdir import Entry

_TORCH = re.compile(rb"(?im)^Requires-Dist:\s*torch(?![\w.-])(?![^\r\n]*extra\s*==)")
_HASH = 32
"""Characters of a hash that are kept: enough to tell two files apart."""


@dataclass(kw_only=True)
class _Reading:
    """One wheel while it is read."""

    wheel: Wheel
    opened: WheelZip | None = None
    elves: tuple[Entry, ...] = ()
    libraries: list[Library] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read_wheels(
    wheels: Sequence[tuple[Wheel, Path]], passed: Callable[[int], object] = files.ignore
) -> tuple[WheelFacts, ...]:
    """The facts of wheels, read now: the largest libraries first, so that no core waits long for the last one."""
    with ExitStack() as stack:
        found = [_begun(wheel, path, stack) for wheel, path in wheels]
        jobs = [(one, one.opened, entry) for one in found if one.opened for entry in one.elves]
        jobs.sort(key=lambda job: -job[2].size)
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="audit") as pool:
            for (one, _, entry), made in zip(jobs, pool.map(lambda job: _read(job[1], job[2]), jobs), strict=True):
                if isinstance(made, Library):
                    one.libraries.append(made)
                else:
                    one.unread.append(made)
                passed(entry.packed_size)
        return tuple(_facts(one) for one in found)


def _begun(wheel: Wheel, path: Path, stack: ExitStack) -> _Reading:
    """The open wheel with its ELF files, or the reason why it cannot be read."""
    try:
        opened = stack.enter_context(open_wheel(path))
        elves = tuple(entry for entry in opened.entries.values() if elf_file.is_elf(opened, entry))
    except IntegrityError as error:
        return _Reading(wheel=wheel, unread=[error.message])
    return _Reading(wheel=wheel, opened=opened, elves=elves)


def _read(opened: WheelZip, entry: Entry) -> Library | str:
    """One library, or why it cannot be read."""
    path = _installed(entry.name, opened.info)
    try:
        return Library(path=path, elf=elf_file.read_elf(opened, entry, with_flags=path.startswith("torch/lib/")))
    except (BadElf, IntegrityError) as error:
        return f"{path}: {error}"


def _facts(one: _Reading) -> WheelFacts:
    name, version = canonicalize_name(one.wheel.name), one.wheel.version
    if one.opened is None:
        return WheelFacts(name=name, version=version, unread=tuple(one.unread))
    info = one.opened.info
    return WheelFacts(
        name=name, version=version,
        requires_torch=_TORCH.search(one.opened.read(f"{info}/METADATA")) is not None,
        files={_installed(row.path, info): (row.hash or "")[:_HASH] for row in one.opened.record
               if not row.path.startswith(f"{info}/")},
        libraries=tuple(sorted(one.libraries, key=lambda library: library.path)), unread=tuple(sorted(one.unread)),
    )


def _installed(path: str, info: str) -> str:
    """Where a file of a wheel will lie, below site-packages."""
    data = f"{info.removesuffix('.dist-info')}.data/"
    if not path.startswith(data):
        return path
    kind, _, rest = path.removeprefix(data).partition("/")
    places = {"purelib": rest, "platlib": rest, "scripts": f"../../../bin/{rest}", "data": f"../../../{rest}"}
    return places.get(kind, f"../../../include/{rest}")
