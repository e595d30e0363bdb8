"""What is in an image, as an SBOM lists it: the packages of its base, its Python, and its wheels."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torchferry import dpkg, image_config, wheel_metadata
from torchferry.base_tree import DPKG_FOLDER, DPKG_STATUS, OS_RELEASE, BaseTree
from torchferry.blobs import BlobStore
from torchferry.dpkg import DebianPackage, Distribution
from torchferry.errors import BuildError
from torchferry.layout import Layout
from torchferry.model import VENV, Image, Lock, Variant, Wheel
from torchferry.stored_tree import base_tree_of
from torchferry.wheel_metadata import WheelMetadata


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The contents of one image.

    ``packages`` is None where the base has no list of packages that can be read; ``python`` is the full version of an
    interpreter that no package brought; a wheel whose METADATA cannot be read has None.
    """

    distribution: Distribution | None
    packages: tuple[DebianPackage, ...] | None
    python: str | None
    wheels: Mapping[Wheel, WheelMetadata | None] = field(repr=False)


def take(variant: Variant, lock: Lock, image: Image, layout: Layout) -> Inventory:
    """Look into an image whose layers are in the store and whose wheels lie in their folder."""
    store = BlobStore(folder=layout.blobs, compression=variant.compression)
    layers = tuple(image.layers[place] for place in image_config.system_layers(image.config))
    tree = base_tree_of(layers, store)
    packages = _packages(tree)
    return Inventory(
        distribution=_distribution(tree), packages=packages,
        python=_python(tree, variant, image, packaged=packages is not None),
        wheels=wheel_metadata.read_all(lock.wheels, layout.wheel_folder(variant), layout),
    )


def _packages(tree: BaseTree) -> tuple[DebianPackage, ...] | None:
    one = tree.text(DPKG_STATUS)
    many = [tree.text(path) or "" for path in sorted(tree.contents)
            if posixpath.dirname(path) == DPKG_FOLDER and not path.endswith(".md5sums")]
    if one is None and not many:
        return None
    return dpkg.parse_status("\n\n".join([one or "", *many]))


def _distribution(tree: BaseTree) -> Distribution | None:
    said = next((text for text in map(tree.text, OS_RELEASE) if text is not None), None)
    return None if said is None else dpkg.parse_os_release(said)


def _python(tree: BaseTree, variant: Variant, image: Image, *, packaged: bool) -> str | None:
    """The version of the interpreter where it lies outside of the places that packages put theirs in."""
    said: dict[str, Any] = json.loads(image.config).get("config") or {}
    path = next((line.partition("=")[2] for line in said.get("Env") or () if line.startswith("PATH=")), "")
    try:
        found = tree.python(variant.python, ":".join(
            place for place in path.split(":") if not place.startswith(str(VENV))))
    except BuildError:  # none, or one that hides its version
        return None
    return None if packaged and posixpath.dirname(found.path) in ("/bin", "/usr/bin") else found.version
