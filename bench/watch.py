"""Time, CPU and memory of one step: all processes that it starts, the daemon's left out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bench.figures import Step

INTERVAL = 0.1
"""Seconds between two looks; a look at all of /proc costs a few milliseconds."""

PAGE = os.sysconf("SC_PAGE_SIZE")


def timed(name: str, work: Callable[[], object], *, without: int) -> Step:
    """Do ``work``; the processes below ``without`` (the daemon) do not count as its own.

    What earlier steps left to be written is on the disk before the clock starts.
    """
    os.sync()
    with MemoryWatch(without=without) as memory:
        started, before = time.monotonic(), os.times()
        work()
        seconds, after = time.monotonic() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Step(name=name, seconds=seconds, cpu_seconds=cpu, peak_bytes=memory.peak)


class MemoryWatch:
    """Samples, inside a ``with`` block, the resident bytes of everything that this process started."""

    def __init__(self, *, without: int) -> None:
        self.peak = 0
        self._without = without
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory-watch", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.peak = max(self.peak, sum(map(resident, below(os.getpid(), without=self._without))))


def below(root: int, *, without: int) -> set[int]:
    """The ids of all descendants of ``root``; ``without`` and its descendants left out."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):  # it ended while we looked
                parent = int((place / "stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(place.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        fresh = [pid for pid in children.get(waiting.pop(), []) if pid != without]
        found.update(fresh)
        waiting += fresh
    return found


def resident(pid: int) -> int:
    """The resident bytes of a process; 0 once it ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE
    except OSError:
        return 0
