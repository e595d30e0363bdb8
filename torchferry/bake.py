"""`inv bake`: the docker-bake file of a project, the contexts it names, and Debian bases in a form that travels.

A base of ours is a tar that the docker engine imports into the daemon on which it builds. A builder elsewhere holds no
such image: buildx sends it an OCI layout in its stead, one folder a base, whose one layer is a link to that tar.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torchferry import bake_plan, console, files, hybrid, image_config
from torchferry.bake_plan import REGISTRY, Target
from torchferry.base import DebianBase
from torchferry.model import Image, Layer, Recipe, Variant

if TYPE_CHECKING:
    from torchferry.pipeline import Road


def write(road: Road, chosen: Sequence[Variant]) -> Path:
    """Render the variants and write the file by which buildx builds them; raises what rendering raises."""
    recipes = [road.render(variant, road.fetch(variant, road.lock(variant))) for variant in chosen]
    place = road.layout.bake_file
    files.write_text(place, bake_plan.text([_target(road, recipe) for recipe in recipes]))
    return place


def show(road: Road, place: Path) -> None:
    """The lines that build it: into the daemon at hand, or by a builder that pushes into a registry."""
    command = f"docker buildx bake --file {place.relative_to(road.project.root).as_posix()}"
    console.show(f"\nin the folder of variants.yaml; the name of a service, variant or target builds only that:\n"
                 f"  {command} --load\n"
                 f"  {REGISTRY}=registry.example/team/ {command} --builder BUILDER --push")


def _target(road: Road, recipe: Recipe) -> Target:
    root = road.project.root
    return Target(
        recipe=recipe, context=recipe.folder.relative_to(root).as_posix(), stand_ins=_stand_ins(road, recipe.variant),
    )


def _stand_ins(road: Road, variant: Variant) -> Mapping[str, str]:
    """What a builder must be sent: nothing for a base that it can pull by its digest."""
    if not variant.service.base.debian:
        return {}
    made = road.debian(variant)
    folder = road.layout.base_oci(variant.service.base, variant.architecture)
    digest = write_layout(made, folder, architecture=variant.platform.partition("/")[2])
    place = folder.relative_to(road.project.root).as_posix()
    return {made.reference: f"oci-layout://{place}@sha256:{digest}"}


def write_layout(base: DebianBase, folder: Path, *, architecture: str) -> str:
    """A Debian base as an OCI layout in ``folder``, whole, in place of an older one; returns its manifest's SHA-256."""
    layer = Layer(diff_id=base.sha256, size=base.tar.stat().st_size)
    config = image_config.of_debian(architecture, base.reference).document([layer])
    documents = hybrid.documents(Image(name=base.reference, config=config, layers=(layer,)))
    if not _holds(folder, documents, layer):
        fresh = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
        files.remove_tree(fresh)
        try:
            for name, data in documents.items():
                files.write_bytes(fresh / name, data)
            files.link_or_copy(base.tar, fresh / hybrid.blob_name(layer.diff_id))
            files.remove_tree(folder)
            fresh.replace(folder)
        finally:
            files.remove_tree(fresh)
    listed: str = json.loads(documents["index.json"])["manifests"][0]["digest"]
    return listed.removeprefix("sha256:")


def _holds(folder: Path, documents: Mapping[str, bytes], layer: Layer) -> bool:
    """Whether the layout lies there already; buildx proves the hash of all that it sends."""
    blob = folder / hybrid.blob_name(layer.diff_id)
    return blob.is_file() and blob.stat().st_size == layer.size and all(
        (folder / name).is_file() and (folder / name).read_bytes() == data for name, data in documents.items()
    )
