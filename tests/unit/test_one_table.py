"""compat.yaml is the only file of the program that states a driver version, a CUDA release or build, or a GPU's name.

Docstrings and comments may give examples, and tests have to; what the program says and decides comes from the table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from torchferry.compat import load

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for path in [*(ROOT / "torchferry").rglob("*"), *(ROOT / "templates").rglob("*"), ROOT / "tasks.py", ROOT / "inv"]
    if path.is_file() and path.suffix in (".py", ".yaml", ".j2", ".sh", "") and "__pycache__" not in path.parts
    and path.name != "compat.yaml"
)

NAMES = sorted({name for row in load().table.gpus for name in row.names}, key=len, reverse=True)
STATES = {
    "a driver version": re.compile(r"(?<![\w.])[3-6]\d\d\.\d{2,3}(?:\.\d{1,3})?(?![\w.])"),
    "a CUDA release or build": re.compile(r"\bcu1[0-9][0-9]\b|\bCUDA \d{1,2}\.\d\b|\bsm_\d\d"),
    "a GPU": re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, NAMES))})(?![\w-])"),
}

ALLOWED = {
    ("torchferry/smi_forms.py", "Orin"): "a word with which names of products begin, no fact about it",
    ("torchferry/smi_forms.py", "Xavier"): "the same",
    ("tasks.py", "cu121"): "what a variant is called, in the help",
    ("torchferry/grammar.py", "cu121"): "what a variant may be called, in a hint",
    ("torchferry/variants.py", "cu121"): "the same",
    ("torchferry/page_words.py", "535.104.05"): "how a driver is written, beside the box where one is typed",
    ("torchferry/page_words.py", "T4"): "how a GPU is written, likewise",
}
"""Each exception with its reason."""


def spoken(path: Path) -> Iterator[str]:
    """What a file says to the program: strings that are no docstrings, values of YAML, lines that are no comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from strings(ast.parse(text))
    elif path.suffix == ".yaml":
        yield str(yaml.safe_load(text))
    else:
        yield from (line for line in text.splitlines() if not line.lstrip().startswith(("#", "{#")))


def strings(tree: ast.AST) -> Iterator[str]:
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings, also of constants
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


def stated(path: Path) -> set[str]:
    """Every fact that a file states by itself."""
    return {
        found[0] for said in spoken(path) for pattern in STATES.values() for found in pattern.finditer(said)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_file_states_what_the_table_knows(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert stated(path) - {what for file, what in ALLOWED if file == name} == set()


def test_every_exception_is_still_needed() -> None:
    assert {(file, what) for file, what in ALLOWED if what not in stated(ROOT / file)} == set()


@pytest.mark.parametrize(
    "said",
    ['x = "driver 525.60.13 or newer"', 'x = f"{y} 470.57"', 'x = {"cu121": 1}', 'x = "CUDA 12.4"', 'x = "Tesla T4"',
     'x = "NVIDIA RTX A6000 it is"', 'x = "sm_86"'],
)
def test_the_rule_sees_what_it_is_to_see(said: str) -> None:
    assert any(pattern.search(one) for one in strings(ast.parse(said)) for pattern in STATES.values())


def test_the_rule_sees_the_table_itself() -> None:
    assert {"525.60.13", "cu121", "T4"} <= stated(ROOT / "torchferry/compat.yaml")


def test_files_are_found() -> None:
    assert {"compat.py", "symptoms.yaml", "verdict_text.py", "tasks.py", "inv"} <= {path.name for path in FILES}
