"""Simulates a year of releases for many sites, the usual way against deltas, and measures planning; bench/README.md.

    .venv/bin/python bench/fleet.py [--sites 100] [--mbit 20] [--receipts 1000] [--out FILE]

Nothing is built and nothing is sent: layers are names with sizes, and what each site needs of each release is told by
the planning that `inv site` and delta bundles use, from receipts as ferry.sh writes them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench.figures import markdown  # noqa: E402
from torchferry import console, files, planning, receipts, sites  # noqa: E402
from torchferry.layout import Layout  # noqa: E402
from torchferry.manifest import chain_ids  # noqa: E402
from torchferry.planning import PlannedImage, PlannedRelease  # noqa: E402
from torchferry.receipts import HeldImage, HeldService, Receipt  # noqa: E402

MB = 1_000_000
USUAL_PER_OURS = 5.53 / 2.78
"""The archive of the usual way by ours, as bench.py measured both of cu121: the usual image holds its wheels twice."""

BASE, APP, GROUPS = "base", "app", 16
SMALL = 52 * MB
"""Wheels that share layers, of all groups together."""

LAYERS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "cu121": (
        ("cudnn", 732 * MB), ("cublas", 411 * MB), ("nccl", 210 * MB), ("cusparse", 196 * MB), ("cusolver", 124 * MB),
        ("cufft", 122 * MB), ("curand", 57 * MB), ("nvrtc", 24 * MB), ("nvjitlink", 20 * MB), ("cupti", 14 * MB),
        ("triton", 89 * MB), ("torch", 670 * MB),
    ),
    "cu118": (("torch", 2300 * MB),),
    "cu124": (
        ("cudnn", 665 * MB), ("cublas", 363 * MB), ("nccl", 188 * MB), ("cusparse", 208 * MB), ("cusparselt", 150 * MB),
        ("cusolver", 128 * MB), ("cufft", 211 * MB), ("curand", 56 * MB), ("nvrtc", 25 * MB), ("nvjitlink", 21 * MB),
        ("cupti", 14 * MB), ("triton", 253 * MB), ("torch", 767 * MB),
    ),
    "cpu": (("torch", 185 * MB),),
}
"""The large layers of each variant from below, as they are shipped; above them the groups of small wheels, then app."""

CHANGES = ("code", "wheel", "torch", "base")


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What the simulation stands on."""

    sites: int
    releases: int
    wheel: int
    torch: int
    base: int
    late: float
    mbit: float
    base_bytes: int
    app_bytes: int
    seed: int


@dataclass(kw_only=True)
class Year:
    """Bytes that went to all sites, by way; and by what changed, for the deltas."""

    usual: int = 0
    whole: int = 0
    shared: int = 0
    own: int = 0
    shipments: int = 0
    by_change: dict[str, list[int]] | None = None


def main(words: Sequence[str]) -> int:
    """Simulate, measure, print, write."""
    options = arguments().parse_args(words)
    names = Assumed.__dataclass_fields__
    assumed = Assumed(**{name: value for name, value in vars(options).items() if name in names})
    year, planned = simulate(assumed), measure(options.receipts, random.Random(assumed.seed), assumed)
    console.show(report(assumed, year, planned))
    if options.out:
        files.write_text(options.out, json.dumps(
            {"assumed": asdict(assumed), "year": asdict(year), "planning": planned}, indent=2) + "\n")
    return 0


def arguments() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(prog="fleet.py", description="A year of releases for many sites, by simulation.")
    parser.add_argument("--sites", type=int, default=100, help="a quarter of them runs each of the four variants")
    parser.add_argument("--releases", type=int, default=12, help="in a year; those that are nothing else change code")
    parser.add_argument("--wheel", type=int, default=2, help="of these bump one small wheel as well")
    parser.add_argument("--torch", type=int, default=1, help="of these change torch as well")
    parser.add_argument("--base", type=int, default=1, help="of these change the base, and so every layer's ChainID")
    parser.add_argument("--late", type=float, default=0.1, help="the share of sites that skip a release")
    parser.add_argument("--mbit", type=float, default=20.0, help="Mbit/s to each site, or what a stick makes of it")
    parser.add_argument("--base-bytes", type=int, default=75 * MB, help="the base, compressed")
    parser.add_argument("--app-bytes", type=int, default=50_000, help="the service's own layer, compressed")
    parser.add_argument("--receipts", type=int, default=1000, help="how many the planning is measured with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write all figures to this file, in JSON")
    return parser


