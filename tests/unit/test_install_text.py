"""INSTALL.txt: both languages, the steps of the page, lines that a terminal shows whole, commands for a shell."""

from __future__ import annotations

import re
import shlex
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.page import document

from torchferry import install_text
from torchferry.errors import IntegrityError
from torchferry.guide import chapters, checklists
from torchferry.guide_words import OPTIONS, STATUSES
from torchferry.release_facts import parse
from torchferry.said import COLUMNS, Command, columns, folded, folded_command

NAME = "a" * 20 + "-" + "b" * 42
"""As long as a name may be."""


def test_the_same_in_the_same_out() -> None:
    assert install_text.text(document()) == install_text.text(document())


@pytest.mark.parametrize("made", [document(), document(NAME, NAME)], ids=["short", "long"])
def test_no_line_is_wider_than_a_terminal(made: dict) -> None:
    lines = install_text.text(made).split("\n")
    wide = [sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in line) for line in lines]
    assert max(wide) <= 100
    assert not any(line != line.rstrip() for line in lines)


def test_english_then_korean_with_every_step_option_and_item_in_both() -> None:
    made = document()
    text = install_text.text(made)
    english, korean = text.split("\n\n\n")
    for language, part in (("en", english), ("ko", korean)):
        flat = re.sub(r"\s*\n\s*| {3,}", " ", part.replace(" \\\n", "\n"))
        facts = parse(made)
        assert bool(re.search("[가-힣]", part)) == (language == "ko")
        for chapter in chapters(facts):
            assert chapter.title.text(language) in flat
            for step in chapter.steps:
                assert step.what.text(language) in flat
                assert all(command.line in flat for command in step.run)
        for option, meaning in OPTIONS:
            assert option in flat
            assert meaning.text(language) in flat
        assert all(f"{status}  {meaning.text(language)}" in flat for status, meaning in STATUSES)
        for item in (item for one in checklists(facts) for item in one.items):
            assert f"[ ] {item.text(language)}" in flat
        assert "2.78 GB" in flat
        assert "c0ffee" in flat


def test_a_folded_command_is_read_by_a_shell_as_the_whole_one() -> None:
    folder = "it's a long name " * 3
    (send,) = chapters(parse(document(folder)))[0].steps[0].run
    words = ["scp", "-r", f"{folder}-1.0.0", "SERVER:"]
    assert shlex.split(send.line) == words
    lines = folded_command(Command(words=(*send.words, *send.words)), indent="    ")
    assert len(lines) > 1
    shell = "set -- " + "\n".join(lines) + "; printf '%s\\n' \"$@\""
    done = subprocess.run(["sh", "-c", shell], check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:-1] == words * 2


def test_without_a_health_path_nobody_is_asked() -> None:
    made = document()
    del made["services"]
    assert "curl" in install_text.text(document())
    assert "curl" not in install_text.text(made)


def test_a_release_without_variants_asks_for_no_driver() -> None:
    made = document()
    assert "CUDA toolkit" in install_text.text(made)
    made["images"] = [one for one in made["images"] if one["variant"] == "any"]
    text = install_text.text(made)
    assert "CUDA toolkit" not in text
    assert "no variants" in text
    assert "변형이 없습니다" in text


def test_what_is_no_manifest_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        install_text.text({"images": [{}]})


WORDS = st.lists(st.text(alphabet="abc한국-'", min_size=1, max_size=30), min_size=1, max_size=40)


@given(words=WORDS)
def test_folding_keeps_every_word_in_its_order(words: list[str]) -> None:
    lines = folded(" ".join(words), first="1. ", rest="   ")
    assert " ".join(lines)[3:].split() == words
    assert all(columns(line) <= COLUMNS for line in lines)


@given(words=WORDS)
def test_folding_a_command_keeps_what_a_shell_reads(words: list[str]) -> None:
    one = Command(words=tuple(map(shlex.quote, words)))
    lines = folded_command(one, indent="       ")
    assert shlex.split("\n".join(lines).replace(" \\\n", "\n")) == words
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert all(columns(line) <= COLUMNS for line in lines if " " in line.strip())
