"""What goes into a Dockerfile as data comes out as the same data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchferry.dockerfile import json_form, parse, quote, refuse_control
from torchferry.errors import ConfigError

CONTROL = [chr(code) for code in (*range(32), 127, 0x85, 0x2028, 0x2029)]
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=CONTROL))


@given(VALUES)
def test_a_quoted_value_comes_back_as_it_went_in(value: str) -> None:
    (instruction,) = parse(f"ENV KEY={quote(value)}\n")
    assert instruction.operands == ("KEY", value)


@given(st.lists(VALUES, min_size=1))
def test_words_in_json_form_come_back_as_they_went_in(words: list[str]) -> None:
    (instruction,) = parse(f"CMD {json_form(words)}\n")
    assert list(instruction.operands) == words


@pytest.mark.parametrize("character", CONTROL)
def test_no_control_character_gets_in(character: str) -> None:
    with pytest.raises(ConfigError, match="control character"):
        refuse_control(f"a{character}b")


def test_flags_stand_apart_from_operands() -> None:
    (run,) = parse('RUN --mount=type=bind,source=tools,target=/mnt --network=none ["/mnt/uv", "a b"]\n')
    assert run.flags == ("--mount=type=bind,source=tools,target=/mnt", "--network=none")
    assert run.operands == ("/mnt/uv", "a b")


def test_a_health_check_keeps_its_words() -> None:
    (check,) = parse('HEALTHCHECK --interval=30s CMD ["python", "health.py"]\n')
    assert (check.flags, check.operands) == (("--interval=30s",), ("python", "health.py"))


@pytest.mark.parametrize("text", ["RUN apt-get update", "ADD a b", "ENV A=b", "CMD [1", "run x", "CMD python x.py"])
def test_what_we_do_not_write_is_refused_by_line(text: str) -> None:
    with pytest.raises(ConfigError, match="Dockerfile:2"):
        parse(f"FROM scratch\n{text}\n")
