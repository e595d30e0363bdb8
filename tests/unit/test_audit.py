"""Each fault that a set of wheels can have, planted in libraries made by hand, and the same set without it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import nouns
from support.elf_factory import make_elf
from support.wheel_factory import locked, make_wheel

from torchferry import compat, cuda_names, library_facts, wheel_libraries
from torchferry.audit import Case, judge
from torchferry.errors import IntegrityError
from torchferry.findings import Finding, refuse
from torchferry.library_facts import WheelFacts
from torchferry.library_set import LibrarySet

CODE = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
RPATH = ":".join(f"$ORIGIN/../../nvidia/{part}/lib" for part in ("cublas", "cudnn", "cuda_runtime")) + ":$ORIGIN"
CUDA_12 = ("libcudart.so.12", "libcublas.so.12", "libcudnn.so.8")


def facts(
    folder: Path, name: str, files: Mapping[str, bytes], version: str = "1.0", requires: Sequence[str] = ()
) -> WheelFacts:
    """The facts of a wheel that is made for the purpose."""
    path = make_wheel(folder / name, name, version, files=files, requires=requires)
    (found,) = wheel_libraries.read_wheels([(locked(path), path)])
    return found


def torch(folder: Path, *, needed: Sequence[str] = CUDA_12, **changes: Any) -> WheelFacts:
    files = {
        "torch/_C.cpython-311-x86_64-linux-gnu.so": make_elf(needed=["libtorch_python.so"], runpath="$ORIGIN/lib"),
        "torch/lib/libtorch_python.so": make_elf(
            "libtorch_python.so", needed=["libtorch_cuda.so", "libc.so.6"], rpath=RPATH, texts=[" ".join(CODE)]),
        "torch/lib/libtorch_cuda.so": make_elf("libtorch_cuda.so", **{
            "needed": needed, "rpath": RPATH, "code": CODE, "texts": ["libcuda.so.1"], **changes}),
    }
    return facts(folder, "torch", files, "2.1.2")


def nvidia(folder: Path, name: str, lib: str, **changes: Any) -> WheelFacts:
    part = name.removeprefix("nvidia-").rpartition("-cu")[0].replace("-", "_")
    return facts(folder, name, {f"nvidia/{part}/lib/{lib}": make_elf(lib, runpath="$ORIGIN", **changes)})


def cuda_12(folder: Path, **changes: Any) -> tuple[WheelFacts, ...]:
    """torch for CUDA 12.1 with cuDNN 8, whose parts cuDNN opens by name."""
    cudnn = {f"nvidia/cudnn/lib/{lib}": make_elf(lib, runpath="$ORIGIN", texts=texts) for lib, texts in (
        ("libcudnn.so.8", ["libcudnn_ops_infer.so.8"]), ("libcudnn_ops_infer.so.8", ["libcublas.so.12", "libnvrtc.so"]),
    )}
    cudnn["nvidia/cudnn/lib/libcudnn_ops_infer.so.8"] = make_elf(
        "libcudnn_ops_infer.so.8", runpath="$ORIGIN:$ORIGIN/../../cublas/lib", texts=["libcublas.so.12", "libnvrtc.so"])
    return (
        torch(folder, **changes), nvidia(folder, "nvidia-cublas-cu12", "libcublas.so.12"),
        nvidia(folder, "nvidia-cuda-runtime-cu12", "libcudart.so.12"), facts(folder, "nvidia-cudnn-cu12", cudnn),
    )


def judged(wheels: Sequence[WheelFacts], name: str = "cu121", base: frozenset[str] | None = None,
           **changes: Any) -> tuple[Finding, ...]:
    variant = nouns.variant(name, **changes)
    capabilities = compat.load().capabilities(str(variant.torch), name) if variant.cuda else ()
    return judge(Case(variant=variant, wheels=tuple(wheels), glibc=(2, 36), capabilities=capabilities, base=base))


def the_one(found: Sequence[Finding], severity: str = "error") -> Finding:
    (only,) = found
    assert only.severity == severity, only
    assert only.cause and only.cure
    return only


def test_a_sound_set_has_no_findings(tmp_path: Path) -> None:
    assert judged(cuda_12(tmp_path)) == ()


# What is needed, by the loader or by name


def test_a_library_for_another_cuda_major(tmp_path: Path) -> None:
    """onnxruntime-gpu for CUDA 11 beside a torch for CUDA 12."""
    path = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
    other = facts(tmp_path, "onnxruntime-gpu", {path: make_elf(needed=["libcublas.so.11", "libcudart.so.11.0"])})
    found = the_one(judged([*cuda_12(tmp_path), other]))
    assert (found.wheel, found.file) == ("onnxruntime-gpu 1.0", path)
    assert "needs libcublas.so.11 and libcudart.so.11.0" in found.cause
    assert "has libcublas.so.12 and libcudart.so.12" in found.cause
    assert "onnxruntime-gpu" in found.cure


def ctranslate2(folder: Path, blas: str, cudnn: str, opens: Sequence[str]) -> WheelFacts:
    """Shaped like the real wheel: an extension module, its library, a renamed cuDNN that opens the real one's parts."""
    return facts(folder, "ctranslate2", {
        "ctranslate2/_ext.cpython-311-x86_64-linux-gnu.so": make_elf(
            needed=["libctranslate2-5a650b64.so.4"], rpath="$ORIGIN/../ctranslate2.libs"),
        "ctranslate2.libs/libctranslate2-5a650b64.so.4": make_elf(
            "libctranslate2-5a650b64.so.4", needed=[cudnn], texts=[blas, "libcuda.so.1"]),
        f"ctranslate2.libs/{cudnn}": make_elf(cudnn, rpath="ctranslate2.libs", texts=opens),
    })


