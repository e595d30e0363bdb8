"""A packaged release under `docker compose`: the same containers as ferry.sh's, and they do their work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import debian_programs, enclave
from support.container_facts import differences
from support.debian_programs import ProgramsAbsent
from support.site import SERVICES, Releases, Site

from torchferry.model import UID

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site")]


def inspect(site: Site, container: str) -> dict[str, Any]:
    [found] = json.loads(site.docker("inspect", container))
    assert isinstance(found, dict)
    return found


def compose(site: Site, release: Path, *words: str) -> str:
    """One command in the release folder, as a person types it there."""
    try:
        program = debian_programs.compose()
    except ProgramsAbsent as error:
        pytest.skip(str(error))
    env = {**os.environ, **site.daemon.env, "FERRY_DATA": str(site.data), "FERRY_MODELS": str(site.data / "models")}
    done = subprocess.run(
        [str(program), "--profile", "cpu", *words], cwd=release, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def test_compose_starts_what_ferry_starts(site: Site, releases: Releases) -> None:
    release = releases.folder("1.0.0")
    site.clear()
    site.up(release)
    ours = {service: inspect(site, service) for service in SERVICES}
    site.clear()
    shutil.copytree(release / "models", site.data / "models", dirs_exist_ok=True)
    (site.data / "logs").mkdir()
    os.chown(site.data / "logs", UID, UID)
    compose(site, release, "up", "--detach")
    try:
        for service, name in (("engine", "engine-cpu"), ("page", "page")):
            assert differences(ours[service], inspect(site, compose(site, release, "ps", "--quiet", name))) == {}
        deadline = time.monotonic() + enclave.PATIENCE
        while site.answers() != ["1.0.0"] * 3:
            assert time.monotonic() < deadline, compose(site, release, "logs")
            time.sleep(0.1)
        assert (site.ask(SERVICES["engine"], "/health") or {})["words"] == "words of model 1"
    finally:
        compose(site, release, "down")
    assert site.containers() == {}
