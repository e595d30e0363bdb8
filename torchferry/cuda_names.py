"""What the file names of CUDA's libraries say: which library, which version, and who brings it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_STEM = (
    r"cudart|cublas(?:Lt)?|nvblas|cudnn(?:_\w+)?|cufftw?|curand|cusolver(?:Mg)?|cusparse(?:Lt)?|nccl|nvrtc(?:-builtins)?"
    r"|nvJitLink|nvToolsExt|cupti|cufile(?:_rdma)?|nvshmem\w*|cudss\w*|npp\w+|nvjpeg|nvfatbin|nvinfer\w*|nvonnxparser"
    r"|cutensor\w*"
)
_NAME = re.compile(rf"lib({_STEM})(-[0-9a-f]{{8,}})?\.so(?:\.(\d+(?:\.\d+)*))?")
_DRIVER = re.compile(r"lib(?:cuda|nvcuvid|nvoptix|nvidia-[\w-]+|cudadebugger)\.so(?:\.\d+)*")
_FAMILIES = {"nvrtc-builtins": "nvrtc", "cufftw": "cufft", "cusolverMg": "cusolver"}

_WHEELS = {
    "cudart": "cuda-runtime", "nvrtc": "cuda-nvrtc", "cupti": "cuda-cupti", "nvToolsExt": "nvtx", "cublasLt": "cublas",
    "cusolverMg": "cusolver",
}
"""NVIDIA's wheels that are not called like what is in them."""

MATHEMATICS = re.compile(r"cudart|cublas(?:Lt)?|cudnn|cufft|curand|cusolver|cusparse(?:Lt)?")
OPTIONAL = re.compile(r"nvinfer\w*|nvonnxparser|nvshmem\w*|cufile\w*|cudss\w*")
"""Families that a package tries and does without: TensorRT, GPUDirect and the like."""


@dataclass(frozen=True, kw_only=True)
class CudaName:
    """libcudnn_ops-463fd6d5.so.8.9.7 taken apart: stem cudnn_ops, family cudnn, version "8.9.7" ("" where unstated).

    ``renamed`` tells a copy that auditwheel put into a wheel for that wheel alone: nobody else finds it by its name.
    """

    stem: str
    family: str
    version: str
    renamed: bool

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    @property
    def is_mathematics(self) -> bool:
        """Whether GPU code of a package stands or falls with it, unlike tools, compilers and communication."""
        return MATHEMATICS.fullmatch(self.family) is not None

    @property
    def is_optional(self) -> bool:
        return OPTIONAL.fullmatch(self.family) is not None


def parse(name: str) -> CudaName | None:
    """A library's file name taken apart; None where it is none of CUDA's."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    stem = found[1]
    family = "cudnn" if stem.startswith("cudnn_") else _FAMILIES.get(stem, stem)
    return CudaName(stem=stem, family=family, version=found[3] or "", renamed=found[2] is not None)


def wheel(name: CudaName) -> str:
    """The NVIDIA wheel that brings a library, without the CUDA major at its end: nvidia-cusparselt."""
    return f"nvidia-{_WHEELS.get(name.family, name.family).lower()}"


def is_driver(name: str) -> bool:
    """Whether the server's driver brings this library, and the container toolkit puts it into the container."""
    return _DRIVER.fullmatch(name) is not None


def folders(paths: Iterable[str]) -> tuple[str, ...]:
    """The folders among these files that hold CUDA libraries under names by which others look for them, sorted."""
    found = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        parsed = parse(name)
        if parsed is not None and parsed.version and not parsed.renamed:
            found.add(folder)
    return tuple(sorted(found))
