"""What buildx reads in our docker-bake file is our plan: targets, contexts, tags, platforms, labels and groups."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support import debian_programs, nouns
from support.debian_programs import ProgramsAbsent

from torchferry import bake_plan
from torchferry.bake_plan import Target
from torchferry.model import Recipe, Variant

BASE = "torchferry-base:bookworm-0123456789ab"
LAYOUT = f"oci-layout://build/base/bookworm.oci@sha256:{'d' * 64}"
DOTTED = replace(nouns.PAGE, name="my.page_2")

VARIANTS = (
    nouns.variant("cu121"), nouns.variant("cpu"), nouns.variant("cpu", architecture="aarch64"),
    nouns.variant("any"), nouns.variant("any", service=DOTTED),
)
GROUPS = {
    "default": ["stt-engine-cu121", "stt-engine-cpu", "stt-engine-cpu-arm64", "page-any", "my_page_2-any"],
    "cu121": ["stt-engine-cu121"],
    "cpu": ["stt-engine-cpu", "stt-engine-cpu-arm64"],
    "any": ["page-any", "my_page_2-any"],
    "stt-engine": ["stt-engine-cu121", "stt-engine-cpu", "stt-engine-cpu-arm64"],
    "page": ["page-any"],
    "my_page_2": ["my_page_2-any"],
}


@dataclass(frozen=True, kw_only=True)
class Buildx:
    """A real buildx that only reads, in a folder with our file; it has no docker and asks none."""

    program: Path
    release: str
    folder: Path

    def plan(self, *names: str, **env: str) -> dict[str, Any]:
        """What it would build, by target."""
        words = [str(self.program), "bake", "--file", "build/docker-bake.json", "--print", *names]
        settings = {**os.environ, "HOME": str(self.folder), "DOCKER_HOST": f"unix://{self.folder}/none.sock", **env}
        done = subprocess.run(words, cwd=self.folder, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["target"]
        return found


@pytest.fixture(params=["trixie", "sid"])
def buildx(request: pytest.FixtureRequest, tmp_path: Path) -> Buildx:
    try:
        program = debian_programs.buildx(request.param)
    except ProgramsAbsent as error:
        pytest.skip(str(error))
    return Buildx(program=program, release=request.param, folder=tmp_path)


def target(variant: Variant) -> Target:
    recipe = Recipe(
        variant=variant, folder=Path("/elsewhere"), text="", digest=nouns.wheel(variant.label, "1").sha256, files=1,
        size=1,
    )
    needed = {BASE: LAYOUT} if variant.service.base.debian else {}
    return Target(recipe=recipe, context=f"build/{variant.label}", stand_ins=needed)


@pytest.fixture
def targets(buildx: Buildx) -> list[Target]:
    made = [target(variant) for variant in VARIANTS]
    place = buildx.folder / "build/docker-bake.json"
    place.parent.mkdir()
    place.write_text(bake_plan.text(made), encoding="utf-8")
    return made


def test_each_target_is_one_of_our_images(buildx: Buildx, targets: list[Target]) -> None:
    plan = buildx.plan()
    assert set(plan) == {one.recipe.variant.label.replace(".", "_") for one in targets}
    for one in targets:
        said, variant = plan[one.name], one.recipe.variant
        assert said["context"] == f"build/{variant.label}"
        assert said["dockerfile"] == "Dockerfile"
        assert said["tags"] == [variant.image_name]
        assert said["platforms"] == [variant.platform]
        assert said["labels"] == {"io.torchferry.recipe": one.recipe.digest}
        assert said.get("contexts") == ({BASE: LAYOUT} if variant.service.base.debian else None)
        # the older one reads "network" as well, and does not print it
        assert said.get("network") == (None if buildx.release == "trixie" else "none")
        assert len(said["attest"]) == 2
        assert not {"args", "output", "pull", "secret", "ssh"} & said.keys()


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.usefixtures("targets")
def test_a_group_holds_what_its_name_says(buildx: Buildx, name: str) -> None:
    assert set(buildx.plan(name)) == set(GROUPS[name])


def test_there_is_no_other_group(targets: list[Target]) -> None:
    assert bake_plan.groups(targets) == GROUPS


@pytest.mark.usefixtures("targets")
def test_the_tags_are_those_of_a_registry_where_one_is_named(buildx: Buildx) -> None:
    plan = buildx.plan("cpu", REGISTRY="registry.example:5000/team/")
    assert {tag for said in plan.values() for tag in said["tags"]} == {
        "registry.example:5000/team/stt-engine:1.0.0-cpu", "registry.example:5000/team/stt-engine:1.0.0-cpu-arm64",
    }
