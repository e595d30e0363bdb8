"""`--auto`: what the release's own ferry.sh says on a server, which variant runs there."""

from __future__ import annotations

from pathlib import Path

from torchferry.cargo import Wish
from torchferry.carriers import Carrier
from torchferry.errors import ShipError

PLATFORMS = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


def picked(carrier: Carrier, script: Path, services: tuple[str, ...]) -> Wish:
    """The wish for what runs on the carrier's host; ShipError with the doctor's reasons where nothing does."""
    lines: list[str] = []
    status = carrier.ferry(["doctor", "--plain"], lines.append, script)
    rows = [line.split("\t") for line in lines]
    choice = next((row[1] for row in rows if row[0] == "pick" and len(row) == 3), None)
    if choice is None:
        raise ShipError(
            f"ferry.sh doctor gave no answer there (status {status})" + "".join(f": {line}" for line in lines[-1:]),
            cure="it needs sh, awk and od there; or say yourself: --variant",
        )
    if not choice:
        reason = next((row[1] for row in rows if row[0] == "reason" and len(row) == 2), "the doctor gives no reason")
        raise ShipError(
            f"no variant can be picked, so nothing was sent: {reason}",
            cure="sh ferry.sh doctor says there what to do; or say yourself: --variant",
        )
    machine = next((row[4] for row in rows if row[0] == "facts" and len(row) > 4), "")
    return Wish(variants=(choice,), services=services, platform=PLATFORMS.get(machine))