def test_code_that_opens_the_cublas_of_another_major(tmp_path: Path) -> None:
    other = ctranslate2(tmp_path, "libcublas.so.11", "libcudnn-f0ff4753.so.8.1.1", [])
    found = the_one(judged([*cuda_12(tmp_path), other]))
    assert "opens by name libcublas.so.11, and this set has libcublas.so.12" in found.cause


def test_a_cudnn_9_inside_opens_parts_that_cudnn_8_has_not(tmp_path: Path) -> None:
    """cuDNN 9 appends its own major to names without one, so the name of the copy in the wheel tells what it opens."""
    other = ctranslate2(tmp_path, "libcublas.so.12", "libcudnn-74a4c495.so.9.1.0", ["libcudnn_ops.so"])
    errors = [one for one in judged([*cuda_12(tmp_path), other]) if one.severity == "error"]
    found = the_one(errors)
    assert found.file == "ctranslate2.libs/libcudnn-74a4c495.so.9.1.0"
    assert "opens by name libcudnn_ops.so.9, and this set has libcudnn.so.8" in found.cause


def test_a_library_that_is_there_only_after_torch_was_imported(tmp_path: Path) -> None:
    wheels = [*cuda_12(tmp_path), ctranslate2(tmp_path, "libcublas.so.12", "libcudnn-463fd6d5.so.8.9.7", [])]
    found = the_one(judged(wheels), "warning")
    assert "opens by name libcublas.so.12, and finds that only where torch was imported first" in found.cause
    assert "cuda_libraries: on_path" in found.cure
    assert judged(wheels, cuda_libraries="on_path") == ()
    site = "/opt/venv/lib/python3.11/site-packages"
    assert judged(wheels, env={"LD_LIBRARY_PATH": f"/usr/lib:{site}/nvidia/cublas/lib"}) == ()
    assert len(judged(wheels, env={"LD_LIBRARY_PATH": f"{site}/nvidia/cudnn/lib"})) == 1


