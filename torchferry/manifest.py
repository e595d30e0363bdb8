"""manifest.json and SHA256SUMS: what a release folder holds, in plain data without clock or machine.

Version 2, in words for programs: manifest.schema.json. One entry an image: its archive (parts, size, SHA-256), name,
config digest, layers (diff_id, ChainID, size, place in the archive), what it was made from (lock, wheels), what it
needs (driver floors, architectures) and how its smoke test came out. One a service: how it runs on a server. One a
model: its files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from torchferry import __version__, hybrid
from torchferry.compat import Compat
from torchferry.errors import IntegrityError
from torchferry.model import UID, Archive, Image, Lock, Project, Release, Service, Variant
from torchferry.running import Extent, Head
from torchferry.smoke import Check

VERSION = 2
NOWHERE: Mapping[str, Extent] = MappingProxyType({})
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """The ChainID of each layer, hex, lowest first (OCI image spec: SHA-256 over parent's ChainID and diff_id)."""
    found: list[str] = []
    for diff_id in diff_ids:
        joined = f"sha256:{found[-1]} sha256:{diff_id}" if found else ""
        found.append(hashlib.sha256(joined.encode()).hexdigest() if found else diff_id)
    return tuple(found)


def entry(
    variant: Variant, lock: Lock, archive: Archive, head: Head, compat: Compat, checks: Sequence[Check], *,
    revision: str | None, packed: Mapping[str, Extent] = NOWHERE,
) -> dict[str, Any]:
    """One image's part of the manifest; ``packed``: where each layer lies in the archive, by diff_id."""
    image = archive.image
    return {
        "service": variant.service.name,
        "variant": variant.name,
        "image": image.name,
        "incoming": head.image_name,
        "archive": {
            "name": archive.path.name, "size": archive.size, "sha256": archive.sha256,
            "compression": variant.compression, "parts": [asdict(part) for part in archive.parts],
            "omits": archive.omits,
            "head": {"name": head.name, "size": len(head.data), "sha256": head.sha256, "replaces": head.replaces},
        },
        "platform": variant.platform,
        "config": image.config_digest,
        "manifest": hashlib.sha256(hybrid.oci_manifest(image)).hexdigest(),
        "layers": _layers(image, packed),
        "size": image.size,
        "revision": revision,
        "lock": {"digest": lock.digest, "fingerprint": lock.fingerprint},
        "needs": needs(variant, compat),
        "wheels": [
            {"name": wheel.name, "version": wheel.version, "sha256": wheel.sha256} for wheel in lock.wheels
        ],
        "smoke": [{"check": check.name, "status": check.status, "seen": check.seen} for check in checks]
        or [{"check": "smoke", "status": "not tested", "seen": "inv smoke was not run on this image"}],
    }


def needs(variant: Variant, compat: Compat) -> dict[str, Any]:
    """What a server must have: nothing for the CPU; a driver floor and a GPU architecture for CUDA."""
    if variant.cuda is None or variant.torch is None:
        return {"torch": variant.torch, "cuda": None}
    row = compat.cuda(variant.cuda)
    return {
        "torch": variant.torch,
        "cuda": variant.cuda,
        "driver": {"floor": row.floor, "full_support": row.toolkit_driver},
        "compute_capabilities": list(compat.capabilities(variant.torch, variant.name)),
    }


def document(
    project: Project, entries: Iterable[Mapping[str, Any]], models: Sequence[Mapping[str, Any]] = (),
    delta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What manifest.json holds; services stand in the order in which they start. ``delta``: what it leaves out."""
    made = sorted((dict(row) for row in entries), key=lambda row: (row["service"], row["variant"], row["platform"]))
    present = {row["service"] for row in made}
    services = {variant.service.name: variant.service for variant in project.variants}
    release = project.release
    return {
        "torchferry": __version__, "manifest": VERSION,
        "release": release.name, "version": release.version, "sequence": release.sequence,
        "revision": next((row["revision"] for row in made if row["revision"]), None), "delta": delta,
        "services": [_service(service) for name, service in services.items() if name in present],
        "images": made, "models": [dict(row) for row in models],
    }


def as_text(document: Mapping[str, Any]) -> str:
    """The text of manifest.json."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _service(service: Service) -> dict[str, Any]:
    """How a service runs on a server."""
    health, proof, before = service.health, service.prove, service.before_update
    return {
        "name": service.name, "port": service.port, "user": UID,
        "health": health and {"path": health.path, "expect": dict(health.expect), "within": health.within},
        "mounts": [asdict(mount) for mount in service.mounts],
        "prove": proof and asdict(proof),
        "before_update": before and asdict(before),
    }


def entries(text: str, *, file: str) -> tuple[dict[str, Any], ...]:
    """The image entries of a manifest.json; IntegrityError when it is not one."""
    try:
        said = json.loads(text)
        found = tuple(said["images"])
        if said["manifest"] != VERSION or not all(isinstance(row["archive"]["sha256"], str) for row in found):
            raise ValueError(f"version {said['manifest']}")
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{file}: not a manifest of version {VERSION}: {error!r}", cure="inv package writes it anew"
        ) from error
    return found


def release(text: str, *, file: str) -> Release:
    """The name and version that a manifest.json states; IntegrityError where they could not name a folder."""
    said = json.loads(text)
    label = (said.get("delta") or {}).get("label", "")
    made = Release(name=str(said.get("release")), version=str(said.get("version")), delta=str(label))
    if not FOLDER.fullmatch(made.folder):
        raise IntegrityError(f"{file}: {made.folder!r} is no name of a release", cure="inv package writes it anew")
    return made


def sums(document: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """SHA256SUMS as `sha256sum -c` reads it in the release folder: names alone, never a builder's path.

    ``texts`` are the files of the folder that ``document`` does not name.
    """
    archives = [row["archive"] for row in document["images"]]
    rows = {part["name"]: part["sha256"] for archive in archives for part in (*archive["parts"], archive["head"])}
    rows |= {f"models/{model_folder(model)}/{file['path']}": file["sha256"]
             for model in document["models"] if model_folder(model) not in omitted_models(document)
             for file in model["files"]}
    rows |= {name: hashlib.sha256(text.encode("utf-8")).hexdigest() for name, text in texts.items()}
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(rows.items()))


def title(document: Mapping[str, Any]) -> str:
    """What a release is called, and what a delta rests on."""
    delta = document.get("delta")
    return f"{document['release']} {document['version']}" + (f" ({delta['label']})" if delta else "")


def model_folder(row: Mapping[str, Any]) -> str:
    """The folder of a model in a release and on a server."""
    return f"{row['name']}-{row['version']}"


def omitted_models(document: Mapping[str, Any]) -> frozenset[str]:
    """The folders of models that a delta leaves out."""
    return frozenset((document.get("delta") or {}).get("models", ()))


def _layers(image: Image, packed: Mapping[str, Extent]) -> list[dict[str, Any]]:
    chains = chain_ids([layer.diff_id for layer in image.layers])
    return [
        {"diff_id": layer.diff_id, "chain_id": chain, "size": layer.size}
        | ({"packed": asdict(packed[layer.diff_id])} if layer.diff_id in packed else {})
        for layer, chain in zip(image.layers, chains, strict=True)
    ]
