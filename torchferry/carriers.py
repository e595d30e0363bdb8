"""What carries a release somewhere: the seam between `ship` and its two doors, OpenSSH and a folder.

A file gathers in `.NAME.partial` beside its place, and gets its name when its SHA-256 was right over there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torchferry import files
from torchferry.errors import ShipError
from torchferry.patience import Transient


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file to bring: its name below the release folder with `/` between, where it lies here, bytes, hex SHA-256."""

    name: str
    path: Path
    size: int
    sha256: str
    executable: bool = False

    def blocks(self, start: int, passed: Callable[[int], object]) -> Iterator[bytes]:
        """Its bytes from ``start`` on; ``passed`` hears of what was taken. ShipError where it cannot be read."""
        try:
            yield from files.blocks(self.path, start=start, passed=passed)
        except OSError as error:
            raise ShipError(
                f"{self.path}: cannot be read: {error.strerror}", cure="look whether it is still there",
            ) from error


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What came of a file so far: how many bytes, and their hex SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is over there: the folder's full path, bytes that fit in (None: not known), and of each file by name.

    ``whole`` is there with the right hash, ``begun`` is a beginning to go on from, ``busy`` is what another ship is
    bringing just now, and how much of it came.
    """

    place: str
    free: int | None
    whole: frozenset[str] = frozenset()
    begun: Mapping[str, Begun] = field(default_factory=dict)
    busy: Mapping[str, int] = field(default_factory=dict)


class Stopped(Exception):
    """The person wants no more of it; nothing is told."""


class Busy(Transient):
    """Another ship is bringing this file; worth waiting for while ``at``, the bytes that came so far, grows."""

    def __init__(self, at: int = 0) -> None:
        super().__init__("another ship brings it")
        self.at = at


class Garbled(Transient):
    """All bytes arrived, but they are others."""

    def __init__(self) -> None:
        super().__init__("the bytes that arrived are others")


class Carrier(Protocol):
    """One destination. Each method raises Transient where another try may help, and a FerryError where none does."""

    def survey(self, items: Sequence[Item]) -> Survey:
        """Make the folder, and look what is there of these files."""

    def send(self, item: Item, start: int, passed: Callable[[int], object]) -> None:
        """Bring a file from byte ``start`` on, prove its hash there, give it its name; ``passed`` hears the bytes."""

    def remove(self, name: str) -> None:
        """Remove a file that belongs to another state of the release; one that is not there is fine."""

    def ferry(self, words: Sequence[str], heard: Callable[[str], object], script: Path | None = None) -> int:
        """Run ferry.sh there, the release's own or a ``script`` from here; ``heard`` gets its lines."""
