"""Trying again: what may work in a moment, how often, and how long to wait between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class Transient(Exception):
    """It failed, but may work in a moment; ``retry_after`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often something is tried, and the pauses between: doubling from ``first`` to ``longest`` s, jittered."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 60.0
    sleep: Callable[[float], object] = time.sleep

    def pause(self, failures: int, told: float | None) -> None:
        """Wait after the ``failures``-th failure in a row, at least as long as the server told."""
        backoff = self.first * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
        self.sleep(min(self.longest, max(backoff, told or 0.0)))


def patiently(action: Callable[[], T], patience: Patience) -> T:
    """Do ``action``, again where it raises Transient; the last Transient goes through."""
    for failures in range(1, patience.attempts):
        try:
            return action()
        except Transient as error:
            patience.pause(failures, error.retry_after)
    return action()
