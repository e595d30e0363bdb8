"""What a hybrid archive says about its image: the documents of both forms that `docker load` reads.

manifest.json is Docker's own form (every version with the classic store), oci-layout and index.json the one of the
containerd store. Both name the same blobs: raw layers, by the SHA-256 of their uncompressed tar.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from torchferry.errors import IntegrityError
from torchferry.model import Image, Layer
from torchferry.reference import parse_reference

DOCKER_MANIFEST = "manifest.json"
DOCUMENTS = 5
JSON_LIMIT = 20 << 20
HEX = r"[0-9a-f]{64}"
_OCI = "application/vnd.oci.image"


def blob_name(digest: str) -> str:
    """The path of a blob in an archive."""
    return f"blobs/sha256/{digest}"


def unique(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, each once, in the order in which they first come: a layer may lie in an image twice."""
    return tuple({layer.diff_id: layer for layer in layers}.values())


def diff_ids(config: bytes, *, what: str, cure: str) -> tuple[str, ...]:
    """The layers that an image config names, lowest first. Raises IntegrityError where it names none correctly."""
    try:
        found = json.loads(config)["rootfs"]["diff_ids"]
        digests = tuple(str(name) for name in found)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(f"{what}: the image config cannot be read: {error!r}", cure=cure) from error
    if not isinstance(found, list) or not all(re.fullmatch(f"sha256:{HEX}", digest) for digest in digests):
        raise IntegrityError(f"{what}: the image config names layers that are no SHA-256", cure=cure)
    return tuple(digest.removeprefix("sha256:") for digest in digests)


def documents(image: Image) -> dict[str, bytes]:
    """Every file of an archive but its layers, in the order in which they stand there, first of all.

    A reader that wants only names and digests need not pass gigabytes of layers.
    """
    reference = parse_reference(image.name)
    config = blob_name(image.config_digest)
    manifest = oci_manifest(image)
    manifest_digest = hashlib.sha256(manifest).hexdigest()
    listed = _descriptor(f"{_OCI}.manifest.v1+json", manifest_digest, len(manifest)) | {
        "annotations": {
            "io.containerd.image.name": reference.full,
            "org.opencontainers.image.ref.name": reference.tag,
        },
    }
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [listed]}
    docker = [{
        "Config": config,
        "RepoTags": [reference.familiar],
        "Layers": [blob_name(layer.diff_id) for layer in image.layers],
    }]
    return {
        "oci-layout": _compact({"imageLayoutVersion": "1.0.0"}),
        "index.json": _compact(index),
        DOCKER_MANIFEST: _compact(docker),
        blob_name(manifest_digest): manifest,
        config: image.config,
    }


def oci_manifest(image: Image) -> bytes:
    """The OCI manifest of an image with raw layers; its SHA-256 is the image's ID in the containerd store."""
    return _compact({
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _descriptor(f"{_OCI}.config.v1+json", image.config_digest, len(image.config)),
        "layers": [_descriptor(f"{_OCI}.layer.v1.tar", layer.diff_id, layer.size) for layer in image.layers],
    })


def listed_sizes(documents: Mapping[str, bytes]) -> dict[str, int]:
    """The size of every layer by diff_id, as the OCI manifest among the documents of an archive lists it.

    Raises ValueError, TypeError or KeyError where there is none that can be read.
    """
    [listed] = json.loads(documents["index.json"])["manifests"]
    manifest = json.loads(documents[blob_name(str(listed["digest"]).removeprefix("sha256:"))])
    return {str(one["digest"]).removeprefix("sha256:"): int(one["size"]) for one in manifest["layers"]}


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _compact(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")
