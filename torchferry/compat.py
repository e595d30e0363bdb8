"""What can exist: asks compat.yaml about torch releases, CUDA builds, Pythons, companions, drivers and GPU code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from packaging.version import InvalidVersion, Version

from torchferry.compat_rows import CudaRow, GenerationRow, RuntimeRow, Table, TorchRow
from torchferry.compat_table import parse_table
from torchferry.errors import CompatError
from torchferry.model import Variant
from torchferry.wording import in_words


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One reason why a variant cannot exist, and what to write instead."""

    message: str
    cure: str


def refuse(problems: Iterable[Problem]) -> None:
    """Raise one CompatError that tells all problems; none: do nothing."""
    found = tuple(problems)
    if found:
        raise CompatError(
            "\n".join(problem.message for problem in found),
            cure="\n      ".join(dict.fromkeys(problem.cure for problem in found)),
        )


@cache
def load() -> Compat:
    """The table that comes with torchferry."""
    return Compat(table=parse_table(resources.files("torchferry").joinpath("compat.yaml").read_text("utf-8")))


@dataclass(frozen=True, kw_only=True)
class Compat:
    """The questions that the steps ask of one table."""

    table: Table

    def torch(self, version: str) -> TorchRow | None:
        """The row of a torch release, or None where the table has none ('2.1' is 2.1.0)."""
        wanted = _version(version)
        return next((row for row in self.table.torch if Version(row.version) == wanted), None)

    def cuda(self, release: str) -> CudaRow:
        """The row of a CUDA release as Variant.cuda spells it ('12.1'); CompatError where the table has none."""
        row = next((row for row in self.table.cuda if row.release == release), None)
        if row is None:
            raise CompatError(
                f"CUDA {release} is not in the table of known releases",
                cure=f"take one of {in_words([row.release for row in self.table.cuda])}",
            )
        return row

    def capabilities(self, torch: str, variant_name: str) -> tuple[str, ...]:
        """The GPU code in the x86_64 wheel ('86' is sm_86, '120+PTX' also compute_120); () for cpu.

        CompatError where that torch or that build of it does not exist.
        """
        row = self._known(torch)
        if variant_name == "cpu":
            return ()
        for listed in self.table.capabilities:
            if variant_name in row.builds and listed.build == variant_name and row.version in listed.torch:
                return listed.capabilities
        raise CompatError(f"torch {torch} has no {variant_name} build", cure=f"take one of {in_words(row.builds)}")

    def pypi_build(self, torch: str, architecture: str) -> str | None:
        """What PyPI's plain wheel of that torch is built for ('cu121', 'cpu'); None where the table does not know."""
        row = self.torch(torch)
        return row.pypi.get(architecture) if row else None

    def generation(self, capability: str) -> GenerationRow | None:
        """The generation of GPUs with this compute capability ('8.6'), or None where the table has none."""
        return next((row for row in self.table.generations if capability in row.capabilities), None)

    def cudnn(self, torch: str) -> str | None:
        """The major version of the cuDNN that comes with a torch release; None where the table does not know."""
        return next((row.major for row in self.table.cudnn if torch in row.torch), None)

    def runtime(self, package: str, version: str) -> RuntimeRow | None:
        """What a release of a package with CUDA code of its own looks for; None where the table does not know."""
        return next((row for row in self.table.runtimes if row.package == package and version in row.versions), None)

    def torch_index(self, variant_name: str) -> str:
        """The URL of the PyTorch index that has this build."""
        return self.table.index.replace("{variant}", variant_name)

    def constraints(self, variant: Variant) -> tuple[str, ...]:
        """Requirement lines for the companions of this torch; each binds only where its package is wanted.

        CompatError where the torch is unknown.
        """
        if variant.torch is None:
            return ()
        row = self._known(variant.torch)
        lines = [f"torchaudio=={row.torchaudio}"] if row.torchaudio else []
        lines.append(f"torchvision=={row.torchvision}")
        if row.numpy:
            lines.append(f"numpy{row.numpy}")
        bounds = [f"{bound.package}{bound.constraint}" for bound in self.table.companions if row.version in bound.torch]
        return (*lines, *bounds)

    @property
    def build_constraints(self) -> tuple[str, ...]:
        """Requirement lines for the environment in which a source distribution becomes a wheel."""
        return tuple(row.requirement for row in self.table.build_requirements)

    def require(self, variant: Variant) -> None:
        """Raise CompatError with every reason why this variant cannot exist."""
        self.require_all((variant,))

    def require_all(self, variants: Iterable[Variant]) -> None:
        """Raise one CompatError with every reason why any of these variants cannot exist."""
        refuse(problem for variant in variants for problem in self.problems(variant))

    def problems(self, variant: Variant) -> tuple[Problem, ...]:
        """Every reason why this variant cannot exist; none for one without torch."""
        if variant.torch is None:
            return ()
        row = self.torch(variant.torch)
        if row is None:
            unknown = self._unknown(variant.torch)
            return (Problem(message=f"{variant.label}: {unknown.message}", cure=unknown.cure),)
        found = []
        if variant.name not in row.builds:
            found.append(self._no_build(variant, row))
        elif variant.cuda and variant.architecture != "x86_64":
            found.append(Problem(
                message=f"{variant.label}: the table knows CUDA builds of torch for x86_64 only, "
                        f"not for {variant.architecture}",
                cure="write platforms: [linux/amd64] into this row",
            ))
        if variant.python not in row.pythons:
            found.append(self._no_python(variant, row))
        return tuple(found)

    def _known(self, torch: str) -> TorchRow:
        row = self.torch(torch)
        if row is None:
            unknown = self._unknown(torch)
            raise CompatError(unknown.message, cure=unknown.cure)
        return row

    def _unknown(self, torch: str) -> Problem:
        last = self.table.torch[-1].version
        wanted = _version(torch)
        near = self._nearest(wanted, lambda _: True) if wanted else (last,)
        return Problem(
            message=f"torch {torch} is not in the table of known releases, which ends at {last}",
            cure=f"take torch {in_words(near, 'or')}; a newer release needs its row in torchferry/compat.yaml",
        )

    def _no_build(self, variant: Variant, row: TorchRow) -> Problem:
        wanted = variant.name
        near = self._nearest(Version(row.version), lambda other: wanted in other.builds)
        stand_in = self._stand_in(row, wanted, near)
        said = [f"{variant.label}: torch {row.version} has no {wanted} build, it has {in_words(row.builds)}."]
        if near:
            said.append(f"The nearest torch with {wanted}: {in_words(near)}.")
        else:
            said.append(f"No torch in the table has {wanted}.")
        if stand_in:
            said.append(self._same_drivers(stand_in, wanted))
        cures = [f"take {stand_in or in_words(row.builds, 'or')} with torch {row.version}"]
        cures += [f"{wanted} with torch {in_words(near, 'or')}"] if near else []
        return Problem(message=" ".join(said), cure=", or ".join(cures))

    def _no_python(self, variant: Variant, row: TorchRow) -> Problem:
        def fits(other: TorchRow) -> bool:
            return variant.python in other.pythons and variant.name in other.builds

        near = self._nearest(Version(row.version), fits)
        return Problem(
            message=f"{variant.label}: torch {row.version} has no wheels for Python {variant.python}, "
                    f"it has them for {in_words(row.pythons)}",
            cure=f"take Python {row.pythons[-1]}" + (f", or torch {in_words(near, 'or')}" if near else ""),
        )

    def _nearest(self, version: Version, fits: Callable[[TorchRow], bool]) -> tuple[str, ...]:
        """The last release before and the first after ``version`` that fit."""
        rows = [row.version for row in self.table.torch if fits(row)]
        older = [row for row in rows if Version(row) < version]
        newer = [row for row in rows if Version(row) > version]
        return (*older[-1:], *newer[:1])

    def _stand_in(self, row: TorchRow, wanted: str, near: Sequence[str]) -> str | None:
        """The build of this torch that serves every host that ``wanted`` would: no newer driver, no GPU left out."""
        known = {cuda.build: Version(cuda.floor) for cuda in self.table.cuda}
        if wanted not in known:
            return None
        served = self.capabilities(near[0], wanted) if near else ()
        serving = [
            build for build in row.builds
            if build in known and known[build] <= known[wanted]
            and _covers(self.capabilities(row.version, build), served)
        ]
        return min(
            serving, default=None,
            key=lambda build: (known[build] != known[wanted], abs(int(build[2:]) - int(wanted[2:]))),
        )

    def _same_drivers(self, stand_in: str, wanted: str) -> str:
        floors = {cuda.build: cuda.floor for cuda in self.table.cuda}
        need = f"both need {floors[wanted]} or newer"
        if floors[stand_in] != floors[wanted]:
            need = f"it needs {floors[stand_in]} or newer, {wanted} {floors[wanted]}"
        return f"{stand_in} already runs on every driver that {wanted} runs on: {need}."


def sm_names(capabilities: Iterable[str]) -> tuple[str, ...]:
    """What torch.cuda.get_arch_list() calls the machine code of these capabilities: '120+PTX' is sm_120.

    PTX (compute_120) is left out: wheels of one build differ in it, depending on which index they came from.
    """
    return tuple(f"sm_{capability.removesuffix('+PTX')}" for capability in capabilities)


def _covers(have: Iterable[str], wanted: Iterable[str]) -> bool:
    # Machine code runs on its own major and no older minor: 80 serves an 86, 75 does not serve a 70.
    ours = [divmod(int(re.sub(r"\D", "", capability)), 10) for capability in have]
    theirs = [divmod(int(re.sub(r"\D", "", capability)), 10) for capability in wanted]
    return all(any(major == ours_major and minor >= lowest for ours_major, lowest in ours) for major, minor in theirs)


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
