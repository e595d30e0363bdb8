"""Nouns as a project would have them, for tests that need one and do not care how it came about."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from torchferry.model import Base, Lock, Release, Service, Variant, Wheel
from torchferry.running import Health, Mount

RELEASE = Release(name="stt", version="1.0.0")

SERVICE = Service(
    name="stt-engine", source="app", requirements="app/requirements.in", command=("python", "-m", "stt_engine"),
    base=Base(debian="bookworm"), port=8003, health=Health(path="/health", expect={"status": "ok"}, within=60),
    env={"STT_DEVICE": "auto"},
    mounts=(Mount(point="/app/models", folder="models"), Mount(point="/app/logs", folder="logs")),
)

PAGE = Service(
    name="page", source="page", requirements="page/requirements.in", command=("python", "-m", "page"),
    base=Base(image="python:3.11-slim-bookworm"),
)

TORCH = {"cu118": "2.1.2", "cu121": "2.1.2", "cu124": "2.6.0", "cpu": "2.1.2"}


def variant(name: str = "cu121", **changes: Any) -> Variant:
    """A variant of the shipped service (or of `page` for 'any'), with changes."""
    service = PAGE if name == "any" else SERVICE
    env = {**service.env, **({"STT_DEVICE": "cpu"} if name == "cpu" else {})}
    plain = Variant(release=RELEASE, service=service, name=name, python="3.11", torch=TORCH.get(name), env=env)
    return replace(plain, **changes)


def wheel(name: str, version: str, tag: str = "py3-none-any") -> Wheel:
    """A wheel whose hash follows from its name."""
    filename = f"{name.replace('-', '_')}-{version}-{tag}.whl"
    digest = hashlib.sha256(filename.encode()).hexdigest()
    return Wheel(name=name, version=version, filename=filename, size=1000 + len(filename), sha256=digest)


def lock(name: str = "cu121") -> Lock:
    """A small lock of the shape that the variant's real one has."""
    linux, plain = "cp311-cp311-linux_x86_64", "cp311-cp311-manylinux1_x86_64"
    torch = {
        "cu118": [wheel("torch", "2.1.2+cu118", linux)],
        "cu121": [wheel("torch", "2.1.2", plain), wheel("triton", "2.1.0", plain),
                  wheel("nvidia-cublas-cu12", "12.1.3.1", "py3-none-manylinux1_x86_64")],
        "cu124": [wheel("torch", "2.6.0", plain), wheel("triton", "3.2.0", plain),
                  wheel("nvidia-cublas-cu12", "12.4.5.8", "py3-none-manylinux2014_x86_64")],
        "cpu": [wheel("torch", "2.1.2+cpu", linux)],
        "any": [],
    }[name]
    rest = [wheel("fastapi", "0.115.0"), wheel("numpy", "1.26.4", "cp311-cp311-manylinux_2_17_x86_64")]
    return Lock(
        fingerprint="f" * 64, wheels=tuple(sorted([*torch, *rest], key=lambda one: one.name)),
        installer=wheel("uv", "0.9.0", "py3-none-manylinux_2_17_x86_64"),
        base_digest="sha256:" + "b" * 64 if name == "any" else None,
    )
