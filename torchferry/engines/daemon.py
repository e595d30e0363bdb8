"""The docker engine: builds on a daemon, and brings its images into the blob store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torchferry import console, files, manifest, savestream
from torchferry.base import DebianBase
from torchferry.blobs import BlobStore
from torchferry.engines.containers import Containers
from torchferry.engines.docker import DockerEngine
from torchferry.engines.layerdb import LayerDb, Unreadable
from torchferry.errors import IntegrityError
from torchferry.layout import Layout
from torchferry.model import BuiltImage, Image, Recipe, Variant, WheelSet

IMAGE_PER_WHEEL_BYTE = 2.0
"""Bytes of an installed tree per byte of its wheels: 5.19 GB from 2.70 GB for torch 2.1.2 with CUDA 12.1."""


@dataclass(frozen=True, kw_only=True)
class DaemonEngine:
    """One daemon, the project's layout, and how a variant's Debian base is had."""

    docker: DockerEngine
    layout: Layout
    debian: Callable[[Variant], DebianBase]

    def present(self, variant: Variant) -> BuiltImage | None:
        """The image that the daemon has under the variant's name."""
        return self.docker.find(variant.image_name)

    def build(self, recipe: Recipe, wheels: WheelSet) -> BuiltImage:
        """Build a recipe; its wheels lie in its context already. Raises BuildError, DiskFull and what a base raises."""
        variant = recipe.variant
        root = self.docker.root()
        if root is not None:
            needed = int(wheels.lock.size * (1 + IMAGE_PER_WHEEL_BYTE))
            files.require_space(root, needed, what=f"{variant.label}: context and image")
        if variant.service.base.debian:
            self.docker.take_base(self.debian(variant))
        with console.progress(f"build {variant.image_name} (docker engine)") as step:
            image = self.docker.build(recipe, log=self.layout.build_log(variant))
            step.advance(image.size)
        return image

    def take(self, built: BuiltImage, variant: Variant) -> Image:
        """Read the image out of the daemon, every SHA-256 verified, new layers compressed into the store."""
        store = BlobStore(folder=self.layout.blobs, compression=variant.compression)
        files.require_space(self.layout.build, built.size // 2, what=f"layers of {built.name}")
        image = image_from_layer_db(built, store, self.docker.layer_db())
        image = image or image_from_docker_save(built, store, self.docker)
        if tuple(layer.diff_id for layer in image.layers) != built.diff_ids:
            raise IntegrityError(
                f"{built.name}: docker save gave other layers than the image has",
                cure="build again, then package again",
            )
        return image

    @contextmanager
    def runner(self, built: BuiltImage, variant: Variant) -> Iterator[Containers]:
        """What runs the image for its smoke test."""
        yield Containers(self.docker.api)


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
