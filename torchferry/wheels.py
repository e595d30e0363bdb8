"""Reads wheels: is each for the target machine, and is torch the build that its variant promises?"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes

from packaging import tags
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from torchferry.errors import IntegrityError
from torchferry.model import Variant, Wheel

GLIBC = (2, 36)
"""glibc of Debian 12, the base that most images stand on."""

TORCH_FAMILY = frozenset({"torch", "torchaudio", "torchvision", "triton", "pytorch-triton"})
"""Packages that move together with torch."""

LEGACY = {(2, 5): "manylinux1", (2, 12): "manylinux2010", (2, 17): "manylinux2014"}
OLDEST = {"x86_64": 5, "aarch64": 17}
"""The first glibc 2.x of each architecture's manylinux tags (PEP 513, PEP 599)."""


@dataclass(frozen=True, kw_only=True)
class TorchBuild:
    """What a torch wheel says about itself.

    ``version`` and its ``local`` part as in METADATA (PyPI's wheels have no local part); ``module_version`` and
    ``cuda`` as in torch/version.py; ``requires`` are its Requires-Dist lines.
    """

    version: str
    local: str | None
    module_version: str
    cuda: str | None
    requires: tuple[str, ...]


def check_tags(wheel: Wheel, variant: Variant, *, glibc: tuple[int, int] = GLIBC) -> None:
    """Raise IntegrityError unless the wheel runs on the variant's Python and architecture, whatever machine builds.

    Plain linux_x86_64 is let through: the PyTorch index names its wheels so, and no public index takes such others.
    """
    try:
        _, _, _, said = parse_wheel_filename(wheel.filename)
    except InvalidWheelFilename as error:
        raise IntegrityError(f"{wheel.filename}: {error}", cure="make the lock anew: inv lock") from error
    if said.isdisjoint(_target_tags(variant, glibc)):
        target = f"Python {variant.python} on {variant.architecture} Linux with glibc {glibc[0]}.{glibc[1]}"
        raise IntegrityError(
            f"{wheel.filename}: is for {', '.join(sorted(map(str, said)))}; {variant.label} is {target}",
            cure=f"require a version of {wheel.name} with a wheel for that, then: inv lock --variant {variant.name}",
        )


def inspect_torch(wheel: zipfile.ZipFile) -> TorchBuild:
    """Read a torch wheel's METADATA and torch/version.py, running nothing of it; IntegrityError if it is none."""
    try:
        info = next(name for name in wheel.namelist() if re.fullmatch(r"torch-[^/]+\.dist-info/METADATA", name))
        metadata = message_from_bytes(wheel.read(info))
        said = _assigned(wheel.read("torch/version.py").decode("utf-8"))
        version = Version(str(metadata["Version"]))
        in_module = Version(str(said["__version__"]))
        return TorchBuild(
            version=str(version), local=version.local, module_version=str(in_module), cuda=said["cuda"],
            requires=tuple(map(str, metadata.get_all("Requires-Dist", []))),
        )
    except (StopIteration, KeyError, ValueError, SyntaxError, zipfile.BadZipFile) as error:
        raise IntegrityError(
            f"{wheel.filename or 'torch'}: not a torch wheel that can be understood: {error!r}",
            cure="fetch it anew, or name another source for torch",
        ) from error


def is_cuda_wheel(name: str) -> bool:
    """Whether a wheel of this normalised name is one of NVIDIA's with CUDA libraries."""
    return name.startswith(("nvidia-", "cuda-"))


def check_torch(build: TorchBuild, variant: Variant, pypi_default: str | None) -> None:
    """Raise IntegrityError, with everything that differs, unless this torch is the variant's own build.

    ``pypi_default`` is the build that PyPI's plain wheel of this release is; only that may lack a local version.
    """
    found = (*_wrong_versions(build, variant, pypi_default), *_wrong_libraries(build, variant))
    if found:
        name = variant.name.upper()
        raise IntegrityError(
            f"torch {build.version} is not the {variant.name} build that {variant.label} promises: {'; '.join(found)}",
            cure=f"name a source that has it: TORCHFERRY_TORCH_INDEX_{name}=URL, or `index:` in the variant's row; "
            f"then: inv lock --variant {variant.name}",
        )


