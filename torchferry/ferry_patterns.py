"""Regular expressions of the reader, translated for a small matcher in awk.

awk has no lookaround, no lazy repeats and, in some versions, not even counted ones. So that ferry.sh reads as Python
does, each expression becomes a short program for the matcher of templates/ferry/match.awk; one coarse expression
in plain ERE says where in a line it may begin. Expressions stay in one place, Python's reader.

Steps of a program, by their first letter: cS a character of set S; rS,MIN,MAX,GREEDY characters of set S; bX,Y try X,
then Y; jX go on at X; vN note this place as N; eCONDITION must hold here; lWIDTH,X,WANTED look around, from WIDTH
characters back, whether the steps up to X match, and go on at X if that is as wanted; m matched. Characters are
numbers: ASCII as it is, others as `Alphabet` counts them.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchferry.charset import DIGIT, FIRST, SPACE, WORD, Charset, bracket

_ENDLESS = 1_000_000_000
_CATEGORIES = {"CATEGORY_DIGIT": DIGIT, "CATEGORY_WORD": WORD}

_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One expression: its name, the number of its first step, the set of characters that it may begin with (None: of
    any), a plain ERE that every line in which a match begins matches too, letters that every match holds, letters
    with one of which every match begins (none: not known), and how many characters a match has at most."""

    name: str
    start: int
    first: int | None
    coarse: str
    needs: str
    begins: tuple[str, ...]
    longest: int


@dataclass(kw_only=True)
class Alphabet:
    """Characters beyond ASCII that the expressions name, numbered as they come, and the sets that are made of them."""

    letters: dict[str, int] = field(default_factory=dict)
    sets: dict[Charset, int] = field(default_factory=dict)

    def code(self, character: str) -> int:
        if ord(character) < FIRST:
            return ord(character)
        return self.letters.setdefault(character, FIRST + len(self.letters))

    def number(self, wanted: Charset) -> int:
        return self.sets.setdefault(wanted, len(self.sets))


class Compiler:
    """All expressions of the reader into one list of steps."""

    def __init__(self) -> None:
        self.alphabet = Alphabet()
        self.steps: list[str] = []
        self.programs: list[Program] = []

    def add(
        self, name: str, expression: re.Pattern[str] | str, *, full: bool = False, small: bool = False
    ) -> None:
        """Append one expression; ``full`` as re.fullmatch reads it, ``small`` for texts of which case is gone."""
        known = re.compile(expression)
        tree = _parser.parse(known.pattern, known.flags & ~re.DEBUG)
        items = [*tree, *([("AT", "AT_END_STRING")] if full else [])]
        body = _Body(compiler=self, flags=int(tree.state.flags), small=small)
        start = len(self.steps)
        body.sequence(items)
        self.steps.append("m")
        coarse, _ = body.coarse(items)
        codes, empty = body.first(items)
        first = None if codes is None or empty else self.alphabet.number(Charset(codes=codes))
        self.programs.append(Program(
            name=name, start=start, first=first, coarse=coarse, needs=body.needs(items),
            begins=body.begins(items), longest=min(tree.getwidth()[1], _ENDLESS),
        ))


