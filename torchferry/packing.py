"""Image to archive to release folder: layers come from the store, Docker is asked only for what it lacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import archive, console, ferry, files, manifest, signing
from torchferry.blobs import BlobStore
from torchferry.compat import Compat
from torchferry.errors import IntegrityError
from torchferry.layout import FERRY, MANIFEST, Layout
from torchferry.memory import Memory
from torchferry.model import Archive, BuiltImage, Bundle, Image, Lock, Project, Variant
from torchferry.running import Head
from torchferry.smoke import Check


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
) -> tuple[Archive, bool]:
    """The archive of a built image, and whether it had to be written; ``take`` brings into the store what it lacks."""
    store = BlobStore(folder=layout.blobs, compression=variant.compression)
    image = stored_image(built, store, layout.image_record(variant, built.engine))
    known = image and current_archive(variant, image, layout)
    if known:
        return known, False
    if image is None:
        image = take(built, variant)
        write_record(layout, variant, built, image)
    target = layout.archive(variant)
    with console.progress(f"write and verify {target.name}", 2 * archive.packed_size(image, store)) as step:
        made = archive.write_archive(image, store=store, target=target, passed=step.advance)
    memory = Memory(layout.verified)
    memory.learn(made.path, made.sha256)
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


def current_archive(variant: Variant, image: Image, layout: Layout) -> Archive | None:
    """The archive in dist/, if the manifest says that it is of this image and its bytes still have that hash."""
    place = layout.archive(variant)
    row = _listed(variant, image, layout)
    if row is None:
        return None
    size, digest = row["archive"]["size"], row["archive"]["sha256"]
    if place.stat().st_size != size:
        return None
    if not Memory(layout.verified).checked(place, digest):
        console.say(f"{place.name}: damaged, writing it anew")
        return None
    return Archive(path=place, size=size, sha256=digest, image=image)


def is_listed(variant: Variant, built: BuiltImage, layout: Layout) -> bool:
    """Whether the manifest says that the archive in dist/ is of this image, and its length is right."""
    store = BlobStore(folder=layout.blobs, compression=variant.compression)
    image, place = stored_image(built, store, layout.image_record(variant, built.engine)), layout.archive(variant)
    row = _listed(variant, image, layout) if image else None
    return row is not None and place.stat().st_size == row["archive"]["size"]


def close(project: Project, packed: Sequence[Packed], compat: Compat, layout: Layout) -> Bundle:
    """Write ferry.sh, manifest.json and SHA256SUMS over new archives and those of other variants that still stand."""
    release = project.release
    made = {
        one.variant.key: manifest.entry(
            one.variant, one.lock, one.archive, _head(one, layout), compat, one.checks, revision=one.revision
        )
        for one in packed
    }
    wanted = {variant.key for variant in project.variants}
    for row in _known_entries(layout, packed[0].variant) if packed else ():
        key = _key(row)
        place = layout.release(release) / row["archive"]["name"]
        if key in wanted and key not in made and place.is_file() and place.stat().st_size == row["archive"]["size"]:
            made[key] = row
    document = manifest.document(project, made.values())
    text = manifest.as_text(document)
    files.write_text(layout.manifest(release), text)
    script = ferry.write(document, project, compat, layout)
    files.write_text(layout.sums(release), manifest.sums(document, {MANIFEST: text, FERRY: script}))
    signing.settle(layout.sums(release))
    return Bundle(folder=layout.release(release), archives=tuple(one.archive for one in packed))


def _head(one: Packed, layout: Layout) -> Head:
    """The other beginning of an archive, written beside it."""
    image, variant = one.archive.image, one.variant
    made = archive.head(
        image, BlobStore(folder=layout.blobs, compression=variant.compression), name=layout.head_name(variant),
        image_name=f"{variant.service.name}:incoming-{image.config_digest[:12]}",
    )
    place = layout.release(variant.release) / made.name
    if not place.is_file() or place.read_bytes() != made.data:
        files.write_bytes(place, made.data)
    return made


def _listed(variant: Variant, image: Image, layout: Layout) -> dict[str, Any] | None:
    """What the manifest says of the archive in dist/, if that is there and of this image."""
    row = next((row for row in _known_entries(layout, variant) if _key(row) == variant.key), None)
    if row is None or row["config"] != image.config_digest or row["image"] != image.name:
        return None
    packed = row["archive"].get("compression") == variant.compression and layout.archive(variant).is_file()
    return row if packed else None


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Variant.key of an entry of the manifest."""
    return row["service"], row["variant"], row["platform"]


def _known_entries(layout: Layout, variant: Variant) -> tuple[dict[str, Any], ...]:
    place = layout.manifest(variant.release)
    if not place.is_file():
        return ()
    try:
        return manifest.entries(place.read_text(encoding="utf-8"), file=place.name)
    except IntegrityError as error:
        console.say(f"{place.name}: {error.message}; writing it anew")
        return ()
