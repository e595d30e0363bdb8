"""ferry.sh as a text: the same each time, quoted throughout, clean for shellcheck; and its expressions against re."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from support.ferry import COMPAT, Ferry, document, project, script

from torchferry import ferry
from torchferry.ferry_patterns import Compiler
from torchferry.layout import Layout
from torchferry.templates import TEMPLATES

HOSTILE = "it's $(touch stolen) `touch stolen` \"x\" \\ {{ 7 * 7 }} %s\nrm -rf /"


def test_the_same_in_the_same_out() -> None:
    assert script() == script()


def test_it_is_written_executable(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path)
    text = ferry.write(document(), project(), COMPAT, layout)
    made = layout.ferry(project().release)
    assert made.read_bytes() == text.encode("utf-8")
    assert stat.S_IMODE(made.stat().st_mode) == 0o755


def test_every_value_goes_in_through_the_one_that_quotes() -> None:
    template = (TEMPLATES / ferry.TEMPLATE).read_text(encoding="utf-8")
    values = re.findall(r"\{\{(.*?)\}\}", template)
    assert values
    ours = {" commands ", " facts "}  # shell of torchferry itself; what goes into facts is quoted in ferry_facts.py
    assert all(value.endswith(" | shell ") or value in ours for value in values)
    assert not re.search(r"\{%", template)


def test_no_value_becomes_a_command(tmp_path: Path) -> None:
    place = tmp_path / "ferry.sh"
    place.write_text(script(HOSTILE), encoding="utf-8")
    done = subprocess.run(["sh", str(place), "help"], cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout.decode().startswith(HOSTILE)
    assert [path.name for path in tmp_path.iterdir()] == ["ferry.sh"]


def test_help_lists_every_exit_code_and_command(tmp_path: Path) -> None:
    place = tmp_path / "ferry.sh"
    text = script()
    place.write_text(text, encoding="utf-8")
    said = Ferry(place=place).run("help").stdout.decode()
    [block] = re.findall(r"# the exit codes, in one place\n((?:\w+=\d+\n)+)", text)
    codes = re.findall(r"=(\d+)", block)
    assert len(codes) == len(set(codes)) == 15
    assert sorted(re.findall(r"^  (\d+)  ", said, re.MULTILINE)) == sorted(codes)
    [dispatched] = re.findall(r"^  (verify \|.*)\) \"\$command\"", text, re.MULTILINE)
    commands = {"doctor", *dispatched.split(" | ")}
    assert {"verify", "load", "run", "up", "rollback", "report"} < commands
    assert commands <= {word for line in re.findall(r"^  sh ferry\.sh ([a-z| \[\]A-Z]+)", said, re.MULTILINE)
                        for word in line.split()}


@pytest.mark.parametrize(
    "words",
    [["sail"], ["doctor", "--smi"], ["doctor", "--smi", "/nowhere"], ["doctor", "--driver", "new"], ["doctor", "x"],
     ["doctor", "--driver", "535.1.2.3"], ["doctor", "--driver", "12.1"], ["doctor", "--gpu", "T4\ndriver 999.99"]],
)
def test_what_it_does_not_understand_it_refuses(words: list[str], tmp_path: Path) -> None:
    place = tmp_path / "ferry.sh"
    place.write_text(script(), encoding="utf-8")
    done = Ferry(place=place).run(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"ferry.sh: ")


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    place = tmp_path / "ferry.sh"
    place.write_text(script(), encoding="utf-8")
    done = subprocess.run(["shellcheck", "-s", "sh", str(place)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_fits_into_one_argument() -> None:
    parts = re.findall(r"='(.*?)'\n\n", script(), re.DOTALL)
    assert max(map(len, parts)) < 100_000  # Linux takes 131,072 bytes in one argument


def test_an_unused_way_of_writing_expressions_is_refused() -> None:
    with pytest.raises(AssertionError, match="only"):
        Compiler().add("x", r"(?:ab){2,3}")


@pytest.mark.parametrize(
    ("expression", "coarse"),
    [("ab?c", "ab?c"), (r"a\s+b", "a"), ("x(?:yy|z)+[^|]", "x((yy|z))+"), ("(?i)k", "[Kk]"), (r"(?:^|b)c", "(b)?c")],
)
def test_where_an_expression_may_begin(expression: str, coarse: str) -> None:
    compiler = Compiler()
    compiler.add("x", expression)
    assert compiler.programs[0].coarse == coarse
