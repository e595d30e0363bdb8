"""How lists are told to people."""

from __future__ import annotations

from collections.abc import Sequence


def in_words(items: Sequence[str], word: str = "and") -> str:
    """Items in their order: "a, b and c"."""
    return f" {word} ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
