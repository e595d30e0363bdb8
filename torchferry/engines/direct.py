"""The direct engine: images made in the blob store, by the instructions of the rendered Dockerfile, with no daemon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torchferry import console, files, image_config, packing, registry, smoke_static
from torchferry.base import DebianBase
from torchferry.blobs import BlobStore
from torchferry.engines import chroot, instructions
from torchferry.engines.docker import DockerEngine
from torchferry.engines.instructions import StoredBase
from torchferry.engines.loaded import loaded
from torchferry.errors import IntegrityError, ToolMissing
from torchferry.layout import RECIPE_LABEL, Layout
from torchferry.model import BuiltImage, Image, Layer, Lock, Recipe, Variant, WheelSet
from torchferry.smoke import Runner, Unrunnable
from torchferry.stored_tree import base_tree_of
from torchferry.wheel_layout import UV


@dataclass(frozen=True, kw_only=True)
class DirectEngine:
    """Builds into the store below ``layout``; ``debian`` gives a variant's Debian base."""

    layout: Layout
    debian: Callable[[Variant], DebianBase]

    def refusal(self, lock: Lock, dockerfile: str) -> str | None:
        """Why this Dockerfile and lock need the docker engine; None where they can be executed here."""
        if lock.installer.version != UV:
            return f"the lock names uv {lock.installer.version}, and wheels are laid out here as uv {UV} does it"
        return instructions.refusal(dockerfile)

    def present(self, variant: Variant) -> BuiltImage | None:
        """The image that was made here last, if the store still holds all of it."""
        try:
            said = json.loads(self.layout.image_record(variant, "direct").read_bytes())
            recipe, config = str(said["recipe"]), str(said["config"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        image = self._store(variant).image(variant.image_name, config)
        return _built(image, recipe) if image else None

    def build(self, recipe: Recipe, wheels: WheelSet) -> BuiltImage:
        """The image of a recipe, each layer made or found in the store; raises what `instructions.build` raises."""
        variant, store = recipe.variant, self._store(recipe.variant)
        files.require_space(self.layout.build, int(wheels.lock.size * 1.1), what=f"layers of {variant.label}")
        with console.progress(f"build {variant.image_name} (direct engine)", wheels.lock.size) as step:
            image = instructions.build(
                recipe, wheels, _Bases(variant=variant, debian=self.debian), store,
                labels={RECIPE_LABEL: recipe.digest}, passed=step.advance,
            )
        built = _built(image, recipe.digest)
        packing.write_record(self.layout, variant, built, image)
        return built

    def take(self, built: BuiltImage, variant: Variant) -> Image:
        """The image in the store, where `build` put it."""
        image = self._store(variant).image(built.name, built.image_id.removeprefix("sha256:"))
        if image is None:
            raise IntegrityError(f"{built.name}: a layer is gone from {self.layout.blobs}", cure="build it again")
        return image

    @contextmanager
    def runner(self, built: BuiltImage, variant: Variant) -> Iterator[Runner | Unrunnable]:
        """A daemon that the image is loaded into, else a chroot; Unrunnable where there is neither."""
        image, store = self.take(built, variant), self._store(variant)
        docker = _daemon(variant)
        problem = chroot.unavailable(variant) if docker is None else None
        if docker is not None:
            with loaded(image, store, docker) as runner:
                yield runner
        elif problem is None:
            with chroot.unpacked(image, store, self.layout.smoke) as unpacked:
                yield unpacked
        else:
            yield Unrunnable(look=lambda lock: smoke_static.look(variant, lock, image, store, problem))

    def _store(self, variant: Variant) -> BlobStore:
        return BlobStore(folder=self.layout.blobs, compression=variant.compression)


def _daemon(variant: Variant) -> DockerEngine | None:
    """A daemon that can run the image of a variant, if one answers."""
    try:
        docker = DockerEngine.connect()
    except ToolMissing:
        return None
    return docker if docker.architecture() == variant.architecture else None


def _built(image: Image, recipe: str) -> BuiltImage:
    return BuiltImage(
        engine="direct", name=image.name, image_id=f"sha256:{image.config_digest}", recipe=recipe, size=image.size,
        diff_ids=tuple(layer.diff_id for layer in image.layers),
    )


@dataclass(frozen=True, kw_only=True)
class _Bases:
    """What FROM means for one variant: its Debian tar, or an image of a registry."""

    variant: Variant
    debian: Callable[[Variant], DebianBase]

    def stored(self, reference: str, store: BlobStore) -> StoredBase:
        cpu = registry.CPU[self.variant.architecture]
        if self.variant.service.base.debian:
            base = self.debian(self.variant)
            layer = store.layer(base.sha256) or _add(base, store)
            config = image_config.of_debian(cpu, reference)
            return StoredBase(layers=(layer,), config=config, tree=base_tree_of((layer,), store))
        pulled = registry.pull(reference, self.variant.architecture, store)
        config = image_config.of_base(json.loads(pulled.config), reference, len(pulled.layers))
        return StoredBase(
            layers=pulled.layers, config=replace(config, architecture=cpu), tree=base_tree_of(pulled.layers, store))


def _add(base: DebianBase, store: BlobStore) -> Layer:
    with base.tar.open("rb") as tar:
        return store.add(tar, expected=base.sha256)
