"""What the texts for people name exists: files, tasks, flags, and each dependency has its reason."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TEXTS = ("README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md")
MADE = re.compile(r"(wheels|build|dist|load|sbom)/|(INSTALL\.txt|compose\.yaml)$|\*|<|download\.pytorch\.org/|-> ")
"""What looks like a path and is none of this repository: places that a run makes, patterns, addresses."""


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tasks() -> dict[str, str]:
    """Each task with its help."""
    listed = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "--list", "--list-format", "flat"],
        capture_output=True, text=True, check=True,
    ).stdout
    names = re.findall(r"(?m)^  ([a-z-]+)", listed)
    return {name: subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "--help", name],
        capture_output=True, text=True, check=True,
    ).stdout for name in names}


@pytest.mark.parametrize("name", TEXTS)
def test_paths_that_are_named_exist(name: str) -> None:
    code = re.findall(r"`([^`\n]+)`", text(name)) + re.findall(r"\]\(([^)#]+)\)", text(name))
    paths = [one for one in code if re.fullmatch(r"[\w.-]+(/[\w.*<>-]+)+/?|[\w-]+\.(py|md|yaml|toml|txt|in)", one)]
    looked = [one for one in paths if not MADE.match(one) and "://" not in one]
    places = (ROOT, ROOT / "torchferry", (ROOT / name).parent)
    absent = [one for one in looked if not any((place / one).exists() for place in places)]
    assert absent == []


def test_commands_that_are_named_are_tasks_with_these_flags() -> None:
    known = tasks()
    assert {"setup", "bundle", "test"} <= known.keys()
    command = re.compile(r"(?m)(?:\./inv|\binv|\binvoke) ([a-z][^`\n#&;]*)")
    lines = [line for name in TEXTS for line in command.findall(text(name))]
    assert len(lines) > 15
    for line in lines:
        for word in line.split():
            flag = word.rstrip(".,:)")
            if flag.startswith("--"):
                assert any(flag in said for said in known.values()), f"{flag} in: {line}"
        first = line.split()[0].rstrip(".,:)")
        assert first in known, line


def test_each_dependency_has_its_reason() -> None:
    wanted = tomli.loads(text("pyproject.toml"))["project"]["dependencies"]
    explained = set(re.findall(r"(?m)^\| ([a-z0-9-]+) \| \S", text("DESIGN.md")))
    assert {Requirement(line).name for line in wanted} <= explained


def test_the_table_of_variants_says_what_the_compatibility_table_says() -> None:
    from torchferry import compat, variants

    project = variants.load(ROOT / "variants.yaml")
    for variant in project.variants:
        floor = compat.load().cuda(variant.cuda).floor if variant.cuda else "none"
        assert f"| {variant.name} | {variant.torch} | {floor} |" in text("README.md")
