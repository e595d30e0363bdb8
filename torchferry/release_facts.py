"""What a manifest.json tells a person: the release, its images, services, models and files, as nouns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torchferry.errors import IntegrityError
from torchferry.manifest import model_folder, omitted_models

NO_VARIANT = "any"
"""The name of the image of a service that has no variants."""

PASSED, NOT_TESTED = "passed", "not tested"
"""How a check of an image can have ended; every other word is a failure."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of the release folder by its path there; ``size`` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image: the files that it travels in, its unpacked size in bytes, and how its smoke test came out."""

    service: str
    variant: str
    image: str
    platform: str
    files: tuple[File, ...]
    size: int
    torch: str | None
    cuda: str | None
    passed: int
    untested: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def packed(self) -> int:
        """Bytes to carry."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, kw_only=True)
class ServiceFacts:
    """One service; ``port`` and ``health`` (a path) where it has them."""

    name: str
    port: int | None = None
    health: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """One model with its files."""

    name: str
    version: str
    files: tuple[File, ...]


@dataclass(frozen=True, kw_only=True)
class ReleaseFacts:
    """One release; ``sequence`` is None where the manifest has none."""

    name: str
    version: str
    sequence: int | None
    torchferry: str
    revisions: tuple[str, ...]
    images: tuple[ImageFacts, ...]
    services: tuple[ServiceFacts, ...]
    models: tuple[ModelFacts, ...]

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def folder(self) -> str:
        """The release folder's name."""
        return f"{self.name}-{self.version}"

    @property
    def files(self) -> tuple[File, ...]:
        """What the images and models consist of."""
        holders: tuple[ImageFacts | ModelFacts, ...] = (*self.images, *self.models)
        return tuple(file for holder in holders for file in holder.files)

    def unpacked(self) -> Mapping[str, int]:
        """Bytes that the images take up in the engine's storage, by the variant that is chosen.

        A service without variants has one image, which every choice needs too; of platforms the largest counts.
        """
        sums: dict[tuple[str, str], int] = {}
        for image in self.images:
            key = (image.variant, image.platform)
            sums[key] = sums.get(key, 0) + image.size
        most: dict[str, int] = {}
        for (variant, _), size in sums.items():
            most[variant] = max(most.get(variant, 0), size)
        always = most.pop(NO_VARIANT, 0)
        return {variant: size + always for variant, size in most.items()} or {NO_VARIANT: always}


def parse(document: Mapping[str, Any]) -> ReleaseFacts:
    """The facts of a parsed manifest.json; IntegrityError where a part that every manifest has is missing."""
    try:
        images = tuple(_image(row) for row in document["images"])
        revisions = [document.get("revision"), *(row.get("revision") for row in document["images"])]
        services = tuple(_service(row) for row in document.get("services") or ())
        sequence = document.get("sequence")
        return ReleaseFacts(
            name=str(document["release"]), version=str(document["version"]),
            sequence=None if sequence is None else int(sequence), torchferry=str(document["torchferry"]),
            revisions=tuple(dict.fromkeys(str(one) for one in revisions if one)), images=images,
            services=services or tuple(ServiceFacts(name=name) for name in dict.fromkeys(x.service for x in images)),
            models=tuple(
                _model(row) for row in document.get("models") or () if model_folder(row) not in omitted_models(document)
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            f"manifest.json: a part is missing or damaged: {error!r}", cure="inv package writes it anew"
        ) from error


def _image(row: Mapping[str, Any]) -> ImageFacts:
    archive, needs, smoke = row["archive"], row.get("needs") or {}, row.get("smoke") or ()
    files = [*(archive.get("parts") or [archive]), *([archive["head"]] if archive.get("head") else [])]
    return ImageFacts(
        service=str(row["service"]), variant=str(row["variant"]), image=str(row["image"]),
        platform=str(row["platform"]), files=tuple(map(_file, files)),
        size=int(row["size"]), torch=needs.get("torch"), cuda=needs.get("cuda"),
        passed=sum(one["status"] == PASSED for one in smoke),
        untested=tuple(str(one["check"]) for one in smoke if one["status"] == NOT_TESTED),
        failed=tuple(str(one["check"]) for one in smoke if one["status"] not in (PASSED, NOT_TESTED)),
    )


def _file(row: Mapping[str, Any], *, folder: str = "", name: str = "name") -> File:
    return File(name=f"{folder}{row[name]}", size=int(row["size"]), sha256=str(row["sha256"]))


def _service(row: Mapping[str, Any]) -> ServiceFacts:
    health = row.get("health")
    path = health.get("path") if isinstance(health, Mapping) else health
    port = row.get("port")
    return ServiceFacts(name=str(row["name"]), port=int(port) if port else None, health=str(path) if path else None)


def _model(row: Mapping[str, Any]) -> ModelFacts:
    folder = f"models/{model_folder(row)}/"
    return ModelFacts(
        name=str(row["name"]), version=str(row["version"]),
        files=tuple(_file(one, folder=folder, name="path") for one in row["files"]),
    )
