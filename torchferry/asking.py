"""Receipts over ssh: asked for where a release arrived, or of servers to which nothing is sent, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

from torchferry import destinations, receipts, sites
from torchferry.carriers import Carrier
from torchferry.errors import ConfigError, FerryError, ShipError
from torchferry.folder import Place
from torchferry.layout import FERRY, Layout
from torchferry.openssh import Server
from torchferry.patience import Patience, Transient, patiently
from torchferry.receipts import Receipt

AT_ONCE = 8
"""Hosts that are asked side by side."""


def receipt_of(carrier: Carrier, host: str, script: Path | None = None) -> Receipt:
    """What ferry.sh, its own or a ``script`` from here, writes on the carrier's host."""
    lines: list[str] = []
    status = carrier.ferry(["receipt"], lines.append, script)
    if status:
        raise ShipError(
            f"ferry.sh receipt ended with status {status}" + "".join(f": {line}" for line in lines[-1:]),
            cure="mend it there; sh ferry.sh status tells more",
        )
    return receipts.parse("".join(f"{line}\n" for line in lines), file=f"the receipt of {host}")


def answers(
    hosts: Sequence[str], script: Path, *, config: Path | None, patience: Patience | None = None,
) -> dict[str, Receipt | FerryError]:
    """What each host holds, or why it did not tell; ``config`` is for ssh, in place of the person's own.

    Raises ConfigError, before anything is asked, for what is no host.
    """
    servers = {host: _server(host) for host in hosts}
    stop = Event()
    calm = replace(patience or Patience(), sleep=stop.wait)

    def one(host: str) -> Receipt | FerryError:
        try:
            with destinations.door(servers[host], config=config, stopped=stop.is_set) as carrier:
                return patiently(lambda: receipt_of(carrier, host, script), calm)
        except FerryError as error:
            return error
        except Transient as error:
            return ShipError(f"{error}, {calm.attempts} times in a row", cure="run the same command again")

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            return dict(zip(servers, pool.map(one, servers), strict=True))
        except BaseException:
            stop.set()
            raise


def ask(hosts: Sequence[str], layout: Layout, script: Path, *, config: Path | None) -> None:
    """Keep the receipt of every host that answers; ShipError, with the reasons, where one did not."""
    told = answers(hosts, script, config=config)
    refused = sites.keep_all(told, layout)
    if refused:
        raise ShipError(
            f"{len(refused)} of {len(told)} gave no receipt: "
            + "; ".join(f"{host}: {error.message}" for host, error in refused.items()),
            cure="\n".join(f"{host}: {error.cure}" for host, error in refused.items()),
        )


def script_in(layout: Layout, release: str) -> Path:
    """The ferry.sh of a project that was packed last."""
    made = sorted(layout.dist.glob(f"{release}-*/{FERRY}"), key=lambda path: path.stat().st_mtime_ns)
    if not made:
        raise ConfigError(
            f"{layout.dist}: no release of {release} is packed, so there is no ferry.sh to ask with",
            cure="inv package makes one; a receipt that was carried home needs none: inv site --add FILE",
        )
    return made[-1]


def _server(host: str) -> Server:
    found = destinations.parse(host, "")
    if isinstance(found, Place):
        raise ConfigError(f"{host}: a folder is no server that could be asked", cure="name a host as ssh takes it")
    return found
