"""A variants.yaml in which every key is used, and the two outcomes of parsing one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from torchferry.errors import ConfigError
from torchferry.model import Project
from torchferry.variants import parse

ROOT = Path("/project")

FULL: dict[str, Any] = {
    "release": {"name": "stt", "version": "1.0.0"},
    "python": "3.11",
    "base": {"debian": "bookworm", "packages": ["libsndfile1"]},
    "compression": "small",
    "platforms": ["linux/arm64"],
    "services": {
        "engine": {
            "source": "app",
            "requirements": "app/requirements.in",
            "command": ["python", "-m", "engine"],
            "port": 8003,
            "health": {"path": "/health", "expect": {"status": "ok"}, "within": "2m"},
            "env": {"DEVICE": "auto", "WORKERS": 2},
            "mounts": {"/app/models": "models"},
            "include": ["assets/words.txt"],
            "sdists": ["openai-whisper"],
            "smoke": [["python", "-c", "import engine"]],
            "variants": {
                "cu121": {"torch": "2.1.2", "index": "https://download.pytorch.org/whl/cu121"},
                "cpu": {"torch": "2.1.2", "env": {"DEVICE": "cpu"}},
            },
        },
        "web": {
            "source": "web",
            "requirements": "web/requirements.in",
            "command": ["python", "-m", "web"],
            "base": {"image": "python:3.11-slim-bookworm"},
        },
    },
}


def replaced(path: tuple[str | int, ...], value: Any) -> str:
    """FULL as text (JSON is YAML) with the value at ``path`` replaced."""
    document = copy.deepcopy(FULL)
    inner: Any = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(document)


def without(*path: str) -> str:
    """FULL as text without the key at ``path``."""
    document = copy.deepcopy(FULL)
    inner: Any = document
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return json.dumps(document)


def parsed(text: str) -> Project:
    """The project of a text, in a folder where every path exists."""
    return parse(text, file="variants.yaml", root=ROOT, exists=bool)


def problems(text: str) -> list[str]:
    """The lines of the refusal of a text."""
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value.message.splitlines()
