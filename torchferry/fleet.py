"""A fleet of servers beside the variants: which of them it needs, which can be dropped, and who is left without.

The list is a CSV file with the columns host, driver and GPU; several rows of one host are several GPUs of it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from torchferry.compat import Compat
from torchferry.errors import ConfigError
from torchferry.gpus import GpuNames
from torchferry.server import NOT_INSTALLED, Gpu, Server, version
from torchferry.verdict import NO, SOME, UNKNOWN, YES, Judgement, Rule, Verdict, judge

HEADS = {
    "host": {"host", "hostname", "server"}, "driver": {"driver", "driver_version", "driver version"},
    "gpu": {"gpu", "gpu name", "gpu_name", "name"},
}
FAVOURABLE = {"driver_full", "driver_minor", "gpu_served", "gpu_whatever"}
"""Reasons of a verdict that keep nothing from running."""

_DRIVER = re.compile(r"[0-9]{2,4}(\.[0-9]{1,4}){0,3}")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML file may hold."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """One server of the fleet, as the list tells it."""

    name: str
    server: Server

    @property
    def gpus(self) -> str:
        """Its GPUs for people: 'Tesla T4, 2 x NVIDIA A10'."""
        counted = Counter(gpu.name for gpu in self.server.gpus)
        return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counted.items())


@dataclass(frozen=True, kw_only=True)
class Need:
    """What the fleet makes of one variant: on how many hosts it runs, which only it serves, whether it can go."""

    variant: str
    runs: int
    full: int
    only_one_for: tuple[str, ...]
    needed: bool


@dataclass(frozen=True, kw_only=True)
class Short:
    """A host on all of whose GPUs no variant runs: none at all, some of them only, not known; and why."""

    host: Host
    kind: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Every host, what each variant is needed for, and the hosts that go short."""

    hosts: tuple[Host, ...]
    needs: tuple[Need, ...]
    short: tuple[Short, ...]


def parse(text: str, *, file: str, names: GpuNames) -> tuple[Host, ...]:
    """The hosts of a CSV text; ConfigError names the line that is wrong."""
    lines = _UNPRINTABLE.sub("\ufffd", text.removeprefix("\ufeff")).splitlines()
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=max(",;\t", key=first.count))
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    places, rows = _columns(rows, file)
    found: dict[str, list[tuple[int, str, str]]] = {}
    for line, row in rows:
        cells = {head: row[place] if place < len(row) else "" for head, place in places.items()}
        if not cells["host"]:
            raise ConfigError(f"{file}:{line}: no host", cure="write host, driver and GPU into each row")
        if cells["driver"] and not _DRIVER.fullmatch(cells["driver"]):
            raise ConfigError(
                f"{file}:{line}: {cells['driver']!r} is no driver version",
                cure="write it as nvidia-smi does: numbers with dots between them",
            )
        found.setdefault(cells["host"], []).append((line, cells["driver"], cells["gpu"]))
    return tuple(Host(name=host, server=_server(host, told, file, names)) for host, told in found.items())


def _columns(
    rows: list[tuple[int, list[str]]], file: str
) -> tuple[dict[str, int], list[tuple[int, list[str]]]]:
    """Where host, driver and GPU stand: as the first row says, else in this order."""
    if not rows:
        raise ConfigError(f"{file}: no rows", cure="write one row a GPU: host,driver,gpu")
    said = [cell.lower() for cell in rows[0][1]]
    places = {
        head: next(place for place, cell in enumerate(said) if cell in words)
        for head, words in HEADS.items() if words & set(said)
    }
    if len(places) == len(HEADS):
        return places, rows[1:]
    if places or len(said) != len(HEADS) or not (not said[1] or _DRIVER.fullmatch(said[1])):
        raise ConfigError(
            f"{file}:{rows[0][0]}: the first row names no columns host, driver and gpu",
            cure="begin with: host,driver,gpu",
        )
    return {head: place for place, head in enumerate(HEADS)}, rows


def _server(host: str, told: Sequence[tuple[int, str, str]], file: str, names: GpuNames) -> Server:
    drivers = {driver for _, driver, _ in told if driver}
    if len(drivers) > 1:
        raise ConfigError(
            f"{file}:{told[-1][0]}: {host} has two drivers, {' and '.join(sorted(drivers))}",
            cure="a server has one driver; give each server a name of its own",
        )
    rows = [(name, names.by_hand(name)) for _, _, name in told if name]
    gpus = tuple(
        Gpu(index=index, name=name, capability=row.capability if row else None)
        for index, (name, row) in enumerate(rows)
    )
    arch = next((row.arch for _, row in rows if row is not None and row.arch), None)
    return Server(
        driver=next(iter(drivers), None), gpus=gpus, arch=arch, failure=None if gpus or drivers else NOT_INSTALLED,
    )


