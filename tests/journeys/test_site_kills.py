"""ferry.sh and dockerd are killed at any moment: what ran runs on, or again with the next command; and then it arrives."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.engine_faults import HANG_UP, INTERRUPT, KILL, EngineFaults, processes_of
from support.site import SERVICES, Releases, Site, write_program

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site-kills")]

SEED = os.environ.get("TORCHFERRY_SEED", "6")
ROUNDS, KILLS = 6, 5
CUT_OFF = "a switch was cut off: sh ferry.sh run (or rollback) puts it right"
OLD, NEW = ["1.0.0"] * 3, ["1.1.0"] * 3
CHANGES = ("create", "start", "stop", "rename", "tag", "rm", "run")


@pytest.fixture
def new(releases: Releases) -> Path:
    return releases.folder("1.1.0")


@pytest.fixture
def faults(old: Site, tmp_path: Path) -> Iterator[EngineFaults]:
    made = EngineFaults(old, tmp_path / "faults")
    yield made
    made.end()


def pending(site: Site) -> bool:
    place = site.state / "duo" / "pending"
    return place.exists() and place.stat().st_size > 0


def forget(site: Site, version: str) -> None:
    """Remove the images of a release, so that it has to be loaded."""
    words = ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=*:{version}-*")
    if found := site.docker(*words).split():
        site.docker("image", "rm", "--force", *found)


def nothing_left(site: Site, hint: str) -> None:
    """Of what was cut off: no container, name, lock or file."""
    gone = {f"{service}.gen1" for service in SERVICES}
    assert set(site.containers()) - gone == set(SERVICES), hint
    assert "incoming" not in site.docker("image", "ls", "--format", "{{.Tag}}"), hint
    assert not pending(site) and not (site.state / "duo" / "lock").exists(), hint
    left = [path.name for place in (site.data, site.state) for path in place.rglob("*.partial")]
    assert left == [], hint


def arrives(site: Site, release: Path, hint: str, *words: str) -> None:
    """The same command again, to its end; and back, for the next test."""
    done = site.ferry(release, *(words or ("run",)))
    assert done.ok, f"{hint}: status {done.status}\n{done.stdout}{done.stderr}"
    assert site.answers() == NEW, hint
    nothing_left(site, hint)
    assert set(site.containers()) == {*SERVICES, *(f"{service}.gen1" for service in SERVICES)}, hint
    goes_back(site, release, hint)


def goes_back(site: Site, release: Path, hint: str) -> None:
    done = site.ferry(release, "rollback")
    assert done.ok, f"{hint}: status {done.status}\n{done.stdout}{done.stderr}"
    assert site.answers() == OLD, hint


def recovers(site: Site, release: Path, hint: str) -> None:
    """Of a switch that was cut off, `status` tells; any next command puts it right."""
    assert CUT_OFF in site.ferry(release, "status").stderr, hint
    done = site.ferry(release, "rollback")
    assert (done.status, "an earlier switch was cut off: putting back" in done.stderr) == (12, True), \
        f"{hint}: {done.stdout}{done.stderr}"
    assert site.answers() == OLD, hint
    nothing_left(site, hint)


# ferry.sh, at any moment


def killed(site: Site, release: Path, moment: float, *, docker_too: bool) -> bool:
    """Whether `up` was killed with its session before it came to its end; its dockers may live on."""
    process = site.start(release, "up")
    with suppress(subprocess.TimeoutExpired):
        assert process.wait(moment) == 0
        return False
    victims = processes_of(process.pid) if docker_too else []
    os.killpg(process.pid, signal.SIGKILL)
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.wait()
    return True


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_killed_at_random_moments(turn: int, old: Site, new: Path) -> None:
    chance = random.Random(f"{SEED} {turn}")
    if turn % 2 == 0:
        forget(old, "1.1.0")
    kills, longest = 0, 10.0
    while kills < KILLS:
        moment, docker_too, look_first = chance.uniform(0, longest), chance.random() < 0.5, chance.random() < 0.5
        hint = f"TORCHFERRY_SEED={SEED}, turn {turn}, kill {kills} after {moment:.3f} s"
        started = time.monotonic()
        if not killed(old, new, moment, docker_too=docker_too):
            longest = min(longest, time.monotonic() - started)
            goes_back(old, new, hint)
            continue
        kills += 1
        if pending(old):
            if look_first:
                recovers(old, new, hint)
        else:
            assert old.answers() in (OLD, NEW), hint
    arrives(old, new, hint, "up")


# ferry.sh, at every call of the engine


def steps_of(faults: EngineFaults, release: Path, *words: str) -> tuple[list[str], int]:
    """The calls of a run from its network on, and the first of the switch."""
    faults.plan(since="network inspect")
    assert faults.run(release, *words).status == 0
    calls = faults.calls()
    goes_back(faults.site, release, "counting")
    return calls, next(at for at, call in enumerate(calls, 1) if "--name engine.new" in call)


def ways_of(call: str) -> list[str]:
    """What only asks changes nothing, and the state before a change is that after the one before; but for a stop."""
    if call.startswith("stop"):
        return ["before", "after"]
    return ["after"] if call.startswith(CHANGES) else ["before"]


def test_killed_at_every_call_while_the_new_is_tried(faults: EngineFaults, new: Path) -> None:
    site, before = faults.site, faults.site.ids()
    calls, switch = steps_of(faults, new, "run")
    for at, call in enumerate(calls[:switch], 1):
        for way in ways_of(call):
            hint = f"{way} call {at}: {call}"
            faults.plan(at, way, KILL, since="network inspect")
            done = faults.run(new, "run")  # it takes away what the one before left, and comes one step further
            assert done.status == -9, f"{hint}: status {done.status}\n{done.stdout}"
            assert not pending(site), hint
            assert {name: site.ids().get(name) for name in before} == before, hint
    assert site.answers() == OLD
    faults.plan()
    arrives(site, new, "all of them")


def test_killed_at_every_call_of_the_switch(faults: EngineFaults, new: Path) -> None:
    site = faults.site
    calls, switch = steps_of(faults, new, "run", "--stop-first")
    end = next(at for at, call in enumerate(calls, 1) if at > switch and call.startswith("ps --all"))
    for at, call in enumerate(calls[switch:end - 1], switch + 1):
        for way in ways_of(call):
            hint = f"{way} call {at}: {call}"
            faults.plan(at, way, KILL, since="network inspect")
            done = faults.run(new, "run", "--stop-first")
            assert done.status == -9, f"{hint}: status {done.status}\n{done.stdout}"
            assert pending(site), hint
            if at % 2:  # else the next run does
                faults.plan()
                recovers(site, new, hint)
    faults.plan()
    arrives(site, new, "all of them")


def test_killed_at_every_call_of_a_run_that_has_nothing_to_do(faults: EngineFaults, new: Path) -> None:
    site = faults.site
    assert site.ferry(new, "run").ok
    before = site.ids()
    faults.plan()
    assert site.ferry(new, "run").ok
    for at, call in enumerate(faults.calls(), 1):
        faults.plan(at, "before", KILL)
        assert faults.run(new, "run").status == -9, f"call {at}: {call}"
        assert site.ids() == before, f"call {at}: {call}"
    faults.plan()
    arrives(site, new, "all of them")
