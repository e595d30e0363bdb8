"""`inv bake`, and what buildx makes of it: the images that our own engines make, on a builder that holds nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import debian_programs, engines
from support.daemon import PrivateDaemon
from support.debian_programs import ProgramsAbsent
from support.far_side import answer, docker
from support.image_tree import differences, image_tree, started_with
from support.index_server import IndexServer
from support.project import Project, make_project
from support.remote_builder import RemoteBuilder

from torchferry import files
from torchferry.blobs import BlobStore
from torchferry.model import Base, Image
from torchferry.pipeline import Road

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("bake")]

KIND = "docker-28-containerd"
BAKE = ("docker", "buildx", "bake", "--file", "build/docker-bake.json", "--progress", "plain")


@pytest.fixture
def builder() -> Iterator[PrivateDaemon]:
    """A daemon of the newest kind: its BuildKit takes what a builder in a container takes."""
    if reason := engines.unavailable(KIND):
        pytest.skip(reason)
    with engines.start(KIND) as started:
        assert isinstance(started, PrivateDaemon)
        yield started


@pytest.fixture
def baked(
    builder: PrivateDaemon, index: IndexServer, tmp_path: Path, give_base: Callable[[Project], None],
) -> Project:
    """A project whose file for buildx is written, and whose docker has the newest buildx."""
    try:
        plugin = debian_programs.buildx("sid")
    except ProgramsAbsent as error:
        pytest.skip(str(error))
    project = make_project(tmp_path / "my project", index, env=builder.env)
    give_base(project)
    place = project.folder / "home/.docker/cli-plugins/docker-buildx"
    place.parent.mkdir(parents=True)
    place.symlink_to(plugin)
    project.made("bake", "--service", "page")
    return project


def run(project: Project, *words: str) -> None:
    done = subprocess.run(
        words, cwd=project.folder, env={**project.env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def inspected(builder: PrivateDaemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker(builder, "image", "inspect", name))[0]
    return found


def stored(project: Project, engine: str) -> Image:
    """The image as it goes into an archive, out of the store."""
    project.made("package", "--engine", engine, "--service", "page")
    road = Road.open(project.folder / "variants.yaml")
    (variant,) = road.select([], ["page"])
    said = json.loads(road.layout.image_record(variant, engine).read_text(encoding="utf-8"))
    image = BlobStore(folder=road.layout.blobs).image(variant.image_name, said["config"])
    assert image is not None
    return image


def base_of(project: Project) -> str:
    """The layer that the Debian base is in everything that we ship."""
    layout = Road.open(project.folder / "variants.yaml").layout
    return f"sha256:{files.sha256(layout.base_tar(Base(debian='bookworm'), 'x86_64'))}"


def recipe_of(project: Project) -> str:
    return (project.folder / "build/page-any/.recipe").read_text(encoding="utf-8")


def test_the_whole_matrix_is_rendered_and_told_to_buildx(
    project: Project, give_base: Callable[[Project], None]
) -> None:
    try:
        program = debian_programs.buildx("trixie")
    except ProgramsAbsent as error:
        pytest.skip(str(error))
    give_base(project)
    done = project.made("bake")
    assert "docker buildx bake --file build/docker-bake.json --load" in done.stdout
    place = project.folder / "build/docker-bake.json"
    first = place.read_bytes()
    said = subprocess.run(
        [program, "bake", "--file", "build/docker-bake.json", "--print"], cwd=project.folder, env={**project.env},
        capture_output=True, text=True, check=True,
    )
    plan = json.loads(said.stdout)["target"]
    ours = {f"{row['service']}-{row['variant']}": row for row in json.loads(project.made("variants", "--json").stdout)}
    assert plan.keys() == ours.keys() == {"engine-cu118", "engine-cu121", "engine-cu124", "engine-cpu", "page-any"}
    for label, row in ours.items():
        assert (plan[label]["tags"], plan[label]["platforms"]) == ([row["image"]], [row["platform"]])
        context = project.folder / plan[label]["context"]
        lines = (context / plan[label]["dockerfile"]).read_text(encoding="utf-8").splitlines()
        assert [line.removeprefix("FROM ") for line in lines if line.startswith("FROM ")] == [*plan[label]["contexts"]]
        recipe = (context / ".recipe").read_text(encoding="utf-8")
        assert plan[label]["labels"] == {"io.torchferry.recipe": recipe}

    place.unlink()
    again = project.made("bake")
    assert (place.read_bytes(), again.stdout) == (first, done.stdout)
    assert json.loads(first)["target"].keys() == plan.keys()
    project.made("bake", "--service", "engine", "--variant", "cu121")
    assert [*json.loads(place.read_bytes())["target"]] == ["engine-cu121"]


def test_a_baked_image_is_the_one_that_our_engines_make(builder: PrivateDaemon, baked: Project) -> None:
    run(baked, *BAKE, "--load")
    said = inspected(builder, "page:1.0.0-any")
    assert said["RootFS"]["Layers"][0] == base_of(baked)
    assert said["Config"]["Labels"]["io.torchferry.recipe"] == recipe_of(baked)
    assert answer(builder, "page:1.0.0-any", port=8100, path="/") == {"page": "hello"}

    built = baked.made("build", "--engine", "docker", "--service", "page")
    assert "build page-any: current" in built.stderr
    images = {engine: stored(baked, engine) for engine in ("docker", "direct")}
    store = BlobStore(folder=baked.folder / "build/blobs")
    assert [f"sha256:{layer.diff_id}" for layer in images["docker"].layers] == said["RootFS"]["Layers"]
    assert len(image_tree(images["docker"], store)) > 5000
    assert differences(images["docker"], images["direct"], store) == []
    assert started_with(images["docker"]) == started_with(images["direct"])


def test_a_builder_elsewhere_builds_the_same_and_sends_it_back(
    builder: PrivateDaemon, baked: Project, tmp_path: Path
) -> None:
    with RemoteBuilder(tmp_path / "buildkit.sock", daemon=builder.socket) as remote:
        run(baked, "docker", "buildx", "create", "--name", "far", "--driver", "remote", remote.address)
        run(baked, *BAKE, "--builder", "far", "--load", "any")
    said = inspected(builder, "page:1.0.0-any")
    assert said["RootFS"]["Layers"][0] == base_of(baked)
    assert said["Config"]["Labels"]["io.torchferry.recipe"] == recipe_of(baked)
    assert answer(builder, "page:1.0.0-any", port=8100, path="/") == {"page": "hello"}
