"""uv is the judge: what it installs and what our layers hold is one tree, or we refuse by name."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path, PurePosixPath

import pytest
from support import awkward_wheels, trees
from support.awkward_wheels import EQUAL, Item, craft
from support.wheel_factory import stand_in_indexes

from torchferry import wheel_layout
from torchferry.errors import IntegrityError
from torchferry.wheel_layout import Venv

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def assert_equal(wheels: list[Path], prefix: Path, scratch: Path) -> None:
    assert trees.unlike_uv(wheels, prefix, scratch, python=PYTHON) == []


def test_the_layout_follows_the_uv_that_is_pinned_here() -> None:
    # After another uv was pinned: run all of this folder and tests/real with it, follow what it changed in
    # torchferry/wheel_layout.py and LAYOUT_VERSION, and put its version there.
    assert trees.run_uv("--version").stdout.split()[1] == wheel_layout.UV


@pytest.mark.parametrize("case", EQUAL)
def test_awkward_wheels_become_the_tree_that_uv_makes(case: str, tmp_path: Path) -> None:
    assert_equal(EQUAL[case](tmp_path / "wheels"), tmp_path / "venv", tmp_path / "scratch")


def test_stand_ins_of_a_whole_release_become_the_tree_that_uv_makes(tmp_path: Path) -> None:
    made = stand_in_indexes(tmp_path, python=PYTHON)
    wheels = [*made.cpu.glob("*.whl"), *made.pypi.glob("nvidia*12.1*"), *made.pypi.glob("ferrypure-1.1*")]
    assert len(wheels) == 4
    assert_equal(wheels, tmp_path / "venv", tmp_path / "scratch")


@pytest.mark.parametrize("prefix", ["with space", "quo'te d", "long-" * 30])
def test_programs_find_a_python_that_the_kernel_could_not_name(prefix: str, tmp_path: Path) -> None:
    points = "[console_scripts]\nfar = far:main\n"
    wheel = craft(tmp_path / "w", "far", {"DATA/scripts/s": "#!python\n"}, entry_points=points)
    assert_equal([wheel], tmp_path / prefix / "venv", tmp_path / "scratch")


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077])
def test_the_layer_does_not_depend_on_the_umask(umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = awkward_wheels.EQUAL["data"](tmp_path)
    wanted = trees.pack(wheel, Venv(python=PYTHON))
    before = os.umask(umask)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    try:
        assert trees.pack(wheel, Venv(python=PYTHON)) == wanted
    finally:
        os.umask(before)


REFUSED_BY_UV: dict[str, Callable[[Path], Path]] = {
    "reserved script": lambda to: craft(to, "r", {}, entry_points="[console_scripts]\npython3.12 = r:f\n"),
    "reserved data script": lambda to: craft(to, "r", {"DATA/scripts/python3": "x"}),
    "reserved by way of data": lambda to: craft(to, "r", {"DATA/data/bin/python": "x"}),
    "folder among scripts": lambda to: craft(to, "r", {"DATA/scripts/sub/x": "x"}),
    "unknown data": lambda to: craft(to, "r", {"DATA/unknown/x": "x"}),
    "file as data": lambda to: craft(to, "r", {"DATA/x": "x"}),
    "other name": lambda to: craft(to, "r", {}, metadata_name="other"),
    "two infos": lambda to: craft(to, "r", {"x-1.dist-info/METADATA": "x"}),
    "other wheel version": lambda to: craft(to, "r", {"INFO/WHEEL": "Wheel-Version: 2.0\n"}),
    "no wheel version": lambda to: craft(to, "r", {"INFO/WHEEL": "Tag: py3-none-any\n"}),
    "entry point that is none": lambda to: craft(to, "r", {}, entry_points="[console_scripts]\nx = y\n"),
    "entry point elsewhere": lambda to: craft(to, "r", {}, entry_points="[console_scripts]\n../x = y:z\n"),
    "twice": lambda to: craft(to, "r", {}, entry_points="[console_scripts]\nx = y:z\nx = y:z\n"),
    "invisible name": lambda to: craft(to, "r", {"a\u200bb.py": "x"}),
    "bzip2": lambda to: craft(to, "r", {"x": Item(content=b"x" * 99, method=12)}),
}


@pytest.mark.parametrize("case", REFUSED_BY_UV)
def test_what_uv_refuses_is_refused(case: str, tmp_path: Path) -> None:
    wheel = REFUSED_BY_UV[case](tmp_path / "wheels")
    trees.make_venv(tmp_path / "venv", Path(sys.executable))
    assert trees.uv_install([wheel], tmp_path / "venv", tmp_path / "scratch") is not None
    with pytest.raises(IntegrityError, match=wheel.name):
        trees.pack([wheel], Venv(python=PYTHON))


def test_entry_points_are_read_as_uv_reads_them_or_refused(tmp_path: Path) -> None:
    # Lines are put together at random, the seed is fixed: the same files every time, most of them broken.
    chance, prefix, number = random.Random(7), tmp_path / "venv", count()
    lines = [
        "[console_scripts]", "[gui_scripts]", "[other]", "[ console_scripts ]", "[console_scripts] # c", "", "# c",
        *(f"{name}{gap}={gap}{value}" for name in ("a", "b.c", "pip3", "pip3.9") for gap in ("", " ")
          for value in ("m:f", "m.n:C.f [x]", "m:f[x, y,]", "m")),
        "  d = m:f", "\te = m:f", "a", "a: m:f", "g = m:f # c", "= m:f", "h = m:f\r", "i = m : f", "[DEFAULT]", "  [x]",
    ]
    trees.make_venv(prefix, Path(sys.executable))
    equal = 0
    for _ in range(100):
        text = "\n".join(["[console_scripts]", *chance.choices(lines, k=chance.randint(1, 5))])
        wheel = craft(tmp_path / "w", f"random{next(number)}", {}, entry_points=text)
        before = set((prefix / "bin").iterdir())
        said = trees.uv_install([wheel], prefix, tmp_path / "scratch" / wheel.name)
        made = {path.name: path.read_text() for path in set((prefix / "bin").iterdir()) - before}
        for name in made:
            (prefix / "bin" / name).unlink()
        try:
            ours = awkward_wheels.programs(wheel, Venv(python=PYTHON, prefix=PurePosixPath(prefix)))
        except IntegrityError:
            continue
        assert said is None, (text, said)
        assert ours == made, text
        equal += 1
    assert equal > 25
