"""The server that we stand on: asks nvidia-smi, the kernel, Docker and the disk, changes nothing, needs no root."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torchferry import console, files, proc, smi
from torchferry.errors import ToolMissing
from torchferry.gpus import GpuNames
from torchferry.server import LINUX, NOT_INSTALLED, TEGRA, Gpu, Server

PATIENCE = 20
"""Seconds that one program may take: nvidia-smi hangs for minutes on a GPU that fell off the bus."""

QUESTIONS = (
    ("nvidia-smi", "-L"),
    ("nvidia-smi", "--query-gpu=index,name,driver_version,compute_cap", "--format=csv"),
    ("nvidia-smi",),
)
"""Asked on their own, since one field that an old nvidia-smi does not know loses the whole answer."""

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, kw_only=True)
class Here:
    """What was found on this machine: the server's facts, and sentences about Docker, the toolkit and the disk."""

    server: Server
    notes: tuple[str, ...]


def examine(names: GpuNames, *, root: Path = Path("/")) -> Here:
    """Look at this machine; ``root`` is where /proc and /sys lie."""
    server = smi.read("\n\n".join(_said(question) for question in QUESTIONS), names)
    server = _with_kernel(server, names, root)
    machine = platform.machine()
    return Here(
        server=replace(server, arch=ARCHITECTURES.get(machine, machine) or None), notes=tuple(_notes(server)),
    )


def _said(words: Sequence[str]) -> str:
    try:
        done = proc.run(words, timeout=PATIENCE)
    except (ToolMissing, OSError):
        return f"{words[0]}: command not found"
    return f"{done.stdout}\n{done.stderr}"


def _with_kernel(server: Server, names: GpuNames, root: Path) -> Server:
    """The loaded kernel module names the driver even where nvidia-smi is missing or does not fit it."""
    module = smi.read(_text(root / "proc/driver/nvidia/version"), names)
    driver = module.driver or smi.read(_text(root / "sys/module/nvidia/version"), names).driver
    if server.driver is not None or driver is None:
        return server
    if server.failure != NOT_INSTALLED:
        return replace(server, driver=driver)
    models = [_model(_text(path)) for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))]
    gpus = tuple(Gpu(index=index, name=name, capability=_capability(name, names)) for index, name in enumerate(models))
    return Server(driver=driver, gpus=gpus, platform=server.platform if server.platform == TEGRA else LINUX)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:4096]
    except OSError:
        return ""


def _model(information: str) -> str:
    found = [line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("Model:")]
    return found[0] if found else ""


def _capability(name: str, names: GpuNames) -> str | None:
    row = names.row(name)
    return row.capability if row else None


def _notes(server: Server) -> Iterator[str]:
    info = _docker_info()
    if info is None:
        yield "docker: no daemon answers this user (systemctl status docker; id)"
    else:
        yield f"docker: {info.get('ServerVersion', 'of unknown version')}{_podman()}"
    tools = [name for name in ("nvidia-ctk", "nvidia-container-cli", "nvidia-container-runtime") if proc.which(name)]
    runtime = "nvidia" in str((info or {}).get("Runtimes"))
    if tools or runtime:
        known = "dockerd has the runtime nvidia" if runtime else "dockerd has no runtime nvidia; --gpus does without"
        yield f"NVIDIA container toolkit: {', '.join(tools) or 'its programs are not on PATH'}; {known}"
    elif server.gpus or server.driver:
        yield ("NVIDIA container toolkit: not found, so --gpus cannot work. Install nvidia-container-toolkit, then "
               "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker")
    place = Path(str((info or {}).get("DockerRootDir") or "/"))
    yield f"disk: {console.size(files.free_bytes(place))} free where {place} lies"


def _docker_info() -> dict[str, object] | None:
    try:
        done = proc.run(["docker", "info", "--format", "{{json .}}"], timeout=PATIENCE)
        said = json.loads(done.stdout) if done.ok else None
    except (ToolMissing, OSError, ValueError):
        return None
    return said if isinstance(said, dict) and said.get("ServerVersion") else None


def _podman() -> str:
    try:
        said = proc.run(["docker", "--version"], timeout=PATIENCE).stdout
    except (ToolMissing, OSError):
        return ""
    return ", podman under that name: its GPUs come with --device nvidia.com/gpu=all" if "podman" in said else ""
