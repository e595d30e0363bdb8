"""The real cu121 set: the same files in the images of both engines, path by path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.image_tree import differences, image_tree, started_with

from torchferry.blobs import BlobStore
from torchferry.model import Image
from torchferry.pipeline import Road

pytestmark = pytest.mark.real

ROAD = Road.open(Path(__file__).parents[2] / "variants.yaml")
STORE = BlobStore(folder=ROAD.layout.blobs)


def made_by(engine: str) -> Image:
    (variant,) = ROAD.select(["cu121"], ["stt-engine"])
    record = ROAD.layout.image_record(variant, engine)
    assert record.is_file(), f"run `inv package --variant cu121 --engine {engine}` first"
    image = STORE.image(variant.image_name, json.loads(record.read_text(encoding="utf-8"))["config"])
    assert image is not None
    return image


def test_the_trees_of_both_engines_are_equal() -> None:
    docker, direct = made_by("docker"), made_by("direct")
    count = len(image_tree(direct, STORE))
    print(f"{count} paths")
    assert count > 20_000
    assert differences(docker, direct, STORE) == []
    assert started_with(docker) == started_with(direct)
    assert len(direct.layers) < 40
