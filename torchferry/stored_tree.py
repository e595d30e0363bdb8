"""A look at the layers of a base in the blob store; what was seen once is remembered beside them."""

from __future__ import annotations

import json

from torchferry import files
from torchferry.base_tree import BaseTree
from torchferry.blobs import BlobStore
from torchferry.model import Layer, fingerprint

TREE_VERSION = 2
"""Grows when a base is looked at for more."""


def base_tree_of(layers: tuple[Layer, ...], store: BlobStore) -> BaseTree:
    """What lies in a base, its layers given from below; BuildError for a damaged one."""
    key = fingerprint(["base tree", TREE_VERSION, [layer.diff_id for layer in layers]])
    place = store.folder / "bases" / f"{key}.json"
    try:
        return BaseTree.from_json(json.loads(place.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        tree = BaseTree()
    for layer in layers:
        with store.read(layer.diff_id) as tar:
            tree.lay(tar)
    files.write_text(place, json.dumps(tree.as_json()) + "\n")
    return tree
