"""Which engine makes an image: direct wherever the recipe allows it, docker where it does not or a person says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torchferry import console, registry
from torchferry.base import DebianBase
from torchferry.engines import Engine
from torchferry.engines.daemon import DaemonEngine
from torchferry.engines.direct import DirectEngine
from torchferry.engines.docker import DockerEngine
from torchferry.errors import BuildError
from torchferry.layout import Layout
from torchferry.model import Lock, Variant


@dataclass(kw_only=True)
class Engines:
    """What a project can build with; ``wanted`` is auto, direct or docker, ``debian`` gives a variant's Debian base."""

    wanted: str
    layout: Layout
    debian: Callable[[Variant], DebianBase]

    @cached_property
    def docker(self) -> DockerEngine:
        """The Docker daemon of this machine; ToolMissing where none answers."""
        found = DockerEngine.connect()
        console.say(f"docker: {found.client.path} ({found.client.version})")
        return found

    @property
    def usual(self) -> str:
        """The engine that builds unless the recipe needs the other."""
        return "docker" if self.wanted == "docker" else "direct"

    def choose(self, variant: Variant, lock: Lock, dockerfile: str) -> Engine:
        """The engine that builds this Dockerfile with these wheels; says so where it is not the usual one.

        Raises BuildError where direct was asked for and cannot, ToolMissing where docker is needed and not there.
        """
        direct = DirectEngine(layout=self.layout, debian=self.debian)
        problem = None if self.wanted == "docker" else direct.refusal(lock, dockerfile)
        if problem and self.wanted == "direct":
            raise BuildError(problem, cure="build it with the docker engine: --engine docker")
        if self.wanted == "docker" or problem:
            if problem:
                console.say(f"{variant.label}: with the docker engine, since {problem}")
            return DaemonEngine(docker=self.docker, layout=self.layout, debian=self.debian)
        return direct

    def digest(self, image: str) -> str:
        """What a registry gives for an image name today: by skopeo where no daemon need be asked."""
        if self.wanted == "direct" or (self.wanted == "auto" and registry.available()):
            return registry.digest(image)
        return self.docker.resolve_digest(image)
