"""`inv ship`: a release to several places side by side; a place that fails stops no other.

What is there with the right hash is not sent again, and what began goes on where it ended, so the same command is the
cure for nearly everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from torchferry import cargo, console, destinations, signing, sites
from torchferry.cargo import Cargo
from torchferry.console import Progress
from torchferry.delivery import Arrival, Delivery, Order
from torchferry.errors import ConfigError, FerryError, ShipError
from torchferry.folder import Place
from torchferry.layout import SUMS, Layout
from torchferry.memory import Memory
from torchferry.openssh import Server
from torchferry.patience import Patience

if TYPE_CHECKING:
    from torchferry.pipeline import Road

AT_ONCE = 8
"""Hosts that are served side by side; more wait for their turn."""


def made(road: Road, folder: Path | None = None) -> Cargo:
    """The release of a project, or a delta of it in ``folder``; what was proven when packed is not read again."""
    memory = Memory(road.layout.verified)
    return _read(folder or road.layout.release(road.project.release), memory.checked)


def arrived(folder: Path) -> Cargo:
    """A release that was brought here, to be shipped on: every byte is held against its SHA256SUMS, that against
    its signature where this machine says whom it trusts."""
    trusted = signing.allowed_signers()
    if trusted is None:
        console.say(f"{folder.name}: who signed it is not checked, since no allowed_signers is set up here")
    elif (folder / SUMS).is_file():
        console.say(f"{folder.name}: signed by {signing.verify(folder / SUMS, trusted)}")
    return _read(folder, lambda *_: False)


def ship(
    order: Order, hosts: Sequence[str], *, config: Path | None, patience: Patience | None = None
) -> tuple[Arrival, ...]:
    """Carry the release to every host, and say how each fared; ``config`` is for ssh, in place of the person's own.

    Raises ConfigError, before anything is done, for a destination or an image that cannot be meant.
    """
    return ship_each(dict.fromkeys(hosts, order), config=config, patience=patience)


def ship_each(
    orders: Mapping[str, Order], *, config: Path | None, patience: Patience | None = None
) -> tuple[Arrival, ...]:
    """Carry to every host what is ordered for it, side by side. Raises ConfigError as `ship` does."""
    if not orders:
        raise ConfigError("no destination", cure=destinations.SHAPES)
    places = {host: _place(order, host) for host, order in orders.items()}
    for order in orders.values():
        if not order.auto:
            cargo.chosen(order.cargo, order.wish)
    stop = Event()
    with console.side_by_side() as line, ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        convoy = _Convoy(config=config, line=line, stop=stop, patience=patience or Patience())
        try:
            return tuple(pool.map(convoy.deliver, places, places.values(), orders.values()))
        except BaseException:
            stop.set()
            raise


def keep_receipts(arrivals: Sequence[Arrival], layout: Layout) -> None:
    """Keep what each server said that it holds; what cannot be kept is told, and what arrived has arrived all the same.
    """
    answers = {one.host: one.receipt for one in arrivals if one.receipt is not None}
    for host, error in sites.keep_all(answers, layout).items():
        console.say(f"the receipt of {host} is not kept: {error.message}")


def show(arrivals: Sequence[Arrival]) -> None:
    """The table, one row a host; then ShipError where not everything arrived everywhere, with the cure of each."""
    rows = [
        [one.host, one.variant, str(one.sent), str(one.skipped), console.size(one.bytes), f"{one.seconds:.1f} s",
         one.result, one.failure.message if one.failure else one.place]
        for one in arrivals
    ]
    header = ["host", "variant", "sent", "skipped", "bytes", "time", "result", "where, or why not"]
    console.show(console.table(rows, header=header))
    failed = [(one.host, one.failure) for one in arrivals if one.failure]
    if failed:
        raise ShipError(
            f"{len(failed)} of {len(arrivals)} failed: " + ", ".join(host for host, _ in failed),
            cure="\n".join(f"{host}: {failure.cure}" for host, failure in failed)
            + "\nthen the same command again; what arrived is not sent twice",
        )


def _place(order: Order, host: str) -> Server | Place:
    place = destinations.parse(host, order.cargo.title)
    if isinstance(place, Place) and (order.auto or order.up or order.receipt):
        raise ConfigError(
            f"{host}: a folder is no server that could be asked, or started",
            cure="--auto, --up and --receipt need a host; for a folder, name the variants: --variant",
        )
    if isinstance(place, Place) and place.folder.resolve() == order.cargo.folder.resolve():
        raise ConfigError(f"{host}: the release lies there already", cure="name another folder")
    return place


@dataclass(frozen=True, kw_only=True)
class _Convoy:
    """All deliveries of one command: their ssh configuration, the maker of their lines, and what stops them."""

    config: Path | None
    line: Callable[[str, int], Progress]
    stop: Event
    patience: Patience

    def deliver(self, name: str, place: Server | Place, order: Order) -> Arrival:
        """Everything for one destination; what is refused there is in the Arrival."""
        arrival, started = Arrival(host=name), time.monotonic()
        try:
            with destinations.door(place, config=self.config, stopped=self.stop.is_set) as carrier:
                Delivery(
                    order=order, arrival=arrival, carrier=carrier, line=self.line, stop=self.stop,
                    patience=replace(self.patience, sleep=self.stop.wait),
                ).carry()
        except FerryError as error:
            arrival.failure = error
            console.say(f"{name}: {arrival.result}: {error.message}")
        arrival.seconds = time.monotonic() - started
        return arrival


def _read(folder: Path, known: Callable[[Path, str], bool]) -> Cargo:
    with console.progress(f"verify {folder.name}") as step:
        return cargo.read(folder, known=known, passed=step.advance)
