"""Variant and Lock to Dockerfile text: data goes in quoted, and comes out of `dockerfile.parse` as it went in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from torchferry import dockerfile
from torchferry.compat import Compat
from torchferry.model import UID, VENV, Lock, Variant, Wheel
from torchferry.running import Health
from torchferry.wheels import TORCH_FAMILY, is_cuda_wheel
from torchferry.wording import size

OFFLINE_ENV = {
    "PATH": f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "VIRTUAL_ENV": str(VENV),
    "HOME": "/tmp",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # The server has no internet: a library that asks a hub at run time must fail at once, not after a time-out.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}
"""What every image sets; a service's own env stands above it."""

VENV_COMMAND = (
    "/mnt/uv", "venv", "--quiet", "--no-cache", "--no-config", "--offline", "--python-preference", "only-system",
)
"""How the environment is made; --python and the place follow."""

INSTALL = (
    "/mnt/uv", "pip", "install", "--no-config", "--offline", "--no-cache", "--no-installer-metadata",
    "--python", f"{VENV}/bin/python", "--no-index", "--find-links", "/media", "--no-deps", "--require-hashes",
    "--requirements", "/media/requirements.txt",
)
"""How it is filled from the wheels that are mounted at /media."""

PREPARE = (f"{VENV}/bin/python", "-I", "-S", "-B", "/mnt/prepare.py")
"""How the service's user is made; the UID and its folders follow."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Wheels that become one layer; groups stand in the order in which they change, rarest first."""

    name: str
    title: str
    wheels: tuple[Wheel, ...]

    @property
    def requirements(self) -> str:
        """The group as hashed requirements, for an installer without index."""
        return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in self.wheels)


def groups(lock: Lock) -> tuple[Group, ...]:
    """The layers of a lock: CUDA libraries, torch, everything else; empty ones left out."""
    cuda = tuple(wheel for wheel in lock.wheels if is_cuda_wheel(wheel.name))
    torch = tuple(wheel for wheel in lock.wheels if wheel.name in TORCH_FAMILY)
    rest = tuple(wheel for wheel in lock.wheels if wheel not in cuda and wheel not in torch)
    made = (
        Group(name="cuda", title="CUDA libraries: they change with torch's CUDA build only.", wheels=cuda),
        Group(name="torch", title="torch and what is released with it.", wheels=torch),
        Group(name="packages", title="All other packages.", wheels=rest),
    )
    return tuple(group for group in made if group.wheels)


def environment(variant: Variant, compat: Compat, *, cuda_folders: Sequence[str] = ()) -> dict[str, str]:
    """The image's environment: ours, NVIDIA's where torch has CUDA, then the service's own.

    ``cuda_folders`` are folders below site-packages on which everybody finds CUDA's libraries.
    """
    env = dict(OFFLINE_ENV)
    if cuda_folders:
        site = VENV / f"lib/python{variant.python}/site-packages"
        env["LD_LIBRARY_PATH"] = ":".join(str(site / folder) for folder in cuda_folders)
    if variant.cuda:
        # python:slim and Debian set none of these, and the container toolkit's defaults hide libcuda or the GPU.
        env["NVIDIA_VISIBLE_DEVICES"] = "all"
        env["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
        env["NVIDIA_REQUIRE_CUDA"] = compat.cuda(variant.cuda).require_cuda
    return {**env, **variant.env}


def warnings(variant: Variant) -> tuple[str, ...]:
    """What a service asks of its image that usually goes wrong."""
    if "LD_LIBRARY_PATH" not in variant.env:
        return ()
    return (f"{variant.label} sets LD_LIBRARY_PATH: torch finds the CUDA libraries of its wheels by RPATH without it, "
            "and with it those of another folder are found first",)


def labels(variant: Variant, lock: Lock, compat: Compat, *, base: str, revision: str | None) -> dict[str, str]:
    """OCI labels, from the lock alone: a name typed by hand ends up telling an older truth."""
    said = {
        "org.opencontainers.image.title": variant.service.name,
        "org.opencontainers.image.version": variant.release.version,
        "org.opencontainers.image.base.name": base,
        "io.torchferry.variant": variant.name,
        "io.torchferry.lock": lock.digest,
    }
    if revision:
        said["org.opencontainers.image.revision"] = revision
    torch = lock.version("torch")
    if torch:
        said["io.torchferry.torch"] = torch
        said["io.torchferry.cuda"] = variant.cuda or "none"
    if variant.cuda:
        said["io.torchferry.driver-floor"] = compat.cuda(variant.cuda).floor
    return said


def health_command(health: Health, port: int) -> list[str]:
    """The words that ask a running service how it is."""
    expect = json.dumps(health.expect, ensure_ascii=True, sort_keys=True)
    url = f"http://127.0.0.1:{port}{health.path}"
    return [f"{VENV}/bin/python", "-I", "-S", "/opt/torchferry/health.py", url, expect]


def dockerfile_text(
    variant: Variant, lock: Lock, compat: Compat, *, templates: Path, base: str, said: Mapping[str, str],
    cuda_folders: Sequence[str] = (),
) -> str:
    """The Dockerfile of one variant; ``base`` is the FROM reference, ``said`` the labels."""
    engine = _engine(templates)
    engine.globals.update(quote=dockerfile.quote, json=dockerfile.json_form, run=_run)
    engine.globals.update(venv=list(VENV_COMMAND), install=list(INSTALL), prepare=list(PREPARE))
    service = variant.service
    health = None
    if service.health and service.port:
        health = {"within": service.health.within, "command": health_command(service.health, service.port)}
    text = engine.get_template("Dockerfile.j2").render(
        title=f"{service.name} {variant.release.version} {variant.name}",
        image=variant.image_name,
        base=base,
        python=variant.python,
        uid=str(UID),
        tools="tools",
        groups=groups(lock),
        env=list(environment(variant, compat, cuda_folders=cuda_folders).items()),
        on_path=bool(cuda_folders),
        volumes=sorted(mount.point for mount in service.mounts),
        port=service.port,
        health=health,
        command=list(service.command),
        labels=list(said.items()),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def page(templates: Path, name: str, **values: object) -> str:
    """An HTML page: whatever goes in is escaped; filters tell sizes, and what a content security policy lets run."""
    engine = _engine(templates, autoescape=True)
    engine.filters.update(size=size, policy_hash=_policy_hash)
    return engine.get_template(name).render(**values)


def _policy_hash(text: str) -> str:
    """The source expression for one inline script or style, which is then the only one that a browser takes."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}"


def script_text(templates: Path, values: Mapping[str, object]) -> str:
    """ferry.sh from its template; every value goes in through `shell`, which quotes it."""
    engine = _engine(templates)
    engine.filters["shell"] = shlex.quote
    return engine.get_template("ferry.sh.j2").render(**values)


def _engine(templates: Path, *, autoescape: bool = False) -> Environment:
    return Environment(
        loader=FileSystemLoader(templates), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=autoescape,
    )


def _run(words: list[str], tools: str, wheels: str | None = None) -> str:
    """A RUN in exec form. /mnt and /media exist in every base (FHS), so the mounts leave no folder behind."""
    mounts = [f"--mount=type=bind,source={tools},target=/mnt"]
    if wheels:
        mounts.append(f"--mount=type=bind,source={wheels},target=/media")
    return " \\\n    ".join([f"RUN {mounts[0]}", *mounts[1:], dockerfile.json_form(words)])
