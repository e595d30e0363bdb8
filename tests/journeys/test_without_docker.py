"""The road as far as no daemon is needed, and the ways in which it is refused: status, message, no half files."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.project import VARIANTS, Project, make_project
from support.wheel_factory import make_torch, make_wheel


def test_every_step_before_docker_says_what_it_made_and_the_next_command(project: Project, index: IndexServer) -> None:
    said = project.made("lock", "--variant", "cu121", "--service", "engine")
    assert "next: inv fetch" in said.stdout
    said = project.made("fetch", "--variant", "cu121", "--service", "engine")
    assert "next: inv build" in said.stdout
    fetched = sorted(path.name for path in (project.folder / "wheels/cu121").glob("*.whl"))
    assert [name.split("-")[0] for name in fetched] == [
        "ferrypure", "nvidia_cublas_cu12", "nvidia_cuda_runtime_cu12", "torch"]
    assert list((project.folder / "wheels/tools").glob("uv-*.whl"))
    asked = len(index.requests)
    assert "fetch engine-cu121: current" in project.made("fetch", "--variant", "cu121", "--service", "engine").stderr
    assert index.requests[asked:] == []


def test_a_wheel_that_two_variants_share_lies_on_the_disk_once(project: Project) -> None:
    project.made("fetch")
    copies = [*(project.folder / "wheels").glob("*/ferrypure-1.0.0-*.whl")]
    assert len(copies) == len(VARIANTS)
    assert len({path.stat().st_ino for path in copies}) == 1


def test_json_is_the_whole_of_stdout(project: Project) -> None:
    listed = json.loads(project.made("variants", "--json").stdout)
    assert [row["image"] for row in listed] == [*(f"engine:1.0.0-{name}" for name in VARIANTS), "page:1.0.0-any"]
    checked = json.loads(project.made("check", "--json").stdout)
    assert [(one["about"], one["level"]) for one in checked.pop("warnings")][:2] == [
        ("engine-cu124", "warning"), ("engine", "warning")]
    assert checked == {**{f"engine-{name}": [] for name in VARIANTS}, "page-any": []}
    before = json.loads(project.made("plan", "--json").stdout)
    assert before["docker"] != "answers"
    assert {row["lock"] for row in before["variants"]} == {"to do"}
    project.made("fetch")
    after = json.loads(project.made("plan", "--json").stdout)
    assert {(row["lock"], row["wheels"], row["download"]) for row in after["variants"]} == {("current", "current", 0)}


def test_a_build_that_does_not_exist_is_refused_before_a_byte_is_asked_for(
    project: Project, index: IndexServer
) -> None:
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    project.write("variants.yaml", text.replace("cu124: {torch: 2.6.0}", "cu124: {torch: 2.1.2}"))
    for task in ("check", "bundle"):
        done = project.inv(task)
        assert done.status == 3
        assert "torch 2.1.2 has no cu124 build" in done.stderr
        assert "2.4.0" in done.stderr
        assert "cu121 already runs on every driver that cu124 runs on" in done.stderr
        assert "Traceback" not in done.stderr
    assert index.requests == []
    assert list(json.loads(project.inv("check", "--json").stdout)["engine-cu124"][0]) == ["problem", "cure"]


def test_imports_are_checked_from_the_lock_and_the_wheels_that_are_here(project: Project, index: IndexServer) -> None:
    done = project.inv("check", "--imports", "--service", "page")
    assert (done.status, "inv lock --service page --variant any" in done.stderr) == (4, True)
    project.made("fetch", "--service", "page")
    asked = len(index.requests)
    project.made("check", "--imports", "--service", "page")
    project.write("page/page/late.py", "def late():\n    import psutil\n")
    done = project.inv("check", "--imports", "--service", "page")
    assert (done.status, "page-any: psutil is imported by page/page/late.py:2" in done.stderr) == (2, True)
    assert index.requests[asked:] == []


def test_what_runs_where_is_printed_and_drawn_with_a_fleet(project: Project) -> None:
    project.write("my hosts.csv", "host,driver,gpu\n<a>,535.104.05,Tesla T4\nb,470.82.01,Tesla T4\n")
    done = project.made("coverage", "--hosts", "my hosts.csv")
    assert "cu118 alone: " in done.stdout
    assert [line.split() for line in done.stdout.splitlines() if line.startswith("cu121 ")] == [
        ["cu121", "1", "1", "can", "be", "dropped"]]
    page = (project.folder / "build/coverage.html").read_text(encoding="utf-8")
    assert ("<svg" in page, "&lt;a&gt;" in page, "<a>" in page) == (True, True, False)
    piped = subprocess.run(
        project.command("coverage", "--hosts", "-", "--out", "fleet.html"), env=dict(project.env), cwd=project.folder,
        input=b"b,470.82.01,Tesla T4\n", capture_output=True, check=True,
    )
    assert b"\n1 host\n" in piped.stdout
    assert (project.folder / "fleet.html").is_file()
    refused = project.inv("coverage", "--hosts", "none.csv")
    assert (refused.status, "--hosts none.csv" in refused.stderr, "Traceback" in refused.stderr) == (2, True, False)


def test_a_bound_that_nobody_declares_is_told_when_it_binds_a_lock(project: Project, index: IndexServer) -> None:
    for version in ("4.56.2", "4.57.0"):
        make_wheel(index.root / "pypi", "transformers", version)
    project.write("page/requirements.in", "transformers\n")
    project.write("engine/requirements.in", "torch\ntransformers\n")
    said = project.made("lock", "--variant", "cpu").stderr
    assert said.count("bound: transformers <4.57 for torch 2.1.2: ") == 1
    locks = {name: (project.folder / f"wheels/pylock.{name}.toml").read_text(encoding="utf-8")
             for name in ("engine-cpu", "page-any")}
    assert ("4.56.2" in locks["engine-cpu"], "4.57.0" in locks["page-any"]) == (True, True)


def test_the_table_is_compared_with_what_indexes_offer(project: Project) -> None:
    done = project.made("check", "--refresh-compat")
    assert "torch 2.1.1: the default index no longer has it" in done.stdout.splitlines()
    assert not any(line.startswith("torch 2.1.2: cu118") for line in done.stdout.splitlines())
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple/"}
    nowhere |= {name: "http://127.0.0.1:9/whl/{variant}" for name in project.env if name.startswith("TORCHFERRY_TORCH")}
    done = project.inv("check", "--refresh-compat", **nowhere)
    assert (done.status, "no index says" in done.stderr, "Traceback" in done.stderr) == (5, True, False)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("python:", "pyhton:", "did you mean python"),
    ('"3.11"', "3.10", "in quotes"),
    ("port: 8003", "port: 99999", "variants.yaml:10"),
    ("/health,", "/health\t,", "tab"),
    ("release: {name: tiny, version: 1.0.0}", "", "release"),
])
def test_a_mistake_in_variants_yaml_is_told_with_its_line(project: Project, old: str, new: str, said: str) -> None:
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    assert old in text
    project.write("variants.yaml", text.replace(old, new))
    done = project.inv("check")
    assert done.status == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_names_that_nobody_has_are_refused_with_the_nearest(project: Project) -> None:
    done = project.inv("build", "--variant", "cu112")
    assert (done.status, "did you mean" in done.stderr) == (2, True)
    (project.folder / "variants.yaml").unlink()
    done = project.inv("build")
    assert (done.status, "--file" in done.stderr) == (2, True)


def test_a_stale_lock_is_refused_with_its_cure_and_cured_by_it(project: Project) -> None:
    words = ("--service", "engine", "--variant", "cpu")
    project.made("lock", *words)
    project.write("engine/requirements.in", "torch\nferrypure>=1\n")
    done = project.inv("fetch", *words)
    assert done.status == 4
    assert "inv lock --service engine --variant cpu" in done.stderr
    project.made("lock", *words)
    lock = project.folder / "wheels/pylock.engine-cpu.toml"
    assert "ferrypure-1.0.0" in lock.read_text(encoding="utf-8")
    project.made("lock", *words, "--upgrade")
    assert "ferrypure-1.1.0" in lock.read_text(encoding="utf-8")


def test_a_cpu_torch_under_a_cuda_name_is_refused_at_lock_time(project: Project, index: IndexServer) -> None:
    folder = index.root / "whl/cu118"
    (true,) = folder.glob("torch-*.whl")
    (cpu,) = (index.root / "whl/cpu").glob("torch-*.whl")
    make_wheel(
        folder, "torch", "2.1.2+cu118", tag="cp311-cp311-linux_x86_64",
        files={"torch/__init__.py": "", "torch/version.py": "__version__ = '2.1.2+cpu'\ncuda = None\n"},
    )
    assert true.is_file() and cpu.is_file()
    done = project.inv("fetch", "--variant", "cu118", "--service", "engine")
    assert done.status == 6
    assert "cpu" in done.stderr.lower()
    assert not [*(project.folder / "wheels").glob("pylock.engine-cu118*")]


def test_a_cpu_torch_that_was_swapped_after_locking_is_refused(project: Project, index: IndexServer) -> None:
    project.made("lock", "--variant", "cu118", "--service", "engine")
    make_torch(index.root / "whl/cu118", "2.1.2", "cu118", "12.1")
    done = project.inv("fetch", "--variant", "cu118", "--service", "engine")
    assert done.status in (5, 6)
    assert "another hash" in done.stderr
    assert not [*(project.folder / "wheels/cu118").glob("torch*.whl")]


def test_a_torch_index_that_does_not_answer_never_becomes_another_build(project: Project) -> None:
    done = project.inv("lock", "--variant", "cu118", "--service", "engine",
                       TORCHFERRY_TORCH_INDEX_CU118="http://127.0.0.1:9/whl/cu118")
    assert done.status == 5
    for word in ("torch==2.1.2+cu118", "http://127.0.0.1:9/whl/cu118", "TORCHFERRY_TORCH_INDEX_CU118"):
        assert word in done.stderr
    assert not [*(project.folder / "wheels").glob("pylock*")]


def test_ctrl_c_leaves_nothing_half_written_and_the_next_run_goes_on(project: Project, index: IndexServer) -> None:
    words = ("fetch", "--variant", "cu121", "--service", "engine")
    project.made("lock", *words[1:])
    (uv,) = index.root.glob("pypi/uv-*.whl")
    index.fail(uv.name, Fault(kind="stall", after=5_000_000, times=1))
    partial = project.folder / f"wheels/tools/.{uv.name}.partial"
    done = project.interrupted(*words, when=lambda: partial.is_file() and partial.stat().st_size > 1_000_000)
    assert done.status == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*(project.folder / "wheels/tools").glob("uv-*.whl")]
    assert project.partial_files() == []
    project.made(*words)
    resumed = [request.headers.get("range", "") for request in index.asked(uv.name)][-1]
    assert resumed.startswith("bytes=")
    assert resumed != "bytes=0-"


def test_without_a_daemon_the_build_says_what_to_start(project: Project, tmp_path: Path) -> None:
    done = project.inv("smoke", "--variant", "cpu", "--service", "engine", PATH=str(tmp_path / "empty"))
    assert done.status == 7
    assert "inv setup" in done.stderr
    assert "Traceback" not in done.stderr


def test_stdin_may_be_closed(project: Project) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" <&-', *project.command("check")], env=dict(project.env), capture_output=True,
        cwd=project.folder, check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Eight megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", place], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_cannot_hold_the_wheels_is_refused_before_the_download(
    small_disk: Path, index: IndexServer, tmp_path: Path
) -> None:
    project = make_project(small_disk, index, env={"UV_CACHE_DIR": str(tmp_path / "cache")})
    project.made("lock", "--variant", "cpu", "--service", "engine")
    (row,) = json.loads(project.made("plan", "--variant", "cpu", "--service", "engine", "--json").stdout)["variants"]
    assert row["download"] > 8_000_000
    done = project.inv("fetch", "--variant", "cpu", "--service", "engine")
    assert done.status == 8
    assert "are free" in done.stderr
    assert not [*small_disk.glob("wheels/*/*.whl")]
