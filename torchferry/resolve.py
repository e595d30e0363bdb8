"""Variant to Lock: one resolution of the whole image by `uv pip compile`, for the target, on whatever machine builds.

Where torch comes from is decided here, before uv is asked, and never falls back to another CUDA build.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv

from torchferry import files, index, lockfile, proc, wheels
from torchferry.compat import Compat
from torchferry.errors import LockError, SourceError
from torchferry.index import Sources
from torchferry.model import BuiltWheel, Lock, Variant, Wheel

GLIBC = {"bullseye": (2, 31), "bookworm": (2, 36), "trixie": (2, 41)}
"""glibc of Debian's suites; a registry image is taken to have 2.28 (RHEL 8), the least that torch >= 2.7 needs."""

TORCH_INDEX_PACKAGES = ("torch", "torchaudio", "torchvision")
"""What carries a CUDA build in its local version and must come from the same index as torch."""


@dataclass(frozen=True, kw_only=True)
class TorchSource:
    """Where this variant's torch comes from: the exact pin, and the only index it may come from (None: find-links)."""

    pin: str
    index: str | None
    said: str


def glibc(variant: Variant) -> tuple[int, int]:
    """The glibc that the variant's base brings: what manylinux tags are measured against. The host's never matters."""
    return GLIBC.get(variant.service.base.debian or "", (2, 28))


NEWEST_UV_GLIBC = (2, 40)
"""The newest manylinux platform that uv has a name for; a base with a newer glibc takes those wheels all the same."""


def uv_target(variant: Variant) -> tuple[str, ...]:
    """The words that make uv resolve for the image's Python and platform, whatever machine asks."""
    major, minor = min(glibc(variant), NEWEST_UV_GLIBC)
    platform = f"{variant.architecture}-manylinux_{major}_{minor}"
    # uv wants some interpreter to run at all; the one that runs us is there, what PATH has may be none.
    return ("--python", sys.executable, "--python-version", variant.python, "--python-platform", platform)


def torch_source(variant: Variant, sources: Sources, compat: Compat) -> TorchSource | None:
    """Decide the source of torch; None for a variant without torch.

    A find-links folder that holds the very build comes first, then PyPI where its default build is this
    variant's (compat.yaml) and nobody named another index, else the PyTorch index of the variant.
    """
    if variant.torch is None:
        return None
    built = f"{variant.torch}+{variant.name}"
    if any(any(folder.glob(f"torch-{built}-*.whl")) for folder in sources.folders):
        return TorchSource(pin=f"torch=={built}", index=None, said="a find-links folder")
    on_pypi = compat.pypi_build(variant.torch, variant.architecture) == variant.name
    if on_pypi and not sources.torch_index_is_chosen:
        return TorchSource(pin=f"torch=={variant.torch}", index=sources.default_index, said="the default index")
    return TorchSource(pin=f"torch=={built}", index=sources.torch_index, said=str(sources.torch_index))


def resolve(
    variant: Variant, *, sources: Sources, compat: Compat, requirements: str, asked: str,
    previous: str | None, base_digest: str | None, built: tuple[tuple[BuiltWheel, Path], ...] = (),
) -> Lock:
    """Lock one variant: every wheel of the image, the torch wheel looked into, every tag checked.

    ``requirements`` is the text that was fingerprinted as ``asked``; ``previous`` the text of a lock whose pins
    are kept where they still fit; ``built`` are wheels made from source distributions.
    Raises LockError (no resolution), SourceError (no answer), IntegrityError (another CUDA build, a foreign platform).
    """
    source = torch_source(variant, sources, compat)
    with tempfile.TemporaryDirectory(prefix="torchferry-lock-") as folder:
        work = Path(folder)
        files.write_text(work / "requirements.in", requirements)
        bounds = [_exactly(line, source) for line in compat.constraints(variant)]
        files.write_text(work / "constraints.txt", "\n".join([*bounds, ""]))
        files.write_text(work / "pyproject.toml", _pyproject(variant, source, sources, requirements))
        if previous is not None:
            files.write_text(work / "pylock.toml", previous)
        links = [link for _, path in built for link in ("--find-links", str(path.parent))]
        packages = _compile(
            ["pyproject.toml", "requirements.in", "--constraints", "constraints.txt", *links],
            variant=variant, sources=sources, source=source, work=work,
        )
        locked = tuple(_locked(package, sources) for package in packages)
    for wheel in locked:
        wheels.check_tags(wheel, variant, glibc=glibc(variant))
    if source is not None:
        _check_family(locked, variant, source)
        torch = next(package for package in packages if package["name"] == "torch")
        _look_into_torch(str(torch["wheels"][0].get("url") or torch["wheels"][0].get("path")), variant, compat, sources)
    return Lock(
        fingerprint=asked, wheels=tuple(sorted(locked, key=lambda wheel: wheel.name)),
        installer=installer(variant, sources), base_digest=base_digest, built=tuple(row for row, _ in built),
    )


