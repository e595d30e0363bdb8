"""A release in parts: packaged, taken by a server, damaged and mended part by part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.index_server import IndexServer
from support.project import Project
from support.site import Site, flip
from support.site_project import make_site_project

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site")]

SPLIT = 4 << 20


@pytest.fixture
def project(index: IndexServer, give_base: Callable[[Project], None], tmp_path: Path) -> Project:
    made = make_site_project(tmp_path / "project", index)
    give_base(made)
    text = (made.folder / "variants.yaml").read_text(encoding="utf-8")
    made.write("variants.yaml", text.replace("engine: direct\n", "engine: direct\nsplit: 4MiB\n", 1))
    made.made("package", "--variant", "cpu")
    return made


def archives(release: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads((release / "manifest.json").read_text(encoding="utf-8"))["images"]
    return {row["service"]: row["archive"] for row in rows}


def test_a_release_in_parts_comes_up_and_a_damaged_part_is_named_and_mended(
    project: Project, site: Site, tmp_path: Path,
) -> None:
    packed = project.folder / "dist/duo-1.0.0"
    made = archives(packed)
    for archive in made.values():
        assert not (packed / archive["name"]).exists()
        assert len(archive["parts"]) == -(-archive["size"] // SPLIT) > 2
        assert [part["size"] for part in archive["parts"][:-1]] == [SPLIT] * (len(archive["parts"]) - 1)
    release = shutil.copytree(packed, tmp_path / "stick" / packed.name)
    second = made["page"]["parts"][1]["name"]
    flip(release / second, 1000)
    refused = site.ferry(release, "up")
    assert refused.status != 0
    assert second in refused.stdout + refused.stderr
    assert site.containers() == {}

    # At home the same damage is noticed, and the very same parts are written again.
    flip(packed / second, 1000)
    said = project.made("package", "--variant", "cpu")
    assert f"{second}: damaged, writing {made['page']['name']} anew" in said.stderr
    assert archives(packed) == made
    shutil.copy(packed / second, release / second)
    site.up(release)
    assert site.answers() == ["1.0.0"] * 3

    project.made("clean")
    assert not packed.exists()
