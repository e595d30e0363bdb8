"""Image to archive to release folder: layers come from the store, Docker is asked only for what it lacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from torchferry import (
    archive,
    compose,
    console,
    ferry,
    files,
    install_text,
    manifest,
    models,
    page,
    parts,
    sbom,
    signing,
)
from torchferry.blobs import BlobStore
from torchferry.compat import Compat
from torchferry.delta import Held
from torchferry.errors import IntegrityError
from torchferry.layout import COMPOSE, FERRY, INSTALL, MANIFEST, PAGE, SBOMS, Layout
from torchferry.memory import Memory
from torchferry.model import Archive, BuiltImage, Bundle, Image, Lock, Project, Variant
from torchferry.running import Extent, Head
from torchferry.smoke import Check
from torchferry.templates import folder_of


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One variant's archive and what the manifest says of it."""

    variant: Variant
    lock: Lock
    archive: Archive
    checks: tuple[Check, ...]
    revision: str | None


def pack(
    variant: Variant, built: BuiltImage, layout: Layout, take: Callable[[BuiltImage, Variant], Image],
    held: Held | None = None,
) -> tuple[Archive, bool]:
    """The archive of a built image, and whether it had to be written; ``take`` brings into the store what it lacks.

    What is ``held`` by the servers that it is for stays out.
    """
    store = BlobStore(folder=layout.blobs, compression=variant.compression)
    image = stored_image(built, store, layout.image_record(variant, built.engine))
    known = image and current_archive(variant, image, layout, omits=held.omits(image) if held else 0)
    if known:
        return known, False
    if image is None:
        image = take(built, variant)
        write_record(layout, variant, built, image)
    target, omits = layout.archive(variant), held.omits(image) if held else 0
    size = 2 * archive.packed_size(image, store, omits=omits)
    with console.progress(f"write and verify {target.name}", size) as step:
        made = archive.write_archive(
            image, store=store, target=target, split=variant.release.split, omits=omits, passed=step.advance,
        )
    memory = Memory(layout.verified)
    for part in made.parts:
        memory.learn(target.with_name(part.name), part.sha256)
    memory.save()
    return made, True


def stored_image(built: BuiltImage, store: BlobStore, record: Path) -> Image | None:
    """The image from our own store, if it holds the config and every layer.

    ``record`` tells which config the daemon's image ID stands for: with the containerd store it is no config's digest.
    """
    try:
        said = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    image = store.image(built.name, str(said.get("config"))) if said.get("image_id") == built.image_id else None
    return image if image is not None and diff_ids(image) == built.diff_ids else None


def diff_ids(image: Image) -> tuple[str, ...]:
    """The layers of an image by their diff_ids, lowest first."""
    return tuple(layer.diff_id for layer in image.layers)


def write_record(layout: Layout, variant: Variant, built: BuiltImage, image: Image) -> None:
    """Note which image of the store an engine's image is."""
    record = {"image_id": built.image_id, "config": image.config_digest, "recipe": built.recipe}
    files.write_text(layout.image_record(variant, built.engine), json.dumps(record) + "\n")


def current_archive(variant: Variant, image: Image, layout: Layout, *, omits: int = 0) -> Archive | None:
    """The archive in dist/, if the manifest says that it is of this image and its bytes still have that hash."""
    row = _listed(variant, image, layout)
    if row is None or row["archive"]["omits"] != omits:
        return None
    lying = parts.as_listed(row["archive"], layout.archive(variant), image)
    damaged = parts.damaged(lying, Memory(layout.verified))
    if damaged:
        console.say(f"{', '.join(damaged)}: damaged, writing {lying.path.name} anew")
        return None
    return lying


def listed_size(variant: Variant, built: BuiltImage, layout: Layout) -> int | None:
    """The bytes of the archive in dist/, if the manifest says that it is of this image, and its length is right."""
    store = BlobStore(folder=layout.blobs, compression=variant.compression)
    image = stored_image(built, store, layout.image_record(variant, built.engine))
    row = _listed(variant, image, layout) if image else None
    return int(row["archive"]["size"]) if row else None


