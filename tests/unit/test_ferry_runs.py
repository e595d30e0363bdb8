"""Where the layers of an image lie in the files of its archive, as ferry.sh is told."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.ferry import document

from torchferry.ferry_facts import facts

DOCUMENT = document()


def told(row: dict[str, Any]) -> list[list[str]]:
    made = {**DOCUMENT, "images": [row]}
    text = facts(made).split("image_runs='")[1].split("'")[0]
    return [line.split(" ") for line in text.splitlines()]


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5, unique=True), st.integers(1, 200))
def test_the_runs_put_together_are_the_layers(layers: list[bytes], split: int) -> None:
    data, row = b"head", copy.deepcopy(DOCUMENT["images"][0])
    row["layers"] = []
    for layer in [*layers, layers[0]]:  # one lies in the image twice, in the archive once
        at = data.find(b"|" + layer + b"|") + 1 or len(data) + 1
        data += b"" if at <= len(data) else b"|" + layer + b"|"
        sha256 = hashlib.sha256(layer).hexdigest()
        row["layers"].append({"diff_id": sha256, "chain_id": sha256, "size": 1,
                              "packed": {"at": at, "size": len(layer), "sha256": sha256}})
    parts = {f"p {at}": data[at:at + split] for at in range(0, len(data), split)}
    row["archive"]["parts"] = [{"name": name, "size": len(part), "sha256": ""} for name, part in parts.items()]
    found: dict[str, bytes] = {}
    for sha256, start, count, *name in told(row):
        run = parts[" ".join(name)][int(start) - 1:][:int(count)]
        assert len(run) == int(count)
        found[sha256] = found.get(sha256, b"") + run
    assert found == {hashlib.sha256(layer).hexdigest(): layer for layer in layers}


def test_what_is_not_known_of_every_layer_is_not_told() -> None:
    row = copy.deepcopy(DOCUMENT["images"][0])
    row["layers"][0]["packed"] = {"at": 1, "size": 2, "sha256": "c" * 64}
    assert told(row) == []
