"""The `docker run` line of an image, as a person types it on the server."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from torchferry.model import Service, Variant

SERVER_FOLDER = "/data"
"""Where the folders of a service's mounts lie on the server, unless it is told otherwise."""

ALL = "all"


def devices(indexes: Sequence[int]) -> str:
    """What --gpus takes for some GPUs: Docker wants its own quotes around a list with commas."""
    return f'"device={",".join(map(str, indexes))}"'


def docker_run(variant: Variant, *, gpus: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Start the service of a variant; ``gpus`` as --gpus takes it (None: on the CPU), ``env`` before what it has."""
    service = variant.service
    words = ["docker", "run", "-d", "--name", service.name, "--init"]
    words += ["--gpus", gpus] if gpus else []
    words += ["-p", f"{service.port}:{service.port}"] if service.port else []
    for mount in service.mounts:
        words += ["-v", f"{SERVER_FOLDER}/{mount.folder}:{mount.point}{':ro' if mount.read_only else ''}"]
    for name, value in (env or {}).items():
        words += ["-e", f"{name}={value}"]
    return shlex.join([*words, variant.image_name])


def cpu_switch(service: Service, variants: Sequence[Variant]) -> dict[str, str]:
    """The environment that sends a service to the CPU: what its cpu row sets and the others do not."""
    for variant in variants:
        if variant.service.name == service.name and variant.name == "cpu":
            return {name: value for name, value in variant.env.items() if service.env.get(name) != value}
    return {}


def on_cpu(variant: Variant, variants: Sequence[Variant]) -> str:
    """Start any image of a service on the CPU."""
    return docker_run(variant, env={} if variant.name == "cpu" else cpu_switch(variant.service, variants))
