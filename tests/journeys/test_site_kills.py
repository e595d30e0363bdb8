"""ferry.sh and dockerd are killed at any moment: what ran runs on, or with the next command; then the new arrives."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.cut_off import CUT_OFF, NEW, OLD, arrives, forget, goes_back, nothing_left, pending, recovers
from support.daemon import PrivateDaemon
from support.engine_faults import FAIL, KILL, EngineFaults, processes_of
from support.site import Releases, Site

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site-kills")]

SEED = os.environ.get("TORCHFERRY_SEED", "6")
ROUNDS, KILLS = 6, 5
CHANGES = ("create", "start", "stop", "rename", "tag", "rm", "run")


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


@pytest.fixture(scope="module")
def length(site: Site, releases: Releases) -> float:
    """The seconds that an update takes on this machine."""
    site.settle(releases.folder("1.0.0"), "1.0.0")
    started = time.monotonic()
    site.up(releases.folder("1.1.0"))
    took = time.monotonic() - started
    goes_back(site, releases.folder("1.1.0"), "measured")
    return took


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_killed_at_random_moments(turn: int, length: float, old: Site, new: Path) -> None:
    chance = random.Random(f"{SEED} {turn}")
    if turn % 2 == 0:
        forget(old, "1.1.0")
    kills = 0
    while kills < KILLS:
        moment, docker_too, look_first = chance.uniform(0, length), chance.random() < 0.5, chance.random() < 0.3
        hint = f"TORCHFERRY_SEED={SEED}, turn {turn}, kill {kills} after {moment:.3f} of {length:.3f} s"
        if not killed(old, new, moment, docker_too=docker_too):
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
            if at % 3 == 0:  # else the next run does
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


# docker and dockerd


@pytest.mark.parametrize("call", ["stop --time", "rename engine.new", "start page"])
def test_docker_says_no_within_the_switch(call: str, faults: EngineFaults, new: Path) -> None:
    before = faults.site.ids()
    faults.plan(1, "before", FAIL, since=call)
    done = faults.run(new, "run", "--stop-first")
    assert done.status == 11, done.stdout
    assert "did not prove itself; what ran before was started again" in done.stdout
    assert "a stand-in for trouble" in done.stdout
    assert faults.site.ids() == before
    assert faults.site.answers() == OLD
    nothing_left(faults.site, call)


@pytest.mark.parametrize(("call", "way"), [
    ("load ", "during"), ("stop --time", "before"), ("stop --time", "during"), ("rename engine.new", "after"),
    ("start page", "during"),
])
def test_dockerd_is_killed(call: str, way: str, faults: EngineFaults, releases: Releases, new: Path) -> None:
    site, daemon = faults.site, faults.site.daemon
    assert isinstance(daemon, PrivateDaemon)
    if call == "load ":
        forget(site, "1.1.0")
    faults.plan(1, way, f"kill -9 {daemon.pid}", since=call)
    done = faults.run(new, *(("up",) if call == "load " else ("run", "--stop-first")))
    daemon.restart()
    assert done.status in (7, 9, 11), done.stdout
    assert "docker.sock" in done.stdout, done.stdout  # docker's own words
    faults.plan()
    assert pending(site) == (call != "load ")
    assert (CUT_OFF in site.ferry(new, "status").stderr) == pending(site)
    if call == "start page" and "already allocated" in (again := site.ferry(new, "rollback")).stderr:
        assert (again.status, "systemctl restart docker, and the same command" in again.stderr) == (11, True)
        daemon.restart()  # only that frees a port which dockerd 20.10 gave to a container that it did not start
    if way == "during":  # dockerd does not start again what ran when it was killed: a run does
        again = site.ferry(releases.folder("1.0.0"), "run", "--allow-downgrade")
        assert again.ok, f"{again.stdout}{again.stderr}"
        assert site.answers() == OLD
    arrives(site, new, call, "up")
