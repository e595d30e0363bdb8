"""What ferry.sh knows, as lines of text: the reader's expressions, names of GPUs, drivers, rules and sentences.

One fact a line, its parts between bars; the last part may hold bars itself. templates/ferry/main.awk reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby

from torchferry import smi, smi_csv, smi_forms, smi_table, smi_text
from torchferry.charset import FIRST
from torchferry.compat import Compat
from torchferry.compat_rows import Floors
from torchferry.ferry_patterns import Compiler
from torchferry.gpus import CUT, TYPED_APART, TYPED_BEHIND, words
from torchferry.server import WINDOWS_SPREAD
from torchferry.smi_table import DRIVER, LIMIT
from torchferry.verdict import Rule
from torchferry.verdict_text import REASONS

BORDERS, UNSEEN, BLANK = {"|": 3, "-": 4, "+": 5}, 2, 32
"""Numbers that stand for characters which the reader turns into others, or drops."""

_BEYOND = range(0x80, 0x10000)
_PER_LINE = 24


def tables(rules: Sequence[Rule], compat: Compat) -> str:
    """Everything that ferry.sh has to know about these variants."""
    lines = [*_reader(), *_judgement(rules, compat)]
    return "\n".join("|".join(line) for line in lines)


def _expressions(compiler: Compiler) -> None:
    """Every expression of the reader, by the name that awk knows it by."""
    parts = {
        smi_text: ("ESCAPE", "ENTITY", "BREAK", "TAG", "XML", "BBCODE", "FENCE"),
        smi_table: ("HEADER", "SMI", "LIMIT", "ROW", "BROKEN", "MIG", "WINDOWS"),
        smi_forms: ("LISTED", "LISTED_MIG", "NAMED", "MIG_MODE", "MODEL", "MODULE", "MODULE_ARCH"),
        smi_csv: ("BRAND",), smi: ("TEGRA", "WSL"),
    }
    for module, names in parts.items():
        for name in names:
            compiler.add(name, getattr(module, f"_{name}"))
    compiler.add("ELEMENT", smi_forms._XML)
    compiler.add("BRANDS", smi_forms.BRANDS)
    compiler.add("XML_DRIVER", rf"(?a)({DRIVER})(?![\w.])")
    compiler.add("XML_LIMIT", rf"(?a)({LIMIT})(?![\w.])")
    compiler.add("CSV_HINT", rf"(?a){smi_forms.BRANDS}|[A-Z]\d\d|\d\d\d\.\d")
    compiler.add("CUT", CUT)
    compiler.add("TYPED_AFTER", TYPED_APART)
    compiler.add("TYPED_BEFORE", TYPED_BEHIND)
    compiler.add("TITLE", smi_csv._TITLE, full=True)
    compiler.add("CERTAIN", smi_csv._CERTAIN, full=True)
    compiler.add("OF_A_GPU", smi_csv._OF_A_GPU, full=True)
    compiler.add("LIKELY", smi_csv._LIKELY, full=True)
    for field, pattern in smi_csv.VALUES.items():
        compiler.add(f"FIELD_{field}", pattern, full=True)
    for failure, expression in smi._PATTERNS:
        compiler.add(failure, expression)


def reader() -> Compiler:
    """The expressions of the reader, translated; others may be added behind them."""
    compiler = Compiler()
    _expressions(compiler)
    return compiler


def step_lines(steps: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Steps of the matcher, some on each line."""
    yield from (("step", " ".join(steps[at:at + _PER_LINE])) for at in range(0, len(steps), _PER_LINE))


@cache
def _reader() -> tuple[tuple[str, ...], ...]:
    compiler = reader()
    sets = compiler.alphabet.sets.items()
    lines: list[tuple[str, ...]] = [("set", str(number), one.ranges) for one, number in sets]
    lines += step_lines(compiler.steps)
    lines += [
        ("program", one.name, str(one.start), "" if one.first is None else str(one.first), one.coarse)
        for one in compiler.programs
    ]
    lines += [("needs", one.name, one.needs) for one in compiler.programs if one.needs]
    letters = compiler.alphabet.letters
    points = {**_points(), **{ord(letter): code for letter, code in letters.items()}}
    lines.append(("points", " ".join(f"{point}={code}" for point, code in sorted(points.items()))))
    lines += [("failure", failure) for failure, _ in smi._PATTERNS]
    lines += [("head", said, field) for said, field in smi_csv._HEADS.items()]
    lines += _cp1252()
    lines += [("looked", one) for one in smi.LOOKED_FOR]
    numbers = {
        "letters": FIRST + len(letters), "longest": smi_text.LONGEST, "near": smi_table.NEAR, "most": smi_table.MOST,
        "row": smi_csv.LONGEST, "spread": WINDOWS_SPREAD,
    }
    lines += [("number", name, str(number)) for name, number in numbers.items()]
    return tuple(lines)


def _points() -> dict[int, int]:
    """Characters beyond ASCII that the reader turns into blanks or borders, or drops."""
    found = {point: BLANK for point in _BEYOND if smi_text._SPACES.match(chr(point))}
    found |= {point: UNSEEN for point in _BEYOND if smi_text._INVISIBLE.match(chr(point))}
    return found | {point: BORDERS[to] for point, to in smi_text._BORDERS.items() if point >= FIRST}


def _cp1252() -> Iterator[tuple[str, ...]]:
    """What the bytes from 0x80 on are on Windows: in a file, and in a character reference."""
    for byte in range(0x80, 0xA0):
        character = bytes([byte]).decode("cp1252", "replace")
        yield "cp1252", str(byte), str(ord(character)), str(byte if character == "\ufffd" else ord(character))


def _judgement(rules: Sequence[Rule], compat: Compat) -> Iterator[tuple[str, ...]]:
    kinds = groupby(
        sorted(compat.table.gpus, key=lambda row: (row.capability, row.arch or "", row.tegra)),
        key=lambda row: (row.capability, row.arch or "", row.tegra),
    )
    for (capability, arch, tegra), rows in kinds:
        names = ",".join(" ".join(words(name)) for row in rows for name in row.names)
        yield "gpus", capability, arch, str(int(tegra)), names
    for generation in compat.table.generations:
        branches = (generation.first_branch, generation.last_branch)
        yield "generation", *("" if one is None else str(one) for one in branches), " ".join(generation.capabilities)
    for rule in rules:
        yield "rule", rule.name, " ".join(rule.architectures), rule.cuda or "", *_floors((rule.linux, rule.windows)), (
            " ".join(f"{major}.{minor}" for major, minor in rule.code)
        )
    yield from (("reason", code, text) for code, text in REASONS.items())


def _floors(both: Iterable[Floors | None]) -> Iterator[str]:
    for floors in both:
        yield from (floors.floor, floors.toolkit_driver, floors.doubtful_from or "") if floors else ("", "", "")
