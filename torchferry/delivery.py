"""One destination of `inv ship`, from its survey to `ferry.sh up`: what is sent, again after each lost connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

from torchferry import asking, cargo, console, files
from torchferry.cargo import Cargo, Wish
from torchferry.carriers import Begun, Busy, Carrier, Garbled, Item, Stopped, Survey
from torchferry.console import Progress
from torchferry.errors import DiskFull, FerryError, ShipError
from torchferry.layout import FERRY, SIGNATURE
from torchferry.patience import Patience, Transient, patiently
from torchferry.pick import picked
from torchferry.receipts import Receipt
from torchferry.wording import in_words

T = TypeVar("T")
LOOK_AGAIN = 2.0
"""Seconds until a file that another ship is bringing is looked at again."""
GIVE_UP = 600.0
"""Seconds without another byte after which a file that another ship brings is not waited for."""
LEFT_OVER = "end it there, or remove what it left beside the file: .NAME.partial.*"
MOST_GARBLED = 2
"""How often a file may arrive with other bytes: once for a beginning that was none."""
AGAIN = "run the same command again; it goes on from here"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for at every destination: which images, whether the host picks them, and whether they start.

    ``receipt`` says that it counts as failed where the host does not tell what it holds then; after ``up`` it is asked
    for anyhow.
    """

    cargo: Cargo
    wish: Wish
    auto: bool = False
    up: bool = False
    receipt: bool = False


@dataclass(kw_only=True)
class Arrival:
    """How one destination fared; ``failure`` is None where all that was ordered was done."""

    host: str
    place: str = ""
    variant: str = ""
    sent: int = 0
    skipped: int = 0
    bytes: int = 0
    seconds: float = 0.0
    result: str = "failed"
    failure: FerryError | None = None
    receipt: Receipt | None = None


