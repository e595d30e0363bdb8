"""Image to archive to release folder: layers come from the store, Docker is asked only for what it lacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import archive, console, files, manifest, savestream
from torchferry.blobs import BlobStore
from torchferry.compat import Compat
from torchferry.engines.docker import BuiltImage, DockerEngine
from torchferry.engines.layerdb import LayerDb, Unreadable
from torchferry.errors import IntegrityError
from torchferry.layout import Layout
from torchferry.model import Archive, Bundle, Image, Lock, Project, Variant
from torchferry.smoke import Check


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One variant's archive and what the manifest says of it."""

    variant: Variant
    lock: Lock
    archive: Archive
    checks: tuple[Check, ...]
    revision: str | None


def pack(variant: Variant, built: BuiltImage, engine: DockerEngine, layout: Layout) -> tuple[Archive, bool]:
    """The archive of a built image, and whether it had to be written."""
    store = BlobStore(folder=layout.blobs, compression=variant.compression)
    image = stored_image(built, store, layout.image_record(variant))
    known = image and current_archive(variant, image, layout)
    if known:
        return known, False
    if image is None:
        image = take_image(built, store, engine, layout, variant)
    target = layout.archive(variant)
    with console.progress(f"write and verify {target.name}", 2 * archive.packed_size(image, store)) as step:
        return archive.write_archive(image, store=store, target=target, passed=step.advance), True


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


def take_image(
    built: BuiltImage, store: BlobStore, engine: DockerEngine, layout: Layout, variant: Variant
) -> Image:
    """Read the image out of the daemon, every SHA-256 verified, new layers compressed into the store."""
    files.require_space(layout.build, built.size // 2, what=f"layers of {built.name}")
    image = image_from_layer_db(built, store, engine.layer_db()) or image_from_docker_save(built, store, engine)
    if diff_ids(image) != built.diff_ids:
        raise IntegrityError(
            f"{built.name}: docker save gave other layers than the image has", cure="build again, then package again"
        )
    record = {"image_id": built.image_id, "config": image.config_digest}
    files.write_text(layout.image_record(variant), json.dumps(record) + "\n")
    return image


def image_from_layer_db(built: BuiltImage, store: BlobStore, database: LayerDb | None) -> Image | None:
    """The image out of a local daemon's folder; None where that cannot be had, and docker save has to be asked."""
    if database is None:
        return None
    try:
        config = database.config(built.image_id)
        if hashlib.sha256(config).hexdigest() != built.image_id.removeprefix("sha256:"):
            raise Unreadable("the image's config has another SHA-256")
        with console.progress(f"take the layers of {built.name}", built.size) as step:
            for diff_id, chain_id in zip(built.diff_ids, manifest.chain_ids(built.diff_ids), strict=True):
                if not store.has(diff_id):
                    store.add(database.layer(chain_id), expected=diff_id, passed=step.advance)
    except (Unreadable, IntegrityError) as error:
        console.say(f"{built.name}: not taken from Docker's own folder ({str(error).splitlines()[0]}): docker save")
        return None
    return store.image(built.name, store.add_config(config))


def image_from_docker_save(built: BuiltImage, store: BlobStore, engine: DockerEngine) -> Image:
    """The image as `docker save` streams it: works with every daemon, wherever it runs."""
    root = engine.root()
    if root is not None:
        files.require_space(root, built.size, what=f"docker save of {built.name} (its temporary copy)")
    with console.progress(f"save {built.name}", built.size) as step, engine.save(built.name) as stream:
        (image,) = savestream.read_save(stream, store=store, names=[built.name], passed=step.advance)
    return image


def current_archive(variant: Variant, image: Image, layout: Layout) -> Archive | None:
    """The archive in dist/, if the manifest says that it is of this image and its bytes still have that hash."""
    place = layout.archive(variant)
    row = next(
        (row for row in _known_entries(layout, variant)
         if (row["service"], row["variant"]) == (variant.service.name, variant.name)), None,
    )
    if row is None or row["config"] != image.config_digest or row["image"] != image.name or not place.is_file():
        return None
    size, digest = row["archive"]["size"], row["archive"]["sha256"]
    if row["archive"].get("compression") != variant.compression or place.stat().st_size != size:
        return None
    if files.sha256(place) != digest:
        console.say(f"{place.name}: damaged, writing it anew")
        return None
    return Archive(path=place, size=size, sha256=digest, image=image)


def close(project: Project, packed: Sequence[Packed], compat: Compat, layout: Layout) -> Bundle:
    """Write manifest.json and SHA256SUMS over the new archives and those of other variants that still stand."""
    release = project.release
    made = {
        (one.variant.service.name, one.variant.name): manifest.entry(
            one.variant, one.lock, one.archive, compat, one.checks, revision=one.revision
        )
        for one in packed
    }
    wanted = {(variant.service.name, variant.name) for variant in project.variants}
    for row in _known_entries(layout, packed[0].variant) if packed else ():
        key = (row["service"], row["variant"])
        place = layout.release(release) / row["archive"]["name"]
        if key in wanted and key not in made and place.is_file() and place.stat().st_size == row["archive"]["size"]:
            made[key] = row
    text = manifest.document(release, made.values())
    files.write_text(layout.manifest(release), text)
    files.write_text(layout.sums(release), manifest.sums(text, made.values()))
    return Bundle(folder=layout.release(release), archives=tuple(one.archive for one in packed))


def _known_entries(layout: Layout, variant: Variant) -> tuple[dict[str, Any], ...]:
    place = layout.manifest(variant.release)
    if not place.is_file():
        return ()
    try:
        return manifest.entries(place.read_text(encoding="utf-8"), file=place.name)
    except IntegrityError as error:
        console.say(f"{place.name}: {error.message}; writing it anew")
        return ()
