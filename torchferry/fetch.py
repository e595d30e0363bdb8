"""Lock to WheelSet: every wheel of a variant, and the installer, into the project's wheels folder."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from torchferry import console, files, index, web
from torchferry.download import Wanted, claimed, download
from torchferry.errors import IntegrityError
from torchferry.index import Sources
from torchferry.layout import VERIFIED, Layout
from torchferry.memory import Memory
from torchferry.model import Lock, Variant, Wheel, WheelSet

THREADS = 4


def fetch(
    lock: Lock, variant: Variant, layout: Layout, sources: Sources, *, patience: web.Patience | None = None
) -> WheelSet:
    """Bring every wheel of the lock into the variant's folder and the installer into the tools folder.

    What lies there, in another variant's folder or in a find-links folder with the right hash is not fetched.
    Files that were found good before, and have not been touched since, are not read again.
    Wheels that the lock does not name are left alone. Raises SourceError, IntegrityError or DiskFull.
    """
    stop = threading.Event()
    folder, tools = layout.wheel_folder(variant), layout.tools_folder
    memories = {place: Memory(place / VERIFIED) for place in (folder, tools)}
    wanted = [(wheel, _wanted(wheel, folder)) for wheel in lock.wheels]
    wanted.append((lock.installer, _wanted(lock.installer, tools)))
    missing = [
        (wheel, file) for wheel, file in wanted if not memories[file.target.parent].knows(file.target, file.sha256)
    ]
    if missing:
        _require_space(folder, (file for _, file in missing), layout, sources)
        with ExitStack() as stack:
            total = sum(file.size for _, file in missing)
            step = stack.enter_context(console.progress(f"fetch {variant.label}", total))
            http = stack.enter_context(web.client())
            for memory in memories.values():
                stack.callback(memory.save)
            work = _Work(
                layout=layout, sources=sources, http=http, stop=stop, step=step, memories=memories,
                patience=patience or web.Patience(sleep=stop.wait),
            )
            _all(work, missing)
    return fetched(lock, variant, layout)


def fetched(lock: Lock, variant: Variant, layout: Layout) -> WheelSet:
    """The wheel set of a lock of which nothing is `missing`."""
    return WheelSet(
        lock=lock, folder=layout.wheel_folder(variant), installer=layout.tools_folder / lock.installer.filename)


def missing(lock: Lock, variant: Variant, layout: Layout) -> tuple[Wheel, ...]:
    """The wheels of a lock, its installer among them, that are not known to lie good on this disk."""
    folder, tools = layout.wheel_folder(variant), layout.tools_folder
    memories = {place: Memory(place / VERIFIED) for place in (folder, tools)}
    wanted = [(wheel, _wanted(wheel, folder)) for wheel in lock.wheels]
    wanted.append((lock.installer, _wanted(lock.installer, tools)))
    return tuple(wheel for wheel, file in wanted if not memories[file.target.parent].knows(file.target, file.sha256))


class Stopped(Exception):
    """Another wheel failed, or a person pressed Ctrl-C."""


@dataclass(kw_only=True)
class _Work:
    """What the threads of one fetch share."""

    layout: Layout
    sources: Sources
    http: web.Client
    patience: web.Patience
    stop: threading.Event
    step: console.Progress
    memories: dict[Path, Memory]
    counting: threading.Lock = field(default_factory=threading.Lock)

    def passed(self, count: int) -> None:
        """``count`` more bytes are done; the place where a stopped thread ends."""
        if self.stop.is_set():
            raise Stopped
        with self.counting:
            self.step.advance(count)

    def wait(self) -> None:
        """Another process works on the same file."""
        if self.stop.wait(0.1):
            raise Stopped


def _all(work: _Work, missing: list[tuple[Wheel, Wanted]]) -> None:
    # The largest first: a 2 GB torch that starts last is waited for alone.
    ordered = sorted(missing, key=lambda pair: -pair[1].size)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
    try:
        for done in as_completed([pool.submit(_obtain, work, wheel, file) for wheel, file in ordered]):
            done.result()
    except BaseException:
        work.stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _obtain(work: _Work, wheel: Wheel, file: Wanted) -> None:
    """Make one file be there with the right hash: found, linked or downloaded."""
    with claimed(file, waiting=work.wait) as partial:
        if not _is_good(work, file.target, file):
            copy = next((path for path in _copies(file, work.layout, work.sources) if _is_good(work, path, file)), None)
            if copy is not None:
                files.link_or_copy(copy, file.target)
            else:
                _download(work, wheel, file, partial)
        work.memories[file.target.parent].learn(file.target, file.sha256)


def _download(work: _Work, wheel: Wheel, file: Wanted, partial: BinaryIO) -> None:
    link = index.find(wheel.name, wheel.filename, wheel.sha256, work.sources, http=work.http, patience=work.patience)
    if link.path is None:
        return download(file, link.url, partial, http=work.http, patience=work.patience, passed=work.passed)
    if not _is_good(work, link.path, file):
        raise IntegrityError(
            f"{link.path}: not the file of the lock (sha256 {file.sha256[:12]}...)", cure="name another source"
        )
    return files.link_or_copy(link.path, file.target)


def _is_good(work: _Work, path: Path, file: Wanted) -> bool:
    """Read a file that may be the right one; its bytes count as done only if it is."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    read = 0

    def passed(count: int) -> None:
        nonlocal read
        read += count
        work.passed(count)

    good = files.sha256(path, passed=passed) == file.sha256
    if not good:
        work.passed(-read)
    return good


def _copies(file: Wanted, layout: Layout, sources: Sources) -> Iterator[Path]:
    """Files of this name and size in other variants' folders and in find-links folders."""
    places = [*sorted(layout.wheels.glob("*/")), *sources.folders]
    for path in (place / file.target.name for place in places):
        if path != file.target and path.is_file() and path.stat().st_size == file.size:
            yield path


def _require_space(folder: Path, missing: Iterable[Wanted], layout: Layout, sources: Sources) -> None:
    needed = 0
    for file in missing:
        there = file.target.is_file() and file.target.stat().st_size == file.size
        if not there and not any(_copies(file, layout, sources)):
            needed += file.size - (file.partial.stat().st_size if file.partial.is_file() else 0)
    files.require_space(folder, needed, what="fetching its wheels")


def _wanted(wheel: Wheel, folder: Path) -> Wanted:
    return Wanted(target=folder / wheel.filename, size=wheel.size, sha256=wheel.sha256)