@dataclass(kw_only=True)
class Delivery:
    """One destination's files, one after another; ``arrival`` tells how it went, also where it ends in an error.

    ``line`` makes the line that shows how far it is; ``stop`` ends it at the next block of bytes.
    """

    order: Order
    arrival: Arrival
    carrier: Carrier
    line: Callable[[str, int], Progress]
    stop: Event
    patience: Patience
    _bar: Progress = field(default_factory=lambda: Progress(title="", total=None), init=False)
    _at: int = field(default=0, init=False)
    """How much of the present file is over there."""

    def carry(self) -> None:
        """Ask, look, send, and start what was asked for. Raises FerryError where that cannot be done."""
        wish = self.order.wish
        if self.order.auto:
            wish = self._patiently(lambda: picked(self.carrier, self.order.cargo.folder / FERRY, wish.services))
            console.say(f"{self.arrival.host}: its doctor picks {in_words(wish.variants)}")
        items = cargo.chosen(self.order.cargo, wish)
        self.arrival.variant = ", ".join(cargo.variants(self.order.cargo, items))
        survey = self._patiently(lambda: self.carrier.survey(items))
        self.arrival.place = survey.place
        todo = [item for item in items if item.name not in survey.whole]
        self.arrival.skipped = len(items) - len(todo)
        self._require_space(survey, todo)
        if not self.order.cargo.signed:
            self._patiently(lambda: self.carrier.remove(SIGNATURE))
        self._bar = self.line(self.arrival.host, sum(item.size for item in todo))
        for item in todo:
            self._bring(item, survey)
        self.arrival.result = "arrived"
        if self.order.up:
            self._start(wish)
        if self.order.up or self.order.receipt:
            self._ask_receipt()

    def _bring(self, item: Item, survey: Survey) -> None:
        """One file, until it is whole over there."""
        self._at = 0
        known: Survey | None = survey
        failures, furthest, garbled = 0, 0, 0
        queue = _Queue()
        while not self.stop.is_set():
            try:
                return self._try(item, known)
            except Busy as busy:
                if not queue.moves(busy.at):
                    raise ShipError(f"{item.name}: {busy}, but gets nowhere", cure=LEFT_OVER) from busy
                self._bar.note(f"{item.name}: {busy}")
                self.stop.wait(LOOK_AGAIN)
            except Transient as error:
                garbled += isinstance(error, Garbled)
                # a slow line that brings something each time is not given up on
                failures = 1 if self._at > furthest else failures + 1
                furthest = max(furthest, self._at)
                if failures >= self.patience.attempts or garbled >= MOST_GARBLED:
                    raise ShipError(f"{item.name}: {error}, time and again", cure=AGAIN) from error
                self._bar.note(f"{item.name}: {error}; going on")
                self.patience.pause(failures, None)
            known = None
        raise Stopped

    def _try(self, item: Item, known: Survey | None) -> None:
        """One attempt, from where the beginning that is there ends."""
        survey = known or self.carrier.survey([item])
        if item.name in survey.busy:
            raise Busy(survey.busy[item.name])
        if item.name in survey.whole:
            self.arrival.sent += self._at > 0  # it arrived, and only the word of it was lost
            self.arrival.skipped += self._at == 0
            return self._reach(item.size)
        start = _proven(item, survey.begun.get(item.name))
        self._reach(start)
        self._bar.note(f"{item.name}" + (f" from {console.size(start)} on" if start else ""))
        self.carrier.send(item, start, self._passed)
        self.arrival.sent += 1
        return None

    def _passed(self, count: int) -> None:
        if self.stop.is_set():
            raise Stopped
        self.arrival.bytes += count
        self._reach(self._at + count)

    def _reach(self, at: int) -> None:
        self._bar.advance(at - self._at)
        self._at = at

    def _start(self, wish: Wish) -> None:
        """ferry.sh up over there, heard here."""
        words = ["up", "--variant", wish.variants[0]] if len(wish.variants) == 1 else ["up"]
        self.arrival.result = "not up"
        try:
            status = self.carrier.ferry(words, lambda said: console.say(f"{self.arrival.host}: {said}"))
        except Transient as error:
            raise ShipError(
                f"all arrived, but the connection was lost while it started: {error}",
                cure="look there with sh ferry.sh status; sh ferry.sh up may be run again at any time",
            ) from error
        if status:
            raise ShipError(
                f"all arrived, but ferry.sh up ended with status {status}",
                cure="its lines above say why; mend it there",
            )
        self.arrival.result = "up"

    def _ask_receipt(self) -> None:
        """What the host holds now; where that was not asked for, a host that does not tell it is no failure."""
        try:
            self.arrival.receipt = self._patiently(lambda: asking.receipt_of(self.carrier, self.arrival.host))
        except FerryError as error:
            if self.order.receipt:
                raise
            console.say(f"no receipt of {self.arrival.host}: {error.message}")

    def _require_space(self, survey: Survey, todo: Sequence[Item]) -> None:
        begun = {name: one.size for name, one in survey.begun.items()}
        needed = sum(max(0, item.size - begun.get(item.name, 0)) for item in todo)
        if survey.free is not None and survey.free < needed:
            raise DiskFull(
                f"{survey.place}: {console.size(needed)} are to be sent, {console.size(survey.free)} are free",
                cure="free space there, name another folder, or send less: --variant, --auto",
            )

    def _patiently(self, action: Callable[[], T]) -> T:
        """Do a small thing over there, again after a lost connection."""
        try:
            return patiently(action, self.patience)
        except Transient as error:
            raise ShipError(f"{error}, {self.patience.attempts} times in a row", cure=AGAIN) from error


@dataclass(kw_only=True)
class _Queue:
    """Waiting behind another ship: how much it had brought, and since when that is so."""

    at: int = -1
    since: float = 0.0

    def moves(self, at: int) -> bool:
        """Whether the other brought something lately; a file of some GB may also just be hashed."""
        if at != self.at:
            self.at, self.since = at, time.monotonic()
        return time.monotonic() - self.since < GIVE_UP


def _proven(item: Item, begun: Begun | None) -> int:
    """From which byte to go on: behind a beginning whose hash is that of ours, else from the first."""
    if begun is None or begun.size > item.size or files.sha256(item.path, size=begun.size) != begun.sha256:
        return 0
    return begun.size
