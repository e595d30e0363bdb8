"""From variants.yaml to a running container on another daemon: all four variants and a service without torch."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon
from support.far_side import answer, docker
from support.index_server import IndexServer
from support.project import VARIANTS, Project, make_project

from torchferry.archive import verify_archive

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("whole road")]

CUDA = {"cu118": "11.8", "cu121": "12.1", "cu124": "12.4", "cpu": None}
SECRET = "only-the-builder-knows-this"


def sums(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_release_of_five_images_from_nothing_to_another_daemon(
    daemon: PrivateDaemon, index: IndexServer, tmp_path: Path, give_base: Callable[[Project], None]
) -> None:
    project = make_project(tmp_path / "my project", index, env={**daemon.env, "MY_TOKEN": SECRET})
    give_base(project)
    first = project.made("bundle")
    images = [f"engine:1.0.0-{variant}" for variant in VARIANTS] + ["page:1.0.0-any"]
    archives = [f"engine-1.0.0-{variant}.tar.gz" for variant in VARIANTS] + ["page-1.0.0-any.tar.gz"]

    # The release folder: what it holds, what it says of that, and the lines for a person.
    sboms = [f"sbom/{image.replace(':1.0.0', '')}.cdx.json" for image in images]
    listed = (project.release / "SHA256SUMS").read_text(encoding="utf-8").split()[1::2]
    assert sorted(sums(project.release)) == sorted([*listed, "SHA256SUMS"])
    assert {*archives, *sboms, "manifest.json", "ferry.sh"} <= set(listed)
    assert subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=project.release, check=False,
                          capture_output=True).returncode == 0
    rows = {row["image"]: row for row in project.manifest["images"]}
    assert sorted(rows) == sorted(images)
    for image, row in rows.items():
        statuses = {check["check"]: check["status"] for check in row["smoke"]}
        assert "failed" not in statuses.values()
        assert statuses["stop on SIGTERM"] == "passed"
        assert statuses["installed set"] == "passed"
        assert row["needs"]["cuda"] == CUDA.get(image.rpartition("-")[2])
    assert rows["engine:1.0.0-cu118"]["needs"]["driver"]["floor"] == "450.80.02"
    for archive in archives:
        assert archive in first.stdout
    assert "inv ship SERVER --up" in first.stdout
    for path in (*map(project.release.joinpath, sums(project.release)), *(project.folder / "wheels").glob("pylock.*")):
        assert SECRET.encode() not in path.read_bytes()
        if path.suffix in (".json", ".toml"):
            assert "127.0.0.1" not in path.read_text(encoding="utf-8")
    assert project.partial_files() == []

    # A second time nothing is done, and not one byte changes.
    before = sums(project.release)
    asked = len(index.requests)
    second = project.made("bundle")
    assert sums(project.release) == before
    assert index.requests[asked:] == []
    assert {line.split()[2] for line in second.stdout.splitlines() if line.split()[1:2] != []
            and line.split()[0] in ("lock", "fetch", "render", "build", "smoke", "package")} == {"current"}

    # A damaged archive is noticed and written anew, from the store: the same bytes, whatever Docker does meanwhile.
    broken = project.release / "engine-1.0.0-cpu.tar.gz"
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 0xFF
    broken.write_bytes(data)
    assert "engine-1.0.0-cpu.tar.gz: damaged" in project.made("package").stderr
    assert sums(project.release) == before

    # Layers that variants share are one layer.
    layers = {name: [layer["diff_id"] for layer in row["layers"]] for name, row in rows.items()}
    assert len({chain[0] for chain in layers.values()}) == 1
    for archive in archives:
        assert verify_archive(project.release / archive).image.name == rows[
            next(name for name in images if f"{name.replace(':', '-')}.tar.gz" == archive)]["image"]

    with PrivateDaemon() as far_side:
        for archive in archives:
            docker(far_side, "load", "--input", str(project.release / archive))
        assert sorted(docker(far_side, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()) == sorted(images)
        for image, row in rows.items():
            loaded = json.loads(docker(far_side, "image", "inspect", image))[0]
            assert loaded["RootFS"]["Layers"] == [f"sha256:{layer['diff_id']}" for layer in row["layers"]]
            assert loaded["Id"] == f"sha256:{row['config']}"
            assert loaded["Config"]["User"] == "10001:10001"
        for variant in VARIANTS:
            said = answer(far_side, f"engine:1.0.0-{variant}", port=8003, path="/health")
            assert said["cuda"] == CUDA[variant]
            assert said["words"] == "it's $HOME, \"quoted\" \\ and `kept`"
            assert said["uid"] == 10001
        assert answer(far_side, "page:1.0.0-any", port=8100, path="/") == {"page": "hello"}
        look = "find /mnt /media -mindepth 1; find / -xdev -type f '(' -name '*.whl' -o -name uv ')'"
        look += "; find /etc/apt -name '*.list' -o -name '*.sources'"
        assert docker(far_side, "run", "--rm", "--user", "0", "engine:1.0.0-cu121", "sh", "-c", look) == ""


def test_build_and_package_work_as_typed_and_a_changed_line_costs_its_layer(
    daemon: PrivateDaemon, index: IndexServer, tmp_path: Path, give_base: Callable[[Project], None]
) -> None:
    project = make_project(tmp_path / "p", index, env=daemon.env)
    give_base(project)
    said = project.made("build", "--variant", "cu124", "--service", "engine")
    assert [line.split()[:3] for line in said.stdout.splitlines()[1:5]] == [
        [step, "engine-cu124", "made"] for step in ("lock", "fetch", "render", "build")]
    said = project.made("package", "--variant", "cu124", "--service", "engine", "--json")
    (row,) = json.loads(said.stdout)["images"]
    assert row["smoke"] == [{"check": "smoke", "status": "not tested", "seen": "inv smoke was not run on this image"}]
    before = [layer["diff_id"] for layer in row["layers"]]

    project.write("engine/engine/words.py", 'WORDS = "ENGINE_WORDS"  # changed\n')
    project.made("bundle", "--variant", "cu124", "--service", "engine")
    (row,) = project.manifest["images"]
    after = [layer["diff_id"] for layer in row["layers"]]
    assert len(after) == len(before)
    changed = [number for number, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    assert changed
    assert min(changed) >= len(before) - 3  # base, environment and packages stay: /app and what comes after it change
    assert {check["status"] for check in row["smoke"]} == {"passed", "not tested"}

    # clean takes back what was made, and nothing else.
    project.write("build/../notes.txt", "mine")
    mine = {path for path in project.folder.rglob("*") if path.is_file()} - {
        path for folder in ("build", "dist", ".uv-cache", "home") for path in (project.folder / folder).rglob("*")}
    project.made("clean", "--images")
    assert all(path.exists() for path in mine)
    assert not (project.folder / "build").exists()
    assert not project.release.exists()
    assert docker(daemon, "image", "ls", "--quiet", "engine") == ""


def test_a_service_that_breaks_its_promise_is_not_packed(
    daemon: PrivateDaemon, index: IndexServer, tmp_path: Path, give_base: Callable[[Project], None]
) -> None:
    project = make_project(tmp_path / "p", index, env=daemon.env)
    give_base(project)
    words = ("--variant", "cpu", "--service", "engine")
    broken = (project.folder / "engine/engine/__main__.py").read_text(encoding="utf-8")
    project.write("engine/engine/__main__.py", broken.replace('"status": "ok"', '"status": "error"'))
    done = project.inv("bundle", *words)
    assert done.status == 10
    assert "answer.status is 'error', expected 'ok'" in done.stderr
    assert not project.release.exists()
    assert docker(daemon, "ps", "--all", "--quiet") == ""

    own = (Path(__file__).parents[2] / "templates/Dockerfile.j2").read_text(encoding="utf-8")
    project.write("templates/Dockerfile.j2", own + 'RUN ["/bin/sh", "-c", "echo this step is wrong >&2; exit 3"]\n')
    done = project.inv("bundle", *words)
    assert done.status == 9
    assert "this step is wrong" in done.stderr
    assert "this step is wrong" in (project.folder / "build/logs/engine-cpu.build.log").read_text(encoding="utf-8")
    assert not project.release.exists()
