"""What is worth knowing of the rows of a variants.yaml that can all exist: pointless ones, gaps, and sole carriers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torchferry.compat import Compat
from torchferry.coverage import Column, Coverage, columns, coverages
from torchferry.model import Variant
from torchferry.server import branch_of, version
from torchferry.verdict import Rule
from torchferry.verdict import rules as rules_of
from torchferry.wording import in_words

WARNING, NOTE = "warning", "note"


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What is worth knowing and stops nothing; ``level`` is warning or note, ``about`` a label or a service."""

    about: str
    level: str
    text: str


def grouped(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Equal remarks as one, about all of whom they were made."""
    about: dict[tuple[str, str], list[str]] = {}
    for remark in remarks:
        about.setdefault((remark.level, remark.text), []).append(remark.about)
    return tuple(
        Remark(about=", ".join(dict.fromkeys(names)), level=level, text=text)
        for (level, text), names in about.items()
    )


def remarks(variants: Sequence[Variant], compat: Compat) -> tuple[Remark, ...]:
    """Everything worth saying of these variants, warnings first; CompatError where one of them cannot exist."""
    samples = {variant.service.name: variant for variant in variants}
    found: list[Remark] = []
    for coverage in coverages(variants, compat):
        for service in coverage.services:
            labels = {variant.name: variant.label for variant in variants if variant.service.name == service}
            found += [
                Remark(about=labels[name], level=WARNING, text=text)
                for name, text in _pointless(coverage.cuda, compat).items()
            ]
            found += [
                Remark(about=service, level=level, text=text)
                for level, text in _of_service(coverage, compat, samples[service])
            ]
    return tuple(sorted(found, key=lambda one: one.level != WARNING))


def _of_service(coverage: Coverage, compat: Compat, sample: Variant) -> Iterator[tuple[str, str]]:
    yield from _gaps(coverage.cuda, compat, sample)
    if len(coverage.cuda) > 1:
        yield from ((NOTE, text) for text in _only_ones(coverage.cuda, compat))
        yield from ((NOTE, text) for text in _older_majors(coverage.cuda, compat))


# Rows that add nothing


def _reach(rule: Rule, compat: Compat) -> Mapping[str, tuple[int, ...]]:
    """The capabilities that a variant serves, each with the oldest driver that runs it there."""
    assert rule.linux is not None
    floor = version(rule.linux.floor)
    found = {}
    for column in columns(compat):
        for capability in column.capabilities:
            row = compat.generation(capability)
            if row is not None and rule.serves(capability) and (row.last_branch or floor[0]) >= floor[0]:
                found[capability] = max(floor, (row.first_branch or 0,))
    return found


def _adds_nothing(rule: Rule, other: Rule, compat: Compat) -> bool:
    """Whether the other runs, and has full support, wherever this one does; of two equals the newer CUDA adds nothing.

    "Full support" counts: an older toolkit's own driver is older, and from there on its PTX works too.
    """
    mine, theirs = _reach(rule, compat), _reach(other, compat)
    assert rule.linux is not None and other.linux is not None
    covered = all(capability in theirs and theirs[capability] <= oldest for capability, oldest in mine.items())
    full = version(other.linux.toolkit_driver) <= version(rule.linux.toolkit_driver)
    return rule is not other and covered and full and (mine != theirs or _cuda(other) < _cuda(rule))


def _pointless(rules: Sequence[Rule], compat: Compat) -> dict[str, str]:
    """Variants that add nothing over another of the same CUDA major; between majors libraries differ as well."""
    found = {}
    for rule in rules:
        over = [
            other for other in rules if _cuda(other)[0] == _cuda(rule)[0] and _adds_nothing(rule, other, compat)
        ]
        if over:
            best = min(over, key=lambda other: (-len(_reach(other, compat)), _cuda(other)))
            found[rule.name] = f"{rule.name} adds no driver and no GPU over {best.name} here"
    return found


def _older_majors(rules: Sequence[Rule], compat: Compat) -> Iterator[str]:
    for other in rules:
        less = [
            rule for rule in rules if _cuda(rule)[0] > _cuda(other)[0] and _adds_nothing(rule, other, compat)
        ]
        if less:
            majors = in_words(list(dict.fromkeys(f"CUDA {_cuda(rule)[0]}" for rule in less)))
            names = in_words([rule.name for rule in less])
            yield (f"{other.name} alone runs wherever {names} {'run' if len(less) > 1 else 'runs'}; what speaks for "
                   f"{names} is a package that looks for libraries of {majors}, or a newer torch")


# Servers that one variant serves, or none


def _only_ones(rules: Sequence[Rule], compat: Compat) -> Iterator[str]:
    floors = sorted((branch_of(rule.linux.floor), rule.name) for rule in rules if rule.linux is not None)
    (oldest, name), (following, _) = floors[:2]
    if oldest < following:
        yield f"{name} is the only one for drivers {oldest}-{following - 1}"
    alone: dict[str, list[str]] = {}
    for column in columns(compat):
        serving = _serving(column, rules, compat)
        if len(serving) == 1:
            alone.setdefault(serving[0].name, []).append(column.generation)
    yield from (f"{name} is the only one for {in_words(generations)} GPUs" for name, generations in alone.items())


def _gaps(rules: Sequence[Rule], compat: Compat, sample: Variant) -> Iterator[tuple[str, str]]:
    """Generations that no variant runs on; a warning where new drivers still serve them."""
    missing: dict[tuple[str, str], list[str]] = {}
    for column in columns(compat):
        if not _serving(column, rules, compat):
            row = compat.generation(column.capabilities[0])
            level = NOTE if row is not None and row.last_branch is not None else WARNING
            missing.setdefault((level, _cure(column, compat, sample, newest=level == NOTE)), []).append(
                column.generation)
    for (level, cure), generations in missing.items():
        yield level, f"no variant runs on {in_words(generations)}: {cure}"


def _serving(column: Column, rules: Sequence[Rule], compat: Compat) -> list[Rule]:
    return [rule for rule in rules if set(column.capabilities) & _reach(rule, compat).keys()]


def _cure(column: Column, compat: Compat, sample: Variant, *, newest: bool) -> str:
    """The build with code for most of these GPUs: the first that had it, or (``newest``) that which has it longest."""
    builds: dict[str, list[str]] = {}
    served: dict[str, int] = {}
    for row in compat.table.torch:
        for build in row.builds if sample.python in row.pythons else ():
            (rule,) = rules_of([replace(sample, name=build, torch=row.version)], compat)
            count = sum(map(rule.serves, column.capabilities))
            if count and count >= served.get(build, 0):
                builds[build] = [*(builds.get(build, []) if count == served.get(build) else []), row.version]
                served[build] = count
    best = [build for build in builds if served[build] == max(served.values())]
    if not best:
        return f"no torch in the table does with Python {sample.python}"
    order = [row.version for row in compat.table.torch]
    if newest:
        build = max(best, key=lambda build: (order.index(builds[build][-1]), -int(build[2:])))
    else:
        build = min(best, key=lambda build: (order.index(builds[build][0]), int(build[2:])))
    first, last = builds[build][0], builds[build][-1]
    until = "" if last == order[-1] else f" (which ends at {last})"
    return f"add torch >= {first.removesuffix('.0')} with {build}{until}"


def _cuda(rule: Rule) -> tuple[int, ...]:
    return version(rule.cuda or "0")