def test_a_library_that_torch_does_not_load_is_found_with_a_path_alone(tmp_path: Path) -> None:
    """The parts of cuDNN, which torch's own cuDNN opens when it needs them."""
    other = ctranslate2(tmp_path, "libcuda.so.1", "libcudnn-463fd6d5.so.8.9.7", ["libcudnn_ops_infer.so.8"])
    wheels = [*cuda_12(tmp_path), other]
    found = the_one(judged(wheels))
    assert "libcudnn_ops_infer.so.8" in found.cause
    assert "`import torch` does not load it" in found.cause
    assert found.cure.startswith("write cuda_libraries: on_path")
    assert judged(wheels, cuda_libraries="on_path") == ()


def test_whoever_requires_torch_imports_it(tmp_path: Path) -> None:
    files = {"torchvision/_C.so": make_elf(needed=["libcudart.so.12", "libtorch_cuda.so"])}
    wheels = cuda_12(tmp_path)
    assert judged([*wheels, facts(tmp_path, "torchvision", files, requires=["torch==2.1.2"])]) == ()
    alone = facts(tmp_path, "other", files, requires=["torch==2.1.2 ; extra == 'gpu'"])
    assert "imported first" in the_one(judged([*wheels, alone]), "warning").cause


def test_one_of_several_versions_that_code_tries_is_enough(tmp_path: Path) -> None:
    tries = facts(tmp_path, "tries", {"tries/x.so": make_elf(
        rpath="$ORIGIN/../nvidia/cublas/lib", texts=["libcublas.so.11", "libcublas.so.12", "libcublas.so"])})
    assert judged([*cuda_12(tmp_path), tries]) == ()


def test_of_several_versions_the_nearest_is_told(tmp_path: Path) -> None:
    tries = facts(tmp_path, "tries", {"tries/x.so": make_elf(texts=["libcublas.so.11", "libcublas.so.12"])})
    found = the_one(judged([*cuda_12(tmp_path), tries]), "warning")
    assert "opens by name libcublas.so.12, and finds that only where torch was imported first" in found.cause


def test_a_package_with_a_build_for_each_cuda_needs_one_of_them(tmp_path: Path) -> None:
    """bitsandbytes: one file needs CUDA 11, another CUDA 12, and only the one that fits is loaded."""
    files = {f"bits/cuda{major}.so": make_elf(needed=[f"libcublas.so.{major}"]) for major in (11, 12)}
    both = facts(tmp_path, "bits", files, requires=["torch"])
    assert judged([*cuda_12(tmp_path), both]) == ()
    old = facts(tmp_path / "old", "bits", {"bits/cuda11.so": files["bits/cuda11.so"]}, requires=["torch"])
    assert the_one(judged([*cuda_12(tmp_path), old])).file == "bits/cuda11.so"


def test_a_compiler_that_code_opens_may_be_missing(tmp_path: Path) -> None:
    wheels = [*cuda_12(tmp_path), nvidia(tmp_path, "nvidia-cuda-nvrtc-cu12", "libnvrtc.so.12")]
    for name in ("libnvrtc.so.12", "libnvrtc.so.13"):
        tries = facts(tmp_path / name, "tries", {"tries/x.so": make_elf(texts=[name])})
        assert name in the_one(judged([*wheels, tries]), "warning").cause


def test_a_missing_cusparselt(tmp_path: Path) -> None:
    found = the_one(judged(cuda_12(tmp_path, needed=[*CUDA_12, "libcusparseLt.so.0"])))
    assert (found.wheel, found.file) == ("torch 2.1.2", "torch/lib/libtorch_cuda.so")
    assert "needs libcusparseLt.so.0, which nothing here brings" in found.cause
    assert "nvidia-cusparselt" in found.cure


