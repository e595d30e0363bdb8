"""One YAML mapping at a time, while a table of ours is read: every value is taken out once, so what is left is unknown.

A malformed table is a mistake of ours, not of the person at the keyboard: it raises ValueError and names the row.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same rules in C where PyYAML has it: every start reads this table."""

TOP = ", top level"


class Fields:
    """A mapping while it is read: each value is taken out once, so that what is left over is unknown."""

    def __init__(self, where: str, content: object) -> None:
        if not isinstance(content, dict):
            raise ValueError(f"{where}: expected a mapping, found {content!r}")
        self.where = where
        self.left = dict(content)

    def refuse(self, name: str, expected: str, found: object) -> ValueError:
        return ValueError(f"{self.where}: {name} must be {expected}, is {found!r}")

    def text(self, name: str, pattern: str = r".+") -> str:
        found = self.left.pop(name, None)
        if not isinstance(found, str) or not re.fullmatch(pattern, found):
            raise self.refuse(name, f"quoted text like {pattern}", found)
        return found

    def optional(self, name: str, pattern: str) -> str | None:
        return self.text(name, pattern) if name in self.left else None

    def texts(self, name: str, pattern: str) -> tuple[str, ...]:
        found = self.left.pop(name, None)
        if not isinstance(found, list) or not found:
            raise self.refuse(name, "a list that is not empty", found)
        return tuple(Fields(f"{self.where}, {name}", {"entry": entry}).text("entry", pattern) for entry in found)

    def flag(self, name: str) -> bool:
        found = self.left.pop(name, False)
        if not isinstance(found, bool):
            raise self.refuse(name, "true or false", found)
        return found

    def inner(self, name: str) -> Fields:
        return Fields(f"{self.where}, {name}", self.left.pop(name, None))

    def mapping(self, name: str, pattern: str) -> dict[str, str]:
        inner = Fields(f"{self.where}, {name}", self.left.pop(name, None))
        return {str(key): inner.text(key, pattern) for key in list(inner.left)}

    def day(self, name: str) -> date:
        found = self.left.pop(name, None)
        if type(found) is not date:
            raise self.refuse(name, "a day like 2026-11-23", found)
        return found

    def rows(self, name: str) -> list[Fields]:
        found = self.left.pop(name, None)
        if not isinstance(found, list) or not found:
            raise self.refuse(name, "a list of rows", found)
        file = self.where.removesuffix(TOP)
        return [Fields(f"{file}, {name}, row {number}", row) for number, row in enumerate(found, start=1)]

    def end(self) -> None:
        if self.left:
            raise ValueError(f"{self.where}: unknown: {', '.join(map(str, self.left))}")


def load(file: str, text: str) -> Fields:
    """The top level of the YAML document in ``text``; ``file`` is its name in errors."""
    return Fields(f"{file}{TOP}", yaml.load(text, Loader=_LOADER))