def installer(variant: Variant, sources: Sources) -> Wheel:
    """The uv wheel that installs inside the image: the version that runs here, built for the target."""
    version = proc.run([uv.find_uv_bin(), "--version"]).stdout.split()[1]
    with tempfile.TemporaryDirectory(prefix="torchferry-uv-") as folder:
        work = Path(folder)
        files.write_text(work / "uv.in", f"uv=={version}\n")
        (package,) = _compile(["uv.in"], variant=variant, sources=sources, source=None, work=work)
    return _locked(package, sources)


def expand_requirements(path: Path, root: Path) -> str:
    """A requirements file with what it includes (-r) written in its place: one text, one fingerprint.

    Raises LockError for an include that leaves the project, is missing, or runs in a circle, and for other options:
    where wheels come from is the environment's to say, and what is required stands in one text.
    """
    return _expand(path, root.resolve(), ())


def _expand(path: Path, root: Path, seen: tuple[Path, ...]) -> str:
    here = path.resolve()
    if here in seen or not here.is_relative_to(root) or not here.is_file():
        reason = "includes itself" if here in seen else "is missing, or lies outside the project"
        raise LockError(f"{path}: {reason}", cure="mend the -r line, or copy the file into the project")
    lines = []
    for line in here.read_text(encoding="utf-8").splitlines():
        include = re.match(r"\s*(?:-r|--requirement)[ =]?\s*(\S+)", line)
        option = re.match(r"\s*(--?(?!hash)[a-zA-Z][\w-]*)", line)
        if option and not include:
            raise LockError(
                f"{path}: the option {option[1]} is not taken here",
                cure="write bounds as requirements; name indexes and folders in the environment (README, mirrors)",
            )
        lines.append(_expand(here.parent / include[1], root, (*seen, here)) if include else line)
    return "\n".join(lines).strip() + "\n"


def _exactly(pin: str, source: TorchSource | None) -> str:
    """A pin that, beside a plain torch, takes no other build: == also takes 2.1.2+cu118, where a folder has one."""
    return pin if source is None or "+" in source.pin else pin.replace("==", "===")


def _pyproject(variant: Variant, source: TorchSource | None, sources: Sources, requirements: str) -> str:
    lines = ["[project]", 'name = "image"', 'version = "0"', f'requires-python = "=={variant.python}.*"']
    # uv gives a source only to a project's own dependencies, not to what a requirements file says.
    family = re.findall(r"(?im)^\s*(torch(?:audio|vision)(?![\w.-])[^#\n]*?)\s*(?:\\|[#\n]|\s--|$)", requirements)
    lines.append(f"dependencies = {json.dumps([_exactly(source.pin, source), *family] if source else [])}")
    if source is not None and source.index is not None and source.index != sources.default_index:
        # explicit: nothing but torch's family may come from there; it carries old copies of many PyPI packages
        lines += ["[tool.uv.sources]", *(f'{name} = {{ index = "torch" }}' for name in TORCH_INDEX_PACKAGES)]
        lines += ["[[tool.uv.index]]", 'name = "torch"', f"url = {json.dumps(source.index)}", "explicit = true"]
    return "\n".join(lines) + "\n"


def ask_uv(words: Sequence[str], sources: Sources, work: Path) -> proc.Finished:
    """Run `uv pip compile` in ``work``; its answer is then pylock.toml there."""
    # uv runs in a folder of its own; a path that a person wrote is meant from where they stand
    places = [link if "://" in link else str(Path(link).absolute()) for link in sources.find_links]
    links = [word for place in places for word in ("--find-links", place)]
    return proc.run(
        [
            uv.find_uv_bin(), "pip", "compile", *words, *links, "--default-index", sources.default_index, "--quiet",
            "--no-header", "--format", "pylock.toml", "--output-file", "pylock.toml",
        ],
        # an index that only uv knows could not be asked by fetch, and may win over the one that was chosen
        cwd=work, env={"UV_INDEX": "", "UV_EXTRA_INDEX_URL": "", "UV_FIND_LINKS": ""},
    )


