"""No text, however odd or ill-meant, does more than make a Project or a ConfigError."""

from __future__ import annotations

import copy
import itertools
import json
import unicodedata
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.variants_text import FULL, parsed, problems, replaced

from torchferry.errors import ConfigError
from torchferry.yamlpos import MAX_CHARACTERS, MAX_SHOWN

ENGINE = ("services", "engine")
CLOSED: list[tuple[str | int, ...]] = [
    ("release", "name"), ("release", "version"), ("python",), ("base", "debian"), ("base", "packages", 0),
    ("compression",), ("platforms", 0), (*ENGINE, "source"), (*ENGINE, "requirements"), (*ENGINE, "health", "path"),
    (*ENGINE, "health", "within"), (*ENGINE, "mounts", "/app/models"), (*ENGINE, "include", 0), (*ENGINE, "sdists", 0),
    (*ENGINE, "variants", "cu121", "torch"), (*ENGINE, "variants", "cu121", "index"),
    ("services", "web", "base", "image"),
]
OPEN: list[tuple[str | int, ...]] = [
    (*ENGINE, "command", 2), (*ENGINE, "env", "DEVICE"), (*ENGINE, "health", "expect", "status"),
    (*ENGINE, "smoke", 0, 2), (*ENGINE, "variants", "cpu", "env", "DEVICE"),
]
DATA = ['"', "'", "$HOME", "$(id)", "`id`", "\\", "{{ 7 }}", "{% x %}", "# syntax=x", "a b", "é", "a;b", "<<EOF"]
BREAKING = {
    "\n": "a newline", "\r": "a carriage return", "\t": "a tab", "\0": "a NUL", "\x1b": "U+001B", "\x85": "U+0085",
    "\u2028": "U+2028", "\u2029": "U+2029", "\ud800": "U+D800",
}


def dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


@pytest.mark.parametrize("path", CLOSED + OPEN, ids=dotted)
def test_no_field_takes_a_character_that_breaks_a_line(path: tuple[str | int, ...]) -> None:
    for character, name in BREAKING.items():
        (told,) = problems(replaced(path, f"x{character}RUN id"))
        assert told.startswith(f"variants.yaml:1: {dotted(path)}: ")
        assert f"holds {name}" in told or f"holds the character {name}" in told


@pytest.mark.parametrize("path", CLOSED, ids=dotted)
def test_names_versions_and_paths_take_nothing_that_means_something_elsewhere(path: tuple[str | int, ...]) -> None:
    for text in DATA:
        (told,) = problems(replaced(path, f"x{text}"))
        assert told.startswith(f"variants.yaml:1: {dotted(path)}: ")


@pytest.mark.parametrize("path", OPEN, ids=dotted)
def test_data_arrives_as_it_was_written(path: tuple[str | int, ...]) -> None:
    for text in DATA:
        assert text in strings(asdict(parsed(replaced(path, text))))


@pytest.mark.parametrize("where", [ENGINE, (*ENGINE, "env"), (*ENGINE, "mounts"), (*ENGINE, "health", "expect")])
@pytest.mark.parametrize("key", ["a\nb", "a\u2028b", "\ud800", ""])
def test_no_key_takes_a_character_that_breaks_a_line(where: tuple[str, ...], key: str) -> None:
    told = problems(replaced((*where, key), "x"))
    assert len(told) == 1
    assert "the key " in told[0]


@pytest.mark.parametrize("key", ["$A", "A-B", "A B", "A=B", "É", "A`"])
def test_environment_names_are_plain(key: str) -> None:
    (told,) = problems(replaced((*ENGINE, "env", key), "x"))
    assert "cannot name an environment variable" in told


@pytest.mark.parametrize("name", ["Web", "web/x", "web x", "-web", "web-", "w..b", "w___b", "w" * 64, "wéb"])
def test_service_names_can_name_an_image(name: str) -> None:
    (told,) = problems(json.dumps(FULL).replace('"web":', f'"{name}":'))
    assert "is not a name of a-z" in told


