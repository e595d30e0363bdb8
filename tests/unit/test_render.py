"""The rendered Dockerfiles, as a reviewer sees them; and that no value of a variants.yaml can become an instruction."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import nouns

from torchferry import compat, dockerfile, render
from torchferry.running import Health
from torchferry.templates import TEMPLATES

GOLDEN = Path(__file__).parent.parent / "golden"
TABLE = compat.load()
CONTROL = [chr(code) for code in (*range(32), 127, 0x85, 0x2028, 0x2029)]
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=CONTROL), max_size=40)
KEYS = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,10}\Z")


FOLDERS = ("cusparselt/lib", "nvidia/cublas/lib")


def rendered(variant, lock, cuda_folders=()):
    base = "torchferry-base:bookworm-0123456789ab" if variant.service.base.debian else (
        f"{variant.service.base.image}@{lock.base_digest}")
    labels = render.labels(variant, lock, TABLE, base=base, revision="c" * 40)
    return render.dockerfile_text(variant, lock, TABLE, templates=TEMPLATES, base=base, said=labels,
                                  cuda_folders=cuda_folders)


@pytest.mark.parametrize("name", ["cu118", "cu121", "cu124", "cpu", "any"])
def test_golden(name: str) -> None:
    """A difference here is a difference in every image. Meant? TORCHFERRY_GOLDEN=write pytest, and read the diff."""
    variant = nouns.variant(name)
    text = rendered(variant, nouns.lock(name))
    golden = GOLDEN / f"{variant.label}.Dockerfile"
    if os.environ.get("TORCHFERRY_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_golden_with_cuda_libraries_on_the_path() -> None:
    """Only the one ENV and the comment above it differ from the usual image of this variant."""
    variant = nouns.variant("cu121", cuda_libraries="on_path")
    text = rendered(variant, nouns.lock("cu121"), FOLDERS)
    golden = GOLDEN / f"{variant.label}-on_path.Dockerfile"
    if os.environ.get("TORCHFERRY_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    usual = rendered(nouns.variant("cu121"), nouns.lock("cu121")).splitlines()
    new = [line for line in text.splitlines() if line not in usual]
    assert len(new) == 2
    site = "/opt/venv/lib/python3.11/site-packages"
    assert new[1] == f'ENV LD_LIBRARY_PATH="{site}/cusparselt/lib:{site}/nvidia/cublas/lib"'


def test_layers_stand_from_rare_to_frequent() -> None:
    runs = [line for line in rendered(nouns.variant(), nouns.lock()).splitlines() if "source=wheels/" in line]
    assert ["cuda" in runs[0], "torch" in runs[1], "packages" in runs[2]] == [True, True, True]


def test_the_user_comes_last_and_root_first() -> None:
    instructions = dockerfile.parse(rendered(nouns.variant(), nouns.lock()))
    users = [one for one in instructions if one.name == "USER"]
    assert [one.operands for one in users] == [("0",), ("10001:10001",)]
    after = [one.name for one in instructions if one.line > users[-1].line]
    assert set(after) <= {"LABEL"}


def test_nothing_runs_through_a_shell_and_nothing_is_copied_whole() -> None:
    instructions = dockerfile.parse(rendered(nouns.variant(), nouns.lock()))
    assert all(one.operands[0].startswith("/") for one in instructions if one.name == "RUN")
    assert {one.operands for one in instructions if one.name == "COPY"} == {
        ("tools/health.py", "/opt/torchferry/health.py"), ("app/", "/app/")}


def test_a_cpu_image_asks_for_no_gpu() -> None:
    assert "NVIDIA" not in rendered(nouns.variant("cpu"), nouns.lock("cpu"))
    assert 'NVIDIA_REQUIRE_CUDA="cuda>=12.0' in rendered(nouns.variant("cu124"), nouns.lock("cu124"))


def test_ld_library_path_is_warned_of() -> None:
    assert render.warnings(nouns.variant()) == ()
    (said,) = render.warnings(nouns.variant(env={"LD_LIBRARY_PATH": "/usr/local/cuda/lib64"}))
    assert "RPATH" in said


@given(
    env=st.dictionaries(KEYS, VALUES, max_size=4),
    command=st.lists(VALUES, min_size=1, max_size=4),
    expect=st.dictionaries(VALUES, VALUES | st.integers() | st.booleans(), max_size=3),
)
def test_no_value_becomes_an_instruction(env, command, expect) -> None:
    """The same instructions as without the values, and the values as operands."""
    plain = nouns.variant()
    service = replace(plain.service, command=tuple(command), health=Health(path="/health", expect=expect, within=5))
    hostile = replace(plain, service=service, env=env)
    found = dockerfile.parse(rendered(hostile, nouns.lock()))
    usual = dockerfile.parse(rendered(replace(plain, env={}), nouns.lock()))
    names = [one.name for one in usual if one.name != "ENV"]
    assert [one.name for one in found if one.name != "ENV"] == names
    said = {one.operands[0]: one.operands[1] for one in found if one.name == "ENV"}
    assert said == render.environment(hostile, TABLE)
    assert next(one for one in found if one.name == "CMD").operands == tuple(command)
    check = next(one for one in found if one.name == "HEALTHCHECK")
    assert list(check.operands) == render.health_command(service.health, 8003)
