"""The SBOM of an image, CycloneDX 1.6 in JSON: made when the image, its wheels or its base are others than before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from torchferry import __version__, files, inventory
from torchferry.components import Component
from torchferry.errors import IntegrityError
from torchferry.layout import Layout
from torchferry.model import Image, Lock, Variant, fingerprint

VERSION = 1
"""Grows when the same image gets another document; what is remembered then counts no more."""

_NAMESPACE = UUID("fd7e5009-ac00-477a-b3f5-6cbaaa321987")
"""Of the serial numbers."""

_KINDS = {"pkg:pypi/": "wheel", "pkg:deb/": "package"}


def text(variant: Variant, lock: Lock, image: Image, layout: Layout) -> str:
    """The document of an image whose layers are stored and whose wheels are fetched; the last one is remembered."""
    made_of = fingerprint([
        VERSION, __version__, image.name, image.config_digest, lock.digest,
        variant.service.base.image, variant.service.base.debian,
    ])
    place = layout.sbom_record(variant)
    try:
        said = json.loads(place.read_bytes())
        if said["made_of"] == made_of and said["sha256"] == _sha256(said["text"]):
            return str(said["text"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    from torchferry import bom  # cyclonedx takes a while to load, and most runs find everything remembered

    made = _numbered(bom.document(variant, lock, image, inventory.take(variant, lock, image, layout)))
    files.write_text(place, json.dumps({"made_of": made_of, "sha256": _sha256(made), "text": made}) + "\n")
    return made


def write(variant: Variant, lock: Lock, image: Image, layout: Layout) -> str:
    """Put an image's document into the release folder, and return it."""
    made = text(variant, lock, image, layout)
    if _lying(layout.sbom(variant)) != made:
        files.write_text(layout.sbom(variant), made)
    return made


def standing(variant: Variant, config_digest: str, layout: Layout) -> str | None:
    """The document in the release folder, if it is of the image with this config and has its own serial number."""
    found = _lying(layout.sbom(variant)) or ""
    return found if f'"sha256:{config_digest}"' in found and _is_whole(found) else None


def rows(document: str, *, file: str) -> tuple[Component, ...]:
    """The components of a document, wheels first; IntegrityError when it is none."""
    try:
        found = [_row(one) for one in json.loads(document)["components"]]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{file}: not an SBOM: {error!r}", cure="inv package writes it anew") from error
    return tuple(sorted(found, key=lambda row: (row.kind != "wheel", row.kind, row.name.lower(), row.version)))


def _numbered(said: Mapping[str, Any]) -> str:
    """The text of a document; its serial number follows from its content."""
    content = json.dumps(said, sort_keys=True, separators=(",", ":"))
    numbered = {**said, "serialNumber": uuid5(_NAMESPACE, content).urn}
    return json.dumps(numbered, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _is_whole(document: str) -> bool:
    try:
        said = dict(json.loads(document))
    except (ValueError, TypeError):
        return False
    said.pop("serialNumber", None)
    return _numbered(said) == document


def _lying(place: Path) -> str | None:
    try:
        return place.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _row(one: Mapping[str, Any]) -> Component:
    purl = str(one.get("purl", ""))
    return Component(
        name=str(one["name"]), version=str(one.get("version", "")),
        license=", ".join(_license(said) for said in one.get("licenses", ())),
        kind=next((kind for start, kind in _KINDS.items() if purl.startswith(start)), str(one["type"])),
        sha256=next((str(said["content"]) for said in one.get("hashes", ()) if said["alg"] == "SHA-256"), ""),
    )


def _license(said: Mapping[str, Any]) -> str:
    one = said.get("license", {})
    return str(said.get("expression") or one.get("id") or one.get("name") or "")


def _sha256(document: str) -> str:
    return hashlib.sha256(document.encode("utf-8")).hexdigest()
