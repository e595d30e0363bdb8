"""Judges a locked set of wheels by what its libraries say, before anything is built; nothing of it is run.

Which libraries find each other is `audit_needs`; here stand the other rules: torch's build, its GPU code, the base's
glibc, and files that get in each other's way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torchferry import compat, cuda_names
from torchferry.audit_needs import judge_needs
from torchferry.findings import ERROR, WARNING, Finding, listed
from torchferry.library_facts import Library, WheelFacts
from torchferry.library_set import LibrarySet
from torchferry.model import VENV, Variant

MACHINES = {"x86_64": "x64", "aarch64": "AArch64"}
"""Architectures as pyelftools names them."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A set of wheels and where it will stand.

    ``glibc`` is the base's, ``base`` the names of its libraries (None: not known yet), ``capabilities`` the GPU code
    that compat.yaml promises of this torch ('86', '120+PTX').
    """

    variant: Variant
    wheels: tuple[WheelFacts, ...]
    glibc: tuple[int, int]
    capabilities: tuple[str, ...] = ()
    base: frozenset[str] | None = None


def judge(case: Case) -> tuple[Finding, ...]:
    """All findings, errors first."""
    libraries = LibrarySet(case.wheels, path=search_path(case), base=case.base or ())
    machine = MACHINES[case.variant.architecture]
    found = [
        *_torch_build(case), *_gpu_code(case),
        *judge_needs(libraries, machine, cuda=case.variant.cuda, base_is_known=case.base is not None),
        *_glibc(case, machine), *_shadowed(case.wheels), *_twice(case.wheels), *_unread(case.wheels),
    ]
    return tuple(sorted(found, key=lambda one: one.severity != ERROR))


def search_path(case: Case) -> tuple[str, ...]:
    """The folders of LD_LIBRARY_PATH below site-packages, by cuda_libraries: on_path or by the service's env."""
    if case.variant.cuda_libraries == "on_path" and case.variant.cuda:
        return cuda_names.folders(path for facts in case.wheels if facts.is_cuda or facts.name == "torch"
                                  for path in facts.files)
    site = f"{VENV}/lib/python{case.variant.python}/site-packages/"
    said = case.variant.env.get("LD_LIBRARY_PATH", "").split(":")
    return tuple(folder.removeprefix(site).rstrip("/") for folder in said if folder.startswith(site))


def _torch(case: Case) -> WheelFacts | None:
    return next((facts for facts in case.wheels if facts.name == "torch"), None)


def _cuda_parts(torch: WheelFacts) -> list[Library]:
    return [one for one in torch.libraries if one.path.startswith("torch/lib/libtorch_cuda")]


def _torch_build(case: Case) -> Iterator[Finding]:
    torch = _torch(case)
    if torch is None or case.variant.torch is None or bool(_cuda_parts(torch)) == bool(case.variant.cuda):
        return
    cause = "is a CPU build: it has no libtorch_cuda.so"
    if not case.variant.cuda:
        cause = "is a CUDA build: it has libtorch_cuda.so"
    name = case.variant.name.upper()
    yield Finding(
        severity=ERROR, wheel=torch.label, file="", cause=f"{cause}, and the variant is {case.variant.name}",
        cure=f"name a source that has the build: TORCHFERRY_TORCH_INDEX_{name}=URL, or `index:` in the variant's row; "
        f"then: inv lock --variant {case.variant.name}",
    )


