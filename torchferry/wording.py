"""How lists and sizes are told to people."""

from __future__ import annotations

from collections.abc import Sequence


def in_words(items: Sequence[str], word: str = "and") -> str:
    """Items in their order: "a, b and c"."""
    return f" {word} ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def size(count: int) -> str:
    """A count of bytes for people: '2.70 GB', in powers of 1000 like disks and networks."""
    amount, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, bigger
    return f"{int(amount)} B" if unit == "B" else f"{amount:.2f} {unit}"
