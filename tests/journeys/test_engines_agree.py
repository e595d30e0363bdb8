"""Both engines leave the same files: path, content, mode, link and owner. uv and docker build are the judges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemon import PrivateDaemon
from support.image_tree import differences, image_tree, started_with
from support.index_server import IndexServer
from support.project import Project, make_project

from torchferry import image_config
from torchferry.blobs import BlobStore
from torchferry.model import Image
from torchferry.pipeline import Road

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("engines agree")]

def made(project: Project, engine: str, *words: str) -> Image:
    """The image of the one variant, out of the store."""
    project.made("package", "--engine", engine, *words)
    road = Road.open(project.folder / "variants.yaml")
    (variant,) = road.select([words[1]], [words[3]])
    said = json.loads(road.layout.image_record(variant, engine).read_text(encoding="utf-8"))
    image = BlobStore(folder=road.layout.blobs).image(variant.image_name, said["config"])
    assert image is not None
    return image


def listing(project: Project) -> dict[str, Any]:
    """The one SBOM of a release, without what says which image it is of."""
    (place,) = (project.release / "sbom").iterdir()
    said: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    assert len(said["components"]) > 100
    image = next(one for one in said["metadata"]["component"]["properties"] if one["name"] == "torchferry:image:id")
    del image["value"], said["serialNumber"]
    return said


@pytest.mark.parametrize("words", [
    ("--variant", "cu121", "--service", "engine"), ("--variant", "cu118", "--service", "engine"),
    ("--variant", "any", "--service", "page"),
], ids=["cu121", "cu118", "any"])
def test_the_trees_and_configs_of_both_engines_are_equal(
    daemon: PrivateDaemon, index: IndexServer, tmp_path: Path, give_base: Callable[[Project], None],
    words: tuple[str, ...],
) -> None:
    project = make_project(tmp_path / "p", index, env=daemon.env)
    give_base(project)
    store = BlobStore(folder=project.folder / "build/blobs")
    (docker, listed), (direct, listed_too) = (
        (made(project, engine, *words), listing(project)) for engine in ("docker", "direct"))
    assert len(image_tree(direct, store)) > 5000
    assert differences(docker, direct, store) == []
    assert started_with(docker) == started_with(direct)
    assert listed == listed_too
    assert [place for image in (docker, direct) for place in image_config.system_layers(image.config)] == [0, 0]
