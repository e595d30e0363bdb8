"""ferry.sh is interrupted, or nobody listens to it any more; and what it may find of another that was."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.cut_off import NEW, OLD, arrives, forget, goes_back, nothing_left, recovers
from support.engine_faults import HANG_UP, INTERRUPT, KILL, EngineFaults
from support.site import Releases, Site, own, write_program

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site-cut-off")]

INTERRUPTED = "ferry.sh: interrupted; the same command goes on from here"


# A lost connection, Ctrl-C, a reader that goes


@pytest.mark.parametrize(("call", "deed"), [
    ("load ", INTERRUPT), ("run --rm", HANG_UP), ("start engine.next", INTERRUPT), ("exec engine.next", HANG_UP),
])
def test_interrupted_before_the_switch_it_stops_at_once(
    call: str, deed: str, faults: EngineFaults, new: Path
) -> None:
    words = ("up",) if call == "load " else ("run",)
    if words == ("up",):
        forget(faults.site, "1.1.0")
    before = faults.site.ids()
    faults.plan(1, "during", deed, since=call)
    done = faults.run(new, *words)
    assert (done.status, INTERRUPTED in done.stdout) == (130, True), done.stdout
    assert faults.site.ids() == before
    assert faults.site.answers() == OLD
    nothing_left(faults.site, call)
    faults.plan()
    arrives(faults.site, new, call, *words)


@pytest.mark.parametrize("call", ["stop --time", "start engine", "exec page"])
@pytest.mark.parametrize("deed", [INTERRUPT, HANG_UP])
def test_interrupted_within_the_switch_it_comes_to_its_end(
    deed: str, call: str, faults: EngineFaults, new: Path
) -> None:
    faults.plan(1, "during", deed, since=call)
    done = faults.run(new, "run", "--stop-first")
    assert (done.status, "page: 1.1.0 runs" in done.stdout) == (130, True), done.stdout
    assert faults.site.answers() == NEW
    nothing_left(faults.site, call)
    goes_back(faults.site, new, call)


@pytest.mark.parametrize("heard", ["variant: ", "engine: starting", "engine: 1.1.0 runs"])
def test_a_reader_that_goes(heard: str, faults: EngineFaults, new: Path) -> None:
    site = faults.site
    process = site.start(new, "run", stdout=subprocess.PIPE)
    assert process.stdout
    while not process.stdout.readline().startswith(heard.encode()):
        pass
    process.stdout.close()
    process.wait()
    nothing_left(site, heard)
    assert site.answers() == (NEW if heard == "engine: 1.1.0 runs" else OLD)
    arrives(site, new, heard)


def test_nobody_reads_or_listens_from_the_start(old: Site, new: Path) -> None:
    shell, old.shell = old.shell, ("sh", "-c", 'exec sh "$@" <&- >&- 2>&-', "sh")
    done = old.ferry(new, "up")
    old.shell = shell
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    assert old.answers() == NEW
    assert [path.name for path in (old.state / "duo").iterdir() if b"1.1.0" in path.read_bytes()] == []
    goes_back(old, new, "")


# What another ferry.sh left


def test_a_lock_whose_owner_is_gone_is_nobodys(old: Site, new: Path) -> None:
    assert old.ferry(new, "load").ok
    lock = old.state / "duo" / "lock"
    gone = subprocess.Popen(["true"])
    gone.wait()
    with subprocess.Popen(["sleep", "600"]) as other:
        for owner in (str(gone.pid), str(other.pid), "nobody", "", None):
            lock.mkdir()
            if owner is not None:
                (lock / "pid").write_text(f"{owner}\n", encoding="ascii")
            arrives(old, new, f"owner {owner}")
        other.kill()


def test_a_lock_whose_owner_lives_is_respected(faults: EngineFaults, new: Path) -> None:
    process = faults.site.start(new, "run")
    while not (faults.site.state / "duo" / "lock" / "pid").exists():
        time.sleep(0.02)
    done = faults.site.ferry(new, "run")
    assert (done.status, f"another ferry.sh (process {process.pid}) is at work on duo" in done.stderr) == (13, True)
    assert process.wait() == 0
    goes_back(faults.site, new, "")


def test_what_was_told_to_stop_is_not_believed_to_run(site: Site, releases: Releases, tmp_path: Path) -> None:
    """dockerd goes on with a stop that nobody waits for any more; a service that does not heed it dies 15 s later."""
    new = releases.folder("1.1.0")
    site.clear()
    site.up(releases.folder("1.0.0"), "--env", "engine:DEAF=1")
    assert site.ferry(new, "load").ok
    faults = EngineFaults(site, tmp_path / "faults")
    faults.plan(1, "during", KILL, since="stop --time")
    started = time.monotonic()
    assert faults.run(new, "run", "--stop-first").status == -9
    faults.end()
    recovers(site, new, "")
    time.sleep(max(0.0, started + 30 - time.monotonic()))
    assert site.answers() == OLD


def test_a_change_of_data_that_is_still_at_work_is_waited_for(faults: EngineFaults, new: Path) -> None:
    site, real = faults.site, shutil.which("docker")
    runs = f"{real} container inspect --format '{{{{.State.Running}}}}' engine.once 2>&1 | grep -qx true"
    faults.plan(5, "during", f"until {runs}; do sleep 0.1; done; {KILL}", since="run --rm")
    assert faults.run(new, "run", "--env", "engine:MIGRATION_TAKES=5").status == -9
    assert site.containers()["engine.once"] == "running"
    faults.plan()
    done = site.ferry(new, "run")
    assert done.ok, done.stderr
    assert "waiting for the end of engine.once, which an interrupted ferry.sh started" in done.stdout
    assert site.answers() == NEW
    nothing_left(site, "")
    goes_back(site, new, "")


def test_a_container_that_goes_while_it_is_looked_at(old: Site, new: Path, tmp_path: Path) -> None:
    real = shutil.which("docker")
    text = f'case "$*" in *StartedAt*) echo "Error: No such container: engine" >&2; exit 1 ;; esac\nexec {real} "$@"\n'
    old.path = (write_program(tmp_path / "bin", "docker", text),)
    done = old.ferry(new, "status")
    old.path = ()
    assert done.status == 7
    assert "docker tells nothing of the container engine any more; try again" in done.stderr


# What is kept, and what is left


def test_the_three_newest_copies_stay(faults: EngineFaults, new: Path) -> None:
    site = faults.site
    for copied in site.data.glob("logs.before-*"):
        shutil.rmtree(copied)
    for name in ("7", "8", "9", "10", "9x", "6.partial"):
        (site.data / f"logs.before-{name}").mkdir()
    (site.state / "duo" / "generation").write_text("10\n", encoding="ascii")
    done = site.ferry(new, "run")
    assert done.ok, done.stderr
    assert f"engine: removing {site.data}/logs.before-8; the three newest copies stay" in done.stdout
    left = {path.name.partition("-")[2] for path in site.data.glob("logs.*")}
    assert left == {"9", "10", "11", "9x"}
    goes_back(site, new, "")


def test_a_service_that_the_release_has_no_more_is_told_of_and_left(
    faults: EngineFaults, releases: Releases, tmp_path: Path
) -> None:
    site, release = faults.site, releases.copy("1.1.0", tmp_path / "duo-1.1.0")
    script = own(release / "ferry.sh")
    text = script.read_text(encoding="utf-8")
    assert text.count("services='engine\npage'") == 1
    script.write_text(text.replace("services='engine\npage'", "services='engine'"), encoding="utf-8")
    page = site.ids()["page"]
    done = site.ferry(release, "run")
    assert done.ok, done.stderr
    assert "page: duo 1.1.0 has no such service; it is left as it is (docker rm --force page removes it)" in done.stdout
    assert site.ids()["page"] == page
    assert site.answers() == ["1.0.0", "1.1.0", "1.1.0"]
    goes_back(site, release, "")
