"""Makes tiny, valid, deterministic wheels: the stand-ins for torch, its CUDA libraries, uv and a pure package.

They install with any installer and import in any Python; the same call makes the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_wheel_filename

from support.elf_factory import make_elf
from torchferry.model import Wheel

EPOCH = (2020, 1, 1, 0, 0, 0)

ARCHITECTURES = {
    ("2.1.2", "11.8"): "sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
    ("2.1.2", "12.1"): "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
    ("2.6.0", "12.4"): "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
}
"""What the real builds answer to torch._C._cuda_getArchFlags()."""


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    files: Mapping[str, str | bytes] | None = None,
    requires: Sequence[str] = (),
    tag: str = "py3-none-any",
    build: str | None = None,
    entry_points: Mapping[str, str] | None = None,
    data: Mapping[str, bytes] | None = None,
    requires_python: str = ">=3.8",
    said: Sequence[str] = (),
) -> Path:
    """Write one wheel into ``folder`` and return its path.

    ``files`` are paths below site-packages; ``data`` are paths below NAME-VERSION.data ("scripts/uv"), whose
    scripts become executable; ``entry_points`` maps console scripts to "module:function"; ``said`` are more lines of
    METADATA.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Requires-Python: {requires_python}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    metadata += said
    contents: dict[str, bytes] = {path: _as_bytes(content) for path, content in (files or {}).items()}
    contents |= {f"{stem}.data/{path}": content for path, content in (data or {}).items()}
    contents[f"{info}/METADATA"] = _lines(metadata)
    contents[f"{info}/WHEEL"] = _wheel_file(tag, build)
    if entry_points:
        lines = ["[console_scripts]", *(f"{script} = {target}" for script, target in entry_points.items())]
        contents[f"{info}/entry_points.txt"] = _lines(lines)
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    target = folder / f"{stem}-{build + '-' if build else ''}{tag}.whl"
    _zip(target, contents)
    return target


def make_torch(
    folder: Path,
    version: str,
    local: str | None,
    cuda: str | None,
    *,
    python: str = "3.11",
    requires: Sequence[str] = (),
) -> Path:
    """A torch that imports without a GPU and says what the real build of this CUDA says.

    With ``local`` ("cu118", "cpu") it is shaped like the PyTorch index's wheels: local version in the name, plain
    linux_x86_64, CUDA libraries inside. Without, like PyPI's: manylinux1, and only torch/version.py has the local part.
    """
    python_tag = f"cp{python.replace('.', '')}"
    platform = "linux_x86_64" if local else "manylinux1_x86_64"
    said = local or (f"cu{cuda.replace('.', '')}" if cuda else None)
    files: dict[str, str | bytes] = {
        "torch/__init__.py": _TORCH,
        "torch/version.py": _torch_version_file(version, said, cuda),
        "torch/_C.py": _torch_c_file(version, cuda),
        "torch/cuda/__init__.py": _TORCH_CUDA,
        "torch/lib/libtorch.so": make_elf("libtorch.so", texts=[f"stand-in for libtorch {said or ''}"]),
    }
    if cuda:
        code = ARCHITECTURES.get((version, cuda), "sm_80 sm_90")
        files["torch/lib/libtorch_cuda.so"] = make_elf("libtorch_cuda.so", code=code.split())
        files["torch/lib/libtorch_python.so"] = make_elf("libtorch_python.so", texts=[code])
    if local and cuda:
        files[f"torch/lib/libcudart-d0da41ae.so.{cuda}"] = make_elf(f"libcudart-d0da41ae.so.{cuda}")
    return make_wheel(
        folder, "torch", f"{version}+{local}" if local else version, files=files, requires=requires,
        tag=f"{python_tag}-{python_tag}-{platform}",
    )


def make_nvidia(folder: Path, name: str, version: str, lib: str) -> Path:
    """One CUDA library as a wheel: make_nvidia(folder, "nvidia-cublas-cu12", "12.1.3.1", "libcublas.so.12")."""
    part = name.removeprefix("nvidia-").rpartition("-cu")[0].replace("-", "_")
    files: dict[str, str | bytes] = {
        "nvidia/__init__.py": "",
        f"nvidia/{part}/__init__.py": "",
        f"nvidia/{part}/lib/__init__.py": "",
        f"nvidia/{part}/lib/{lib}": make_elf(lib, texts=[f"stand-in for {lib} {version}"]),
    }
    return make_wheel(folder, name, version, files=files, tag="py3-none-manylinux1_x86_64")


def make_uv(folder: Path) -> Path:
    """A wheel of the uv that runs these tests, put together again from its installed files."""
    installed = importlib.metadata.distribution("uv")
    files: dict[str, str | bytes] = {}
    data: dict[str, bytes] = {}
    for entry in installed.files or ():
        path = Path(str(entry.locate()))
        if path.parent.name == "bin":
            data[f"scripts/{path.name}"] = path.read_bytes()
        elif entry.parts[0] == "uv" and path.suffix == ".py":
            files[entry.as_posix()] = path.read_bytes()
    return make_wheel(folder, "uv", installed.version, files=files, data=data, tag="py3-none-manylinux_2_17_x86_64")


