"""Which variant runs on a server: a judgement over numbers and lists, so that a shell can make the same one.

The contract with the bundle's ferry.sh, whose tables are rendered from `rules` and `Branches`:

* All that counts of a server is (driver, platform, arch, failure, [(index, name, capability or none), ...]).
* A `Rule` is one variant: its name, the architectures it is built for, its CUDA release, the drivers of Linux and of
  Windows (WSL counts as Windows: the driver is Windows'), and its GPU code as (major, lowest minor) pairs.
* Drivers compare number by number, trailing zeros dropped (`server.version`). No driver is too new for a CUDA; a
  branch can be too new for a GPU (`Branches.dropped`).
* Code for 8.0 runs on 8.0, 8.6 and 8.9, and on no other major. PTX is not counted: no GPU of the table needs it.
* A GPU without capability may be any that a driver of this branch serves; where all of them agree, so does the answer.
* GPUs of the same name and capability are one group, in order of first appearance, with one reason.
* The order of questions is that of `_judged`; the first that settles the answer ends it. Codes and their sentences
  are those of `verdict_text.REASONS`.
* The pick: of CUDA variants that run on all GPUs, else of those that run on some (most GPUs first), those with full
  support go first, then the highest CUDA, then the first in variants.yaml. With none: null when the text was unreadable
  or one is unknown, else the first without CUDA.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torchferry.compat import Compat
from torchferry.compat_rows import Floors
from torchferry.model import Variant
from torchferry.server import GPU_LOST, NVML_PERMISSION, UNREADABLE, WINDOWS_SPREAD, Gpu, Server, version
from torchferry.verdict_text import sentence

YES, SOME, UNKNOWN, NO = "yes", "some_gpus", "unknown", "no"
FITS, ONLY_CPU, NOTHING = 0, 3, 4
"""Exit statuses: a GPU variant fits, only one without GPU does, nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one variant needs; ``code`` are (major, lowest minor) pairs of compute capabilities."""

    name: str
    architectures: tuple[str, ...]
    cuda: str | None = None
    linux: Floors | None = None
    windows: Floors | None = None
    code: tuple[tuple[int, int], ...] = ()

    def serves(self, capability: str) -> bool:
        """Whether there is machine code for this compute capability."""
        major, minor = _capability(capability)
        return any(major == ours and minor >= lowest for ours, lowest in self.code)

    @property
    def served(self) -> str:
        """The compute capabilities with code of their own, for people: '7.5, 8.0'."""
        return ", ".join(f"{major}.{minor}" for major, minor in self.code)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One code of `verdict_text.REASONS` with its values."""

    code: str
    values: Mapping[str, str]

    @property
    def text(self) -> str:
        return sentence(self.code, self.values)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a variant runs (yes, some_gpus, unknown, no), whether in full, on which GPUs, and why."""

    runs: str
    full_support: bool
    gpus: tuple[int, ...]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdicts by variant, in the order of the rules; the variant to run, if any; the exit status."""

    verdicts: Mapping[str, Verdict]
    pick: str | None
    status: int


def rules(variants: Iterable[Variant], compat: Compat) -> tuple[Rule, ...]:
    """One rule a variant name; one that several services have runs where it runs for all of them.

    Services without torch have no part in this. CompatError where a variant cannot exist.
    """
    found: dict[str, Rule] = {}
    for variant in variants:
        if variant.torch is not None:
            rule = _rule(variant, compat)
            found[rule.name] = _both(found[rule.name], rule) if rule.name in found else rule
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True)
class Branches:
    """What drivers of one branch do for compute capabilities: those they serve, and those they serve no more.

    Both are empty when the branch is not known.
    """

    served: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @classmethod
    def of(cls, branch: int | None, compat: Compat, *, windows: bool) -> Branches:
        """For a driver branch as the driver's number gives it, of Linux or Windows."""
        if branch is None:
            return cls()
        spread = WINDOWS_SPREAD if windows else 0
        rows = compat.table.generations
        over = [row for row in rows if row.last_branch is not None and row.last_branch + spread < branch]
        serving = [row for row in rows if row not in over and (row.first_branch or 0) <= branch]
        return cls(
            served=tuple(one for row in serving for one in row.capabilities),
            dropped=tuple(one for row in over for one in row.capabilities),
        )


def judge(server: Server, rules: Sequence[Rule], compat: Compat) -> Judgement:
    """The verdict on every rule, the pick and the exit status."""
    branches = Branches.of(server.branch, compat, windows=server.windows_driver)
    verdicts = {rule.name: _judged(server, rule, branches) for rule in rules}
    order = {rule.name: (_key(verdicts[rule.name], rule), -place) for place, rule in enumerate(rules) if rule.cuda}
    fitting = [name for name in order if verdicts[name].runs in (YES, SOME)]
    if fitting:
        return Judgement(verdicts=verdicts, pick=max(fitting, key=lambda name: order[name]), status=FITS)
    cpu = next((rule.name for rule in rules if rule.cuda is None and verdicts[rule.name].runs == YES), None)
    if server.failure == UNREADABLE or cpu is None or any(verdicts[name].runs == UNKNOWN for name in order):
        return Judgement(verdicts=verdicts, pick=None, status=NOTHING)
    return Judgement(verdicts=verdicts, pick=cpu, status=ONLY_CPU)


def _key(verdict: Verdict, rule: Rule) -> tuple[bool, int, bool, tuple[int, ...]]:
    return verdict.runs == YES, len(verdict.gpus), verdict.full_support, version(rule.cuda or "0")