def test_what_a_package_may_do_without_is_a_warning(tmp_path: Path) -> None:
    other = facts(tmp_path, "trt", {"trt/x.so": make_elf(needed=["libnvinfer.so.10"], texts=["libcufft.so.11"])})
    found = judged([*cuda_12(tmp_path), other])
    assert [one.severity for one in found] == ["warning", "warning"]
    assert {"needs" in one.cause for one in found} == {True, False}


def test_libraries_of_the_system(tmp_path: Path) -> None:
    """The driver's come from the server; the base's are known when it is made."""
    files = {"audio/x.so": make_elf(needed=["libsndfile.so.1", "libcuda.so.1", "libnvidia-ml.so.1", "libstdc++.so.6"])}
    wheels = [*cuda_12(tmp_path), facts(tmp_path, "audio", files)]
    found = the_one(judged(wheels), "warning")
    assert "needs libsndfile.so.1, which no wheel has, and the base is not known yet" in found.cause
    assert "neither the wheels nor the base" in the_one(judged(wheels, base=frozenset({"libc.so.6"})), "warning").cause
    assert judged(wheels, base=frozenset({"libsndfile.so.1"})) == ()


def test_a_cpu_image_wants_no_cuda_library_by_name(tmp_path: Path) -> None:
    cpu = facts(tmp_path, "torch", {"torch/lib/libtorch_cpu.so": make_elf("libtorch_cpu.so")}, "2.1.2+cpu")
    opens = facts(tmp_path, "opens", {"opens/x.so": make_elf(texts=["libcublas.so.12"])})
    assert judged([cpu, opens], "cpu") == ()
    needs = facts(tmp_path, "needs", {"needs/x.so": make_elf(needed=["libcublas.so.12"])})
    assert the_one(judged([cpu, needs], "cpu"), "warning").wheel == "needs 1.0"


def test_a_file_for_another_machine_is_not_judged(tmp_path: Path) -> None:
    files = {"debug/x.so": make_elf(needed=["libcublas.so.11"], machine="i386", versions={"libc.so.6": ["GLIBC_2.99"]})}
    assert judged([*cuda_12(tmp_path), facts(tmp_path, "debug", files)]) == ()


# Where libraries are looked for


@pytest.mark.parametrize(("folder", "finds"), [
    ("$ORIGIN/../../nvidia/cublas/lib", True), ("${ORIGIN}/../../nvidia/cublas/lib/", True),
    ("$ORIGIN/../nvidia/cublas/lib", False), ("nvidia/cublas/lib", False), ("/usr/local/cuda/lib64", False),
    ("$ORIGINAL/../../nvidia/cublas/lib", False), ("$ORIGIN/$LIB", False),
])
def test_folders_are_meant_from_where_the_file_will_lie(tmp_path: Path, folder: str, finds: bool) -> None:
    other = facts(tmp_path, "other", {"other/lib/x.so": make_elf(needed=["libcublas.so.12"], runpath=folder)})
    libraries = LibrarySet([*cuda_12(tmp_path), other])
    assert libraries.finds(other.libraries[0], "libcublas.so.12") is finds


def test_what_torch_loads_follows_rpath_down_to_what_is_loaded(tmp_path: Path) -> None:
    """DT_RPATH serves the libraries below as well: cuBLAS itself names no folder of cudart here."""
    wheels = [torch(tmp_path, needed=["libcublas.so.12"]), facts(tmp_path, "nvidia-cublas-cu12", {
        "nvidia/cublas/lib/libcublas.so.12": make_elf("libcublas.so.12", needed=["libcudart.so.12"])}),
        nvidia(tmp_path, "nvidia-cuda-runtime-cu12", "libcudart.so.12"),
        nvidia(tmp_path, "nvidia-nccl-cu12", "libnccl.so.2")]
    loaded = LibrarySet(wheels).loaded_by_torch
    assert {"libtorch_cuda.so", "libcublas.so.12", "libcudart.so.12"} <= loaded
    assert "libnccl.so.2" not in loaded


