"""`inv coverage`: the picture as a table for the terminal and as a page on disk, with a fleet laid over it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torchferry import console, coverage, coverage_page, files, fleet
from torchferry.coverage import Coverage
from torchferry.errors import ConfigError
from torchferry.fleet import Fleet, Host
from torchferry.gpus import GpuNames
from torchferry.model import Variant
from torchferry.templates import TEMPLATES

if TYPE_CHECKING:
    from torchferry.pipeline import Road

SHOWN = 5
"""How many hosts are named in one cell of the table."""


def show(road: Road, chosen: Sequence[Variant], *, hosts: str | None, out: str | None) -> None:
    """Print what runs where and write the page; ``hosts`` is the path of a fleet's list, or - for stdin.

    ConfigError where the list cannot be read, or where no service has a CUDA variant.
    """
    found = coverage.coverages(chosen, road.compat)
    if not found:
        raise ConfigError("no service here has a CUDA variant", cure="inv variants lists what there is")
    listed = None if hosts is None else _read(hosts, GpuNames(table=road.compat.table))
    pictures = []
    for one in found:
        laid = None if listed is None else fleet.fleet(listed, one.rules, road.compat)
        pictures.append(coverage_page.picture(one, laid))
        console.show(_text(one, laid))
    place = Path(out) if out else road.layout.coverage
    text = coverage_page.page(
        pictures, road.compat, templates=TEMPLATES, release=road.project.release.folder, hosts_file=hosts,
    )
    try:
        files.write_text(place, text)
    except OSError as error:
        raise ConfigError(f"--out {place}: {error.strerror}", cure="name a file that can be written") from error
    console.say(f"the picture: {place}")


def _read(place: str, names: GpuNames) -> tuple[Host, ...]:
    try:
        content = sys.stdin.buffer.read() if place == "-" else Path(place).read_bytes()
    except OSError as error:
        raise ConfigError(f"--hosts {place}: {error.strerror}", cure="name a CSV file: host,driver,gpu") from error
    return fleet.parse(content.decode("utf-8", errors="replace"), file=place, names=names)


def _text(one: Coverage, laid: Fleet | None) -> str:
    header, rows = coverage.text_table(one)
    blocks = [
        ", ".join(one.services),
        console.table(rows, header=header),
        "~ runs by minor-version compatibility, . no such driver serves these GPUs, (3.7) on this compute capability "
        "only\n" + "\n".join(coverage.summary(one)),
    ]
    return "\n\n".join([*blocks, *(_fleet(laid) if laid else [])]) + "\n"


def _fleet(laid: Fleet) -> list[str]:
    rows = [
        [need.variant, str(need.runs), str(need.full), _named(need.only_one_for),
         "needed" if need.needed else "can be dropped"]
        for need in laid.needs
    ]
    blocks = [
        f"{len(laid.hosts)} host{'s' if len(laid.hosts) > 1 else ''}",
        console.table(rows, header=["variant", "runs on", "in full", "only one for", "here"]),
    ]
    if laid.short:
        short = [[one.host.name, one.host.server.driver or "", one.host.gpus, one.kind, one.why] for one in laid.short]
        blocks.append("hosts that go short:")
        blocks.append(console.table(short, header=["host", "driver", "GPUs", "runs", "why"]))
    return blocks


def _named(hosts: Sequence[str]) -> str:
    more = len(hosts) - SHOWN
    return ", ".join(hosts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
