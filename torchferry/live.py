"""The server that we stand on: asks nvidia-smi, the kernel, Docker and the disk, changes nothing, needs no root."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import console, files, proc, smi
from torchferry.errors import ToolMissing
from torchferry.gpus import GpuNames
from torchferry.kernel import ARCHITECTURES, Kernel, completed
from torchferry.server import Server
from torchferry.smi_forms import loaded_module

PATIENCE = 20
"""Seconds that one program may take: nvidia-smi hangs for minutes on a GPU that fell off the bus."""

QUESTIONS = (
    ("nvidia-smi", "-L"),
    ("nvidia-smi", "--query-gpu=index,name,driver_version,compute_cap", "--format=csv"),
    ("nvidia-smi",),
)
"""Asked on their own, since one field that an old nvidia-smi does not know loses the whole answer."""

ENGINES = ("docker", "podman")


@dataclass(frozen=True, kw_only=True)
class Here:
    """What was found on this machine: the server's facts, and sentences about Docker, the toolkit and the disk."""

    server: Server
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What a container engine says of itself: the word it answers to, its version, where it keeps images."""

    word: str
    podman: bool
    version: str
    root: str
    nvidia: bool


def examine(names: GpuNames, *, root: Path = Path("/")) -> Here:
    """Look at this machine; ``root`` is where /proc and /sys lie."""
    said, silent = _asked()
    server = completed(smi.read(said, names), _kernel(root), names)
    return Here(server=server, notes=(*_silence(silent), *_notes(server)))


def _asked() -> tuple[str, bool]:
    """What nvidia-smi says, and whether it stopped answering: one that hangs is not asked again."""
    said = []
    for words in QUESTIONS:
        try:
            done = proc.run(words, timeout=PATIENCE)
        except (ToolMissing, OSError):
            said.append(f"{words[0]}: command not found")
            continue
        said.append(f"{done.stdout}\n{done.stderr}")
        if done.status == proc.TIMED_OUT:
            return "\n\n".join(said), True
    return "\n\n".join(said), False


def _kernel(root: Path) -> Kernel:
    loaded = _text(root / "sys/module/nvidia/version").strip()
    driver = loaded_module(f"{_text(root / 'proc/driver/nvidia/version')}\nNVRM version: {loaded}")
    models = [_model(_text(path)) for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))]
    machine = platform.machine()
    return Kernel(driver=driver, arch=ARCHITECTURES.get(machine, machine) or None, models=tuple(models))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:4096]
    except OSError:
        return ""


def _model(information: str) -> str:
    found = [line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("Model:")]
    return found[0] if found else ""


def _silence(silent: bool) -> Iterator[str]:
    if silent:
        yield (f"nvidia-smi: no answer within {PATIENCE} s, as when a GPU fell off the bus: sudo dmesg | grep -i xid; "
               "a restart of the server often brings it back")


def _notes(server: Server) -> Iterator[str]:
    engine = next((found for word in ENGINES if (found := _engine(word))), None)
    if engine is None:
        yield "docker: no daemon answers this user (systemctl status docker; id)"
    else:
        name = ", podman under that name" if engine.podman and engine.word != "podman" else ""
        gpus = ": its GPUs come with --device nvidia.com/gpu=all" if engine.podman else ""
        yield f"{engine.word}: {engine.version}{name}{gpus}"
    tools = [name for name in ("nvidia-ctk", "nvidia-container-cli", "nvidia-container-runtime") if proc.which(name)]
    runtime = engine is not None and engine.nvidia
    if tools or runtime:
        known = "dockerd has the runtime nvidia" if runtime else "dockerd has no runtime nvidia; --gpus does without"
        yield f"NVIDIA container toolkit: {', '.join(tools) or 'its programs are not on PATH'}; {known}"
    elif server.gpus or server.driver:
        yield ("NVIDIA container toolkit: not found, so --gpus cannot work. Install nvidia-container-toolkit, then "
               "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker")
    place = Path(engine.root if engine and engine.root else "/")
    yield f"disk: {console.size(files.free_bytes(place))} free where {place} lies"


def _engine(word: str) -> Engine | None:
    """What answers to this word; None where nothing does. Some clients exit with 0 though no daemon answered."""
    try:
        said = _document(proc.run([word, "info", "--format", "{{json .}}"], timeout=PATIENCE))
    except (ToolMissing, OSError):
        return None
    if version := said.get("ServerVersion"):
        return Engine(
            word=word, podman=False, version=str(version), root=str(said.get("DockerRootDir") or ""),
            nvidia="nvidia" in str(said.get("Runtimes")),
        )
    version, store = said.get("version"), said.get("store")
    if isinstance(version, dict) and version.get("Version") and isinstance(store, dict):
        root = str(store.get("graphRoot") or "")
        return Engine(word=word, podman=True, version=str(version["Version"]), root=root, nvidia=False)
    return None


def _document(done: proc.Finished) -> Mapping[str, Any]:
    try:
        said = json.loads(done.stdout) if done.ok else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
