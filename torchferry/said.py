"""What is said to the person at the server, in both languages side by side, and how a terminal shows it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LANGUAGES = ("en", "ko")
COLUMNS = 100
"""No line of a text for terminals is wider."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One text in English and Korean; what stands between backticks is typed or printed as it is."""

    en: str
    ko: str

    def text(self, language: str) -> str:
        """The text for a terminal."""
        return (self.en if language == "en" else self.ko).replace("`", "")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line, in words that are quoted for a shell already; words in capitals are for the person to fill in."""

    words: tuple[str, ...]

    @property
    def line(self) -> str:
        return " ".join(self.words)


def literal(value: str) -> str:
    """A value that goes into a `Said`: a backtick in it marks nothing."""
    return value.replace("`", "'")


def command(line: str, *more: str) -> Command:
    """A command line from plain words and, after them, words that are quoted already."""
    return Command(words=(*line.split(" "), *more))


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def folded(text: str, *, first: str = "", rest: str | None = None) -> list[str]:
    """A text in lines of at most `COLUMNS`, broken at blanks alone; ``first`` and ``rest`` are indents."""
    return list(_lines(text.split(), first, first if rest is None else rest, ""))


def folded_command(one: Command, *, indent: str) -> list[str]:
    """A command line over several lines, as a shell reads it."""
    return list(_lines(one.words, indent, indent + "  ", " \\"))


def _lines(words: Sequence[str], first: str, rest: str, end: str) -> Iterator[str]:
    line, empty = first, True
    for word in words:
        if not empty and columns(f"{line} {word}{end}") > COLUMNS:
            yield line + end
            line, empty = rest, True
        line, empty = line + ("" if empty else " ") + word, False
    yield line