def _gpu_code(case: Case) -> Iterator[Finding]:
    """The machine code inside torch, and the list that torch prints, against what compat.yaml promises of them."""
    torch = _torch(case)
    if torch is None or not case.capabilities or not _cuda_parts(torch):
        return
    promised = set(compat.sm_names(case.capabilities))
    code = {code for one in _cuda_parts(torch) for code in one.elf.code}
    stated = {word for one in torch.libraries if one.elf.flags for word in one.elf.flags.split() if word[:3] == "sm_"}
    for what, have in (("machine code", code), ("its own list of GPUs", stated)):
        lacking = sorted(promised - have - {f"{name}a" for name in promised}, key=_number)
        if not have:
            yield _code_finding(torch, WARNING, f"{what} could not be read; compat.yaml promises {listed(promised)}")
        elif lacking:
            said = f"{what} is {listed(have, most=20)}; it lacks {listed(lacking)}, which compat.yaml promises"
            yield _code_finding(torch, ERROR, said)
    if stated and (more := stated - promised):
        yield _code_finding(torch, WARNING, f"its own list of GPUs also has {listed(more)}, which compat.yaml does not")


def _code_finding(torch: WheelFacts, severity: str, cause: str) -> Finding:
    return Finding(
        severity=severity, wheel=torch.label, file="torch/lib", cause=cause,
        cure="take torch from the PyTorch index or PyPI; if it is from there, correct its row in compat.yaml",
    )


def _number(name: str) -> int:
    return int(re.sub(r"\D", "", name))


def _glibc(case: Case, machine: str) -> Iterator[Finding]:
    """The newest symbol version of glibc that each wheel needs; manylinux tags promise it, and are only a promise."""
    for facts in case.wheels:
        newest = max(
            (one for one in facts.libraries if one.elf.glibc and one.elf.machine == machine),
            key=lambda one: one.elf.glibc or (0, 0), default=None,
        )
        if newest is None or newest.elf.glibc is None or newest.elf.glibc <= case.glibc:
            continue
        yield Finding(
            severity=ERROR, wheel=facts.label, file=newest.path,
            cause=f"needs glibc {_dotted(newest.elf.glibc)}, and the base has {_dotted(case.glibc)}",
            cure=f"take a newer base (debian: bookworm has 2.36, trixie 2.41), or another version of {facts.name}",
        )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _shadowed(wheels: Iterable[WheelFacts]) -> Iterator[Finding]:
    """Different files of two wheels at one path: installers write them in no certain order."""
    first: dict[str, WheelFacts] = {}
    clashes: dict[tuple[str, str, bool], list[str]] = {}
    kinds: dict[str, bool] = {library.path: True for facts in wheels for library in facts.libraries}
    for facts in wheels:
        for path, digest in facts.files.items():
            other = first.setdefault(path, facts)
            if other is not facts and other.files[path] != digest:
                clashes.setdefault((other.label, facts.label, path in kinds), []).append(path)
    for (one, two, is_library), paths in clashes.items():
        yield Finding(
            severity=ERROR if is_library else WARNING, wheel=two, file=listed(paths, most=3),
            cause=f"lies in {one} too, with another content; which of them is installed last is not certain",
            cure="require only one of the two, or versions that agree",
        )


def _twice(wheels: Iterable[WheelFacts]) -> Iterator[Finding]:
    """One library of CUDA in two of the wheels that bring it for all: dead weight, and chance decides which is used."""
    places: dict[str, dict[str, str]] = {}
    for facts in wheels:
        if facts.is_cuda or facts.name == "torch":
            for library in facts.libraries:
                parsed = cuda_names.parse(library.name)
                if parsed and parsed.version and not parsed.renamed:
                    places.setdefault(library.name, {})[facts.label] = library.path
    for name, found in places.items():
        if len(found) > 1:
            *others, last = found
            yield Finding(
                severity=WARNING, wheel=last, file=found[last],
                cause=f"{name} also comes with {listed(others)}; one of the copies is dead weight",
                cure="require only one of them",
            )


def _unread(wheels: Iterable[WheelFacts]) -> Iterator[Finding]:
    for facts in wheels:
        for cause in facts.unread:
            yield Finding(
                severity=WARNING, wheel=facts.label, file="", cause=f"not audited: {cause}",
                cure="fetch it again (inv fetch); if it stays so, look at it with readelf -d",
            )
