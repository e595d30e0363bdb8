"""Where the bytes of a delta went, and why: a table, one row for what is left out of an image and one a layer in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torchferry import console, hybrid, image_config
from torchferry.blobs import BlobStore
from torchferry.delta import Held
from torchferry.layout import MODELS
from torchferry.model import Archive, Bundle, Layer

HEADER = ["what", "unpacked", "to carry", "why"]


def text(bundle: Bundle, held: Held, store: BlobStore) -> str:
    """The table of a delta's release folder, and what share of the whole release it is."""
    rows = [row for archive in bundle.archives for row in _image(archive, held, store)]
    models = _size(bundle.folder / MODELS)
    if held.models or models:
        said = f"models; left out: {', '.join(sorted(held.models)) or 'none'}"
        rows.append([said, "", console.size(models), "by name and version" if held.models else "not held there"])
    carried = _size(bundle.folder)
    archives = sum(archive.size for archive in bundle.archives)
    rows.append(["ferry.sh, page, SBOM, lists", "", console.size(carried - archives - models), "in every release"])
    left_out = [store.blob(layer.diff_id) for archive in bundle.archives for layer in _left_out(archive)]
    whole = carried + sum(blob.gz_size for blob in left_out if blob)
    share = f"{100 * carried / whole:.2g} % of the whole, {console.size(whole)}"
    rows.append(["all", "", console.size(carried), share])
    return console.table(rows, header=HEADER)


def _image(archive: Archive, held: Held, store: BlobStore) -> Iterator[list[str]]:
    image, omits = archive.image, archive.omits
    names = image_config.layer_names(image.config)
    if omits:
        yield [
            f"{image.name}: {', '.join(dict.fromkeys(names[:omits]))}", console.size(_sum(image.layers[:omits])), "0 B",
            f"held, by {', '.join(held.rests_on[:3])}{', ...' if len(held.rests_on) > 3 else ''}",
        ]
    for place in range(omits, len(image.layers)):
        layer = image.layers[place]
        blob = store.blob(layer.diff_id)
        packed = blob.gz_size if blob else layer.size
        yield [
            f"{image.name}: {names[place]}", console.size(layer.size), console.size(packed),
            "not held there" if place == omits else "not held there, or lies on what is not",
        ]


def _left_out(archive: Archive) -> Sequence[Layer]:
    """The layers that would travel in the whole archive, and do not in this one."""
    travel = {layer.diff_id for layer in archive.image.layers[archive.omits:]}
    return [layer for layer in hybrid.unique(archive.image.layers[:archive.omits]) if layer.diff_id not in travel]


def _sum(layers: Sequence[Layer]) -> int:
    return sum(layer.size for layer in layers)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
