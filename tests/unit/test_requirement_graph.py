"""Who requires whom in an image: markers are the target's, extras count where asked for, circles are no trap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from support import nouns

from torchferry.dpkg import DebianPackage
from torchferry.requirement_graph import debian_graph, tops, wheel_graph

VARIANT = nouns.variant("cu121")


def graph(**requires: Iterable[str]) -> dict[str, set[str]]:
    named = {canonicalize_name(name): lines for name, lines in requires.items()}
    return {name: set(needed) for name, needed in wheel_graph(named, VARIANT).items()}


@pytest.mark.parametrize("line, holds", [
    ("b", True), ("B.b>=2", False), ("B_", False), ("b; sys_platform == 'win32'", False),
    ("b; platform_machine == 'x86_64' and platform_system == 'Linux'", True),
    ("b; python_version < '3.11'", False), ("b; python_full_version >= '3.11.0'", True),
    ("b; platform_python_implementation == 'PyPy'", False), ("b; implementation_name == 'cpython'", True),
    ("b; extra == 'more'", False), ("b; platform_release == '' and platform_version == ''", True),
    ("b (>=1)", True), ("b @ nowhere", True), ("b ==", False), ("c", False),
    ("a", False),
])
def test_a_line_counts_where_its_marker_holds_on_the_target(line: str, holds: bool) -> None:
    assert graph(a=[line], b=[]) == {"a": {"b"} if holds else set(), "b": set()}


def test_the_machine_that_builds_does_not_matter() -> None:
    lines = {canonicalize_name("a"): ["b; platform_machine == 'aarch64'"], canonicalize_name("b"): []}
    arm = replace(VARIANT, architecture="aarch64")
    assert (wheel_graph(lines, arm)["a"], wheel_graph(lines, VARIANT)["a"]) == (("b",), ())


def test_an_extra_counts_where_another_wheel_asks_for_it_however_far_down() -> None:
    found = graph(
        app=["Server[Fast]"], server=["core", "loop; extra == 'fast'", "server[tls]; extra == 'fast'",
                                      "ssl; extra == 'tls'", "never; extra == 'slow'"],
        core=[], loop=[], ssl=[], never=[],
    )
    assert found["app"] == {"server"}
    assert found["server"] == {"core", "loop", "ssl"}


def package(name: str, *depends: str, provides: tuple[str, ...] = (), architecture: str = "amd64") -> DebianPackage:
    return DebianPackage(
        name=name, version="1", architecture=architecture, source=name, source_version="1",
        depends=tuple(tuple(line.split("|")) for line in depends), provides=provides,
    )


def test_of_alternatives_the_first_that_is_there_counts() -> None:
    found = debian_graph([
        package("a", "gone|b|c", "virtual", "nowhere", "a"), package("b"), package("c"),
        package("d", provides=("virtual", "b")), package("b", architecture="i386"),
    ])
    named = {f"{one.name}:{one.architecture}": [f"{other.name}:{other.architecture}" for other in needed]
             for one, needed in found.items()}
    assert named == {"a:amd64": ["b:amd64", "d:amd64"], "b:amd64": [], "c:amd64": [], "d:amd64": [], "b:i386": []}


def test_the_tops_are_what_nothing_requires_and_one_of_each_circle() -> None:
    assert tops({"a": "b", "b": "", "c": ""}) == ("a", "c")
    assert tops({"x": "y", "y": "x", "a": "b", "b": ""}) == ("a", "x")
    assert tops({}) == ()


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9), max_size=4)))
def test_everything_can_be_reached_from_the_tops(drawn: dict[int, set[int]]) -> None:
    whole = {node: needed & drawn.keys() for node, needed in drawn.items()}
    found = tops(whole)
    reached, todo = set(found), list(found)
    while todo:
        more = whole[todo.pop()] - reached
        reached |= more
        todo += more
    assert reached == whole.keys()
    assert len(set(found)) == len(found)
