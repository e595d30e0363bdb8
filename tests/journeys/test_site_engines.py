"""ferry.sh with every engine that a site may have: load, run, an update that fails, one that works, the way back."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broken_layer import break_layer
from support.engines import KINDS, Engine, start, unavailable
from support.site import Releases, Site, refused

pytestmark = [pytest.mark.docker]


def site_of(engine: Engine, folder: Path) -> Site:
    return Site(daemon=engine, folder=folder, env={"FERRY_ENGINE": engine.command})


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_comes_up_is_updated_and_taken_back(kind: str, releases: Releases, tmp_path: Path) -> None:
    if reason := unavailable(kind):
        pytest.skip(reason)
    with start(kind) as engine:
        site = site_of(engine, tmp_path)
        said = site.up(releases.folder("1.0.0"))
        assert ("podman" if kind.startswith("podman") else "docker") in said.stdout.splitlines()[0]
        assert site.answers() == ["1.0.0"] * 3

        failed = site.ferry(releases.folder("1.1.0"), "up", "--env", "engine:FACTOR=3")
        assert failed.status == 11, f"{failed.stdout}\n{failed.stderr}"
        assert "what ran before runs on" in failed.stderr
        assert site.answers() == ["1.0.0"] * 3

        site.up(releases.folder("1.1.0"))
        assert site.answers() == ["1.1.0"] * 3
        back = site.ferry(releases.folder("1.1.0"), "rollback")
        assert back.ok, f"{back.stdout}\n{back.stderr}"
        assert site.answers() == ["1.0.0"] * 3
        gone = site.ferry(releases.folder("1.1.0"), "uninstall")
        assert gone.ok, gone.stderr
        assert site.answers() == [None] * 3


MOVES_THE_NAME = {
    "docker-26-containerd": "failed to unpack loaded image",
    "docker-28-containerd": "Error unpacking image",
}
"""These give the name to an image that they cannot unpack, and say this of it; 28 even ends with status 0."""


@pytest.mark.parametrize("kind", MOVES_THE_NAME)
def test_a_broken_layer_whose_hashes_agree_does_not_get_the_name(
    kind: str, releases: Releases, tmp_path: Path
) -> None:
    if reason := unavailable(kind):
        pytest.skip(reason)
    broken = releases.copy("1.1.0", tmp_path / "broken")
    break_layer(broken, "engine-1.1.0-cpu.tar.gz", b"engine 1.1.0 starts")
    with start(kind) as engine:
        site = site_of(engine, tmp_path)
        site.up(releases.folder("1.0.0"))
        site.docker("tag", "engine:1.0.0-cpu", "engine:1.1.0-cpu")  # as if an earlier build of it were here
        before = names(site)
        done = refused(site, broken, 9)
        assert " files are those of the release" in done.stdout
        assert "docker could not load engine-1.1.0-cpu.tar.gz; engine:1.1.0-cpu is as it was before" in done.stderr
        assert MOVES_THE_NAME[kind] in done.stderr
        assert names(site) == before

        site.up(releases.folder("1.1.0"))
        assert site.answers() == ["1.1.0"] * 3


def names(site: Site) -> list[str]:
    """Every name that an image has, and the image."""
    return sorted(site.docker("image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines())


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 MB: the archive and the image once would fit."""
    place = tmp_path / "little"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "little", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", ["podman-4", "podman-5"])
def test_podman_unpacks_in_another_folder_whose_room_is_asked_for(
    kind: str, releases: Releases, little: Path, tmp_path: Path
) -> None:
    if reason := unavailable(kind):
        pytest.skip(reason)
    with start(kind) as engine:
        temporary = engine.root.parent / "tmp"
        temporary.rename(temporary.with_name("large"))
        temporary.symlink_to(little)
        site = site_of(engine, tmp_path)
        done = site.ferry(releases.folder("1.0.0"), "load", "--variant", "cpu")
        assert done.status == 8, f"{done.stdout}\n{done.stderr}"
        told = r"engine:1\.0\.0-cpu needs 5\d\d\.\d+ MB in (\S+) while it is loaded, and 3\d\d\.\d+ MB are free"
        found = re.search(told, done.stderr)
        assert found, done.stderr
        assert found[1] == str(temporary)
        temporary.unlink()
        temporary.with_name("large").rename(temporary)
        assert site.ferry(releases.folder("1.0.0"), "load", "--variant", "cpu").ok
