"""The Dockerfile language as far as we write it: quoting on the way out, instructions on the way back in.

Rules are those of Docker's reference: an instruction a line, JSON form for words, double quotes for ENV and LABEL
in which backslash, double quote and dollar are escaped by a backslash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torchferry.errors import ConfigError

INSTRUCTIONS = frozenset(
    ["FROM", "ARG", "ENV", "LABEL", "WORKDIR", "COPY", "USER", "EXPOSE", "VOLUME", "HEALTHCHECK", "CMD", "ENTRYPOINT",
     "SHELL", "RUN"]
)
_EXEC = frozenset({"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK", "SHELL"})
"""Instructions whose words no builder expands."""

_FLAG = re.compile(r"--[a-z-]+=\S+\s*")
_PAIR = re.compile(r'([A-Za-z_][\w.\-]*)="((?:[^"\\]|\\.)*)"\Z')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction: its name, flags (--mount=...), operands after unquoting, and line number (from 1)."""

    name: str
    flags: tuple[str, ...]
    operands: tuple[str, ...]
    line: int


def quote(value: str) -> str:
    """A value as ENV and LABEL take it."""
    refuse_control(value)
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def json_form(words: Sequence[str]) -> str:
    """Words as RUN, CMD, VOLUME and HEALTHCHECK take them without a shell."""
    for word in words:
        refuse_control(word)
    return json.dumps(list(words), ensure_ascii=False)


def refuse_control(value: str) -> None:
    """No character may end a line early: a newline in a value would begin an instruction of its own."""
    for character in value:
        if ord(character) < 32 or ord(character) == 127 or character in "\x85\u2028\u2029":
            raise ConfigError(
                f"a value holds the control character {character!r}: {value!r}",
                cure="take it out; a Dockerfile holds one instruction a line",
            )


def parse(text: str) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile in our subset; ConfigError names the line of anything else."""
    found = []
    for number, line in _logical_lines(text):
        name, _, rest = line.partition(" ")
        if name not in INSTRUCTIONS:
            raise ConfigError(
                f"Dockerfile:{number}: {name!r} is not an instruction we write",
                cure="build this Dockerfile with plain docker build",
            )
        flags, rest = _flags(rest) if name in ("RUN", "COPY", "HEALTHCHECK", "FROM") else ((), rest)
        found.append(Instruction(name=name, flags=flags, operands=_operands(name, rest, number), line=number))
    return tuple(found)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined, by the number of their first line; comments and empty lines left out."""
    started = 0
    parts: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not parts and (not line.strip() or line.startswith("#")):
            continue
        started = started if parts else number
        parts.append(line.removesuffix("\\").strip() if line.endswith("\\") else line.strip())
        if not line.endswith("\\"):
            yield started, " ".join(parts)
            parts = []
    if parts:
        raise ConfigError(f"Dockerfile:{started}: the last line goes on nowhere", cure="take the backslash off")


def _flags(rest: str) -> tuple[tuple[str, ...], str]:
    flags = []
    while match := _FLAG.match(rest):
        flags.append(match.group().strip())
        rest = rest[match.end():]
    return tuple(flags), rest


def _operands(name: str, rest: str, line: int) -> tuple[str, ...]:
    if name not in _EXEC and re.search(r"(?<!\\)(?:\\\\)*\$", rest):
        raise ConfigError(
            f"Dockerfile:{line}: {name}: a variable is expanded there, which only docker build does",
            cure="write its value, or a backslash before the dollar",
        )
    if name in ("ENV", "LABEL"):
        pair = _PAIR.match(rest)
        if not pair:
            raise ConfigError(f'Dockerfile:{line}: {name} without KEY="value"', cure="quote the value")
        return pair[1], _ESCAPED.sub(r"\1", pair[2])
    if name == "HEALTHCHECK":
        word, _, rest = rest.partition(" ")
        if word == "NONE":
            return ("NONE",)
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError as error:
            raise ConfigError(f"Dockerfile:{line}: {name}: {error}", cure="write the words as a JSON array") from error
        return tuple(words)
    if name in _EXEC:
        raise ConfigError(f"Dockerfile:{line}: {name} in shell form", cure="write the words as a JSON array")
    return tuple(rest.split())
