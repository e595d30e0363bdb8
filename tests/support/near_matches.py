"""Texts that an expression just matches or just does not: every repeat at its bounds and one beyond them."""

from __future__ import annotations

import importlib
import random
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
_CATEGORIES = {"CATEGORY_DIGIT": "0123456789", "CATEGORY_WORD": "aZ09_", "CATEGORY_SPACE": " \n"}
_ANY = "aA0 |:.-[]<>/\n가…"
_MOST = 3
"""Times that an endless repeat is repeated."""

_BEYOND = 0.1
"""How often a repeat goes beyond its bounds."""


def near_matches(expression: re.Pattern[str], chance: random.Random, count: int) -> Iterator[str]:
    """Some texts, each with something around it."""
    tree = _parser.parse(expression.pattern, expression.flags)
    for _ in range(count):
        around = [chance.choice(("", "", "", " ", "\n", "x", "|", "> ", "GPU ", "9")) for _ in range(2)]
        yield around[0] + _text(list(tree), chance) + around[1]


def _text(items: Sequence[tuple[Any, Any]], chance: random.Random) -> str:
    return "".join(_piece(str(kind), value, chance) for kind, value in items)


def _piece(kind: str, value: Any, chance: random.Random) -> str:
    if kind == "LITERAL":
        return _cased(chr(value), chance)
    if kind in ("NOT_LITERAL", "ANY"):
        return chance.choice(_ANY)
    if kind == "IN":
        return _member(value, chance)
    if kind == "SUBPATTERN":
        return _text(list(value[3]), chance)
    if kind == "BRANCH":
        return _text(list(chance.choice(value[1])), chance)
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        low, high = int(value[0]), int(value[1])
        most = low + _MOST if int(value[1]) > 10_000 else high
        times = chance.choice((low, most, min(low + 1, most), max(most - 1, low)))
        if chance.random() < _BEYOND:
            times = chance.choice((max(low - 1, 0), most + 1))
        return "".join(_text(list(value[2]), chance) for _ in range(times))
    if kind == "ASSERT":
        return _text(list(value[1]), chance)
    return ""  # places, and what must not be there


def _member(items: Sequence[tuple[Any, Any]], chance: random.Random) -> str:
    if str(items[0][0]) == "NEGATE":
        return chance.choice(_ANY)
    kind, value = chance.choice(list(items))
    if str(kind) == "LITERAL":
        return _cased(chr(value), chance)
    if str(kind) == "RANGE":
        return chr(chance.randint(value[0], value[1]))
    return chance.choice(_CATEGORIES[str(value)])


def _cased(letter: str, chance: random.Random) -> str:
    return letter.swapcase() if chance.random() < 0.02 else letter
