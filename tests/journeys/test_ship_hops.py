"""`inv ship` from place to place: by a stick, on from where it arrived, to what the host's doctor picks, and up."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import small_system
from support.release import ReleaseFolder, make_release, tree
from support.sshd import Sshd, unavailable

from torchferry import cargo, destinations, proc, signing
from torchferry.errors import ShipError
from torchferry.openssh import Server

reason = unavailable()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

ROOT = Path(__file__).parents[2]
NOT_EVERYWHERE = ShipError.exit_code
SAMPLES = ROOT / "tests" / "smi"


@pytest.fixture
def release(tmp_path: Path) -> ReleaseFolder:
    return make_release(tmp_path / "from", others={"models/whisper-1/model.bin": b"weights"})


def inv(*words: str | Path, config: Path | None = None, **env: str) -> proc.Finished:
    """A task, as people run it; nothing of the person's own keys counts."""
    extra = ["--ssh-config", str(config)] if config else []
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *map(str, words), *extra],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent", **env},
    )
    return proc.Finished(argv=(), status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def archives(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.tar.gz")}


# Two hops


def test_by_a_stick_and_on_from_there(release: ReleaseFolder, tmp_path: Path) -> None:
    stick = tmp_path / "my stick" / "tiny-1.0.0"
    assert inv("ship", stick.parent, "--variant", "cu121", "--from", release.folder).ok
    assert archives(stick) == {"engine-1.0.0-cu121.tar.gz", "page-1.0.0-any.tar.gz"}
    with Sshd(tmp_path / "far side") as far:
        done = inv("ship", "far", "--from", stick, config=far.config)
        assert done.ok, done.stderr
        assert tree(far.home / "tiny-1.0.0") == tree(stick)
        missing = inv("ship", "far", "--from", stick, "--variant", "cu118", config=far.config)
        assert (missing.status, "did not come this far" in missing.stderr) == (NOT_EVERYWHERE, True)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "sums"])
def test_what_was_damaged_on_the_way_goes_no_further(release: ReleaseFolder, tmp_path: Path, damage: str) -> None:
    victim = release.folder / "models/whisper-1/model.bin"
    if damage == "flipped":
        victim.write_bytes(b"Weights")
    elif damage == "cut":
        victim.write_bytes(b"weigh")
    elif damage == "gone":
        victim.unlink()
    else:
        sums = release.folder / "SHA256SUMS"
        sums.write_bytes(sums.read_bytes()[:-100])
    done = inv("ship", tmp_path / "stick", "--from", release.folder)
    assert done.status == 6
    assert "models/whisper-" in done.stderr
    assert not (tmp_path / "stick").exists()


def test_a_release_is_not_shipped_onto_itself(release: ReleaseFolder) -> None:
    done = inv("ship", release.folder.parent, "--from", release.folder)
    assert (done.status, "lies there already" in done.stderr) == (2, True)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_where_it_is_said_whom_to_trust_only_that_is_shipped_on(release: ReleaseFolder, tmp_path: Path) -> None:
    key, trusted = tmp_path / "key", tmp_path / "allowed_signers"
    made = inv("key", "--principal", "release@tiny", TORCHFERRY_SIGNING_KEY=str(key))
    assert made.ok
    trusted.write_text(made.stdout)
    known = {"TORCHFERRY_ALLOWED_SIGNERS": str(trusted)}
    unsigned = inv("ship", tmp_path / "a", "--from", release.folder, **known)
    assert (unsigned.status, "not signed" in unsigned.stderr) == (6, True)
    signing.sign(release.folder / "SHA256SUMS", key)
    signed = inv("ship", tmp_path / "b", "--from", release.folder, **known)
    assert signed.ok and "tiny-1.0.0: signed by release@tiny" in signed.stderr
    assert inv("ship", tmp_path / "c", "--from", tmp_path / "b" / "tiny-1.0.0", **known).ok
    assert tree(tmp_path / "c" / "tiny-1.0.0") == tree(release.folder)
    release.write("models/whisper-1/model.bin", b"Weights")
    release.close()
    swapped = inv("ship", tmp_path / "d", "--from", release.folder, **known)
    assert (swapped.status, "not a signature of this release" in swapped.stderr) == (6, True)
    nobody = inv("ship", tmp_path / "e", "--from", release.folder)
    assert "who signed it is not checked" in nobody.stderr


def test_a_key_is_shown_again_and_never_made_anew(tmp_path: Path) -> None:
    place = {"TORCHFERRY_SIGNING_KEY": str(tmp_path / "keys" / "key")}
    first, second = inv("key", **place), inv("key", **place)
    assert first.stdout == second.stdout
    assert first.stdout.startswith('release@stt namespaces="torchferry-release" ssh-ed25519 ')
    assert "made" in first.stderr and "there already" in second.stderr


# What the host's doctor picks