def fleet(hosts: Iterable[Host], rules: Sequence[Rule], compat: Compat) -> Fleet:
    """Judge every host; the variants that are needed are a smallest set that runs wherever any variant runs."""
    judged = tuple((host, judge(host.server, rules, compat)) for host in hosts)
    serving = [(host.name, _serving(judgement, rules)) for host, judgement in judged]
    cuda = [rule.name for rule in sorted(rules, key=_cuda) if rule.cuda]
    kept = smallest([names for _, names in serving if names], cuda)
    return Fleet(
        hosts=tuple(host for host, _ in judged),
        needs=tuple(_need(rule, serving, needed=rule.name in kept) for rule in rules),
        short=tuple(
            _short(host, judgement, rules) for host, judgement in judged
            if not any(rule.cuda and judgement.verdicts[rule.name].runs == YES for rule in rules)
        ),
    )


def _need(rule: Rule, serving: Sequence[tuple[str, Mapping[str, bool]]], *, needed: bool) -> Need:
    if rule.cuda is None:
        without = tuple(host for host, names in serving if not names)
        return Need(
            variant=rule.name, runs=len(serving), full=len(serving), only_one_for=without, needed=bool(without))
    mine = [(host, names) for host, names in serving if rule.name in names]
    return Need(
        variant=rule.name, runs=len(mine), full=sum(names[rule.name] for _, names in mine),
        only_one_for=tuple(host for host, names in mine if len(names) == 1), needed=needed,
    )


def _serving(judgement: Judgement, rules: Sequence[Rule]) -> dict[str, bool]:
    """The CUDA variants that run on a host, each with its full support; on part of its GPUs where none runs on all."""
    for wanted in (YES, SOME):
        found = {
            rule.name: judgement.verdicts[rule.name].full_support for rule in rules
            if rule.cuda and judgement.verdicts[rule.name].runs == wanted
        }
        if found:
            return found
    return {}


def smallest(demands: Iterable[Mapping[str, bool]], names: Sequence[str]) -> tuple[str, ...]:
    """The fewest names of which every demand has one; then the most demands that are met in full, then later names."""
    counted = Counter(frozenset(demand.items()) for demand in demands)
    for size in range(len(names) + 1):
        fitting = [
            chosen for chosen in combinations(names, size)
            if all(any(name in chosen for name, _ in demand) for demand in counted)
        ]
        if fitting:
            return max(fitting, key=lambda chosen: (_full(counted, chosen), [names.index(name) for name in chosen]))
    return tuple(names)


def _full(counted: Counter[frozenset[tuple[str, bool]]], chosen: Sequence[str]) -> int:
    return sum(count for demand, count in counted.items() if any(full and name in chosen for name, full in demand))


def _short(host: Host, judgement: Judgement, rules: Sequence[Rule]) -> Short:
    """What keeps the variant that comes nearest from running on all of a host."""
    if not host.server.gpus and host.server.driver is None:
        return Short(host=host, kind="none", why="no GPU, no driver")
    cuda = sorted((rule for rule in rules if rule.cuda), key=_cuda)
    nearest = max(cuda, key=lambda rule: _nearness(judgement.verdicts[rule.name], cuda.index(rule)))
    verdict = judgement.verdicts[nearest.name]
    why = dict.fromkeys(reason.text for reason in verdict.reasons if reason.code not in FAVOURABLE)
    kind = {SOME: f"only {nearest.name}, on some GPUs", UNKNOWN: "not known", NO: "none"}[verdict.runs]
    return Short(host=host, kind=kind, why=f"{nearest.name}: {'; '.join(why)}")


def _nearness(verdict: Verdict, place: int) -> tuple[int, bool, int]:
    """The newest CUDA stands for all that have no code for a GPU, the oldest for all that want a newer driver."""
    new_enough = all(reason.code != "driver_too_old" for reason in verdict.reasons)
    return (NO, UNKNOWN, SOME).index(verdict.runs), new_enough, place if new_enough else -place


def _cuda(rule: Rule) -> tuple[int, ...]:
    return version(rule.cuda or "0")
