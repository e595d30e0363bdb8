"""Servers by what they hold, and releases by their layers, each layer a word: for tests of receipts and of plans."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torchferry.manifest import chain_ids
from torchferry.receipts import HeldImage, HeldService, Receipt


def diff_id(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def receipt(
    *images: Sequence[str], raw: bool = True, runs: str = "engine=cu121", models: Sequence[str] = (),
    **changes: Any,
) -> Receipt:
    """A receipt of a server that holds images of these layers, each a word."""
    held = [tuple(map(diff_id, words)) for words in images]
    plain = Receipt(
        host="gpu01", made="2026-11-24T10:00:00Z", engine="docker", engine_version="26.1", store="classic",
        release="duo", instance="duo", sequence=1, models=frozenset(models),
        services=tuple(
            HeldService(name=pair.partition("=")[0], version="1.0.0", variant=pair.partition("=")[2], running=True)
            for pair in runs.split()
        ),
        images=tuple(
            HeldImage(name=f"image:{at}", image_id="0" * 64, raw=raw, chain_ids=chain_ids(diffs), diff_ids=diffs)
            for at, diffs in enumerate(held)
        ),
    )
    return replace(plain, **changes)


def row(words: Sequence[str], service: str = "engine", variant: str = "cu121", **changes: Any) -> dict[str, Any]:
    """An image of a manifest; each layer has 1,000 bytes, a quarter of that in the archive."""
    diffs = list(map(diff_id, words))
    layers = zip(chain_ids(diffs), diffs, strict=True)
    return {
        "service": service, "variant": variant, "platform": "linux/amd64", "size": 1000 * len(words),
        "archive": {"size": 250 * len(words)},
        "layers": [{"chain_id": chain, "diff_id": diff, "size": 1000} for chain, diff in layers], **changes,
    }


def document(*rows: dict[str, Any], models: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {"release": "duo", "version": "1.1.0", "sequence": 2, "images": list(rows), "models": list(models)}