def with_gpu(folder: Path, sample: str) -> str:
    """Lines for a log-in: an nvidia-smi that prints a sample, and no driver of this machine."""
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n[ $# -gt 0 ] || cat {shlex.quote(str(SAMPLES / sample))}\n")
    program.chmod(0o755)
    return f"PATH={shlex.quote(str(folder))}:$PATH; export PATH"


def test_the_hosts_own_doctor_picks_what_is_sent(release: ReleaseFolder, tmp_path: Path) -> None:
    lines = (with_gpu(tmp_path / "bin", "002_a100-sxm4-40gb-550.txt"),)
    with Sshd(tmp_path / "far side", lines=lines) as far:
        done = inv("ship", "far", "--auto", "--from", release.folder, config=far.config)
        assert done.ok, done.stderr
        assert "far: its doctor picks cu124" in done.stderr
        assert archives(far.home) == {"engine-1.0.0-cu124.tar.gz", "page-1.0.0-any.tar.gz"}


def test_where_nothing_can_be_picked_nothing_is_sent_and_the_reason_told(
    release: ReleaseFolder, tmp_path: Path,
) -> None:
    lines = (with_gpu(tmp_path / "bin", "087_device-handle-gpu3-lost-then-csv-rows.txt"),)
    with Sshd(tmp_path / "far side", lines=lines) as far:
        done = inv("ship", "far", "--auto", "--from", release.folder, config=far.config)
        assert done.status == NOT_EVERYWHERE
        assert "no variant can be picked, so nothing was sent: the driver is not known" in done.stdout
        assert tree(far.home) == {}


def test_a_folder_cannot_be_asked_or_started(release: ReleaseFolder, tmp_path: Path) -> None:
    for flag in ("--auto", "--up"):
        done = inv("ship", tmp_path / "stick", flag, "--from", release.folder)
        assert (done.status, "a folder is no server" in done.stderr) == (2, True)
    assert not (tmp_path / "stick").exists()


# Up


def test_up_is_heard_with_the_hosts_name_before_each_line(release: ReleaseFolder, tmp_path: Path) -> None:
    release.write("ferry.sh", b'printf "%s\\n" "$@"; echo trouble >&2; exit $(cat "$HOME/status")\n')
    release.close()
    with Sshd(tmp_path / "far side") as far:
        (far.home / "status").write_text("0")
        good = inv("ship", "far", "--up", "--variant", "cu121", "--from", release.folder, config=far.config)
        assert good.ok
        assert [line for line in good.stderr.splitlines() if line.startswith("far: ")][-4:] == [
            "far: up", "far: --variant", "far: cu121", "far: trouble",
        ]
        assert "up  " in good.stdout
        (far.home / "status").write_text("5")
        bad = inv("ship", "far", "--up", "--from", release.folder, config=far.config)
        assert (bad.status, "ferry.sh up ended with status 5" in bad.stdout) == (NOT_EVERYWHERE, True)
        assert "not up" in bad.stdout


# A far side with next to nothing


@pytest.mark.skipif(small_system.unavailable() is not None, reason=str(small_system.unavailable()))
def test_busybox_is_enough_over_there(release: ReleaseFolder, tmp_path: Path) -> None:
    root = tmp_path / "small"
    with Sshd(tmp_path / "far side", shell=small_system.busybox_root(root)) as far:
        done = inv("ship", "far:srv", "--auto", "--from", release.folder, config=far.config)
        assert done.ok, done.stderr
        assert archives(root) == {"engine-1.0.0-cpu.tar.gz", "page-1.0.0-any.tar.gz"}
        again = inv("ship", "far:srv", "--from", release.folder, config=far.config)
        assert again.ok
        assert tree(root / "srv" / "tiny-1.0.0") == tree(release.folder)


@pytest.mark.skipif(small_system.unavailable() is not None, reason=str(small_system.unavailable()))
def test_where_processes_cannot_be_looked_into_none_is_ended(release: ReleaseFolder, tmp_path: Path) -> None:
    root = tmp_path / "small"
    with Sshd(tmp_path / "far side", shell=small_system.busybox_root(root)) as far, subprocess.Popen(
        ["sleep", "100"]
    ) as innocent:
        (root / "srv").mkdir()
        (root / "srv" / f".ferry.sh.partial.{os.uname().nodename}.{innocent.pid}").write_bytes(b"#!")
        items = cargo.read(release.folder, known=lambda *_: False).items
        place = Server(host="far", folder="srv")
        with destinations.door(place, config=far.config, stopped=lambda: False) as carrier:
            assert carrier.survey(items).busy == {"ferry.sh": 2}
        assert innocent.poll() is None
        innocent.terminate()


@pytest.mark.skipif(small_system.unavailable() is not None, reason=str(small_system.unavailable()))
def test_without_a_program_for_sha256_nothing_is_sent(release: ReleaseFolder, tmp_path: Path) -> None:
    root = tmp_path / "small"
    shell = small_system.busybox_root(root, without=("sha256sum", "busybox", "shasum", "openssl"))
    with Sshd(tmp_path / "far side", shell=shell) as far:
        done = inv("ship", "far:srv", "--from", release.folder, config=far.config)
        assert done.status == NOT_EVERYWHERE
        assert "nothing there knows SHA-256" in done.stdout
        assert not (root / "srv").exists()
