"""`inv ship --for-each`: what a server holds stays at home, what arrives comes up there, and is recorded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.site import Releases, Site
from support.sshd import Sshd, unavailable

from torchferry.errors import ShipError
from torchferry.proc import Finished

reason = unavailable()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(reason is not None, reason=str(reason))]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(releases: Releases, tmp_path: Path) -> Path:
    """A copy of the releases' project: whatever is written there takes the place of a hard link."""
    return shutil.copytree(releases.root.parent, tmp_path / "project", copy_function=os.link)


def inv(project: Path, far: Sshd, task: str, *words: str) -> Finished:
    """A task, as a person runs it who reaches the server and nothing else."""
    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), task, *words]
    done = subprocess.run(
        [*far.inside, *command, "--ssh-config", str(far.config), "--file", str(project / "variants.yaml")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": f"unix://{project}/none.sock", "XDG_CONFIG_HOME": "/nonexistent"},
    )
    return Finished(argv=words, status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.name.endswith(".tar.gz"))


def test_each_server_gets_what_it_lacks_and_runs_it(project: Path, server: Site, far: Sshd) -> None:
    first = inv(project, far, "ship", "far", "--from", str(project / "dist/duo-1.1.0"), "--auto", "--up")
    assert first.ok, f"{first.stdout}\n{first.stderr}"
    [before] = json.loads(inv(project, far, "site", "--json").stdout)["sites"]
    assert 0 < before["needs"]["share"] < 0.1 and before["needs"]["models"] == 0

    second = inv(project, far, "ship", "far,nowhere", "--for-each", "--up")
    assert second.status == ShipError.exit_code, f"{second.stdout}\n{second.stderr}"
    assert "1 of 2 failed: nowhere" in second.stderr
    assert server.answers() == ["1.2.0"] * 3
    folder = far.home / "duo-1.2.0-for-far"
    assert {path.name for path in folder.glob("*.tar.gz")} == {"engine-1.2.0-cpu.tar.gz", "page-1.2.0-any.tar.gz"}
    assert 0 < size(folder) < size(project / "dist/duo-1.2.0") / 10
    assert not (folder / "models").exists()
    [after] = json.loads(inv(project, far, "site", "--json").stdout)["sites"]
    assert (after["services"][0]["version"], after["needs"]["bytes"]) == ("1.2.0", 0)

    again = inv(project, far, "ship", "far", "--for-each", "--up")
    assert again.ok, f"{again.stdout}\n{again.stderr}"
    assert server.answers() == ["1.2.0"] * 3
    back = far.ssh("sh", "duo-1.2.0-for-far/ferry.sh", "rollback")
    assert back.returncode == 0, back.stderr
    assert server.answers() == ["1.1.0"] * 3


def test_a_server_that_has_nothing_gets_the_whole_release(project: Path, server: Site, far: Sshd) -> None:
    server.clear()
    for image in server.docker("image", "ls", "--quiet").split():
        server.docker("image", "rm", "--force", image)
    done = inv(project, far, "ship", "far", "--for-each", "--up")
    assert done.ok, f"{done.stdout}\n{done.stderr}"
    assert "far: nothing is left out" in done.stderr and "its doctor picks cpu" in done.stderr
    assert server.answers() == ["1.2.0"] * 3
    assert (far.home / "duo-1.2.0").is_dir()
