"""Which of the packages in an image requires which other one of them: wheels by Requires-Dist, Debian's by Depends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from torchferry.dpkg import DebianPackage
from torchferry.model import Variant

Node = TypeVar("Node")


def wheel_graph(
    requires: Mapping[NormalizedName, Iterable[str]], variant: Variant,
) -> dict[NormalizedName, tuple[NormalizedName, ...]]:
    """What each wheel of an image requires, by normalised names, from the Requires-Dist lines of each.

    An extra counts where another wheel asks for it; what the service itself asks for is not known here.
    """
    lines = {name: tuple(_understood(said)) for name, said in requires.items()}
    environment = _environment(variant)
    found: dict[NormalizedName, set[NormalizedName]] = {name: set() for name in lines}
    todo = [(name, "") for name in lines]
    done = set(todo)
    while todo:
        name, extra = todo.pop()
        for required in lines[name]:
            needed = canonicalize_name(required.name)
            if needed not in lines or not _applies(required, {**environment, "extra": extra}):
                continue
            found[name].add(needed)
            more = {(needed, canonicalize_name(one)) for one in required.extras} - done
            todo += sorted(more)
            done |= more
    return {name: tuple(sorted(needed - {name})) for name, needed in found.items()}


def debian_graph(packages: Iterable[DebianPackage]) -> dict[DebianPackage, tuple[DebianPackage, ...]]:
    """What each installed package requires; of alternatives the first that is installed, or provided."""
    packages = tuple(packages)
    provided = {name: one for one in reversed(packages) for name in one.provides}
    known = provided | {one.name: one for one in reversed(packages)}
    found = {}
    for one in packages:
        needed = (next((known[name] for name in names if name in known), None) for names in one.depends)
        unique = {other for other in needed if other is not None and other != one}
        found[one] = tuple(sorted(unique, key=lambda other: (other.name, other.architecture)))
    return found


def tops(graph: Mapping[Node, Iterable[Node]]) -> tuple[Node, ...]:
    """The nodes from which all others can be reached: those that nothing requires, and one of each circle."""
    required = {node for needed in graph.values() for node in needed}
    reached: set[Node] = set()
    found = []
    for node in (*(node for node in graph if node not in required), *graph):
        if node not in reached:
            found.append(node)
            reached |= _below(node, graph)
    return tuple(found)


def _below(start: Node, graph: Mapping[Node, Iterable[Node]]) -> set[Node]:
    found, todo = {start}, [start]
    while todo:
        more = set(graph[todo.pop()]) - found
        found |= more
        todo += more
    return found


def _understood(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:  # the installer went by the lock; old packages have such lines
            continue


def _applies(required: Requirement, environment: Mapping[str, str]) -> bool:
    return required.marker is None or required.marker.evaluate(dict(environment))


def _environment(variant: Variant) -> dict[str, str]:
    """All variables of markers: what is not said here, packaging would take from the machine that builds."""
    full = f"{variant.python}.0"
    return {
        "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_release": "",
        "platform_version": "", "platform_machine": variant.architecture, "python_version": variant.python,
        "python_full_version": full, "implementation_name": "cpython", "implementation_version": full,
        "platform_python_implementation": "CPython",
    }