def simulate(assumed: Assumed) -> Year:
    """Every release of a year to every site that takes it."""
    chance = random.Random(assumed.seed)
    fleet = [_empty(number) for number in range(assumed.sites)]
    year = Year(by_change={change: [0, 0] for change in CHANGES})
    marks: dict[str, int] = {}
    for number, change in enumerate(["first", *_changes(assumed, chance)]):
        _change(change, number, marks, chance)
        release = _release(number, marks, assumed)
        takers = [at for at in range(len(fleet)) if change == "first" or chance.random() >= assumed.late]
        if change != "first":  # the first is the same for every way: all of it
            _count(year, change, release, [fleet[at] for at in takers])
        for at in takers:
            fleet[at] = _holds(fleet[at], release)
    return year


def _changes(assumed: Assumed, chance: random.Random) -> list[str]:
    """What each release changes, in the order of a year nobody planned."""
    special = ["wheel"] * assumed.wheel + ["torch"] * assumed.torch + ["base"] * assumed.base
    found = (special + ["code"] * assumed.releases)[:assumed.releases]
    chance.shuffle(found)
    return found


def _change(change: str, number: int, marks: dict[str, int], chance: random.Random) -> None:
    """Note which layers are other ones from this release on."""
    marks[APP] = number
    if change == "wheel":
        marks[f"group {chance.randrange(GROUPS)}"] = number
    elif change in (BASE, "torch"):
        marks[change] = number


