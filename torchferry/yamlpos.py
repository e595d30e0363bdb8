"""YAML text as a small tree that remembers lines and spellings, and the list of all that is wrong with it.

Only the plain part of YAML is read: no anchors, aliases, merges or tags, so no value is more than what stands there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import yaml

from torchferry.errors import ConfigError

MAX_CHARACTERS = 256 * 1024
MAX_DEPTH = 12
MAX_SHOWN = 40

Kind = Literal["text", "int", "float", "bool", "null", "date", "merge"]
_KINDS: dict[str, Kind] = {
    "tag:yaml.org,2002:int": "int",
    "tag:yaml.org,2002:float": "float",
    "tag:yaml.org,2002:bool": "bool",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
    "tag:yaml.org,2002:merge": "merge",
}


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One word as it is spelled, and what YAML 1.1 takes it for."""

    line: int
    text: str
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list; None stands for an item that was refused."""

    line: int
    values: tuple[Node | None, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A mapping in file order, doubles included; None stands for a value that was refused."""

    line: int
    entries: tuple[tuple[Scalar, Node | None], ...]


Node = Scalar | Items | Table


def quoted(text: str) -> str:
    """A piece of a person's text, safe to show on one line of a terminal."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


@dataclass(frozen=True, kw_only=True)
class Problems:
    """All that is wrong with one file, to be told at once."""

    file: str
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, where: str, wrong: str, *, cure: str) -> None:
        """Remember one problem: the line, the field, what is wrong and what was expected, and the cure."""
        place = f"{where}: " if where else ""
        self.found.append((line, f"{self.file}:{line}: {place}{wrong}; {cure}"))

    def error(self) -> ConfigError:
        """One error that tells them all, by line; past a few dozen only their count."""
        lines = list(dict.fromkeys(told for _, told in sorted(self.found, key=lambda one: one[0])))
        more = [f"... and {len(lines) - MAX_SHOWN} more"] if len(lines) > MAX_SHOWN else []
        return ConfigError("\n".join([*lines[:MAX_SHOWN], *more]), cure=f"edit {self.file}, then run: inv check")

    def stop(self, line: int, where: str, wrong: str, *, cure: str) -> NoReturn:
        """Raise at once, for what leaves nothing to read on."""
        self.add(line, where, wrong, cure=cure)
        raise self.error()


def read(text: str, problems: Problems) -> Node | None:
    """The tree of a YAML text.

    What is not plain YAML is added to ``problems`` and left out; a text that cannot be read at all raises ConfigError.
    """
    if len(text) > MAX_CHARACTERS:
        problems.stop(1, "", f"more than {MAX_CHARACTERS} characters", cure="this is not a variants.yaml")
    reader = _Reader(text, problems)
    try:
        return reader.document()
    except yaml.YAMLError as error:
        _explain(error, text, problems)
    except (ValueError, OverflowError) as error:  # PyYAML: escapes and directives with impossible numbers
        problems.stop(reader.line, "", f"YAML: {error}", cure="correct the escape or number there")


class _Reader:
    """Builds the tree from PyYAML's events; its composer would resolve aliases and recurse without a limit."""

    def __init__(self, text: str, problems: Problems) -> None:
        self.events = yaml.parse(text, Loader=yaml.SafeLoader)
        self.problems = problems
        self.line = 1

    def next(self) -> Any:
        event: Any = next(self.events)
        self.line = event.end_mark.line + 1
        return event

    def document(self) -> Node | None:
        self.next()
        event = self.next()
        if isinstance(event, yaml.StreamEndEvent):
            self.problems.stop(1, "", "is empty, expected release, python, base and services",
                               cure="start from the variants.yaml of torchferry")
        root = self.node(self.next(), 1)
        self.next()
        if not isinstance(self.next(), yaml.StreamEndEvent):
            self.problems.add(self.line, "", "a second document begins here, expected one",
                              cure="remove the --- line")
        return root

    def node(self, event: Any, depth: int) -> Node | None:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            self.problems.stop(line, "", f"nested deeper than {MAX_DEPTH} levels", cure="check the brackets there")
        if isinstance(event, yaml.AliasEvent):
            self.problems.add(line, "", f"the alias {quoted(f'*{event.anchor}')} is not allowed",
                              cure="write the value out")
            return None
        self.refuse_properties(event, line)
        if isinstance(event, yaml.SequenceStartEvent):
            values: list[Node | None] = []
            while not isinstance(event := self.next(), yaml.SequenceEndEvent):
                values.append(self.node(event, depth + 1))
            return Items(line=line, values=tuple(values))
        if isinstance(event, yaml.MappingStartEvent):
            return self.table(line, depth)
        return _scalar(event, line)

    def table(self, line: int, depth: int) -> Table:
        entries: list[tuple[Scalar, Node | None]] = []
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key, value = self.node(event, depth + 1), self.node(self.next(), depth + 1)
            if isinstance(key, Scalar) and key.kind == "merge":
                self.problems.add(key.line, "", "the merge key << is not allowed", cure="write the values out")
            elif isinstance(key, Scalar):
                entries.append((key, value))
            elif key is not None:
                self.problems.add(key.line, "", "a list or mapping stands where a key should be, expected a word",
                                  cure="put a text that begins with { or [ in quotes")
        return Table(line=line, entries=tuple(entries))

    def refuse_properties(self, event: Any, line: int) -> None:
        if anchor := getattr(event, "anchor", None):
            self.problems.add(line, "", f"the anchor {quoted('&' + anchor)} is not allowed",
                              cure="remove it and write its value where it is wanted")
        if tag := getattr(event, "tag", None):
            short = tag.replace("tag:yaml.org,2002:", "!!", 1)
            self.problems.add(line, "", f"the tag {quoted(short)} is not allowed, expected plain values",
                              cure="remove the tag; put a text in quotes")


def _scalar(event: Any, line: int) -> Scalar:
    text, plain = event.value, event.implicit[0]
    rules = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], []) if plain else []
    tag = next((tag for tag, pattern in rules if pattern.match(text)), "")
    return Scalar(line=line, text=text, kind=_KINDS.get(tag, "text"))


def _explain(error: yaml.YAMLError, text: str, problems: Problems) -> NoReturn:
    """PyYAML's words for a syntax error, with the cure for the usual slips."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        problems.stop(line, "", f"YAML: the character U+{int(error.character):04X} cannot stand in a text file",
                      cure="remove it")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "context", None) or error)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if "'\\t'" in said:
        problems.stop(line, "", f"YAML: a tab in column {column}, expected spaces", cure="replace the tab by spaces")
    if "cannot start any token" in said or "mapping values are not allowed" in said:
        cure = "put the value in quotes, or correct the indentation"
    else:
        cure = "check quotes, brackets, colons and indentation there and on the line above"
    problems.stop(line, "", f"YAML: {said} (column {column})", cure=cure)
