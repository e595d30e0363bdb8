"""What a server still needs of a release, from its receipt: which of the lowest layers it holds, and what is left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torchferry.manifest import model_folder
from torchferry.receipts import Receipt


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """An image of a release: its layers from below by ChainID, and the bytes of each as they are shipped."""

    service: str
    variant: str
    platform: str
    chain_ids: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(self.sizes)


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model of a release: which services get it, and its bytes."""

    label: str
    services: frozenset[str]
    size: int


@dataclass(frozen=True, kw_only=True)
class PlannedRelease:
    """What a release would bring."""

    name: str
    version: str
    sequence: int
    images: tuple[PlannedImage, ...]
    models: tuple[PlannedModel, ...]


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that one server lacks, and those of all that it would get otherwise; the images, as SERVICE-VARIANT."""

    layers: int
    models: int
    full: int
    images: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return self.layers + self.models

    @property
    def share(self) -> float:
        """What part of the whole it needs: 0 to 1."""
        return self.bytes / self.full if self.full else 0.0


def held_prefix(chain_ids: Sequence[str], receipts: Iterable[Receipt]) -> int:
    """How many of the lowest layers of an image every one of these servers holds; without a server none."""
    held = [prefix(chain_ids, receipt.raw_chain_ids) for receipt in receipts]
    return min(held, default=0)


def of_manifest(document: Mapping[str, Any], packed: Mapping[str, int] | None = None) -> PlannedRelease:
    """A release as its manifest tells it; ``packed`` are the bytes of compressed layers by diff_id, where known."""
    return PlannedRelease(
        name=document["release"], version=document["version"], sequence=document["sequence"],
        images=tuple(_image(row, packed or {}) for row in document["images"]),
        models=tuple(
            PlannedModel(
                label=model_folder(row), services=frozenset(row["services"]),
                size=sum(file["size"] for file in row["files"]),
            )
            for row in document["models"]
        ),
    )


def need(release: PlannedRelease, receipt: Receipt) -> Need:
    """What a server lacks of the images that it would run, and of their models.

    Which those are follows from the variants that run there; of a service about which nothing is known, all count.
    """
    images = tuple(image for service in _services(release) for image in _images_for(release, service, receipt))
    wanted = {image.service for image in images}
    models = [model for model in release.models if model.services & wanted]
    return Need(
        layers=sum(sum(image.sizes[held_prefix(image.chain_ids, [receipt]):]) for image in images),
        models=sum(model.size for model in models if model.label not in receipt.models),
        full=sum(image.size for image in images) + sum(model.size for model in models),
        images=tuple(f"{image.service}-{image.variant}" for image in images),
    )


def prefix(chain_ids: Sequence[str], held: Collection[str]) -> int:
    """How many of the lowest layers of an image are among those that are held."""
    return next((count for count, chain in enumerate(chain_ids) if chain not in held), len(chain_ids))


def _image(row: Mapping[str, Any], packed: Mapping[str, int]) -> PlannedImage:
    """An image of the manifest; where a layer's compressed size is not known, it is shrunk like the whole archive."""
    ratio = row["archive"]["size"] / max(row["size"], 1)
    return PlannedImage(
        service=row["service"], variant=row["variant"], platform=row["platform"],
        chain_ids=tuple(layer["chain_id"] for layer in row["layers"]),
        sizes=tuple(packed.get(layer["diff_id"], round(layer["size"] * ratio)) for layer in row["layers"]),
    )


def _services(release: PlannedRelease) -> tuple[str, ...]:
    return tuple(dict.fromkeys(image.service for image in release.images))


def _images_for(release: PlannedRelease, service: str, receipt: Receipt) -> tuple[PlannedImage, ...]:
    """The image of one service that a server would run, else all that it might run; of two platforms, its own."""
    running = {one.variant for one in receipt.services if one.name == service}
    running |= set() if running else {one.variant for one in receipt.services}  # a new service follows the others
    offered = [image for image in release.images if image.service == service]
    wanted = [image for image in offered if image.variant in running or image.variant == "any"] or offered
    return tuple(
        max((image for image in wanted if image.variant == variant), key=lambda image: held_prefix(
            image.chain_ids, [receipt]))
        for variant in dict.fromkeys(image.variant for image in wanted)
    )
