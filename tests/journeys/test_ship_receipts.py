"""Receipts over ssh: kept after `inv ship --up`, asked for with `inv site --ask`; a bad one hinders nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.held import receipt
from support.release import ReleaseFolder, make_release
from support.sshd import Sshd, unavailable

from torchferry import receipts
from torchferry.errors import ConfigError, ShipError
from torchferry.proc import Finished

reason = unavailable()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

ROOT = Path(__file__).parents[2]
NOT_EVERYWHERE = ShipError.exit_code
FERRY = """\
echo "$@" >>"$HOME/called"
[ "$1" != receipt ] || cat "$HOME/receipt"
echo trouble >&2
exit "$(cat "$HOME/status")"
"""
VARIANTS_YAML = """\
release: {name: tiny, version: 1.0.0}
python: "3.11"
base: {debian: bookworm}
services:
  engine: {source: engine, requirements: engine/requirements.in, command: [python], variants: {cpu: {torch: 2.1.2}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the release `tiny` in dist/, whose ferry.sh says what lies in the far side's home."""
    root = tmp_path / "project"
    release = make_release(root / "dist", rows=(("engine", "cpu", "linux/amd64"),))
    release.write("ferry.sh", FERRY.encode())
    release.close()
    (root / "engine").mkdir()
    (root / "engine/requirements.in").touch()
    (root / "variants.yaml").write_text(VARIANTS_YAML, encoding="utf-8")
    return root


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "far side") as far:
        says(far, receipts.as_text(receipt("ab", host="gpu01")))
        yield far


def says(far: Sshd, text: str, status: int = 0) -> None:
    (far.home / "receipt").write_text(text, encoding="utf-8")
    (far.home / "status").write_text(str(status))


def inv(project: Path, far: Sshd, *words: str) -> Finished:
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words, "--ssh-config", str(far.config), "--file",
         str(project / "variants.yaml")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent"},
    )
    return Finished(argv=words, status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def ship(project: Path, far: Sshd, *words: str) -> Finished:
    return inv(project, far, "ship", "far", *words, "--from", str(project / "dist/tiny-1.0.0"))


def kept(project: Path) -> list[str]:
    return sorted(path.name for path in project.glob("sites/*"))


def test_up_and_receipt_keep_what_the_host_holds_then(project: Path, far: Sshd) -> None:
    assert ship(project, far).ok
    assert kept(project) == []
    for flag, called in (("--up", "up\nreceipt\n"), ("--receipt", "receipt\n")):
        (far.home / "called").unlink(missing_ok=True)
        done = ship(project, far, flag)
        assert done.ok, done.stderr
        assert (far.home / "called").read_text() == called
        assert kept(project) == ["gpu01.receipt"]
        assert receipts.read(project / "sites/gpu01.receipt") == receipt("ab", host="gpu01")
        assert "far: gpu01 as of 2026-11-24T10:00:00Z, kept as sites/gpu01.receipt" in done.stderr
        (project / "sites/gpu01.receipt").unlink()


def test_what_is_no_receipt_is_told_and_undoes_nothing(project: Path, far: Sshd) -> None:
    says(far, "Error: no such command\n")
    done = ship(project, far, "--up")
    assert done.ok and "no receipt of far: the receipt of far: no receipt of ferry.sh" in done.stderr
    asked = ship(project, far, "--receipt")
    assert asked.status == NOT_EVERYWHERE
    assert "no receipt of ferry.sh" in asked.stdout and "Traceback" not in asked.stderr
    says(far, receipts.as_text(receipt("ab")), status=7)
    asked = ship(project, far, "--receipt")
    assert (asked.status, "ferry.sh receipt ended with status 7: trouble" in asked.stdout) == (NOT_EVERYWHERE, True)
    assert kept(project) == []


def test_an_older_receipt_is_not_kept_and_the_release_has_arrived_all_the_same(project: Path, far: Sshd) -> None:
    says(far, receipts.as_text(receipt("abc", made="2027-01-01T00:00:00Z")))
    assert ship(project, far, "--up").ok
    says(far, receipts.as_text(receipt("ab")))
    done = ship(project, far, "--up")
    assert done.ok and "the receipt of far is not kept: far: is of 2026-11-24T10:00:00Z, and " in done.stderr
    assert receipts.read(project / "sites/gpu01.receipt").made == "2027-01-01T00:00:00Z"


def test_a_folder_has_no_receipt(project: Path, far: Sshd, tmp_path: Path) -> None:
    done = inv(project, far, "ship", f"{tmp_path}/stick", "--receipt", "--from", str(project / "dist/tiny-1.0.0"))
    assert (done.status, "a folder is no server" in done.stderr) == (ConfigError.exit_code, True)
    assert inv(project, far, "site", "--ask", "./stick").status == ConfigError.exit_code


def test_servers_are_asked_without_anything_being_sent(project: Path, far: Sshd) -> None:
    (project / "dist/tiny-1.0.0").rename(project / "dist/tiny-0.9.0")  # any ferry.sh of the release will do
    done = inv(project, far, "site", "--json", "--ask", "far")
    assert done.ok, done.stderr
    assert [(site["site"], site["host"]) for site in json.loads(done.stdout)["sites"]] == [("gpu01", "gpu01")]
    assert not list(far.home.glob("tiny-*"))


def test_two_servers_of_one_name_are_not_taken_for_one(project: Path, far: Sshd) -> None:
    done = inv(project, far, "site", "--ask", "far,far:elsewhere,nowhere")
    assert done.status == NOT_EVERYWHERE
    assert "2 of 3 gave no receipt: " in done.stderr
    assert "far and far:elsewhere both call themselves gpu01" in done.stderr
    assert "nowhere: " in done.stderr
    assert kept(project) == ["gpu01.receipt"]


def test_before_anything_is_packed_there_is_nothing_to_ask_with(project: Path, far: Sshd) -> None:
    release = ReleaseFolder(folder=project / "dist/tiny-1.0.0")
    (release.folder / "ferry.sh").unlink()
    done = inv(project, far, "site", "--ask", "far")
    assert (done.status, "there is no ferry.sh to ask with" in done.stderr) == (ConfigError.exit_code, True)