def make_pure(folder: Path, version: str = "1.0.0") -> Path:
    """ferrypure: a small pure package with one function and one console script."""
    source = f'__version__ = "{version}"\n\n\ndef main() -> None:\n    print("ferrypure", __version__)\n'
    files: dict[str, str | bytes] = {"ferrypure/__init__.py": source}
    return make_wheel(folder, "ferrypure", version, files=files, entry_points={"ferrypure": "ferrypure:main"})


def locked(path: Path) -> Wheel:
    """The row that a lock has for this wheel file."""
    name, version, _, _ = parse_wheel_filename(path.name)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Wheel(name=name, version=str(version), filename=path.name, size=len(content), sha256=digest)


@dataclass(frozen=True, kw_only=True)
class Indexes:
    """The folders of `stand_in_indexes`, shaped as IndexServer serves them: pypi and whl/<variant> below ``root``."""

    root: Path
    pypi: Path
    cu118: Path
    cpu: Path


def stand_in_indexes(root: Path, *, python: str = "3.11") -> Indexes:
    """Everything a release needs: torch 2.1.2 (cu118, cu121, cpu) and 2.6.0 (cu124), uv, ferrypure 1.0.0 and 1.1.0."""
    found = Indexes(root=root, pypi=root / "pypi", cu118=root / "whl" / "cu118", cpu=root / "whl" / "cpu")
    make_torch(found.cu118, "2.1.2", "cu118", "11.8", python=python)
    make_torch(found.cpu, "2.1.2", "cpu", None, python=python)
    rows = (("2.1.2", "12.1", "12.1.105", "12.1.3.1"), ("2.6.0", "12.4", "12.4.127", "12.4.5.8"))
    for version, cuda, runtime, blas in rows:
        marker = 'platform_system == "Linux" and platform_machine == "x86_64"'
        requires = [f"nvidia-cuda-runtime-cu12=={runtime} ; {marker}", f"nvidia-cublas-cu12=={blas} ; {marker}"]
        make_torch(found.pypi, version, None, cuda, python=python, requires=requires)
        make_nvidia(found.pypi, "nvidia-cuda-runtime-cu12", runtime, "libcudart.so.12")
        make_nvidia(found.pypi, "nvidia-cublas-cu12", blas, "libcublas.so.12")
    make_uv(found.pypi)
    make_pure(found.pypi, "1.0.0")
    make_pure(found.pypi, "1.1.0")
    return found


_TORCH_CUDA = '''\
import os

import torch

STAND_INS = int(os.environ.get("STAND_IN_GPUS", "0"))


def is_available():
    return STAND_INS > 0


def device_count():
    return STAND_INS


def get_device_name(number):
    return f"Stand-in GPU {number}"


def get_arch_list():
    return torch._C._cuda_getArchFlags().split() if is_available() else []
'''

_TORCH = '''\
from torch.version import __version__
from torch import _C, cuda, version


class Tensor:
    def __init__(self, rows):
        self.rows = rows

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Tensor([[sum(map(float.__mul__, row, column)) for column in columns] for row in self.rows])

    def sum(self):
        return Tensor([[sum(map(sum, self.rows))]])

    def item(self):
        return self.rows[0][0]


def ones(shape, device="cpu"):
    if str(device).startswith("cuda") and not cuda.is_available():
        raise RuntimeError("Found no NVIDIA driver on your system.")
    height, width = shape if isinstance(shape, tuple) else (1, shape)
    return Tensor([[1.0] * width for _ in range(height)])
'''


def _torch_version_file(version: str, said: str | None, cuda: str | None) -> str:
    # From 2.2 on the real file annotates its names; readers must know both shapes.
    typed = ": Optional[str]" if tuple(map(int, version.split("."))) >= (2, 2, 0) else ""
    head = "from typing import Optional\n\n" if typed else ""
    full = f"{version}+{said}" if said else version
    return f"{head}__version__ = {full!r}\ndebug = False\ncuda{typed} = {cuda!r}\nhip{typed} = None\n"


def _torch_c_file(version: str, cuda: str | None) -> str:
    # A CPU build has no _cuda_getArchFlags at all.
    if cuda is None:
        return "_GLIBCXX_USE_CXX11_ABI = False\n"
    flags = ARCHITECTURES.get((version, cuda), "sm_80 sm_90")
    return f"_GLIBCXX_USE_CXX11_ABI = False\n\n\ndef _cuda_getArchFlags():\n    return {flags!r}\n"


def _wheel_file(tag: str, build: str | None) -> bytes:
    pythons, abis, platforms = (part.split(".") for part in tag.split("-"))
    lines = ["Wheel-Version: 1.0", "Generator: wheel_factory", f"Root-Is-Purelib: {str(platforms == ['any']).lower()}"]
    lines += [f"Tag: {python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms]
    return _lines(lines + ([f"Build: {build}"] if build else []))


def _record(contents: Mapping[str, bytes], own_path: str) -> bytes:
    lines = []
    for path, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")
        lines.append(f"{path},sha256={digest},{len(content)}")
    return _lines([*lines, f"{own_path},,"])


def _zip(target: Path, contents: Mapping[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path, date_time=EPOCH)
            entry.create_system = 3
            executable = ".data/scripts/" in path or path.endswith(".so")
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=1)


def _as_bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8") if isinstance(content, str) else content


def _lines(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8")