def close(
    project: Project, packed: Sequence[Packed], compat: Compat, layout: Layout, held: Held | None = None,
) -> Bundle:
    """Bring the models, and write what tells of a release over new archives and those of other variants that stand."""
    release = project.release
    made = {
        one.variant.key: manifest.entry(
            one.variant, one.lock, one.archive, _head(one, layout), compat, one.checks, revision=one.revision,
            packed=_packed_layers(one, layout),
        )
        for one in packed
    }
    wanted = {variant.key for variant in project.variants}
    # A folder is named by the host: what an earlier receipt of it left there belongs to another delta.
    stays = held is None or list(held.rests_on) == _rested_on(layout.manifest(release))
    for row in _known_entries(layout, packed[0].variant) if packed else ():
        key = _key(row)
        if not stays and key not in made:
            parts.remove(row["archive"], layout.release(release))
        elif key in wanted and key not in made and parts.stands(row["archive"], layout.release(release)):
            made[key] = row
    rows = models.place(project, layout, held=held.models if held else ())
    delta = held.as_json(map(manifest.model_folder, rows)) if held else None
    document = manifest.document(project, made.values(), rows, delta)
    texts = {MANIFEST: manifest.as_text(document), COMPOSE: compose.text(document)}
    for name, text in texts.items():
        files.write_text(layout.release(release) / name, text)
    sboms = _sboms(project, packed, made, layout)
    texts |= {FERRY: ferry.write(document, project, compat, layout), INSTALL: install_text.text(document), **sboms}
    texts[PAGE] = page.html(
        document, ferry.present(document, project), compat, templates=folder_of(page.TEMPLATE, layout), texts=texts,
        boms={_label(name): sbom.rows(text, file=name) for name, text in sboms.items()},
    )
    for name in (INSTALL, PAGE):
        files.write_text(layout.release(release) / name, texts[name])
    files.write_text(layout.sums(release), manifest.sums(document, texts))
    signing.settle(layout.sums(release))
    return Bundle(folder=layout.release(release), archives=tuple(one.archive for one in packed))


def _packed_layers(one: Packed, layout: Layout) -> Mapping[str, Extent]:
    """Where the layers lie in an archive; nothing where it was written from layers that were compressed otherwise."""
    image, store, omits = one.archive.image, _store(one, layout), one.archive.omits
    same = archive.packed_size(image, store, omits=omits) == one.archive.size
    return archive.packed_layers(image, store, omits=omits) if same else {}


def _store(one: Packed, layout: Layout) -> BlobStore:
    return BlobStore(folder=layout.blobs, compression=one.variant.compression)


def _head(one: Packed, layout: Layout) -> Head:
    """The other beginning of an archive, written beside it."""
    image, variant = one.archive.image, one.variant
    made = archive.head(
        image, _store(one, layout), name=layout.head_name(variant),
        omits=one.archive.omits, image_name=f"{variant.service.name}:incoming-{image.config_digest[:12]}",
    )
    place = layout.release(variant.release) / made.name
    if not place.is_file() or place.read_bytes() != made.data:
        files.write_bytes(place, made.data)
    return made


def _sboms(
    project: Project, packed: Sequence[Packed], made: Mapping[tuple[str, str, str], Mapping[str, Any]], layout: Layout,
) -> dict[str, str]:
    """The SBOM of each image in the release folder, by its path there; those of other images are removed."""
    fresh = {one.variant.key: one for one in packed}
    found: dict[str, str | None] = {}
    for variant in project.variants:
        if variant.key in fresh:
            one = fresh[variant.key]
            found[layout.sbom_name(variant)] = sbom.write(variant, one.lock, one.archive.image, layout)
        elif variant.key in made:
            found[layout.sbom_name(variant)] = sbom.standing(variant, made[variant.key]["config"], layout)
    texts = {name: text for name, text in found.items() if text is not None}
    for place in (layout.release(project.release) / SBOMS).glob("*.cdx.json"):
        if f"{SBOMS}/{place.name}" not in texts:
            place.unlink()
    return texts


def _label(place: str) -> str:
    """The image that an SBOM is of, as its file is named."""
    return PurePosixPath(place).name.removesuffix(".cdx.json")


def _listed(variant: Variant, image: Image, layout: Layout) -> dict[str, Any] | None:
    """What the manifest says of the archive in dist/, if that is there, of this image, and cut as it should be."""
    row = next((row for row in _known_entries(layout, variant) if _key(row) == variant.key), None)
    if row is None or row["config"] != image.config_digest or row["image"] != image.name:
        return None
    said = row["archive"]
    as_asked = said.get("compression") == variant.compression and parts.is_cut(said, variant.release.split)
    return row if as_asked and parts.stands(said, layout.release(variant.release)) else None


def _rested_on(place: Path) -> list[str]:
    """What the delta in a release folder was made of; nothing where there is none."""
    try:
        return list(json.loads(place.read_text(encoding="utf-8"))["delta"]["rests_on"])
    except (OSError, ValueError, TypeError, LookupError):
        return []


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Variant.key of an entry of the manifest."""
    return row["service"], row["variant"], row["platform"]


def _known_entries(layout: Layout, variant: Variant) -> tuple[dict[str, Any], ...]:
    place = layout.manifest(variant.release)
    if not place.is_file():
        return ()
    try:
        rows = manifest.entries(place.read_text(encoding="utf-8"), file=place.name)
    except IntegrityError as error:
        console.say(f"{place.name}: {error.message}; writing it anew")
        return ()
    return tuple(row for row in rows if "omits" in row["archive"] and "manifest" in row)  # or it is of older code