@pytest.mark.parametrize(("name", "stem", "family", "version", "renamed"), [
    ("libcublasLt.so.12", "cublasLt", "cublasLt", "12", False),
    ("libcudnn_ops-463fd6d5.so.8.9.7", "cudnn_ops", "cudnn", "8.9.7", True),
    ("libnvrtc-builtins.so.12.1", "nvrtc-builtins", "nvrtc", "12.1", False),
    ("libcudart-d0da41ae.so.11.0", "cudart", "cudart", "11.0", True),
    ("libcusparseLt.so.0", "cusparseLt", "cusparseLt", "0", False),
])
def test_names_of_cuda_libraries(name: str, stem: str, family: str, version: str, renamed: bool) -> None:
    assert cuda_names.parse(name) == cuda_names.CudaName(stem=stem, family=family, version=version, renamed=renamed)


def test_names_of_others() -> None:
    others = ("libcurl.so.4", "libcuda.so.1", "libtorch_cuda.so", "libc.so.6")
    assert [cuda_names.parse(name) for name in others] == [None] * 4
    assert cuda_names.is_driver("libcuda.so.1") and cuda_names.is_driver("libnvidia-ml.so.1")
    assert not cuda_names.is_driver("libcudart.so.12") and not cuda_names.is_driver("libnvrtc.so.12")


# The other rules


def test_a_cpu_torch_in_a_cuda_variant_and_the_reverse(tmp_path: Path) -> None:
    cpu = facts(tmp_path, "torch", {"torch/lib/libtorch_cpu.so": make_elf("libtorch_cpu.so")}, "2.1.2")
    found = the_one(judged([cpu]))
    assert "is a CPU build" in found.cause
    assert "TORCHFERRY_TORCH_INDEX_CU121" in found.cure
    assert "is a CUDA build" in the_one(judged(cuda_12(tmp_path / "cuda"), "cpu")).cause


def test_gpu_code_that_is_missing_from_the_binary(tmp_path: Path) -> None:
    found = the_one(judged(cuda_12(tmp_path, code=CODE[1:-1])))
    assert "machine code is" in found.cause
    assert "lacks sm_50 and sm_90, which compat.yaml promises" in found.cause


def test_ptx_is_no_machine_code(tmp_path: Path) -> None:
    code = [*CODE[:-1], "compute_90"]
    assert "lacks sm_90" in the_one(judged(cuda_12(tmp_path, code=code))).cause


def test_more_gpu_code_than_is_promised_is_fine(tmp_path: Path) -> None:
    """Libraries that are linked into torch bring code of their own."""
    assert judged(cuda_12(tmp_path, code=[*CODE, "sm_35", "compute_90"])) == ()


def test_gpu_code_that_cannot_be_read(tmp_path: Path) -> None:
    assert "could not be read" in the_one(judged(cuda_12(tmp_path, code=())), "warning").cause


def test_torchs_own_list_of_gpus(tmp_path: Path) -> None:
    wheels = cuda_12(tmp_path)
    libraries = tuple(
        dataclasses.replace(one, elf=dataclasses.replace(one.elf, flags="sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_100"))
        if one.elf.flags else one for one in wheels[0].libraries
    )
    found = judged([dataclasses.replace(wheels[0], libraries=libraries), *wheels[1:]])
    assert [one.severity for one in found] == ["error", "warning"]
    assert "its own list of GPUs is" in found[0].cause
    assert "lacks sm_90" in found[0].cause
    assert found[1].cause == "its own list of GPUs also has sm_100, which compat.yaml does not"


def test_a_glibc_floor_above_the_bases(tmp_path: Path) -> None:
    def needing(version: str) -> tuple[Finding, ...]:
        files = {"new/x.so": make_elf(versions={"libc.so.6": ["GLIBC_2.2.5", version]}), "new/y.so": make_elf()}
        return judged([*cuda_12(tmp_path / version), facts(tmp_path / version, "new", files)])

    assert needing("GLIBC_2.36") == ()
    found = the_one(needing("GLIBC_2.38"))
    assert (found.wheel, found.file) == ("new 1.0", "new/x.so")
    assert "needs glibc 2.38, and the base has 2.36" in found.cause


