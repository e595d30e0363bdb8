"""`inv ship` to real sshds on localhost and to folders: all arrives, or one message says what to do."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.far_shell import tmpfs
from support.release import ReleaseFolder, make_release, tree
from support.sshd import Sshd, unavailable

from torchferry import cargo, proc, ship
from torchferry.cargo import Wish
from torchferry.delivery import Arrival, Order
from torchferry.errors import ShipError
from torchferry.patience import Patience

reason = unavailable()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

ROOT = Path(__file__).parents[2]
LEAKY = Path(__file__).parents[1] / "support" / "leaky.py"
KILLS = 60
QUICK = Patience(attempts=40, first=0.01, longest=0.05)
MODEL = "models/whisper-1/한 글 'quoted'.bin"


@pytest.fixture
def release(tmp_path: Path) -> ReleaseFolder:
    return make_release(tmp_path / "from", others={MODEL: b"weights", "-dash": b"odd"})


@pytest.fixture
def small(tmp_path: Path) -> ReleaseFolder:
    """A release with one image, for where only the road counts."""
    return make_release(tmp_path / "from", rows=(("engine", "cu121", "linux/amd64"),))


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "far side") as far:
        yield far


def inv(*words: str | Path, far: Sshd | None = None, **env: str) -> proc.Finished:
    """The task, as people run it."""
    config = ["--ssh-config", str(far.config)] if far else []
    done = subprocess.run(
        command(*words, *config), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent", **env},
    )
    return proc.Finished(argv=(), status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "ship", *map(str, words)]


def order(release: ReleaseFolder, *variants: str, auto: bool = False, up: bool = False) -> Order:
    made = cargo.read(release.folder, known=lambda *_: False)
    return Order(cargo=made, wish=Wish(variants=variants), auto=auto, up=up)


def shipped(release: ReleaseFolder, far: Sshd, host: str = "far") -> Arrival:
    """The whole release to one host, in this process, with little patience between tries."""
    [arrival] = ship.ship(order(release), [host], config=far.config, patience=QUICK)
    return arrival


def log_ins(far: Sshd) -> int:
    return far.log.read_text(encoding="utf-8", errors="replace").count("Accepted publickey")


# What arrives


def test_everything_arrives_below_the_home_and_is_not_sent_twice(release: ReleaseFolder, far: Sshd) -> None:
    done = inv("far", "--from", release.folder, far=far)
    assert (done.status, done.stderr.count("error")) == (0, 0)
    assert tree(far.home / "tiny-1.0.0") == tree(release.folder)
    assert log_ins(far) == 1
    rows = done.stdout.splitlines()
    assert rows[0].split()[:7] == ["host", "variant", "sent", "skipped", "bytes", "time", "result"]
    count = len(tree(release.folder))
    assert rows[1].split()[:7] == ["far", "any,", "cpu,", "cu118,", "cu121,", "cu124", str(count)]
    again = inv("far", "--from", release.folder, far=far)
    assert f" 0     {count}  " in again.stdout
    assert "0 B" in again.stdout


def test_a_variant_goes_alone_and_the_rest_later(release: ReleaseFolder, far: Sshd) -> None:
    assert inv("far:sites", "--variant", "cu121", "--from", release.folder, far=far).ok
    there = tree(far.home / "sites" / "tiny-1.0.0")
    assert {name for name in there if name.endswith(".gz")} == {"engine-1.0.0-cu121.tar.gz", "page-1.0.0-any.tar.gz"}
    assert inv("far:sites/tiny-1.0.0", "--from", release.folder, far=far).ok
    assert tree(far.home / "sites" / "tiny-1.0.0") == tree(release.folder)


@pytest.mark.parametrize("folder", [
    "two words", "it's \"q\"", "한 글", "-rf", "$HOME", "a;touch b", "`x`", "star*", "back\\slash", "~/deep/er",
])
def test_folders_of_any_name(small: ReleaseFolder, far: Sshd, folder: str) -> None:
    assert shipped(small, far, f"far:{folder}").result == "arrived"
    assert tree(far.home) == {
        f"{folder.removeprefix('~/')}/tiny-1.0.0/{name}": data for name, data in tree(small.folder).items()
    }


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "tcsh", "ksh", "yash", "busybox sh"])
def test_any_log_in_shell_will_do(small: ReleaseFolder, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"no {shell} here")
    with Sshd(tmp_path / "far side", shell=shell) as far:
        assert shipped(small, far, "far:it's here").result == "arrived"
        assert tree(far.home / "it's here" / "tiny-1.0.0") == tree(small.folder)


def test_a_chatty_log_in_and_a_narrow_umask_change_nothing(small: ReleaseFolder, tmp_path: Path) -> None:
    lines = ("echo Welcome; echo 'ferry news'; echo motd >&2", "umask 077")
    with Sshd(tmp_path / "far side", lines=lines) as far:
        assert shipped(small, far).result == "arrived"
        assert tree(far.home / "tiny-1.0.0") == tree(small.folder)
        modes = {path.stat().st_mode & 0o077 for path in (far.home / "tiny-1.0.0").rglob("*")}
        assert modes == {0}
        assert os.access(far.home / "tiny-1.0.0" / "ferry.sh", os.X_OK)


def test_a_signature_goes_along_and_a_stale_one_is_taken_away(small: ReleaseFolder, far: Sshd) -> None:
    signature = small.folder / "SHA256SUMS.sig"
    signature.write_text("signed\n")
    shipped(small, far)
    assert (far.home / "tiny-1.0.0" / "SHA256SUMS.sig").read_text() == "signed\n"
    signature.unlink()
    small.write("manifest.json", (small.folder / "manifest.json").read_bytes() + b"\n")
    small.close()
    shipped(small, far)
    assert tree(far.home / "tiny-1.0.0") == tree(small.folder)


def test_a_shared_connection_of_the_persons_own_is_joined(small: ReleaseFolder, far: Sshd) -> None:
    socket = Path(f"/tmp/torchferry-test-{os.getpid()}")  # a socket's path has to be short
    far.host("shared", ControlMaster="auto", ControlPath=str(socket), ControlPersist="60")
    try:
        assert far.ssh("true", host="shared").returncode == 0
        assert shipped(small, far, "shared").result == "arrived"
        assert log_ins(far) == 1
        assert socket.exists()
    finally:
        subprocess.run(["ssh", "-F", far.config, "-O", "exit", "shared"], capture_output=True, check=False)


# Connections that break


def leaky(far: Sshd, folder: Path, turns: list[int], *, rate: float = 1e9) -> str:
    """Add a host whose connections break after so many bytes, one after another; returns its name."""
    folder.mkdir()
    for number, turn in enumerate(turns):
        (folder / f"{number:04}").write_text(str(turn))
    far.host("leaky", ProxyCommand=f"{sys.executable} {LEAKY} {far.port} {folder} {rate}")
    return "leaky"


def test_a_connection_that_breaks_at_any_byte_is_gone_on_from(
    tmp_path: Path, far: Sshd, capsys: pytest.CaptureFixture[str],
) -> None:
    release = make_release(tmp_path / "from", size=2_000_000)
    chance = random.Random(KILLS)
    handshake = [chance.randrange(1, 8_000) for _ in range(KILLS // 4)]
    later = [chance.randrange(8_000, 400_000) for _ in range(KILLS - len(handshake))]
    turns = chance.sample([*handshake, *later], KILLS)
    arrival = shipped(release, far, leaky(far, tmp_path / "turns", turns))
    assert (arrival.result, arrival.failure) == ("arrived", None)
    assert tree(far.home / "tiny-1.0.0") == tree(release.folder)  # and no beginnings are left
    assert len(list((tmp_path / "turns").glob(".*"))) >= KILLS
    said = capsys.readouterr().err
    assert said.count(" from ") >= 10  # gone on, rather than begun again


def test_a_far_side_that_is_killed_at_any_moment_is_gone_on_from(tmp_path: Path, far: Sshd) -> None:
    release = make_release(tmp_path / "from", size=3_000_000)
    chance = random.Random(1)
    slow = leaky(far, tmp_path / "turns", [], rate=5e6)
    with ThreadPoolExecutor(max_workers=1) as pool:
        going = pool.submit(shipped, release, far, slow)
        killed = 0
        while killed < 15 and not going.done():
            time.sleep(chance.uniform(0.02, 0.3))
            for pid in far.sessions():
                os.kill(pid, signal.SIGKILL)
                killed += 1
        arrival = going.result()
    assert (arrival.result, arrival.failure) == ("arrived", None)
    assert tree(far.home / "tiny-1.0.0") == tree(release.folder)
    assert killed > 0


def test_a_ship_that_is_killed_is_gone_on_from_by_the_next(tmp_path: Path, far: Sshd) -> None:
    release = make_release(tmp_path / "from", size=3_000_000)
    slow = leaky(far, tmp_path / "turns", [], rate=2e6)
    argv = command(slow, "--from", release.folder, "--ssh-config", far.config)
    with tempfile.TemporaryDirectory(prefix="ferry-", dir="/tmp") as temporary:  # for what the killed leave behind
        for _ in range(5):
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": temporary},
            )
            before = len(tree(far.home))
            while process.poll() is None and len(tree(far.home)) <= before:
                time.sleep(0.01)
            process.kill()
            process.wait()
    assert shipped(release, far).result == "arrived"
    assert tree(far.home / "tiny-1.0.0") == tree(release.folder)


def test_ctrl_c_ends_it_and_leaves_no_ssh_behind(tmp_path: Path, far: Sshd) -> None:
    release = make_release(tmp_path / "from", size=3_000_000)
    slow = leaky(far, tmp_path / "turns", [], rate=1e6)
    process = subprocess.Popen(
        command(slow, "--from", release.folder, "--ssh-config", far.config), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    while not tree(far.home):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)  # to it alone; a terminal would tell ssh as well
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not list(far.home.rglob("SHA256SUMS"))  # it did not go on to the end first
    deadline = time.monotonic() + 20
    while far.sessions():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_beginning_that_is_none_is_sent_anew(release: ReleaseFolder, far: Sshd) -> None:
    place = far.home / "tiny-1.0.0" / ".engine-1.0.0-cu121.tar.gz.partial"
    place.parent.mkdir()
    right = release.archive("engine", "cu121").read_bytes()
    place.write_bytes(b"\0" + right[1:10_000])
    long = place.with_name(".engine-1.0.0-cu118.tar.gz.partial")
    long.write_bytes(b"x" * 30_000)
    arrival = shipped(release, far)
    assert arrival.result == "arrived"
    assert tree(far.home / "tiny-1.0.0") == tree(release.folder)
    assert arrival.bytes == sum(map(len, tree(release.folder).values()))  # nothing was sent in vain before


def test_two_ships_to_one_folder_at_once_both_arrive(tmp_path: Path, far: Sshd) -> None:
    release = make_release(tmp_path / "from", size=4_000_000)
    with ThreadPoolExecutor(max_workers=2) as pool:
        both = [pool.submit(shipped, release, far) for _ in range(2)]
        assert [one.result().result for one in both] == ["arrived", "arrived"]
    assert tree(far.home / "tiny-1.0.0") == tree(release.folder)


def test_a_file_that_was_damaged_over_there_is_sent_again(release: ReleaseFolder, far: Sshd) -> None:
    shipped(release, far)
    place = far.home / "tiny-1.0.0" / release.archive("page", "any").name
    data = bytearray(place.read_bytes())
    data[777] ^= 0xFF
    place.write_bytes(data)
    assert shipped(release, far).sent == 1
    assert tree(far.home / "tiny-1.0.0") == tree(release.folder)


# Several hosts, and what can be wrong with one


def test_a_host_that_fails_stops_no_other(small: ReleaseFolder, far: Sshd, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True, capture_output=True)
    far.host("refused", IdentityFile=str(stranger))
    key = (tmp_path / "stranger.pub").read_text().split()[1]
    (tmp_path / "other_hosts").write_text(f"far ssh-ed25519 {key}\n")
    far.host("changed", UserKnownHostsFile=str(tmp_path / "other_hosts"))
    (tmp_path / "no_hosts").touch()
    far.host("unknown", UserKnownHostsFile=str(tmp_path / "no_hosts"))
    far.host("closed", Port="1")
    stick = tmp_path / "my stick"
    done = inv(f"refused,far,changed,unknown,closed,{stick}", "--from", small.folder, far=far)
    assert done.status == ShipError.exit_code
    assert tree(far.home / "tiny-1.0.0") == tree(stick / "tiny-1.0.0") == tree(small.folder)
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()[1:]}
    assert "arrived" in rows["far"] and "arrived" in rows[str(stick)]
    assert "Permission denied" in rows["refused"]
    assert "Host key verification failed" in rows["changed"] and "Host key verification failed" in rows["unknown"]
    assert "Connection refused" in rows["closed"]
    assert "4 of 6 failed: refused, changed, unknown, closed" in done.stderr
    assert "closed: is it on" in done.stderr and "refused: let ssh log in without a question" in done.stderr
    assert log_ins(far) == 1  # nothing of this is tried twice


def test_a_host_without_a_shell_is_told(small: ReleaseFolder, tmp_path: Path) -> None:
    with Sshd(tmp_path / "far side", lines=("echo 'This account is not available.'; exit 1",)) as far:
        arrival = shipped(small, far)
        assert arrival.failure is not None
        assert "runs no commands: This account is not available." in arrival.failure.message


def test_a_disk_that_is_too_small_gets_nothing(tmp_path: Path, far: Sshd) -> None:
    release = make_release(tmp_path / "from", size=1_000_000)
    tmpfs(far.home / "disk", "2m")
    try:
        arrival = shipped(release, far, "far:disk")
        assert arrival.failure is not None
        assert "are to be sent, 2.10 MB are free" in arrival.failure.message
        assert arrival.bytes == 0
        subprocess.run(["mount", "-o", "remount,size=20m", far.home / "disk"], check=True)
        assert shipped(release, far, "far:disk").result == "arrived"
    finally:
        subprocess.run(["umount", far.home / "disk"], check=True)


def test_a_disk_that_fills_up_on_the_way_is_told_and_gone_on_from(tmp_path: Path, far: Sshd) -> None:
    release = make_release(tmp_path / "from", size=2_000_000)
    tmpfs(far.home / "disk", "13m")
    try:
        hog = far.home / "disk" / "hog"
        leaky(far, tmp_path / "turns", [], rate=2e6)
        with ThreadPoolExecutor(max_workers=1) as pool:
            going = pool.submit(shipped, release, far, "leaky:disk")
            while not list((far.home / "disk").rglob("*.tar.gz")):
                assert not going.done(), going.result()
                time.sleep(0.01)
            hog.write_bytes(b"x" * 10_000_000)
            failure = going.result().failure
        assert failure is not None
        assert "its disk is full" in failure.message and "No space left" in failure.message
        hog.unlink()
        assert shipped(release, far, "far:disk").result == "arrived"
        assert tree(far.home / "disk" / "tiny-1.0.0") == tree(release.folder)
    finally:
        subprocess.run(["umount", far.home / "disk"], check=True)
