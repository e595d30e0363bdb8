"""`inv site`: one table of who holds what since when, and what each still needs of this project's release."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torchferry import console, manifest, model_files, planning, sites
from torchferry.blobs import BlobStore
from torchferry.errors import ConfigError, IntegrityError
from torchferry.model import Image, Variant
from torchferry.planning import Need, PlannedImage, PlannedModel, PlannedRelease
from torchferry.receipts import Receipt
from torchferry.sites import Known, Site

if TYPE_CHECKING:
    from torchferry.pipeline import Road

PACKED, BUILT, NOTHING = "packed", "built, not packed", "not built"
ENGINES = ("direct", "docker")
HEADER = ["site", "runs", "sequence", "engine", "as of", "needs", "of", "share"]


def show(road: Road, *, as_json: bool) -> None:
    """The table on stdout; then ConfigError where a receipt that is kept cannot be read."""
    known, (release, state) = sites.known(road.layout), planned(road)
    if as_json:
        console.show_json(_document(known, release, state))
    elif known.sites:
        console.show(_text(known, release, state))
    elif not known.broken:
        console.say("no receipt is kept yet; on a server: sh ferry.sh receipt > receipt.txt, then here: "
                    "inv site --add receipt.txt; inv ship SERVER --up fetches it by itself")
    if known.broken:
        raise ConfigError(
            "; ".join(error.message for _, error in known.broken),
            cure="bring a new receipt with inv site --add, or remove the file",
        )


def planned(road: Road) -> tuple[PlannedRelease | None, str]:
    """The project's release as far as it is made, and how far that is: from dist/, else from the last builds."""
    place = road.layout.manifest(road.project.release)
    if place.is_file():
        return _from_manifest(road, place.read_text(encoding="utf-8"), file=str(place)), PACKED
    images = tuple(image for variant in road.project.variants for image in _last_built(road, variant))
    if not images:
        return None, NOTHING
    made = road.project.release
    return PlannedRelease(
        name=made.name, version=made.version, sequence=made.sequence, images=images, models=tuple(_models(road)),
    ), BUILT


def _from_manifest(road: Road, text: str, *, file: str) -> PlannedRelease:
    rows, packed = manifest.entries(text, file=file), dict[str, int]()
    try:
        for row in rows:
            store = BlobStore(folder=road.layout.blobs, compression=row["archive"]["compression"])
            packed |= _packed(store, [layer["diff_id"] for layer in row["layers"]])
        return planning.of_manifest(json.loads(text), packed)
    except (LookupError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{file}: says not all of a release: {error!r}", cure="inv package writes it anew",
        ) from error


def _packed(store: BlobStore, diff_ids: list[str]) -> Mapping[str, int]:
    """The compressed bytes of those layers that the store has."""
    return {blob.layer.diff_id: blob.gz_size for blob in map(store.blob, diff_ids) if blob}


def _last_built(road: Road, variant: Variant) -> Iterator[PlannedImage]:
    """The image of a variant as it was last built, if the store has it."""
    store = BlobStore(folder=road.layout.blobs, compression=variant.compression)
    found = next((image for engine in ENGINES if (image := _recorded(road, variant, engine, store))), None)
    if found is not None:
        diffs = [layer.diff_id for layer in found.layers]
        packed = _packed(store, diffs)
        yield PlannedImage(
            service=variant.service.name, variant=variant.name, platform=variant.platform,
            chain_ids=manifest.chain_ids(diffs), sizes=tuple(packed[diff] for diff in diffs),
        )


def _recorded(road: Road, variant: Variant, engine: str, store: BlobStore) -> Image | None:
    try:
        said = json.loads(road.layout.image_record(variant, engine).read_text(encoding="utf-8"))
        return store.image(variant.image_name, str(said["config"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _models(road: Road) -> Iterator[PlannedModel]:
    for model in road.project.models:
        files = model_files.find(road.project.root / model.source, model).files
        yield PlannedModel(
            label=model.folder, services=frozenset(model.services), size=sum(file.size for file in files))


def _text(known: Known, release: PlannedRelease | None, state: str) -> str:
    rows = [
        [site.name, _runs(site.receipt), str(site.receipt.sequence), _engine(site.receipt), _time(site.receipt.made),
         *_needs(release, site.receipt)]
        for site in known.sites
    ]
    title = f"{release.name} {release.version}, sequence {release.sequence}: {state}" if release else (
        f"the release is {state}; what each needs is told after inv build")
    return f"{title}\n\n{console.table(rows, header=HEADER)}"


def _needs(release: PlannedRelease | None, receipt: Receipt) -> list[str]:
    if release is None:
        return ["?", "?", "?"]
    found = planning.need(release, receipt)
    return [console.size(found.bytes), console.size(found.full), share(found.share)]


def share(part: float) -> str:
    """A part of the whole in per cent, such that nothing and almost nothing are told apart."""
    return "0 %" if part == 0 else "< 0.1 %" if part < 0.001 else f"{part:.1%}".replace("%", " %")


def _runs(receipt: Receipt) -> str:
    """What a server runs: '1.0.0 cu121' where all services are of one release, else service by service."""
    if not receipt.services:
        return f"{receipt.release}: nothing"
    stopped = [one.name for one in receipt.services if not one.running]
    after = "" if not stopped else " (stopped)" if len(stopped) == len(receipt.services) else (
        f" ({', '.join(stopped)} stopped)")
    versions = {one.version for one in receipt.services}
    variants = sorted({one.variant for one in receipt.services} - {"any"}) or ["any"]
    if len(versions) == 1 and len(variants) == 1:
        return f"{receipt.release} {versions.pop()} {variants[0]}{after}"
    return ", ".join(f"{one.name} {one.version} {one.variant}" for one in receipt.services) + after


def _engine(receipt: Receipt) -> str:
    store = "" if receipt.store == receipt.engine else receipt.store
    return " ".join(word for word in (receipt.engine, receipt.engine_version, store) if word)


def _time(made: str) -> str:
    return made[:16].replace("T", " ")


def _document(known: Known, release: PlannedRelease | None, state: str) -> dict[str, Any]:
    return {
        "release": release and {"name": release.name, "version": release.version, "sequence": release.sequence},
        "state": state,
        "sites": [_site(site, release) for site in known.sites],
        "broken": [{"file": str(path), "problem": error.message} for path, error in known.broken],
    }


def _site(site: Site, release: PlannedRelease | None) -> dict[str, Any]:
    receipt = site.receipt
    return {
        "site": site.name, "file": str(site.path), "host": receipt.host, "made": receipt.made,
        "engine": {"name": receipt.engine, "version": receipt.engine_version, "store": receipt.store},
        "release": receipt.release, "instance": receipt.instance, "sequence": receipt.sequence,
        "services": [
            {"name": one.name, "version": one.version, "variant": one.variant, "running": one.running}
            for one in receipt.services
        ],
        "images": [{"name": image.name, "id": image.image_id, "raw": image.raw} for image in receipt.images],
        "models": sorted(receipt.models),
        "needs": release and _need(planning.need(release, receipt)),
    }


def _need(found: Need) -> dict[str, Any]:
    return {
        "images": list(found.images), "layers": found.layers, "models": found.models, "bytes": found.bytes,
        "full": found.full, "share": round(found.share, 6),
    }
