"""What a registry keeps of an image (OCI image spec): its manifest, and the index over several platforms of one image.

The same image and blobs give the same bytes, so a digest can be told before anything is sent; ferry.sh writes them too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_IMAGE = "application/vnd.oci.image"
MANIFEST_TYPE = f"{_IMAGE}.manifest.v1+json"
INDEX_TYPE = f"{_IMAGE}.index.v1+json"
CONFIG_TYPE = f"{_IMAGE}.config.v1+json"
LAYER_TYPE = f"{_IMAGE}.layer.v1.tar+gzip"


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """How a registry names a blob: what it is, its SHA-256 ('sha256:...') and bytes."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, kw_only=True)
class Document:
    """A manifest or an index: its very bytes."""

    media_type: str
    data: bytes

    @property
    def descriptor(self) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(self.data).hexdigest()}"
        return Descriptor(media_type=self.media_type, digest=digest, size=len(self.data))


def config_descriptor(config: bytes) -> Descriptor:
    """The descriptor of an image config."""
    return Document(media_type=CONFIG_TYPE, data=config).descriptor


def layer_descriptor(gz_sha256: str, gz_size: int) -> Descriptor:
    """The descriptor of a layer by its compressed bytes."""
    return Descriptor(media_type=LAYER_TYPE, digest=f"sha256:{gz_sha256}", size=gz_size)


def manifest(config: Descriptor, layers: Sequence[Descriptor]) -> Document:
    """The manifest of an image, layers lowest first."""
    return _document(MANIFEST_TYPE, {"config": config.as_json(), "layers": [layer.as_json() for layer in layers]})


def index(images: Mapping[str, Document]) -> Document:
    """The index of one image for several platforms ('linux/amd64'); an engine that pulls it takes its own."""
    return _document(INDEX_TYPE, {"manifests": list(_platforms(images))})


def _platforms(images: Mapping[str, Document]) -> Iterable[dict[str, Any]]:
    for platform, document in sorted(images.items()):
        system, _, architecture = platform.partition("/")
        yield document.descriptor.as_json() | {"platform": {"os": system, "architecture": architecture}}


def _document(media_type: str, said: Mapping[str, Any]) -> Document:
    whole = {"schemaVersion": 2, "mediaType": media_type, **said}
    return Document(
        media_type=media_type, data=json.dumps(whole, sort_keys=True, separators=(",", ":")).encode("ascii"))
