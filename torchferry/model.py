"""The nouns of torchferry, in the order in which data flows.

variants.yaml -> Variant -> Lock -> WheelSet -> Recipe -> Image -> Bundle

All are frozen and keyword-only. What comes from a person's file was checked where it was parsed
(`variants.py`, `lockfile.py`); nothing downstream checks it again or sees a dict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.utils import canonicalize_name

from torchferry.running import BeforeUpdate, Health, Model, Mount, Proof

UID = 10001
"""User and group of the service in the image: above the range that distributions give to people and daemons."""

VENV = PurePosixPath("/opt/venv")
APP = PurePosixPath("/app")


def fingerprint(parts: Any) -> str:
    """A hex SHA-256 over plain data, the same for equal data whatever the order of its keys."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is shipped together under one version.

    ``sequence`` grows from release to release; a server refuses to go back unless it is told to. ``split``: bytes of
    the largest part of an archive; None: one file each. ``delta``: what a release rests on that leaves out what its
    servers hold (since-1.0.0, for-HOST); nothing: it is whole."""

    name: str
    version: str
    sequence: int = 0
    split: int | None = None
    delta: str = ""

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}" + (f"-{self.delta}" if self.delta else "")


@dataclass(frozen=True, kw_only=True)
class Base:
    """What an image stands on: a Debian suite made by mmdebstrap, or a registry image; exactly one of the two."""

    debian: str | None = None
    packages: tuple[str, ...] = ()
    image: str | None = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """One program of a release, as a person wrote it down; paths are relative to the project."""

    name: str
    source: str
    requirements: str
    command: tuple[str, ...]
    base: Base
    port: int | None = None
    health: Health | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    include: tuple[str, ...] = ()
    sdists: tuple[str, ...] = ()
    smoke: tuple[tuple[str, ...], ...] = ()
    prove: Proof | None = None
    before_update: BeforeUpdate | None = None

    @property
    def entry_module(self) -> str | None:
        """The module that ``command`` starts (python -m NAME), for the import check; None for other commands."""
        words = list(self.command)
        if len(words) >= 3 and words[0].startswith("python") and words[1] == "-m":
            return words[2]
        return None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One image to make: a service for one CUDA build (cu121), for the CPU (cpu), or without torch (any).

    ``cuda_libraries`` says who finds the CUDA libraries of the wheels: whoever names their folders (by_rpath), or
    everybody, by LD_LIBRARY_PATH (on_path).
    """

    release: Release
    service: Service
    name: str
    python: str
    torch: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    index: str | None = None
    architecture: str = "x86_64"
    compression: str = "fast"
    cuda_libraries: str = "by_rpath"

    @property
    def cuda(self) -> str | None:
        """The CUDA release this variant's torch is built for: '12.1' for cu121; None for cpu and any."""
        digits = self.name.removeprefix("cu")
        return f"{digits[:-1]}.{digits[-1]}" if self.name.startswith("cu") and digits.isdigit() else None

    @property
    def full_name(self) -> str:
        """The name, and the platform where it is not linux/amd64: cu121, cpu-arm64."""
        return self.name if self.architecture == "x86_64" else f"{self.name}-{self.platform.partition('/')[2]}"

    @property
    def label(self) -> str:
        return f"{self.service.name}-{self.full_name}"

    @property
    def image_name(self) -> str:
        """Name and tag under which the image comes up on the server."""
        return f"{self.service.name}:{self.release.version}-{self.full_name}"

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from all others of a release: service, variant, platform."""
        return self.service.name, self.name, self.platform

    @property
    def platform(self) -> str:
        return {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[self.architecture]


@dataclass(frozen=True, kw_only=True)
class Project:
    """One variants.yaml, understood: where it lies and every variant it asks for, in file order."""

    root: Path
    release: Release
    variants: tuple[Variant, ...]
    engine: str = "auto"
    models: tuple[Model, ...] = ()

    def select(self, *, variants: tuple[str, ...], services: tuple[str, ...]) -> tuple[Variant, ...]:
        """The variants of these names and services (none given: all); a service without variants always comes along."""
        return tuple(
            variant for variant in self.variants
            if (not services or variant.service.name in services)
            and (not variants or variant.name in variants or variant.name == "any")
        )


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One wheel of a lock: file name as the index spells it, size in bytes, hex SHA-256."""

    name: str
    version: str
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class BuiltWheel:
    """How a wheel was made from a source distribution, so that another machine can make the same bytes."""

    name: str
    sdist: str
    sdist_sha256: str
    sdist_size: int
    requires: tuple[Wheel, ...]


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The complete answer to one resolution: every wheel of one image, and the fingerprint of what was asked."""

    fingerprint: str
    wheels: tuple[Wheel, ...]
    installer: Wheel
    base_digest: str | None = None
    built: tuple[BuiltWheel, ...] = ()

    @property
    def digest(self) -> str:
        hashes = [wheel.sha256 for wheel in self.wheels]
        return fingerprint([self.fingerprint, self.base_digest, hashes, self.installer.sha256])

    @property
    def size(self) -> int:
        """Bytes of all wheels."""
        return sum(wheel.size for wheel in self.wheels)

    def version(self, name: str) -> str | None:
        """The locked version of a package, or None."""
        wanted = canonicalize_name(name)
        return next((wheel.version for wheel in self.wheels if canonicalize_name(wheel.name) == wanted), None)


@dataclass(frozen=True, kw_only=True)
class WheelSet:
    """A lock whose every wheel lies in ``folder``, each with the right hash; it exists only when that is so."""

    lock: Lock
    folder: Path
    installer: Path

    def path(self, wheel: Wheel) -> Path:
        return self.folder / wheel.filename


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A build context on disk: Dockerfile (its ``text``) and exactly the files it names."""

    variant: Variant
    folder: Path
    text: str
    digest: str
    files: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One filesystem layer, named by the SHA-256 of its uncompressed tar (diff_id, hex without prefix)."""

    diff_id: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Image:
    """A built image: the exact bytes of its config and its layers, lowest first."""

    name: str
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def config_digest(self) -> str:
        return hashlib.sha256(self.config).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all layers, uncompressed."""
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image where an engine keeps it: name and tag, the engine's id, recipe digest, diff_ids from below, bytes."""

    engine: str
    name: str
    image_id: str
    recipe: str
    diff_ids: tuple[str, ...]
    size: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of an archive: its name in the release folder, bytes, hex SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One loadable .tar.gz: bytes and hex SHA-256 of it, the image of it, and its files: itself, or parts of it.

    ``omits`` is how many of the lowest layers are not in it: the servers that it is for hold them."""

    path: Path
    size: int
    sha256: str
    image: Image
    parts: tuple[Part, ...] = ()
    omits: int = 0


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A release folder with its archives, manifest.json and SHA256SUMS."""

    folder: Path
    archives: tuple[Archive, ...]