BROKEN = [
    ("", "is empty"),
    ("# only talk\n", "is empty"),
    ("---\n", "has no value, expected a mapping of release"),
    ("[]", "is a list, expected a mapping of release"),
    ("words", "is a text, expected a mapping of release"),
    ("release:\n\tname: x\n", "variants.yaml:2: YAML: a tab in column 1, expected spaces; replace the tab by spaces"),
    ("release: {name: x\npython: '3.11'\n", "variants.yaml:2: YAML: "),
    ("release: `x`\n", "put the value in quotes"),
    ("release: a: b\n", "put the value in quotes"),
    ("release: {{ x }}\n", "a list or mapping stands where a key should be"),
    ("release: 'x\n", "YAML: "),
    ("a: \"\\UFFFFFFFF\"\n", "YAML: "),
    ("%YAML 1." + "9" * 5000 + "\n--- x\n", "YAML: "),
    ("a: b\n\x07\n", "variants.yaml:2: YAML: the character U+0007"),
    ("a: 1\n--- \nb: 2\n", "variants.yaml:2: a second document begins here"),
    ("a: &x 1\n", "the anchor '&x' is not allowed"),
    ("a: *x\n", "the alias '*x' is not allowed"),
    ("<<: {a: 1}\n", "the merge key << is not allowed"),
    ("a: !!python/object/apply:os.system [id]\n", "the tag '!!python/object/apply:os.system' is not allowed"),
    ("a: !!binary aGk=\n", "the tag '!!binary' is not allowed"),
    ("a: !x b\n", "the tag '!x' is not allowed"),
    ("python: '3.11'\npython: '3.10'\n", "variants.yaml:2: python: is written twice, first on line 1"),
    ("[" * 5000, "nested deeper than"),
    ("a: " * 5000, "YAML: "),
    ("{a: " * 5000, "nested deeper than"),
    ("- " * 5000, "nested deeper than"),
    ("x" * (MAX_CHARACTERS + 1), "more than"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=[row[1][:40] + row[0][:12].strip() for row in BROKEN])
def test_what_is_no_plain_yaml_is_told(text: str, said: str) -> None:
    told = problems(text)
    assert any(said in line for line in told), told


def test_two_services_of_one_name() -> None:
    text = json.dumps(FULL).replace('"web":', '"engine":')
    (told,) = problems(text)
    assert "services.engine: is written twice, first on line 1, expected once" in told


def test_an_alias_bomb_is_refused_by_name() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    names = "abcdefghij"
    lines += [f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]" for last, this in itertools.pairwise(names)]
    told = problems("\n".join(lines))
    assert any("the anchor '&a' is not allowed" in line for line in told)


def test_a_flood_of_problems_is_cut_short() -> None:
    told = problems("\n".join(f"unknown{number}: x" for number in range(500)))
    assert len(told) == MAX_SHOWN + 1
    assert told[-1] == "... and 463 more"


def strings(value: Any) -> list[str]:
    """Every text in plain data, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for text in strings(list(pair))]
    return [text for item in value for text in strings(item)] if isinstance(value, list | tuple) else []


def outcome(text: str) -> None:
    """Parse: a Project whose texts all fit on a line, or a ConfigError that can be shown."""
    try:
        project = parsed(text)
    except ConfigError as error:
        assert str(error).encode("utf-8")
        assert all(unicodedata.category(character) not in {"Cc", "Cs"} for character in str(error) if character != "\n")
    else:
        assert project.variants
        for said in strings(asdict(project)):
            assert all(unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"} for character in said)


TOKENS = st.sampled_from([
    "release", "services", "name", ": ", ":", "\n", "\n  ", "\t", "- ", "[", "]", "{", "}", ",", "?", "&a", "*a", "!",
    "!!", "<<", "|", ">", "'", '"', "\\", "#", "%", "@", "`", "---", "...", "1.10", "no", "~", "2024-13-45", "0x",
    "1:99", "=", "\ufeff", "\x00", "\u2028", "\x85", "é", "\U0001f600", "%TAG ! x\n", "\\x0", "\\ud800",
])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.text("./-:~@", max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
STEADY = settings(deadline=None, database=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@STEADY
@given(st.text() | st.lists(TOKENS, max_size=40).map("".join))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    outcome(text)


PRETTY = """\
release: {name: stt, version: 1.0.0}
python: "3.11"
base: {debian: bookworm}
services:
  engine:
    source: app   # code
    requirements: app/requirements.in
    command: [python, -m, "engine"]
    env:
      A: 'x'
    variants:
      cu121: {torch: 2.1.2}
"""


def test_the_text_that_is_mutated_below_is_good() -> None:
    assert parsed(PRETTY).variants


@STEADY
@given(st.data())
def test_any_slip_of_the_hand_is_parsed_or_refused(data: st.DataObject) -> None:
    text = PRETTY
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(TOKENS | st.text(max_size=5)) + text[end:]
    outcome(text)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value in plain data, the whole excepted."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in ((*path, key), *places(inner, (*path, key)))]


@STEADY
@given(st.sampled_from(places(FULL)), VALUES)
def test_any_value_in_any_place_is_parsed_or_refused(path: tuple[str | int, ...], value: Any) -> None:
    outcome(replaced(path, value))


@STEADY
@given(st.sampled_from([path for path in places(FULL) if isinstance(path[-1], str)]), st.text(max_size=12))
def test_any_key_in_any_place_is_parsed_or_refused(path: tuple[str | int, ...], key: str) -> None:
    document = copy.deepcopy(FULL)
    inner: Any = document
    for step in path[:-1]:
        inner = inner[step]
    inner[key] = inner.pop(path[-1])
    outcome(json.dumps(document))