def _release(number: int, marks: Mapping[str, int], assumed: Assumed) -> PlannedRelease:
    images = []
    for variant, large in LAYERS.items():
        layers = [(BASE, assumed.base_bytes), *large, *((f"group {at}", SMALL // GROUPS) for at in range(GROUPS)),
                  (APP, assumed.app_bytes)]
        # base and service are the same bytes in every variant; wheels of one name are not
        diffs = [
            _hash(f"{'' if name in (BASE, APP) else variant} {name} {marks.get(name, 0)}") for name, _ in layers
        ]
        images.append(PlannedImage(
            service="engine", variant=variant, platform="linux/amd64", chain_ids=chain_ids(diffs),
            sizes=tuple(size for _, size in layers),
        ))
    return PlannedRelease(name="stt", version=f"1.{number}.0", sequence=number, images=tuple(images), models=())


def _count(year: Year, change: str, release: PlannedRelease, takers: Sequence[Receipt]) -> None:
    """Add what one release costs to ship, each way."""
    assert year.by_change is not None
    for image in release.images:
        theirs = [receipt for receipt in takers if receipt.services[0].variant == image.variant]
        common = sum(image.sizes[planning.held_prefix(image.chain_ids, theirs):])
        own = sum(planning.need(release, receipt).bytes for receipt in theirs)
        year.usual += round(image.size * USUAL_PER_OURS) * len(theirs)
        year.whole += image.size * len(theirs)
        year.shared += common * len(theirs)
        year.own += own
        year.shipments += len(theirs)
        year.by_change[change][0] += own
        year.by_change[change][1] += len(theirs)


def _empty(number: int) -> Receipt:
    """A site before its first release; which variant it runs is known."""
    variant = list(LAYERS)[number % len(LAYERS)]
    return Receipt(
        host=f"site{number:04}", made="2026-01-01T00:00:00Z", engine="docker", engine_version="26.1.3",
        store="classic", release="stt", instance="stt", sequence=0, images=(), models=frozenset({"whisper-1"}),
        services=(HeldService(name="engine", version="1.0.0", variant=variant, running=True),),
    )


def _holds(site: Receipt, release: PlannedRelease) -> Receipt:
    """The site after it took a release: it keeps the image before, to go back to."""
    variant = site.services[0].variant
    image = next(one for one in release.images if one.variant == variant)
    held = HeldImage(
        name=f"engine:{release.version}-{variant}", image_id=_hash(image.chain_ids[-1]), raw=True,
        chain_ids=image.chain_ids, diff_ids=(),
    )
    return replace(site, images=(held, *site.images[:1]), sequence=release.sequence)


def measure(count: int, chance: random.Random, assumed: Assumed) -> dict[str, Any]:
    """Seconds and memory of reading receipts from sites/ and telling what each needs, and what all of them hold."""
    release = _release(9, {APP: 9}, assumed)
    with tempfile.TemporaryDirectory(prefix="ferry-fleet-") as folder:
        layout = Layout(root=Path(folder))
        layout.sites.mkdir()
        size = 0
        for number in range(count):
            text = "\n".join(_lines(number, chance)) + "\n"
            size += len(text)
            layout.receipt(f"site{number:04}").write_text(text, encoding="utf-8")
        started = time.perf_counter()
        known = sites.known(layout).sites
        read = time.perf_counter() - started
        needs = [planning.need(release, site.receipt).bytes for site in known]
        every = [planning.held_prefix(image.chain_ids, [site.receipt for site in known]) for image in release.images]
        whole = time.perf_counter() - started
        del known  # so that the memory that is counted is of one round
        tracemalloc.start()
        kept = sites.known(layout).sites
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(kept) == len(needs) == count and len(every) == len(LAYERS)
    return {"receipts": count, "bytes": size, "read_seconds": round(read, 3), "plan_seconds": round(whole - read, 3),
            "peak_bytes": peak}


def _lines(number: int, chance: random.Random) -> Iterator[str]:
    """A receipt as a busy site has it: two services, the last three releases of each, thirty layers an image."""
    site = replace(_empty(number), host=f"site{number:04}")
    yield from receipts.as_text(site).splitlines()
    for service, layers in (("engine", 30), ("page", 8)):
        for version in range(3):
            own = chance.randrange(layers)
            diffs = [_hash(f"{service} {at} {0 if at < own else (number, version)}") for at in range(layers)]
            yield f"image {service}:1.{version}.0-any {_hash(f'{service} {version} {number}')} raw"
            yield from (f"layer {chain} {diff}" for chain, diff in zip(chain_ids(diffs), diffs, strict=True))


def report(assumed: Assumed, year: Year, planned: Mapping[str, Any]) -> str:
    """The tables, in Markdown."""
    ways = (("usual: docker save, gzip, all of it", year.usual), ("our archives, whole", year.whole),
            ("one delta a variant, for all its sites", year.shared), ("a delta for each site", year.own))
    hours = {way: count * 8 / (assumed.mbit * 1e6) / 3600 for way, count in ways}
    usual = ways[0][0]
    table = markdown(
        ("way", "shipped", "part of the usual", "hours on the line", "hours saved"),
        [(way, console.size(count), f"{count / max(year.usual, 1):.2%}", f"{hours[way]:,.1f}",
          f"{hours[usual] - hours[way]:,.1f}") for way, count in ways],
    )
    changes = markdown(
        ("a release that changes", "shipments", "a delta on average"),
        [(change, str(count), console.size(total // count)) for change, (total, count) in (year.by_change or {}).items()
         if count],
    )
    plan = markdown(
        ("planning", "figure"),
        [("receipts", f"{planned['receipts']:,}, {console.size(planned['bytes'])}"),
         ("reading and proving them", f"{planned['read_seconds']:.2f} s"),
         ("what each needs, and what all hold", f"{planned['plan_seconds']:.2f} s"),
         ("memory at the peak", console.size(planned["peak_bytes"]))],
    )
    said = (f"{assumed.sites} sites, {assumed.releases} releases after the first, {year.shipments} shipments, "
            f"{assumed.mbit:g} Mbit/s a site")
    return f"{said}\n\n{table}\n\n{changes}\n\n{plan}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
