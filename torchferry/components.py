"""What a bill of materials lists, as it is shown to people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Component:
    """One part of an image, as a table shows it.

    ``kind`` is wheel, package (of the distribution), operating-system or platform; ``license`` and ``sha256`` are ""
    where the document does not say them.
    """

    name: str
    version: str
    license: str
    kind: str
    sha256: str
