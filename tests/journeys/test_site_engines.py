"""ferry.sh with every engine that a site may have: load, run, an update that fails, one that works, the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engines import KINDS, Engine, start, unavailable
from support.site import Releases, Site

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
