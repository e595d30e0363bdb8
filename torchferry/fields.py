"""One value of a person's file at a time: from a YAML node to a checked Python value.

A value that is absent or wrong comes back empty ("", 0, (), no entries) and its problem is on the list;
whoever parses raises the list at the end, so an empty stand-in never leaves.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torchferry.yamlpos import Items, Node, Problems, Scalar, Table, quoted

_NAMED = {"\n": "a newline", "\r": "a carriage return", "\t": "a tab", "\0": "a NUL"}
_READ_AS = {"int": "a number", "float": "a number", "date": "a date", "null": "nothing"}
_FALSE = ("no", "false", "off")


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One value: its dotted name, its line, and its node (None: not there, or already refused)."""

    field: str
    line: int
    node: Node | None
    problems: Problems

    @property
    def absent(self) -> bool:
        return self.node is None

    def refuse(self, wrong: str, *, cure: str) -> None:
        """Put a problem with this value on the list."""
        self.problems.add(self.line, self.field, wrong, cure=cure)

    def at(self, key: str, line: int, node: Node | None) -> Spot:
        """A value inside this one."""
        name = key if key.isprintable() and 0 < len(key) <= 60 else quoted(key)
        return Spot(field=f"{self.field}.{name}" if self.field else name, line=line, node=node, problems=self.problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """', did you mean X' for the known word nearest to one, or nothing."""
    near = difflib.get_close_matches(word[:80].lower(), list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]}" if near else ""


def unprintable(text: str) -> str | None:
    """The name of the first character that could end a line or hide in one, or None."""
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            return _NAMED.get(character, f"the character U+{ord(character):04X}")
    return None


def text(spot: Spot, *, expected: str = "a text", whole_numbers: bool = False, empty: bool = False) -> str:
    """A text on one line; ``whole_numbers`` also takes an unquoted integer as it is spelled, ``empty`` also ''."""
    node = spot.node
    if node is None:
        return ""
    if not isinstance(node, Scalar):
        spot.refuse(f"{_spelling(node)}, expected {expected}", cure=f"write {expected} there")
    elif node.kind == "null":
        spot.refuse(f"has no value, expected {expected}",
                    cure="write one ('' is an empty text), or remove the line" if empty else "write one")
    elif node.kind != "text" and not (whole_numbers and node.kind == "int"):
        spot.refuse(f"{node.text} is read as {_meaning(node)}, expected {expected}",
                    cure=f"write '{node.text}' in quotes")
    elif name := unprintable(node.text):
        spot.refuse(f"{quoted(node.text)} holds {name}, expected one line of plain text", cure="remove it")
    elif not node.text and not empty:
        spot.refuse(f"is an empty text, expected {expected}", cure="write one")
    else:
        return node.text
    return ""


def _meaning(node: Scalar) -> str:
    if node.kind == "bool":
        return "false" if node.text.lower() in _FALSE else "true"
    return _READ_AS.get(node.kind, "something else")


def matching(spot: Spot, pattern: re.Pattern[str], *, expected: str, cure: str) -> str:
    """A text that ``pattern`` describes as a whole."""
    value = text(spot, expected=expected)
    if value and not pattern.fullmatch(value):
        spot.refuse(f"{quoted(value)} is not {expected}", cure=cure)
        return ""
    return value


def choice(spot: Spot, options: Collection[str]) -> str:
    """One of a few words."""
    value = text(spot, expected=" or ".join(options))
    if value and value not in options:
        spot.refuse(f"{quoted(value)} is unknown, expected {' or '.join(options)}{did_you_mean(value, options)}",
                    cure="write one of these")
        return ""
    return value


def integer(spot: Spot, *, low: int, high: int) -> int:
    """A whole number in plain decimal digits, from ``low`` to ``high``."""
    node, expected = spot.node, f"a whole number from {low} to {high}"
    if node is None:
        return 0
    if isinstance(node, Scalar) and node.kind == "int" and re.fullmatch(r"0|[1-9][0-9]{0,8}", node.text):
        value = int(node.text)
        if low <= value <= high:
            return value
    spot.refuse(f"{_spelling(node)}, expected {expected}", cure=f"write {expected}, without quotes")
    return 0


def _spelling(node: Node) -> str:
    if not isinstance(node, Scalar):
        return "is a list" if isinstance(node, Items) else "is a mapping"
    if node.kind == "null":
        return "has no value"
    return f"{quoted(node.text)} is a text" if node.kind == "text" else f"is {node.text}"


def items(spot: Spot, *, expected: str, example: str) -> tuple[Spot, ...]:
    """The values of a list."""
    node = spot.node
    if node is None:
        return ()
    if not isinstance(node, Items):
        spot.refuse(f"{_spelling(node)}, expected {expected}", cure=f"write it as a list: {example}")
        return ()
    return tuple(
        Spot(field=f"{spot.field}[{number}]", line=value.line if value else spot.line, node=value,
             problems=spot.problems)
        for number, value in enumerate(node.values)
    )


def words(spot: Spot) -> tuple[str, ...]:
    """A command as a list of words, the way exec takes it; no shell will read them."""
    example = "[python, -m, my_service]"
    found = items(spot, expected="a list of words", example=example)
    if isinstance(spot.node, Items) and not found:
        spot.refuse("names no program, expected a list of words", cure=f"write it as a list: {example}")
    return tuple(text(word, expected="a word", whole_numbers=True, empty=place > 0) for place, word in enumerate(found))


def entries(spot: Spot, *, expected: str, as_spelled: bool = False) -> tuple[tuple[str, Spot], ...]:
    """The keys and values of a mapping whose keys are free words; doubles are refused.

    So are keys that YAML reads as a number or the like, unless they are taken ``as_spelled``.
    """
    node = spot.node
    if node is None:
        return ()
    if not isinstance(node, Table):
        spot.refuse(f"{_spelling(node)}, expected {expected}",
                    cure="write its entries as 'key: value', indented below it, or remove the line")
        return ()
    first: dict[str, int] = {}
    found: list[tuple[str, Spot]] = []
    for key, value in node.entries:
        inner = spot.at(key.text, key.line, value)
        if key.text in first:
            inner.refuse(f"is written twice, first on line {first[key.text]}, expected once", cure="remove one of them")
        elif not key.text:
            inner.refuse("the key is empty, expected a name", cure="give it a name")
        elif key.kind != "text" and not as_spelled:
            inner.refuse(f"the key {key.text} is read as {_meaning(key)}, expected a text",
                         cure=f"write '{key.text}' in quotes")
        elif name := unprintable(key.text):
            inner.refuse(f"the key holds {name}, expected one line of plain text", cure="remove it")
        else:
            found.append((key.text, inner))
        first.setdefault(key.text, key.line)
    return tuple(found)


def section(spot: Spot, *, required: Mapping[str, str], optional: Collection[str] = ()) -> Mapping[str, Spot]:
    """The values of a mapping whose keys are fixed, by key; ``required`` says of each how it is written.

    Every known key is in the answer, absent ones as absent spots. Unknown and missing keys are refused.
    """
    known = [*required, *optional]
    found = {key: spot.at(key, spot.line, None) for key in known}
    present: set[str] = set()
    for key, value in entries(spot, expected=f"a mapping of {', '.join(known)}"):
        present.add(key)
        if key in found:
            found[key] = value
        else:
            value.refuse(f"unknown key, expected one of {', '.join(known)}{did_you_mean(key, known)}",
                         cure="correct its spelling or remove it")
    for key, example in required.items():
        if isinstance(spot.node, Table) and key not in present:
            found[key].refuse("is missing", cure=f"add it, such as {example}")
    return found
