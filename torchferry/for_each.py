"""`inv ship --for-each`: every server is asked what it holds, and gets a delta that leaves out just that.

Servers that hold and run the same share a delta. One on which nothing runs that this project makes gets what its doctor
picks of the whole release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torchferry import asking, console, delta, ship, sites
from torchferry.cargo import Wish
from torchferry.delivery import Arrival, Order
from torchferry.delta import Held
from torchferry.errors import FerryError
from torchferry.patience import Patience
from torchferry.receipts import Receipt

if TYPE_CHECKING:
    from torchferry.pipeline import Road


@dataclass(frozen=True, kw_only=True)
class Group:
    """Servers that get the same: what they all hold (None: nothing that counts), and the variants that run there."""

    hosts: tuple[str, ...]
    held: Held | None
    variants: tuple[str, ...]


def carry(
    road: Road, hosts: Sequence[str], wish: Wish, *, up: bool, config: Path | None, patience: Patience | None = None,
) -> tuple[Arrival, ...]:
    """Ask every host, pack a delta for each group of them, and ship all side by side; ``wish`` goes before what runs.

    A host that gives no receipt fails alone. Raises FerryError, before anything is sent, where no delta can be made.
    """
    script = asking.script_in(road.layout, road.project.release.name)
    answers = asking.answers(hosts, script, config=config, patience=patience)
    failed = {host: error for host, error in answers.items() if isinstance(error, FerryError)}
    told = {host: receipt for host, receipt in answers.items() if isinstance(receipt, Receipt)}
    for host, error in sites.keep_all(told, road.layout).items():
        console.say(f"the receipt of {host} is not kept: {error.message}")
    orders: dict[str, Order] = {}
    known = {variant.name for variant in road.project.variants}
    for group in grouped(told, known, wish):
        order = _packed(road, group, wish, up=up)
        orders |= dict.fromkeys(group.hosts, order)
    arrived = {one.host: one for one in ship.ship_each(orders, config=config, patience=patience)} if orders else {}
    arrived |= {host: Arrival(host=host, failure=error) for host, error in failed.items()}
    return tuple(arrived[host] for host in answers)


def grouped(told: Mapping[str, Receipt], known: set[str], wish: Wish) -> tuple[Group, ...]:
    """Which hosts get the same; ``known`` are the variants that the project makes."""
    found: dict[tuple[object, ...], list[str]] = {}
    for host, receipt in told.items():
        found.setdefault((receipt.raw_chain_ids, receipt.models, _variants(receipt, known, wish)), []).append(host)
    return tuple(_labelled(
        Group(hosts=tuple(hosts), held=_held([told[host] for host in hosts], hosts),
              variants=_variants(told[hosts[0]], known, wish))
        for hosts in found.values()
    ))


def _variants(receipt: Receipt, known: set[str], wish: Wish) -> tuple[str, ...]:
    running = {one.variant for one in receipt.services}.intersection(known)
    return wish.variants or tuple(sorted(running - {"any"} or running))


def _held(receipts: Sequence[Receipt], hosts: Sequence[str]) -> Held | None:
    """What a group holds, under the name by which it is reached; None where nothing of it could be left out."""
    held = delta.of_receipts([replace(receipts[0], host=hosts[0]), *receipts[1:]])
    return held if held.chain_ids or held.models else None


def _labelled(groups: Iterator[Group]) -> Iterator[Group]:
    """No two deltas in one folder, however alike the names of hosts are once they are plain."""
    seen: dict[str, int] = {}
    for group in groups:
        if group.held is None or not group.variants:
            yield replace(group, held=None)
            continue
        label = group.held.label
        seen[label] = seen.get(label, 0) + 1
        yield group if seen[label] == 1 else replace(
            group, held=replace(group.held, label=f"{label}-no-{seen[label]}"))


def _packed(road: Road, group: Group, wish: Wish, *, up: bool) -> Order:
    """What a group gets: its delta, made now, or of the whole release what the doctor picks there."""
    if group.held is None:
        console.say(f"{', '.join(group.hosts)}: nothing is left out")
        asked = replace(wish, variants=group.variants)
        return Order(cargo=ship.made(road), wish=asked, auto=not group.variants, up=up)
    made = road.package(road.select(group.variants, wish.services), smoked=True, held=group.held)
    size = sum(archive.size for archive in made.archives)
    console.say(f"{', '.join(group.hosts)}: {made.folder.name}, archives of {console.size(size)}")
    return Order(cargo=ship.made(road, made.folder), wish=replace(wish, variants=group.variants), up=up)