def _compile(
    words: Sequence[str], *, variant: Variant, sources: Sources, source: TorchSource | None, work: Path
) -> tuple[dict[str, Any], ...]:
    """Ask uv for wheels that fit the target; the answer's packages, or LockError/SourceError in uv's own words."""
    answer = ask_uv([*words, "--only-binary", ":all:", *uv_target(variant)], sources, work)
    if not answer.ok:
        raise _refusal(answer.stderr, variant, source)
    return lockfile.parse_resolution((work / "pylock.toml").read_text(encoding="utf-8"))


def _refusal(said: str, variant: Variant, source: TorchSource | None) -> LockError | SourceError:
    """Tell 'no answer' from 'no solution': uv names the requests that failed."""
    said = said.strip().removeprefix("error: ")
    line = " ".join(said.split())  # uv breaks its lines where COLUMNS says so
    wanted = f"{variant.label}: wanted {source.pin} from {source.said}" if source else variant.label
    mirror = f"TORCHFERRY_TORCH_INDEX_{variant.name.upper()}=URL, or `index:` in the variant's row"
    if re.search(r"(?i)failed to fetch|request failed|error sending request|client error", line):
        return SourceError(
            f"{wanted}; a source did not answer:\n{said}",
            cure=f"check the network and proxy, or name a mirror: {mirror} for torch, "
            "UV_DEFAULT_INDEX=URL for the rest",
        )
    if re.search("no usable wheels|no wheels with a matching|building from source is disabled", line):
        return LockError(
            f"{wanted}: a package has no wheel for Python {variant.python} on {variant.architecture} Linux:\n{said}",
            cure="choose a version with a wheel, or allow a pure Python build once: sdists: [NAME] in the service",
        )
    if source and re.search(rf"(?<![\w.-])torch was not found|no version of {re.escape(source.pin)}(?![\w.+])", line):
        return SourceError(
            f"{wanted}, which is not there:\n{said}",
            cure=f"name a source that has it: {mirror}, or a folder in UV_FIND_LINKS",
        )
    return LockError(
        f"{wanted}: no set of versions fits together:\n{said}",
        cure="loosen or remove the requirement named above; every package of an image shares one torch",
    )


def _locked(package: dict[str, Any], sources: Sources) -> Wheel:
    rows = package.get("wheels")
    if not isinstance(rows, list) or not rows:
        raise LockError(
            f"{package['name']} {package.get('version', '')}: the resolver found no wheel, only another form",
            cure="require a release that has wheels; URLs, folders and git links cannot be locked by hash",
        )
    row = rows[0]
    if not row.get("size") or not row.get("hashes", {}).get("sha256"):
        row = {**row, **index.size_and_hash(str(row.get("url") or row.get("path")), row.get("hashes", {}), sources)}
    return lockfile.parse_wheel(package, row)


def _check_family(locked: Sequence[Wheel], variant: Variant, source: TorchSource) -> None:
    """torchaudio and torchvision must be of torch's own build: from PyPI beside a +cu118 torch they crash at import."""
    wanted = source.pin.partition("+")[2]
    for wheel in locked:
        if wheel.name in TORCH_INDEX_PACKAGES and wheel.version.partition("+")[2] != wanted:
            raise LockError(
                f"{variant.label}: {wheel.filename} is not a {wanted or 'plain'} build like torch",
                cure=f"add {wheel.name} to {variant.service.requirements}, so that it comes from torch's own source",
            )


def _look_into_torch(url: str, variant: Variant, compat: Compat, sources: Sources) -> None:
    """Read the torch wheel where it lies, before gigabytes move; where that cannot be, fetch will."""
    assert variant.torch is not None
    with index.open_wheel(url, sources) as wheel_file:
        if wheel_file is not None:
            build = wheels.inspect_torch(wheel_file)
            wheels.check_torch(build, variant, compat.pypi_build(variant.torch, variant.architecture))
