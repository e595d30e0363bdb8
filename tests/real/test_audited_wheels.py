"""The audit on real wheels: no error where nothing is wrong, and each known fault by name.

The set of cu121 is what `inv bundle --variant cu121` fetched, that of cu124 what `inv fetch --variant cu124` did; the
others are downloaded by name into a temporary folder (450 MB).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import nouns
from support.wheel_factory import locked

from torchferry import compat, wheel_libraries
from torchferry.audit import Case, judge
from torchferry.findings import Finding, errors
from torchferry.library_facts import WheelFacts

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
CODE = {"sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"}


def read(folder: Path) -> tuple[WheelFacts, ...]:
    """The facts of all wheels of a folder; hashes are of no matter here."""
    return wheel_libraries.read_wheels([(locked(path), path) for path in sorted(folder.glob("*.whl"))])


@pytest.fixture(scope="module")
def cu121() -> tuple[WheelFacts, ...]:
    folder = ROOT / "wheels/cu121"
    assert any(folder.glob("torch-*.whl")), f"{folder} holds no torch: run `inv bundle --variant cu121` first"
    return read(folder)


@pytest.fixture(scope="module")
def cu124() -> tuple[WheelFacts, ...]:
    folder = ROOT / "wheels/cu124"
    if not any(folder.glob("torch-2.6.0-*.whl")):
        pytest.skip(f"{folder} holds no torch 2.6.0: run `inv fetch --variant cu124` for this test")
    return read(folder)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], WheelFacts]:
    """A wheel for Python 3.11 on x86_64 Linux, downloaded by name and version."""

    def fetch(requirement: str) -> WheelFacts:
        folder = tmp_path_factory.mktemp("wheel")
        tags = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_24_x86_64", "manylinux_2_27_x86_64",
                "manylinux_2_28_x86_64")
        subprocess.run([
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder,
            "--python-version", "3.11", *(word for tag in tags for word in ("--platform", tag)), requirement,
        ], check=True)
        (facts,) = read(folder)
        return facts

    return fetch


def judged(wheels: tuple[WheelFacts, ...], name: str, **changes: str) -> tuple[Finding, ...]:
    variant = nouns.variant(name, **changes)
    capabilities = compat.load().capabilities(str(variant.torch), name)
    return judge(Case(variant=variant, wheels=wheels, glibc=(2, 36), capabilities=capabilities))


def test_the_shipped_cu121_set_has_no_error_and_the_gpu_code_of_the_table(cu121: tuple[WheelFacts, ...]) -> None:
    found = judged(cu121, "cu121")
    assert errors(found) == ()
    assert {one.wheel for one in found} == {"torchaudio 2.1.2"}  # ffmpeg and sox, which no wheel brings
    torch = next(facts for facts in cu121 if facts.name == "torch")
    (library,) = (one for one in torch.libraries if one.path == "torch/lib/libtorch_cuda.so")
    assert set(library.elf.code) == CODE
    (stated,) = {one.elf.flags for one in torch.libraries if one.elf.flags}
    assert set(stated.split()) == CODE
    assert all(facts.unread == () for facts in cu121)


def test_torch_2_6_has_no_error_and_misses_cusparselt_by_name(cu124: tuple[WheelFacts, ...]) -> None:
    assert errors(judged(cu124, "cu124")) == ()
    without = tuple(facts for facts in cu124 if facts.name != "nvidia-cusparselt-cu12")
    (found,) = errors(judged(without, "cu124"))
    assert (found.wheel, found.file) == ("torch 2.6.0", "torch/lib/libtorch_cuda.so")
    assert "needs libcusparseLt.so.0, which nothing here brings" in found.cause


@pytest.mark.parametrize(("requirement", "said", "cured_by_path"), [
    ("ctranslate2==3.24.0", "opens by name libcublas.so.11, and this set has libcublas.so.12", False),
    ("ctranslate2==4.4.0", "libcudnn_ops_infer.so.8", True),  # cuDNN 8, but its parts are on no path
    ("ctranslate2==4.5.0", "libcudnn_ops.so.9, and this set has libcudnn.so.8", False),
    ("onnxruntime-gpu==1.18.1", "and this set has libcublas.so.12, libcublasLt.so.12, libcudart.so.12", False),
])
def test_a_package_for_another_cuda_or_cudnn(
    cu121: tuple[WheelFacts, ...], fetched: Callable[[str], WheelFacts], requirement: str, said: str,
    cured_by_path: bool,
) -> None:
    wheels = (*cu121, fetched(requirement))
    found = errors(judged(wheels, "cu121"))
    assert [one.wheel for one in found if said in one.cause] == [requirement.replace("==", " ")]
    assert {one.wheel for one in found} == {requirement.replace("==", " ")}
    assert (errors(judged(wheels, "cu121", cuda_libraries="on_path")) == ()) is cured_by_path


def test_a_package_that_torch_has_to_be_imported_before(
    cu121: tuple[WheelFacts, ...], fetched: Callable[[str], WheelFacts]
) -> None:
    """ctranslate2 4.7 uses no cuDNN any more, and opens libcublas.so.12."""
    wheels = (*cu121, fetched("ctranslate2==4.7.1"))
    found = judged(wheels, "cu121")
    assert errors(found) == ()
    (warning,) = (one for one in found if one.wheel == "ctranslate2 4.7.1")
    assert "libcublas.so.12" in warning.cause and "only where torch was imported first" in warning.cause
    assert {one.wheel for one in judged(wheels, "cu121", cuda_libraries="on_path")} == {"torchaudio 2.1.2"}


def test_a_package_with_builds_for_many_cuda_releases_is_no_fault(
    cu121: tuple[WheelFacts, ...], fetched: Callable[[str], WheelFacts]
) -> None:
    assert errors(judged((*cu121, fetched("bitsandbytes==0.45.5")), "cu121")) == ()
