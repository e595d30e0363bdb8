"""A set of wheels whose libraries do not fit together is refused before anything is built."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.elf_factory import make_elf
from support.index_server import IndexServer
from support.project import Project
from support.wheel_factory import make_wheel

from torchferry import dockerfile

CU121 = ("--variant", "cu121", "--service", "engine")


@pytest.fixture
def asks(project: Project, index: IndexServer) -> Callable[[str], None]:
    """Let the engine require a package whose library opens this name."""

    def ask(name: str) -> None:
        files = {"asker/__init__.py": b"", "asker/_ext.so": make_elf("_ext.so", texts=[name])}
        make_wheel(index.root / "pypi", "asker", "1.0", files=files)
        project.write("engine/requirements.in", "torch\nferrypure==1.0.0\nasker\n")

    return ask


def test_a_sound_set_passes_and_every_variant_is_listed(project: Project) -> None:
    said = project.made("check", "--libraries")
    assert "engine-cu121: 0 errors, 0 warnings" in said.stdout
    assert json.loads(project.made("check", "--libraries", "--json", *CU121).stdout) == {"engine-cu121": []}


def test_a_library_for_another_cuda_is_refused_by_fetch_and_by_check(
    project: Project, asks: Callable[[str], None]
) -> None:
    asks("libcublas.so.11")
    for task in (("fetch",), ("fetch",), ("build",), ("check", "--libraries")):
        done = project.inv(*task, *CU121)
        assert (done.status, "libcublas.so.11, and this set has libcublas.so.12" in done.stderr) == (6, True), done
        assert "hint: require a version of asker" in done.stderr
    done = project.inv("check", "--libraries", "--json", *CU121)
    assert done.status == 6
    (finding,) = json.loads(done.stdout)["engine-cu121"]
    assert {**finding, "cause": "", "cure": ""} == {
        "severity": "error", "wheel": "asker 1.0", "file": "asker/_ext.so", "cause": "", "cure": ""}
    assert not (project.folder / "build/engine-cu121").exists()


def test_a_path_cures_what_only_a_path_can(
    project: Project, asks: Callable[[str], None], give_base: Callable[[Project], None]
) -> None:
    asks("libcublas.so.12")
    done = project.inv("fetch", *CU121)
    assert (done.status, "write cuda_libraries: on_path" in done.stderr) == (6, True), done
    said = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    project.write("variants.yaml", said.replace("    port: 8003\n", "    port: 8003\n    cuda_libraries: on_path\n"))
    give_base(project)
    project.made("render", *CU121)
    found = dockerfile.parse((project.folder / "build/engine-cu121/Dockerfile").read_text(encoding="utf-8"))
    env = {one.operands[0]: one.operands[1] for one in found if one.name == "ENV"}
    site = "/opt/venv/lib/python3.11/site-packages"
    assert env["LD_LIBRARY_PATH"] == f"{site}/nvidia/cublas/lib:{site}/nvidia/cuda_runtime/lib"


def test_the_lock_does_not_change_with_the_path(project: Project) -> None:
    project.made("lock", *CU121)
    said = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    row = "cu121: {torch: 2.1.2"
    project.write("variants.yaml", said.replace(f"{row}}}", f"{row}, cuda_libraries: on_path}}"))
    assert "lock engine-cu121: current" in project.made("lock", *CU121).stderr