@dataclass(frozen=True, kw_only=True)
class _Body:
    """One expression on its way into steps."""

    compiler: Compiler
    flags: int
    small: bool

    def charset(self, kind: str, value: Any) -> Charset | None:
        """The set that an item of one character stands for; None for other items."""
        if kind == "LITERAL":
            return Charset(codes=frozenset(self._cases([value])))
        if kind == "NOT_LITERAL":
            return Charset(codes=frozenset(self._cases([value])), negated=True)
        if kind == "ANY":
            return Charset(codes=frozenset([10]), negated=True)
        return self._class(value) if kind == "IN" else None

    def _alone(self, items: Sequence[tuple[Any, Any]]) -> Charset | None:
        return self.charset(str(items[0][0]), items[0][1]) if len(items) == 1 else None

    def _class(self, items: Sequence[tuple[Any, Any]]) -> Charset:
        if len(items) == 1 and str(items[0][1]).startswith("CATEGORY_NOT_"):
            return Charset(codes=self._category(str(items[0][1]).replace("_NOT_", "_")), negated=True)
        codes: set[int] = set()
        negated = False
        for kind, value in items:
            if str(kind) == "NEGATE":
                negated = True
            elif str(kind) == "LITERAL":
                codes.update(self._cases([value]))
            elif str(kind) == "RANGE":
                codes.update(self._cases(range(value[0], value[1] + 1)))
            else:
                codes.update(self._category(str(value)))
        return Charset(codes=frozenset(codes), negated=negated)

    def _category(self, name: str) -> frozenset[int]:
        if name == "CATEGORY_SPACE":
            return SPACE if self.flags & re.ASCII else SPACE | frozenset(range(28, 32))
        return _CATEGORIES[name]

    def _cases(self, codes: Iterable[int]) -> Iterable[int]:
        for code in codes:
            character = chr(code).lower() if self.small else chr(code)
            folds = not self.small and self.flags & re.IGNORECASE and (code < FIRST or not self.flags & re.ASCII)
            both = {character.lower(), character.upper()} if folds else {character}
            yield from (self.compiler.alphabet.code(one) for one in sorted(both) if len(one) == 1)

    def sequence(self, items: Sequence[tuple[Any, Any]]) -> None:
        """Append the steps of some items in a row."""
        steps = self.compiler.steps
        for item, value in items:
            kind = str(item)
            one = self.charset(kind, value)
            if one:
                steps.append(f"c{self.compiler.alphabet.number(one)}")
            elif kind == "SUBPATTERN":
                group, _, _, inner = value
                steps.extend([f"v{2 * group}"] if group else [])
                self.sequence(list(inner))
                steps.extend([f"v{2 * group + 1}"] if group else [])
            elif kind == "BRANCH":
                self._branch([list(branch) for branch in value[1]])
            elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
                self._repeat(value[0], min(int(value[1]), _ENDLESS), list(value[2]), greedy=kind == "MAX_REPEAT")
            elif kind == "AT":
                steps.append(f"e{self._place(str(value))}")
            else:
                self._look(kind, value[0], list(value[1]))

    def _place(self, name: str) -> str:
        many = self.flags & re.MULTILINE
        return {
            "AT_BEGINNING": "^" if many else "A", "AT_END": "$" if many else "z", "AT_END_STRING": "Z",
            "AT_BOUNDARY": "w",
        }[name]

    def _branch(self, branches: Sequence[Sequence[tuple[Any, Any]]]) -> None:
        steps, ends = self.compiler.steps, []
        for branch in branches[:-1]:
            fork = len(steps)
            steps.append("")
            self.sequence(branch)
            ends.append(len(steps))
            steps.append("")
            steps[fork] = f"b{fork + 1},{len(steps)}"
        self.sequence(branches[-1])
        for end in ends:
            steps[end] = f"j{len(steps)}"

    def _repeat(self, low: int, high: int, items: Sequence[tuple[Any, Any]], *, greedy: bool) -> None:
        steps = self.compiler.steps
        one = self._alone(items)
        if one:
            steps.append(f"r{self.compiler.alphabet.number(one)},{low},{high},{int(greedy)}")
            return
        assert greedy and low in (0, 1) and high in (1, _ENDLESS), "only ?, * and + of groups"
        begin = len(steps)
        if low:
            self.sequence(items)
        fork = len(steps)
        steps.append("")
        if high == _ENDLESS and low:
            steps[fork] = f"b{begin},{len(steps)}"
            return
        self.sequence(items)
        steps.extend([f"j{fork}"] if high == _ENDLESS else [])
        steps[fork] = f"b{fork + 1},{len(steps)}"

    def _look(self, kind: str, direction: int, items: Sequence[tuple[Any, Any]]) -> None:
        steps, begin = self.compiler.steps, len(self.compiler.steps)
        steps.append("")
        self.sequence(items)
        steps.append("m")
        wanted = int(kind == "ASSERT")
        width = 0 if direction > 0 else sum(1 for _ in items)
        steps[begin] = f"l{width},{len(steps)},{wanted}"

    def first(self, items: Sequence[tuple[Any, Any]]) -> tuple[frozenset[int] | None, bool]:
        """The characters that a match may begin with, None for any; and whether it may be empty so far."""
        found: frozenset[int] = frozenset()
        for item, value in items:
            kind = str(item)
            one = self.charset(kind, value)
            if one:
                return (None if one.negated else found | one.codes), False
            parts = _inner(kind, value)
            made = [self.first(part) for part in parts]
            if any(codes is None for codes, _ in made):
                return None, False
            found = found.union(*(codes or frozenset() for codes, _ in made))
            optional = kind.endswith("_REPEAT") and value[0] == 0
            if parts and not optional and not any(empty for _, empty in made):
                return found, False
        return found, True

    def needs(self, items: Sequence[tuple[Any, Any]]) -> str:
        """The longest run of letters that no match does without; '' where case does not count or none is known."""
        runs = [""]
        for item, value in items if self.small or not self.flags & re.IGNORECASE else ():
            if str(item) == "LITERAL" and value < FIRST:
                runs[-1] += self._letter(value)
            else:
                runs += [self.needs(list(value[3])) if str(item) == "SUBPATTERN" else "", ""]
        return max(runs, key=len)

    def begins(self, items: Sequence[tuple[Any, Any]]) -> tuple[str, ...]:
        """The letters that a match begins with, as many as are certain; none where they are not known."""
        letters = ""
        for item, value in items:
            kind = str(item)
            if kind == "LITERAL" and value < FIRST:
                letters += self._letter(value)
            elif not letters and kind in ("SUBPATTERN", "BRANCH"):
                made = [self.begins(part) for part in _inner(kind, value)]
                return tuple(one for part in made for one in part) if all(made) else ()
            else:
                break
        return (letters,) if letters else ()

    def _letter(self, code: int) -> str:
        return chr(code).lower() if self.small else chr(code)

    def coarse(self, items: Sequence[tuple[Any, Any]]) -> tuple[str, bool]:
        """A plain ERE that matches wherever this does, up to the first character that may be a newline."""
        text = ""
        for item, value in items:
            kind = str(item)
            one = self.charset(kind, value)
            if one:
                if text and one.holds(10):
                    return text, False
                text += bracket(one)
            elif kind == "SUBPATTERN" or kind == "BRANCH":
                made = [self.coarse(part) for part in _inner(kind, value)]
                if len(made) == 1:
                    text += made[0][0]
                elif all(part for part, _ in made):
                    text += "(" + "|".join(part for part, _ in made) + ")"
                elif any(part for part, _ in made):
                    text += "(" + "|".join(part for part, _ in made if part) + ")?"
                if not all(whole for _, whole in made):
                    return text, False
            elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
                inside = self._alone(list(value[2]))
                if inside and (inside.negated or inside.holds(10)):
                    return text, False
                part, whole = self.coarse(list(value[2]))
                if not whole:
                    return text + (part if value[0] else ""), False
                mark = "?" if value[:2] == (0, 1) else "*" if value[0] == 0 else "+"
                text += (part if inside else f"({part})") + mark
        return text, True


def _inner(kind: str, value: Any) -> Sequence[Sequence[tuple[Any, Any]]]:
    """What stands inside a group, an alternative or a repeat; nothing for places and looks around."""
    if kind == "BRANCH":
        return [list(branch) for branch in value[1]]
    if kind == "SUBPATTERN":
        return [list(value[3])]
    return [list(value[2])] if kind.endswith("_REPEAT") else []