def test_files_of_two_wheels_at_one_path(tmp_path: Path) -> None:
    one = {"shared/x.so": make_elf("one"), "shared/a.py": b"1", "shared/same.py": b"same"}
    two = {"shared/x.so": make_elf("two"), "shared/a.py": b"2", "shared/same.py": b"same"}
    error, warning = judged([*cuda_12(tmp_path), facts(tmp_path, "one", one), facts(tmp_path, "two", two)])
    assert (error.severity, error.wheel, error.file) == ("error", "two 1.0", "shared/x.so")
    assert "lies in one 1.0 too, with another content" in error.cause
    assert (warning.severity, warning.file) == ("warning", "shared/a.py")


def test_one_cuda_library_twice(tmp_path: Path) -> None:
    """A cuDNN required by hand beside the one that torch brings itself: 1 GB of dead weight."""
    second = facts(tmp_path, "nvidia-cudnn", {"other/lib/libcudnn.so.8": make_elf("libcudnn.so.8")})
    found = the_one(judged([*cuda_12(tmp_path), second]), "warning")
    assert "libcudnn.so.8 also comes with nvidia-cudnn-cu12 1.0" in found.cause


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    broken = facts(tmp_path, "broken", {"broken/x.so": b"\x7fELF" + bytes(100)})
    assert "not audited: broken/x.so" in the_one(judged([*cuda_12(tmp_path), broken]), "warning").cause


def test_a_damaged_wheel_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "cut", "1.0")
    row = locked(path)
    path.write_bytes(path.read_bytes()[:-50])
    (found,) = wheel_libraries.read_wheels([(row, path)])
    assert found.unread and "no end record" in found.unread[0]


# Errors, memory, places


def test_all_errors_are_told_at_once_by_variant() -> None:
    finding = Finding(severity="error", wheel="a 1", file="x.so", cause="is wrong", cure="mend it")
    warning = dataclasses.replace(finding, severity="warning", cause="may be wrong")
    refuse({"s-cu121": [warning], "s-cpu": []})
    with pytest.raises(IntegrityError) as caught:
        refuse({"s-cu121": [finding, warning], "s-cpu": [finding]})
    assert caught.value.message == "s-cu121: a 1: x.so: is wrong\ns-cpu: a 1: x.so: is wrong"
    assert (caught.value.cure, caught.value.exit_code) == ("mend it", 6)


def test_facts_are_the_same_after_they_were_remembered(tmp_path: Path) -> None:
    for one in cuda_12(tmp_path):
        assert library_facts.from_json(json.loads(json.dumps(library_facts.as_json(one)))) == one
    assert library_facts.from_json({"version": 0, "facts": {}}) is None
    assert library_facts.from_json([]) is None
    assert library_facts.from_json({"version": library_facts.FACTS_VERSION, "facts": {"name": "x"}}) is None


def test_files_in_data_folders_lie_where_they_are_installed(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "tool", "1.0", files={"tool/lib/x.so": make_elf("x.so")}, data={
        "scripts/tool": make_elf(needed=["x.so"], runpath="$ORIGIN/../lib/python3.11/site-packages/tool/lib"),
        "data/share/y.so": make_elf("y.so"), "platlib/z.so": make_elf("z.so"), "headers/h.h": b"",
    })
    (found,) = wheel_libraries.read_wheels([(locked(path), path)])
    assert {one.path for one in found.libraries} == {
        "tool/lib/x.so", "../../../bin/tool", "../../../share/y.so", "z.so"}
    program = next(one for one in found.libraries if one.name == "tool")
    assert LibrarySet([found]).finds(program, "x.so")
    assert not LibrarySet([found]).finds(program, "z.so")
