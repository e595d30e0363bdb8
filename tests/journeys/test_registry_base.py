"""A base that comes from a registry: its digest goes into the lock, and the image stands on exactly that."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon
from support.far_side import answer, docker
from support.index_server import IndexServer
from support.project import make_project

from torchferry import lockfile
from torchferry.layout import Layout
from torchferry.model import Base

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("registry")]

REGISTRY = "127.0.0.1:5000"  # in the daemon's own network: the number is free there
IMAGE = f"{REGISTRY}/team/python:3.11"


@pytest.fixture
def registry(daemon: PrivateDaemon, tmp_path: Path) -> Iterator[str]:
    """A real registry that only this test's daemon can reach."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed here")
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
              "http": {"addr": REGISTRY}, "log": {"level": "error"}}
    (tmp_path / "registry.yml").write_text(json.dumps(config), encoding="utf-8")
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            daemon.inside("docker-registry", "serve", str(tmp_path / "registry.yml")), stdout=log, stderr=log,
        )
        try:
            yield REGISTRY
        finally:
            process.terminate()
            process.wait()


def push(daemon: PrivateDaemon, layout: Layout, *, marker: str) -> None:
    """Put the Debian base under IMAGE; ``marker`` makes it another image each time."""
    tar = layout.base_tar(Base(debian="bookworm"), "x86_64")
    docker(daemon, "import", "--change", f"ENV MARKER={marker}", str(tar), IMAGE)
    for _ in range(100):
        try:
            docker(daemon, "push", "--quiet", IMAGE)
            break
        except AssertionError:
            time.sleep(0.1)  # the registry starts
    else:
        pytest.fail("the registry does not take the image")
    docker(daemon, "image", "rm", IMAGE)


@pytest.mark.usefixtures("registry")
def test_the_digest_is_locked_and_a_tag_that_moves_changes_nothing(
    daemon: PrivateDaemon, index: IndexServer, tmp_path: Path, debian: Layout
) -> None:
    project = make_project(tmp_path / "p", index, env=daemon.env)
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    project.write("variants.yaml", text.replace("base: {debian: bookworm}", f"base: {{image: '{IMAGE}'}}"))
    push(daemon, debian, marker="first")
    project.made("lock", "--service", "page")
    place = project.folder / "wheels/pylock.page-any.toml"
    lock = lockfile.parse(place.read_text(encoding="utf-8"), file=place.name)
    assert lock.base_digest is not None
    assert lock.base_digest.startswith("sha256:")

    push(daemon, debian, marker="second")
    project.made("bundle", "--service", "page")
    assert lock.base_digest in (project.folder / "build/page-any/Dockerfile").read_text(encoding="utf-8")
    assert "MARKER=first" in json.loads(docker(daemon, "image", "inspect", "page:1.0.0-any"))[0]["Config"]["Env"]
    assert answer(daemon, "page:1.0.0-any", port=8100, path="/") == {"page": "hello"}

    # Only --upgrade looks what the tag means today.
    project.made("lock", "--service", "page", "--upgrade")
    moved = lockfile.parse(place.read_text(encoding="utf-8"), file=place.name)
    assert moved.base_digest not in (None, lock.base_digest)


def test_a_registry_that_does_not_have_the_image_is_named(
    registry: str, daemon: PrivateDaemon, index: IndexServer, tmp_path: Path
) -> None:
    project = make_project(tmp_path / "p", index, env=daemon.env)
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    absent = f"{registry}/team/nobody:1"
    project.write("variants.yaml", text.replace("base: {debian: bookworm}", f"base: {{image: '{absent}'}}"))
    done = project.inv("lock", "--service", "page")
    assert done.status == 5
    assert absent in done.stderr
    assert not [*(project.folder / "wheels").glob("pylock.page*")]
