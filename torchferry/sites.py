"""`sites/`: what each server holds and runs, the newest receipt of each as a text file; what people carry home goes in.

A file is named for the host as it calls itself, and for the instance where that is not the release's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchferry import console, files, receipts
from torchferry.errors import ConfigError, FerryError
from torchferry.layout import RECEIPT_SUFFIX, Layout
from torchferry.receipts import Receipt


@dataclass(frozen=True, kw_only=True)
class Site:
    """A server whose receipt is kept: under which name, and what it said."""

    name: str
    path: Path
    receipt: Receipt


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that is kept, by name; ``broken`` are files that cannot be read any more, and why."""

    sites: tuple[Site, ...]
    broken: tuple[tuple[Path, FerryError], ...]


def known(layout: Layout) -> Known:
    """Read every receipt that is kept."""
    found, broken = [], []
    for path in sorted(layout.sites.glob(f"*{RECEIPT_SUFFIX}")):
        try:
            found.append(Site(name=path.name.removesuffix(RECEIPT_SUFFIX), path=path, receipt=receipts.read(path)))
        except FerryError as error:
            broken.append((path, error))
    return Known(sites=tuple(found), broken=tuple(broken))


def add(places: Sequence[str], layout: Layout, *, name: str | None = None) -> None:
    """Keep the receipts in these files, ``name`` in place of the host's own name.

    Those that can be kept are; then one error tells of all others.
    """
    if name is not None and len(places) != 1:
        raise ConfigError(
            f"--name {name}: is for one receipt", cure="add the receipts one by one: --add FILE --name NAME",
        )
    refused = []
    for place in places:
        try:
            keep(receipts.read(Path(place)), layout, file=place, name=name)
        except FerryError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise ConfigError(
            "; ".join(error.message for error in refused),
            cure="\n".join(dict.fromkeys(error.cure for error in refused)),
        )


def keep_all(answers: Mapping[str, Receipt | FerryError], layout: Layout) -> dict[str, FerryError]:
    """Keep what several hosts said, by the names under which they were reached; why not, for those of whom none is."""
    refused: dict[str, FerryError] = {}
    names: dict[str, str] = {}
    for host, answer in answers.items():
        if isinstance(answer, FerryError):
            refused[host] = answer
            continue
        other = names.setdefault(_own_name(answer), host)
        try:
            if other != host:
                raise ConfigError(
                    f"{other} and {host} both call themselves {answer.host}",
                    cure=f"where these are two servers, keep them apart by hand: sh ferry.sh receipt > FILE on {host}, "
                         f"then inv site --add FILE --name NAME",
                )
            keep(answer, layout, file=host)
        except FerryError as error:
            refused[host] = error
    return refused


def keep(receipt: Receipt, layout: Layout, *, file: str, name: str | None = None) -> Path:
    """Keep a receipt in place of an older one of the same server; ``file`` says where it came from.

    Raises ConfigError where a newer one, or one of another server, would be lost.
    """
    path = layout.receipt(name or _own_name(receipt))
    before = _before(path)
    if before is not None:
        _require_successor(receipt, before, path, file)
    if receipt != before:
        _write(path, receipts.as_text(receipt))
    console.say(f"{file}: {receipt.host} as of {receipt.made}, kept as {path.relative_to(layout.root)}")
    return path


def _own_name(receipt: Receipt) -> str:
    return receipt.host if receipt.instance == receipt.release else f"{receipt.host}+{receipt.instance}"


def _before(path: Path) -> Receipt | None:
    """What is kept there; a file that cannot be read any more is nothing to lose."""
    try:
        return receipts.read(path) if path.exists() else None
    except FerryError:
        return None


def _require_successor(receipt: Receipt, before: Receipt, path: Path, file: str) -> None:
    if (receipt.host, receipt.release) != (before.host, before.release):
        raise ConfigError(
            f"{file}: is of {receipt.release} on {receipt.host}, and {path} is of {before.release} on {before.host}",
            cure="keep it under another name: --name NAME",
        )
    if receipt.made < before.made:
        raise ConfigError(
            f"{file}: is of {receipt.made}, and {path} of {before.made}, which is newer",
            cure=f"nothing to do; if the clock of {receipt.host} was wrong then, remove {path} first",
        )


def _write(path: Path, text: str) -> None:
    try:
        files.write_text(path, text)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}", cure="make it a folder that you may write",
        ) from error
