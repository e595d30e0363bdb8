"""Does every library of a set of wheels find what it needs, whether the loader is told so or code opens it by name?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from torchferry import cuda_names
from torchferry.cuda_names import CudaName
from torchferry.findings import ERROR, WARNING, Finding, listed
from torchferry.library_facts import Library, WheelFacts
from torchferry.library_set import LibrarySet

ON_PATH = "write cuda_libraries: on_path into the service or the row of variants.yaml"

GLIBC = frozenset({
    "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2",
    "libanl.so.1", "libmvec.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
})
_NEAREST = (None, "order", "path", "major", "absent")

ASSUMED = GLIBC | {"libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"}
"""What every base has on which a Python with wheels runs: all that is certain of a base which is not made yet."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A name that a library asks for, ``needed`` of the loader or else opened by its code, and how that ends.

    ``state`` is order (only after `import torch`), path (only with LD_LIBRARY_PATH), major (of another CUDA), absent,
    or system (not of CUDA, and not there).
    """

    wheel: WheelFacts
    library: Library
    name: str
    needed: bool
    state: str


def judge_needs(libraries: LibrarySet, machine: str, *, cuda: str | None, base_is_known: bool) -> Iterator[Finding]:
    """One finding for each wheel and each way in which its libraries do not find something.

    ``cuda`` is the CUDA release of the variant's torch, None without; then what is opened by name is not wanted.
    """
    for facts in libraries.wheels:
        own = [library for library in facts.libraries if library.elf.machine == machine]
        served = _served(libraries, own)
        found = [one for library in own for one in _demands(libraries, facts, library, cuda=cuda)
                 if not (one.needed and one.state == "major" and _family(one.name) in served)]
        for state in ("major", "absent", "path", "order", "system"):
            group = [one for one in found if one.state == state]
            for severity, needed in product((ERROR, WARNING), (True, False)):
                same = [one for one in group if (_severity(one, cuda), one.needed) == (severity, needed)]
                if same:
                    yield _finding(same, severity, libraries, base_is_known=base_is_known)


def _served(libraries: LibrarySet, own: Iterable[Library]) -> set[str]:
    """The families of CUDA of which some library of a wheel needs a version that is there.

    Some packages (bitsandbytes) carry one build for each CUDA, and load the one that fits.
    """
    return {_family(name) for library in own for name in library.elf.needed
            if libraries.holders(name) or libraries.finds(library, name)} - {""}


def _family(name: str) -> str:
    parsed = cuda_names.parse(name)
    return parsed.family if parsed else ""


def _demands(libraries: LibrarySet, facts: WheelFacts, library: Library, *, cuda: str | None) -> Iterator[Demand]:
    for name in library.elf.needed:
        if state := _state(libraries, facts, library, name):
            yield Demand(wheel=facts, library=library, name=name, needed=True, state=state)
    if cuda is None:
        return
    for wanted in _opened(library):
        states = {name: _state(libraries, facts, library, name) for name in wanted}
        # Of several that the code tries one is enough, so the one that is nearest to being found is told.
        best = min(states.values(), key=lambda state: _NEAREST.index(state))
        for name, state in states.items():
            if state is not None and state == best and name not in library.elf.needed:
                yield Demand(wheel=facts, library=library, name=name, needed=False, state=state)


def _opened(library: Library) -> Iterator[tuple[str, ...]]:
    """The names that code opens; versions of one library are tried one after the other, so they stand together.

    cuDNN 9 opens its parts as libcudnn_ops.so with its own major behind it. Other names without a version are what is
    tried last, for people who compile.
    """
    own = cuda_names.parse(library.elf.soname or library.name) or cuda_names.parse(library.name)
    found: dict[str, list[str]] = {}
    for name in library.elf.opened:
        parsed = cuda_names.parse(name)
        if parsed is None or cuda_names.is_driver(name):
            continue
        if not parsed.version and own and own.version and own.family == parsed.family:
            name = f"{name}.{own.major}"
        elif not parsed.version:
            continue
        found.setdefault(parsed.stem, []).append(name)
    yield from map(tuple, found.values())


def _state(libraries: LibrarySet, facts: WheelFacts, library: Library, name: str) -> str | None:
    """How a demand ends badly; None where it does not."""
    if cuda_names.is_driver(name) or name in ASSUMED or libraries.finds(library, name):
        return None
    holders = libraries.holders(name)
    parsed = cuda_names.parse(name)
    if any(holder is facts for holder, _ in holders):
        return None  # a package loads its own libraries in an order of its own
    if holders and (facts.comes_with_torch or parsed is None):
        return None  # whoever requires torch imports it
    if holders:
        return "order" if name in libraries.loaded_by_torch else "path"
    if parsed is None:
        return "system"
    return "major" if _others(libraries, parsed) else "absent"


def _others(libraries: LibrarySet, wanted: CudaName) -> set[str]:
    """The libraries of the same family and another major version that the set brings for all; the nearest by name."""
    found = {
        name: other for name in libraries.names if (other := cuda_names.parse(name)) and other.version
        and other.family == wanted.family and wanted.major and other.major != wanted.major
        and any(not other.renamed or holder.is_cuda or holder.name == "torch" for holder, _ in libraries.holders(name))
    }
    for stem in (wanted.stem, wanted.family):
        if same := {name for name, other in found.items() if other.stem == stem}:
            return same
    return set(found)


def _severity(demand: Demand, cuda: str | None) -> str:
    parsed = cuda_names.parse(demand.name)
    if parsed is None or parsed.is_optional or cuda is None or demand.state == "order":
        return WARNING
    if not demand.needed and (demand.state == "absent" or not parsed.is_mathematics):
        return WARNING  # code that opens a library by name may do without it
    return ERROR


def _finding(group: list[Demand], severity: str, libraries: LibrarySet, *, base_is_known: bool) -> Finding:
    first = group[0]
    names = listed(one.name for one in group)
    others = sorted({one.library.path for one in group} - {first.library.path})
    beside = f" (and {len(others)} other files)" if len(others) > 1 else f" (and {others[0]})" if others else ""
    needs = "needs" if first.needed else "opens by name"
    cause, cure = _said(first, libraries, group, base_is_known=base_is_known)
    return Finding(
        severity=severity, wheel=first.wheel.label, file=f"{first.library.path}{beside}",
        cause=f"{needs} {names}, {cause}", cure=cure,
    )


def _said(
    first: Demand, libraries: LibrarySet, group: Iterable[Demand], *, base_is_known: bool
) -> tuple[str, str]:
    """Cause and cure of one state."""
    name = first.wheel.name
    if first.state == "order":
        return (
            "and finds that only where torch was imported first: no folder that it searches has it",
            f"{ON_PATH}, or import torch before {name}",
        )
    if first.state == "path":
        return (
            "and does not find that: it lies in a folder which is not searched, and `import torch` does not load it",
            ON_PATH,
        )
    if first.state == "major":
        wanted = [parsed for one in group if (parsed := cuda_names.parse(one.name))]
        have = listed({other for parsed in wanted for other in _others(libraries, parsed)}, most=4)
        return (
            f"and this set has {have}",
            f"require a version of {name} that is made for those, or a torch (another row) that brings what it needs",
        )
    if first.state == "absent":
        brings = sorted({cuda_names.wheel(parsed) for one in group if (parsed := cuda_names.parse(one.name))})
        return "which nothing here brings", (
            f"require the wheel that brings it (of the kind of {listed(brings)}), or another version of {name}")
    where = "which neither the wheels nor the base have" if base_is_known else (
        "which no wheel has, and the base is not known yet")
    return where, f"where {name} uses it: add the Debian package to base: {{packages: [...]}}"
