"""The config of an image, as the declarative instructions of a Dockerfile change it (OCI image spec, config.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torchferry.model import Layer

CREATED = "1980-01-02T00:00:00Z"
"""The time of every file in a layer, and of the image: the true one would make equal images differ."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What BuildKit gives to a base without a PATH."""

_VENV = re.compile(r"\buv venv\b")
_OURS = re.compile(r"\buv (venv|pip install)\b|\bprepare\.py\b")
"""Our own RUN lines, as either engine writes them into an image's history."""

_NAMES = (
    ("FROM ", "base"), ("uv venv", "environment"), ("uv pip install", "wheels"), ("prepare.py", "folders, bytecode"),
    ("health.py", "health check"), ("WORKDIR", "folder"), ("COPY app/", "your files"),
)
"""What made a layer, by a sign in its line of history."""


@dataclass(frozen=True, kw_only=True)
class History:
    """One line of an image's history: the instruction, and whether it made no layer."""

    by: str
    empty: bool


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """What a container of the image starts with; ``rest`` is what the base says and no instruction of ours touches."""

    architecture: str
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    health: Mapping[str, Any] | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[History, ...] = ()

    def done(self, by: str, *, layer: bool = False, **changes: Any) -> ImageConfig:
        """The config after one more instruction."""
        return replace(self, history=(*self.history, History(by=by, empty=not layer)), **changes)

    def document(self, layers: Sequence[Layer]) -> bytes:
        """The bytes of the config of an image with these layers: sorted, compact, the same everywhere."""
        said: dict[str, Any] = {
            **self.rest,
            "Env": [f"{key}={value}" for key, value in self.env.items()],
            "Labels": dict(self.labels), "User": self.user, "WorkingDir": self.workdir,
            "Cmd": _words(self.command), "Entrypoint": _words(self.entrypoint),
            "ExposedPorts": {port: {} for port in self.ports}, "Volumes": {path: {} for path in self.volumes},
            "Healthcheck": self.health,
        }
        document = {
            "architecture": self.architecture, "os": "linux", "created": CREATED,
            "config": {key: value for key, value in said.items() if value not in (None, "", {}, [])},
            "history": [
                {"created": CREATED, "created_by": line.by, **({"empty_layer": True} if line.empty else {})}
                for line in self.history
            ],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in layers]},
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def of_debian(architecture: str, name: str) -> ImageConfig:
    """The config of a base that is one layer and says nothing."""
    return ImageConfig(architecture=architecture, history=(History(by=f"FROM {name}", empty=False),))


def of_base(document: Mapping[str, Any], name: str, layers: int) -> ImageConfig:
    """The config of a base from a registry; one line of history for each of its layers."""
    said = dict(document.get("config") or {})
    taken = {key: said.pop(key, None) for key in (
        "Env", "Labels", "User", "WorkingDir", "Cmd", "Entrypoint", "ExposedPorts", "Volumes", "Healthcheck")}
    return ImageConfig(
        architecture=str(document["architecture"]),
        env=dict(_pair(line) for line in taken["Env"] or ()),
        labels=dict(taken["Labels"] or {}), user=str(taken["User"] or ""), workdir=str(taken["WorkingDir"] or ""),
        command=_tuple(taken["Cmd"]), entrypoint=_tuple(taken["Entrypoint"]),
        ports=tuple(taken["ExposedPorts"] or ()), volumes=tuple(taken["Volumes"] or ()), health=taken["Healthcheck"],
        rest=said, history=tuple(History(by=f"FROM {name}", empty=False) for _ in range(layers)),
    )


def system_layers(config: bytes) -> tuple[int, ...]:
    """Which layers of an image may hold packages of its distribution, counted from below.

    Those of the base, and those of RUN lines that are none of torchferry's; all where the history does not tell.
    """
    said = json.loads(config)
    made = [str(line.get("created_by", "")) for line in said.get("history", []) if not line.get("empty_layer")]
    count = len(said["rootfs"]["diff_ids"])
    begun = next((place for place in reversed(range(len(made))) if _VENV.search(made[place])), None)
    if begun is None or len(made) != count:
        return tuple(range(count))
    later = (place for place in range(begun, count) if made[place].startswith("RUN") and not _OURS.search(made[place]))
    return (*range(begun), *later)


def layer_names(config: bytes) -> tuple[str, ...]:
    """What made each layer of an image, for people, lowest first; its number where the history does not tell."""
    said = json.loads(config)
    made = [str(line.get("created_by", "")) for line in said.get("history", []) if not line.get("empty_layer")]
    count = len(said["rootfs"]["diff_ids"])
    if len(made) != count:
        return tuple(f"layer {number + 1}" for number in range(count))
    return tuple(next((name for sign, name in _NAMES if sign in line), line[:40]) for line in made)


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key, value


def _tuple(words: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


def _words(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)
