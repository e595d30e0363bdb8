"""The alphabet of a CTC model, and how its answer becomes text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from stt_engine import Refusal

BLANK = 0
SPACE = "|"


def read_labels(folder: Path) -> tuple[str, ...]:
    """The labels beside a model, blank first: labels.json (a list) or tokens.txt (one a line); else a Refusal."""
    listed, plain = folder / "labels.json", folder / "tokens.txt"
    try:
        labels = json.loads(listed.read_bytes()) if listed.exists() else plain.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise Refusal(f"the model in {folder} has no readable labels.json or tokens.txt: {error}") from error
    if not isinstance(labels, list) or len(labels) < 2 or not all(isinstance(label, str) for label in labels):
        raise Refusal(f"the labels in {folder} are not a list of two or more texts, the blank first.")
    return tuple(labels)


def greedy(best: Iterable[int], labels: tuple[str, ...]) -> str:
    """The text of the best label of each frame: repeats count once, blanks not at all, ``|`` is a space."""
    return "".join(labels[index] for index, _ in groupby(best) if index != BLANK).replace(SPACE, " ").strip()