def _judged(server: Server, rule: Rule, branches: Branches) -> Verdict:
    if server.arch is not None and server.arch not in rule.architectures:
        return _verdict(NO, _reason("other_architecture", built=" or ".join(rule.architectures), arch=server.arch))
    if server.arch is None and "x86_64" not in rule.architectures:
        return _verdict(UNKNOWN, _reason("architecture_unknown", built=" or ".join(rule.architectures)))
    if rule.cuda is None:
        return _verdict(YES, _reason("no_gpu_needed"), full=True)
    if server.failure and server.failure != GPU_LOST:
        runs = UNKNOWN if server.failure in (NVML_PERMISSION, UNREADABLE) else NO
        return _verdict(runs, _reason(server.failure))
    drives, full, driver = _driver(server, rule)
    gpus = list(_gpus(server, rule, branches))
    reasons = (driver, *(reason for _, _, reason in gpus))
    on = tuple(index for runs, indexes, _ in gpus if runs == YES for index in indexes)
    answers = {runs for runs, _, _ in gpus}
    if drives == NO or answers == {NO}:
        return _verdict(NO, *reasons)
    if drives == UNKNOWN or YES not in answers:
        return _verdict(UNKNOWN, *reasons)
    return _verdict(YES if answers == {YES} else SOME, *reasons, full=full, gpus=tuple(sorted(on)))


def _driver(server: Server, rule: Rule) -> tuple[str, bool, Reason]:
    """Whether the driver runs this CUDA, whether in full, and why."""
    floors = rule.windows if server.windows_driver else rule.linux
    assert floors is not None
    cuda = rule.cuda or ""
    if server.driver is None:
        return UNKNOWN, False, _reason("driver_unknown", floor=floors.floor)
    said = {"driver": server.driver, "cuda": cuda, "floor": floors.floor}
    driver = version(server.driver)
    if driver < version(floors.floor):
        if floors.doubtful_from and driver >= version(floors.doubtful_from):
            return UNKNOWN, False, _reason("driver_doubtful", doubtful=floors.doubtful_from, **said)
        return NO, False, _reason("driver_too_old", **said)
    if driver < version(floors.toolkit_driver):
        return YES, False, _reason("driver_minor", toolkit=floors.toolkit_driver, **said)
    return YES, True, _reason("driver_full", toolkit=floors.toolkit_driver, **said)


def _gpus(server: Server, rule: Rule, branches: Branches) -> Iterator[tuple[str, tuple[int, ...], Reason]]:
    """Each group of equal GPUs: whether the variant has code for it, its indexes, and why."""
    if not server.gpus:
        yield UNKNOWN, (), _reason("gpu_not_shown")
    groups: dict[tuple[str, str | None], list[Gpu]] = {}
    for gpu in server.gpus:
        groups.setdefault((gpu.name, gpu.capability), []).append(gpu)
    for (name, capability), group in groups.items():
        indexes = tuple(gpu.index for gpu in group)
        said = {"gpus": ",".join(map(str, indexes)), "name": name or "no name shown"}
        if capability in branches.dropped:
            yield NO, indexes, _reason("gpu_dropped", driver=server.driver or "", **said)
            continue
        if capability is not None:
            runs, code = (YES, "gpu_served") if rule.serves(capability) else (NO, "gpu_not_served")
            yield runs, indexes, _reason(code, capability=capability, serves=rule.served, **said)
            continue
        answers = {rule.serves(one) for one in branches.served}
        runs, code = {
            frozenset({True}): (YES, "gpu_whatever"), frozenset({False}): (NO, "gpu_none_of_these"),
        }.get(frozenset(answers), (UNKNOWN, "gpu_unknown"))
        yield runs, indexes, _reason(code, driver=server.driver or "", **said)


def _verdict(runs: str, *reasons: Reason, full: bool = False, gpus: tuple[int, ...] = ()) -> Verdict:
    return Verdict(runs=runs, full_support=full, gpus=gpus, reasons=reasons)


def _reason(code: str, **values: str) -> Reason:
    return Reason(code=code, values=values)


def _rule(variant: Variant, compat: Compat) -> Rule:
    if variant.cuda is None or variant.torch is None:
        return Rule(name=variant.name, architectures=(variant.architecture,))
    row = compat.cuda(variant.cuda)
    code = (_code(one) for one in compat.capabilities(variant.torch, variant.name))
    return Rule(
        name=variant.name, architectures=(variant.architecture,), cuda=variant.cuda, linux=row.linux,
        windows=row.windows, code=tuple(sorted(code)),
    )


def _both(one: Rule, other: Rule) -> Rule:
    """The same variant of two services or platforms: the code that both have."""
    every = sorted({*one.code, *other.code})
    code = tuple(pair for pair in every if one.serves("{}.{}".format(*pair)) and other.serves("{}.{}".format(*pair)))
    return Rule(
        name=one.name, architectures=tuple(dict.fromkeys([*one.architectures, *other.architectures])), cuda=one.cuda,
        linux=one.linux, windows=one.windows, code=code,
    )


def _code(listed: str) -> tuple[int, int]:
    """'86' or '120+PTX' as (8, 6) and (12, 0)."""
    digits = "".join(character for character in listed.partition("+")[0] if character.isdigit())
    return int(digits[:-1]), int(digits[-1])


def _capability(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor)
