"""Real wheels, awkward ones: uv and torchferry make the same tree of each.

They are fetched with pip as it is set up here, for the Python that runs this; TORCHFERRY_REAL_FOLDER keeps them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import trees

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LINES = [line for line in Path(__file__).with_name("awkward_wheels.txt").read_text().splitlines() if line[0] != "#"]

pytestmark = pytest.mark.real


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("TORCHFERRY_REAL_FOLDER")
    return Path(kept) if kept else tmp_path_factory.mktemp("wheels")


def fetched(requirement: str, shelf: Path) -> Path:
    """The wheel of one requirement, from the shelf if it lies there."""
    folder = shelf / requirement
    if not list(folder.glob("*.whl")):
        words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def test_there_are_enough_of_them() -> None:
    assert len(LINES) >= 60


@pytest.mark.parametrize("line", LINES)
def test_a_real_wheel_becomes_the_tree_that_uv_makes(line: str, shelf: Path, tmp_path: Path) -> None:
    wheels = [fetched(requirement, shelf) for requirement in line.split()]
    assert trees.unlike_uv(wheels, tmp_path / "venv", tmp_path / "scratch", python=PYTHON) == []