def _wrong_versions(build: TorchBuild, variant: Variant, pypi_default: str | None) -> Iterator[str]:
    in_module = Version(build.module_version)
    if variant.torch is not None and _public(build.version) != _public(variant.torch):
        yield f"its version is {build.version}, wanted {variant.torch}"
    if _public(build.module_version) != _public(build.version):
        yield f"torch/version.py says {build.module_version}, METADATA says {build.version}"
    if build.local is not None and build.local != variant.name:
        yield f"its local version is +{build.local}, wanted +{variant.name}"
    if build.local is None and pypi_default != variant.name:
        yield f"it has no local version, and PyPI's own build of it is {pypi_default or 'not known'}"
    if in_module.local is not None and in_module.local != variant.name:
        yield f"torch/version.py says {build.module_version}, wanted +{variant.name}"
    if build.cuda != variant.cuda:
        yield f"torch/version.py says CUDA {build.cuda}, wanted {variant.cuda}"


def _public(version: str) -> Version:
    return Version(Version(version).public)


def _wrong_libraries(build: TorchBuild, variant: Variant) -> Iterator[str]:
    for line in build.requires:
        try:
            required = Requirement(line)
        except InvalidRequirement:
            yield f"it has a requirement that cannot be understood: {line}"
            continue
        if not is_cuda_wheel(canonicalize_name(required.name)) or not _applies(required, variant):
            continue
        if variant.cuda is None:
            yield f"it requires {line}, wanted no CUDA"
            continue
        suffix = re.search(r"-cu(\d+)$", required.name)
        if suffix and suffix[1] != variant.cuda.partition(".")[0]:
            yield f"it requires {required.name}, wanted CUDA {variant.cuda}"
        elif (pinned := _toolkit_release(required)) not in (None, variant.cuda):
            yield f"it requires {required.name} of CUDA {pinned}, wanted {variant.cuda}"


def _applies(required: Requirement, variant: Variant) -> bool:
    if required.marker is None:
        return True
    return required.marker.evaluate({
        "platform_system": "Linux", "sys_platform": "linux", "os_name": "posix",
        "platform_machine": variant.architecture, "python_version": variant.python,
        "python_full_version": f"{variant.python}.0", "extra": "",
    })


def _toolkit_release(required: Requirement) -> str | None:
    """The CUDA release ('12.1') that a pin on the runtime or the toolkit names; other libraries count differently."""
    if not re.fullmatch(r"nvidia-cuda-runtime(-cu\d+)?|cuda-toolkit", canonicalize_name(required.name)):
        return None
    pins = [pin.version for pin in required.specifier if pin.operator == "=="]
    return ".".join(pins[0].split(".")[:2]) if pins else None


def _assigned(source: str) -> dict[str, str | None]:
    """The names that a Python file binds to text or None, annotated or not."""
    found: dict[str, str | None] = {}
    for line in ast.parse(source).body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        constant = getattr(line, "value", None)
        if isinstance(target, ast.Name) and isinstance(constant, ast.Constant):
            found[target.id] = constant.value if isinstance(constant.value, str) else None
    return found


def _target_tags(variant: Variant, glibc: tuple[int, int]) -> frozenset[tags.Tag]:
    major, minor = map(int, variant.python.split("."))
    interpreter = f"cp{major}{minor}"
    platforms = list(_platforms(variant.architecture, glibc))
    compiled = tags.cpython_tags((major, minor), abis=[interpreter], platforms=platforms)
    pure = tags.compatible_tags((major, minor), interpreter=interpreter, platforms=platforms)
    return frozenset([*compiled, *pure])


def _platforms(architecture: str, glibc: tuple[int, int]) -> Iterator[str]:
    major, newest = glibc
    for minor in range(newest, OLDEST[architecture] - 1, -1):
        yield f"manylinux_{major}_{minor}_{architecture}"
        if (major, minor) in LEGACY:
            yield f"{LEGACY[major, minor]}_{architecture}"
    yield f"linux_{architecture}"
