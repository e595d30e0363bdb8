"""The whole road with no Docker anywhere, and what comes of it on a daemon elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon, unavailable
from support.far_side import answer, docker
from support.index_server import IndexServer
from support.project import VARIANTS, Project, make_project

pytestmark = pytest.mark.xdist_group("direct")

CUDA = {"cu118": "11.8", "cu121": "12.1", "cu124": "12.4", "cpu": None}
IMAGES = [*(f"engine:1.0.0-{variant}" for variant in VARIANTS), "page:1.0.0-any"]


def archive_of(image: str) -> str:
    return f"{image.replace(':', '-')}.tar.gz"


def sums(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which no Docker daemon answers."""
    return {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}


def test_five_images_without_docker_load_and_run_on_a_daemon_elsewhere(
    index: IndexServer, tmp_path: Path, nowhere: dict[str, str], give_base: Callable[[Project], None]
) -> None:
    project = make_project(tmp_path / "my project", index, env=nowhere, engine="auto")
    give_base(project)
    said = project.made("bundle")
    assert said.stderr.count("(direct engine)") == len(IMAGES)
    before = sums(project.release)
    sboms = [f"sbom/{image.replace(':1.0.0', '')}.cdx.json" for image in IMAGES]
    listed = (project.release / "SHA256SUMS").read_text(encoding="utf-8").split()[1::2]
    assert sorted(before) == sorted([*listed, "SHA256SUMS"])
    assert {*map(archive_of, IMAGES), *sboms, "manifest.json", "ferry.sh"} <= set(listed)
    rows = {row["image"]: row for row in project.manifest["images"]}
    for row in rows.values():
        statuses = {check["check"]: check["status"] for check in row["smoke"]}
        assert "failed" not in statuses.values()
        if os.geteuid() == 0:
            assert statuses["stop on SIGTERM"] == "passed"

    # Nothing changed: nothing is done, and not one byte changes.
    again = project.made("bundle")
    assert {line.split()[2] for line in again.stdout.splitlines()[1:31] if line} == {"current"}
    assert sums(project.release) == before

    # Elsewhere, on another day, with other settings: the same bytes.
    twin = make_project(tmp_path / "elsewhere", index, env={
        **nowhere, "TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7",
    }, engine="direct")
    give_base(twin)
    old = os.umask(0o077)
    try:
        twin.made("package")
    finally:
        os.umask(old)
    made = sums(twin.release)
    same = [*map(archive_of, IMAGES), *sboms]
    assert {name: made[name] for name in same} == {name: before[name] for name in same}

    reason = unavailable()
    if reason:
        pytest.skip(f"what was made was not loaded: {reason}")
    with PrivateDaemon() as far_side:
        for image, row in rows.items():
            docker(far_side, "load", "--input", str(project.release / archive_of(image)))
            loaded = json.loads(docker(far_side, "image", "inspect", image))[0]
            assert loaded["RootFS"]["Layers"] == [f"sha256:{layer['diff_id']}" for layer in row["layers"]]
            assert loaded["Id"] == f"sha256:{row['config']}"
        for variant in VARIANTS:
            said_there = answer(far_side, f"engine:1.0.0-{variant}", port=8003, path="/health")
            assert said_there["cuda"] == CUDA[variant]
            assert said_there["words"] == "it's $HOME, \"quoted\" \\ and `kept`"
            assert said_there["uid"] == 10001
        assert answer(far_side, "page:1.0.0-any", port=8100, path="/") == {"page": "hello"}


def test_a_changed_line_costs_its_layers_alone(
    index: IndexServer, tmp_path: Path, nowhere: dict[str, str], give_base: Callable[[Project], None]
) -> None:
    project = make_project(tmp_path / "p", index, env=nowhere, engine="direct")
    give_base(project)
    words = ("--variant", "cu121", "--service", "engine")
    project.made("package", *words)
    (row,) = project.manifest["images"]
    before = [layer["diff_id"] for layer in row["layers"]]
    project.write("engine/engine/words.py", 'WORDS = "ENGINE_WORDS"  # changed\n')
    project.made("package", *words)
    (row,) = project.manifest["images"]
    after = [layer["diff_id"] for layer in row["layers"]]
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_a_run_of_somebody_elses_needs_docker_and_says_so(
    index: IndexServer, tmp_path: Path, nowhere: dict[str, str], give_base: Callable[[Project], None]
) -> None:
    own = (Path(__file__).parents[2] / "templates/Dockerfile.j2").read_text(encoding="utf-8")
    for engine, status, wanted in (("direct", 9, "inv build --engine docker"), ("auto", 7, "no Docker daemon answers")):
        project = make_project(tmp_path / engine, index, env=nowhere, engine=engine)
        give_base(project)
        project.write("templates/Dockerfile.j2", own + 'RUN ["/bin/true"]\n')
        done = project.inv("build", "--variant", "cpu", "--service", "engine")
        assert done.status == status
        assert "this RUN is none of torchferry's own" in done.stderr
        assert "Dockerfile:" in done.stderr
        assert wanted in done.stderr.replace("--engine docker", "inv build --engine docker", 1) or wanted in done.stderr


def test_an_image_that_cannot_be_run_here_is_looked_into(
    index: IndexServer, tmp_path: Path, nowhere: dict[str, str], give_base: Callable[[Project], None]
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("uv", "git", "sh", "mmdebstrap"):  # no unshare
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    project = make_project(tmp_path / "p", index, env={**nowhere, "PATH": str(programs)}, engine="auto")
    give_base(project)
    project.made("bundle", "--variant", "cu121", "--service", "engine")
    (row,) = project.manifest["images"]
    found = {check["check"]: check["status"] for check in row["smoke"]}
    assert found["installed set"] == found["torch.version.cuda"] == "passed"
    assert found["start"] == found["import torch"] == "not tested"


def test_an_engine_that_nobody_has_is_refused(project: Project) -> None:
    done = project.inv("build", "--engine", "podman")
    assert done.status == 2
    assert "auto, direct, docker" in done.stderr
