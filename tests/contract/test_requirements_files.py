"""Requirements files that include others: read as if written in one, and nothing from outside the project."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from torchferry.errors import LockError
from torchferry.resolve import expand_requirements


@pytest.mark.parametrize("line", ["-r more.in", "-rmore.in", "--requirement more.in", "--requirement=more.in",
                                  "  -r   more.in   # the rest"])
def test_an_included_file_stands_in_the_place_of_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.in").write_text(f"before\n{line}\nafter\n", encoding="utf-8")
    (tmp_path / "more.in").write_text("between>=1\n", encoding="utf-8")
    text = expand_requirements(tmp_path / "requirements.in", tmp_path)
    assert re.split(r"\n+", text.strip()) == ["before", "between>=1", "after"]


@pytest.mark.parametrize("line", ["-c bounds.txt", "--extra-index-url https://index.example/simple", "-e .",
                                  "--find-links=wheels", "  -i https://index.example/simple"])
def test_other_options_are_refused_by_name(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.in").write_text(f"torch\n{line}\n", encoding="utf-8")
    with pytest.raises(LockError, match=f"the option {line.split()[0].split('=')[0]} is not taken here"):
        expand_requirements(tmp_path / "requirements.in", tmp_path)


def test_includes_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "app/parts").mkdir(parents=True)
    (tmp_path / "app/requirements.in").write_text("-r parts/one.in\n-r ../common.in\n", encoding="utf-8")
    (tmp_path / "app/parts/one.in").write_text("one\n-r two.in\n", encoding="utf-8")
    (tmp_path / "app/parts/two.in").write_text("two\n", encoding="utf-8")
    (tmp_path / "common.in").write_text("common\n", encoding="utf-8")
    assert expand_requirements(tmp_path / "app/requirements.in", tmp_path).split() == ["one", "two", "common"]


def test_two_files_may_include_the_same_third(tmp_path: Path) -> None:
    (tmp_path / "top.in").write_text("-r left.in\n-r right.in\n", encoding="utf-8")
    for name in ("left", "right"):
        (tmp_path / f"{name}.in").write_text("-r base.in\n", encoding="utf-8")
    (tmp_path / "base.in").write_text("base\n", encoding="utf-8")
    assert expand_requirements(tmp_path / "top.in", tmp_path).split() == ["base", "base"]


@pytest.mark.parametrize("circle", [("requirements.in",), ("a.in", "requirements.in"), ("a.in", "b.in", "a.in")])
def test_a_circle_of_includes_is_refused(tmp_path: Path, circle: tuple[str, ...]) -> None:
    for name, includes in zip(("requirements.in", *circle), circle, strict=False):
        (tmp_path / name).write_text(f"-r {includes}\n", encoding="utf-8")
    with pytest.raises(LockError, match=f"{circle[-1]}: includes itself"):
        expand_requirements(tmp_path / "requirements.in", tmp_path)


def _outside(name: str) -> Callable[[Path], None]:
    def lay(project: Path) -> None:
        (project.parent / "secret.in").write_text("secret\n", encoding="utf-8")
        if name == "link.in":
            (project / name).symlink_to("../secret.in")
    return lay


@pytest.mark.parametrize("name", ["../secret.in", "link.in", "absent.in", ".", "{parent}/secret.in"])
def test_an_include_that_is_missing_or_outside_the_project_is_refused(tmp_path: Path, name: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    _outside(name)(project)
    named = name.replace("{parent}", str(tmp_path))
    (project / "requirements.in").write_text(f"-r {named}\n", encoding="utf-8")
    with pytest.raises(LockError, match="is missing, or lies outside the project") as caught:
        expand_requirements(project / "requirements.in", project)
    assert Path(named).name in caught.value.message


def test_a_project_behind_a_link_may_include_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/requirements.in").write_text("-r more.in\n", encoding="utf-8")
    (tmp_path / "real/more.in").write_text("more\n", encoding="utf-8")
    assert expand_requirements(tmp_path / "link/requirements.in", tmp_path / "link") == "more\n"
