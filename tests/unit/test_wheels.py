"""No wheel for another machine, and no torch of another CUDA build, gets through."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from support.wheel_factory import make_torch, make_wheel

from torchferry.errors import IntegrityError
from torchferry.model import Base, Release, Service, Variant, Wheel
from torchferry.wheels import TorchBuild, check_tags, check_torch, inspect_torch

SERVICE = Service(
    name="stt", source="app", requirements="app/requirements.in", command=("python", "-m", "stt"),
    base=Base(debian="bookworm"),
)
RELEASE = Release(name="stt", version="1.0.0")
NVIDIA_12_1 = (
    'nvidia-cuda-runtime-cu12 (==12.1.105) ; platform_system == "Linux" and platform_machine == "x86_64"',
    'nvidia-cublas-cu12 (==12.1.3.1) ; platform_system == "Linux" and platform_machine == "x86_64"',
    "filelock",
    "opt-einsum (>=3.3) ; extra == 'opt-einsum'",
)


def variant(name: str, *, torch: str = "2.1.2", architecture: str = "x86_64", python: str = "3.11") -> Variant:
    return Variant(
        release=RELEASE, service=SERVICE, name=name, python=python, torch=torch, architecture=architecture
    )


def named(filename: str) -> Wheel:
    return Wheel(name=filename.split("-")[0], version="1", filename=filename, size=1, sha256="0" * 64)


def inspect(path: Path) -> TorchBuild:
    with zipfile.ZipFile(path) as wheel:
        return inspect_torch(wheel)


@pytest.mark.parametrize("filename", [
    "a-1-py3-none-any.whl",
    "a-1-py2.py3-none-any.whl",
    "torch-2.1.2+cu118-cp311-cp311-linux_x86_64.whl",
    "torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl",
    "torch-2.10.0-3-cp311-cp311-manylinux_2_28_x86_64.whl",
    "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "a-1-cp38-abi3-manylinux_2_5_x86_64.manylinux1_x86_64.manylinux_2_36_x86_64.whl",
    "nvidia_cublas_cu12-12.1.3.1-py3-none-manylinux2010_x86_64.whl",
    "a-1-cp311-none-any.whl",
])
def test_wheels_for_the_target_pass(filename: str) -> None:
    check_tags(named(filename), variant("cu118"))


@pytest.mark.parametrize("filename", [
    "torch-2.1.2-cp311-none-macosx_11_0_arm64.whl",
    "torch-2.1.2-cp311-cp311-manylinux2014_aarch64.whl",
    "torch-2.1.2+cpu-cp311-cp311-linux_aarch64.whl",
    "torch-2.1.2+cu118-cp311-cp311-win_amd64.whl",
    "torch-2.1.2-cp310-cp310-manylinux1_x86_64.whl",
    "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
    "a-1-cp312-abi3-manylinux2014_x86_64.whl",
    "a-1-cp311-cp311-manylinux_2_39_x86_64.whl",
    "a-1-cp311-cp311t-manylinux2014_x86_64.whl",
    "a-1-py2-none-any.whl",
])
def test_wheels_for_another_machine_are_refused_by_name(filename: str) -> None:
    with pytest.raises(IntegrityError) as refusal:
        check_tags(named(filename), variant("cu118"))
    assert filename in refusal.value.message
    assert filename.removesuffix(".whl").rsplit("-", 1)[1].split(".")[0] in refusal.value.message.split(": is for ")[1]
    assert "Python 3.11 on x86_64 Linux" in refusal.value.message


def test_an_aarch64_target_takes_aarch64_wheels_only() -> None:
    target = variant("cpu", architecture="aarch64")
    check_tags(named("torch-2.1.2-cp311-cp311-manylinux2014_aarch64.whl"), target)
    with pytest.raises(IntegrityError, match="x86_64"):
        check_tags(named("torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl"), target)


def test_an_older_glibc_refuses_newer_wheels() -> None:
    wheel = named("a-1-cp311-cp311-manylinux_2_34_x86_64.whl")
    check_tags(wheel, variant("cu118"))
    with pytest.raises(IntegrityError, match=r"glibc 2\.28"):
        check_tags(wheel, variant("cu118"), glibc=(2, 28))


def test_what_is_no_wheel_name_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"torch\.tar\.gz"):
        check_tags(named("torch.tar.gz"), variant("cu118"))


def test_a_torch_of_the_torch_index_is_read(tmp_path: Path) -> None:
    build = inspect(make_torch(tmp_path, "2.1.2", "cu118", "11.8"))
    assert build == TorchBuild(
        version="2.1.2+cu118", local="cu118", module_version="2.1.2+cu118", cuda="11.8", requires=()
    )
    check_torch(build, variant("cu118"), "cu121")


def test_a_torch_of_pypi_is_read(tmp_path: Path) -> None:
    build = inspect(make_torch(tmp_path, "2.1.2", None, "12.1", requires=NVIDIA_12_1))
    assert build == TorchBuild(
        version="2.1.2", local=None, module_version="2.1.2+cu121", cuda="12.1", requires=NVIDIA_12_1
    )
    check_torch(build, variant("cu121"), "cu121")


def test_annotated_names_are_read(tmp_path: Path) -> None:
    build = inspect(make_torch(tmp_path, "2.6.0", None, "12.4"))
    assert build.cuda == "12.4"
    check_torch(build, variant("cu124", torch="2.6.0"), "cu124")


def test_a_cpu_torch_is_read(tmp_path: Path) -> None:
    build = inspect(make_torch(tmp_path, "2.1.2", "cpu", None))
    assert (build.local, build.cuda) == ("cpu", None)
    check_torch(build, variant("cpu"), "cu121")


def test_nothing_of_the_wheel_is_run(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n__version__ = '2.1.2+cu118'\ncuda = '11.8'\n"
    path = make_wheel(tmp_path, "torch", "2.1.2+cu118", files={"torch/version.py": trap})
    assert inspect(path).cuda == "11.8"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "source", ["cuda = '11.8'\n", "__version__ = '2.1.2'\n", "def (", "__version__ = 3\ncuda = None\n"]
)
def test_a_version_file_that_says_nothing_is_refused(tmp_path: Path, source: str) -> None:
    path = make_wheel(tmp_path, "torch", "2.1.2", files={"torch/version.py": source})
    with pytest.raises(IntegrityError, match=r"torch-2\.1\.2-py3-none-any\.whl: not a torch wheel"):
        inspect(path)


def test_another_package_is_no_torch(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not a torch wheel"):
        inspect(make_wheel(tmp_path, "torchaudio", "2.1.2", files={"torchaudio/__init__.py": ""}))


GOOD_118 = TorchBuild(version="2.1.2+cu118", local="cu118", module_version="2.1.2+cu118", cuda="11.8", requires=())
GOOD_121 = TorchBuild(version="2.1.2", local=None, module_version="2.1.2+cu121", cuda="12.1", requires=NVIDIA_12_1)
GOOD_CPU = TorchBuild(version="2.1.2+cpu", local="cpu", module_version="2.1.2+cpu", cuda=None, requires=())


@pytest.mark.parametrize(("build", "target", "said"), [
    (GOOD_CPU, "cu118", r"\+cpu, wanted \+cu118.*CUDA None, wanted 11\.8"),
    (GOOD_118, "cpu", r"CUDA 11\.8, wanted None"),
    (GOOD_121, "cu118", r"PyPI's own build of it is cu121.*CUDA 12\.1, wanted 11\.8.*nvidia-cuda-runtime-cu12"),
    (GOOD_121, "cpu", "wanted no CUDA"),
    (replace(GOOD_118, cuda="12.1"), "cu118", r"CUDA 12\.1, wanted 11\.8"),
    (replace(GOOD_118, module_version="2.1.2+cpu"), "cu118", r"version\.py says 2\.1\.2\+cpu, wanted \+cu118"),
    (replace(GOOD_118, requires=("nvidia-cublas-cu12==12.1",)), "cu118", "requires nvidia-cublas-cu12, wanted CUDA"),
    (replace(GOOD_118, module_version="2.1.1+cu118"), "cu118", r"2\.1\.1\+cu118, METADATA says 2\.1\.2"),
    (replace(GOOD_118, version="2.1.1+cu118"), "cu118", r"its version is 2\.1\.1\+cu118, wanted 2\.1\.2"),
    (replace(GOOD_121, requires=("nvidia-cuda-runtime-cu12==12.4.127",)), "cu121", r"of CUDA 12\.4, wanted 12\.1"),
    (replace(GOOD_118, requires=("?!",)), "cu118", "cannot be understood"),
])
def test_the_wrong_torch_is_refused_with_what_was_found(build: TorchBuild, target: str, said: str) -> None:
    with pytest.raises(IntegrityError, match=said) as refusal:
        check_torch(build, variant(target), "cu121")
    assert f"TORCHFERRY_TORCH_INDEX_{target.upper()}" in refusal.value.cure


def test_everything_that_differs_is_said_at_once() -> None:
    with pytest.raises(IntegrityError) as refusal:
        check_torch(GOOD_121, variant("cu118"), "cu121")
    assert refusal.value.message.count(";") == 4 and "nvidia-cublas-cu12" in refusal.value.message


def test_the_unsuffixed_libraries_of_cuda_13_are_understood() -> None:
    build = TorchBuild(
        version="2.11.0", local=None, module_version="2.11.0+cu130", cuda="13.0",
        requires=("cuda-toolkit[cublas,cudart]==13.0.2", "nvidia-cudnn-cu13==9.15.1.9", "nvidia-cublas==13.1.0.3"),
    )
    check_torch(build, variant("cu130", torch="2.11.0"), "cu130")
    wrong = replace(build, module_version="2.11.0+cu132", cuda="13.2")
    with pytest.raises(IntegrityError, match=r"cuda-toolkit of CUDA 13\.0, wanted 13\.2"):
        check_torch(wrong, variant("cu132", torch="2.11.0"), "cu132")


def test_requirements_for_other_machines_do_not_count() -> None:
    elsewhere = replace(GOOD_CPU, requires=('nvidia-cublas-cu12==12.1.3.1 ; platform_machine == "x86_64"',))
    check_torch(elsewhere, variant("cpu", architecture="aarch64"), "cpu")
    with pytest.raises(IntegrityError, match="wanted no CUDA"):
        check_torch(elsewhere, variant("cpu"), "cu121")
