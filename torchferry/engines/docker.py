"""The docker engine: BuildKit through the docker command line, docker-py for everything else (it has no BuildKit)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from torchferry import console, proc
from torchferry.base import DebianBase
from torchferry.engines.layerdb import LayerDb
from torchferry.errors import BuildError, SourceError, ToolMissing
from torchferry.host import DockerClient, endpoint, find_docker
from torchferry.layout import RECIPE_LABEL
from torchferry.members import Chunks, Readable
from torchferry.model import BuiltImage, Recipe


class DockerEngine:
    """One Docker daemon and the command line client that can build on it."""

    def __init__(self, client: DockerClient, api: docker.DockerClient) -> None:
        self.client = client
        self.api = api

    @classmethod
    def connect(cls) -> DockerEngine:
        """Find a client that can build and a daemon that answers; ToolMissing says which of the two is absent."""
        client = find_docker()
        where = endpoint(client)
        try:
            # docker-py knows DOCKER_HOST and TLS settings; the client's contexts (Docker Desktop) it does not
            named = "DOCKER_HOST" in os.environ
            api = docker.from_env(timeout=600) if named else docker.DockerClient(base_url=where, timeout=600)
            api.ping()
        except (DockerException, OSError) as error:
            raise ToolMissing(
                f"no Docker daemon answers at {where}: {error}",
                cure="start Docker, or run: inv setup",
            ) from error
        return cls(client, api)

    def root(self) -> Path | None:
        """Where the daemon keeps its images, if that place is on this machine."""
        place = Path(str(self.api.info().get("DockerRootDir", "")))
        return place if place.is_absolute() and place.exists() else None

    def architecture(self) -> str:
        """The machine of the daemon's host, as uname spells it."""
        return str(self.api.info().get("Architecture", ""))

    def layer_db(self) -> LayerDb | None:
        """The daemon's own folder, if it is on this machine, ours to read, and of the one kind that is understood."""
        said = self.api.info()
        root = self.root()
        if root is None or said.get("Driver") != "overlay2" or not os.access(root, os.R_OK | os.X_OK):
            return None
        return LayerDb(root=root)

    def find(self, name: str) -> BuiltImage | None:
        """An image of ours by name and tag, or None."""
        try:
            said = cast("dict[str, Any]", self.api.api.inspect_image(name))  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return None
        labels = (said.get("Config") or {}).get("Labels") or {}
        return BuiltImage(
            engine="docker", name=name, image_id=said["Id"], recipe=labels.get(RECIPE_LABEL, ""), size=said["Size"],
            diff_ids=tuple(layer.removeprefix("sha256:") for layer in said["RootFS"].get("Layers") or ()),
        )

    def take_base(self, base: DebianBase) -> None:
        """Import a Debian base once; every image and release on this daemon stands on the same layer."""
        present = self.find(base.reference)
        if present is not None and present.diff_ids == (base.sha256,):
            return
        repository, _, tag = base.reference.partition(":")
        with console.progress(f"import {base.reference}", base.tar.stat().st_size) as step, base.tar.open("rb") as tar:
            self.api.api.import_image_from_data(_counted(tar, step.advance), repository=repository, tag=tag)
        present = self.find(base.reference)
        if present is None or present.diff_ids != (base.sha256,):
            raise BuildError(
                f"{base.reference}: the daemon did not import the layer {base.sha256[:12]}",
                cure="look at the daemon's log; a full disk is the usual cause",
            )

    def resolve_digest(self, image: str) -> str:
        """The digest that a registry gives for an image name today ('sha256:...')."""
        try:
            return str(self.api.images.get_registry_data(image).id)
        except (APIError, DockerException) as error:
            raise SourceError(
                f"base {image}: the registry gave no digest: {error}",
                cure="check the name, `docker login`, the daemon's proxy or registry-mirrors; "
                "or use base: {debian: bookworm}",
            ) from error

    def build(self, recipe: Recipe, *, log: Path) -> BuiltImage:
        """Build a recipe's folder, without network; the whole log goes to a file, its end into the error."""
        name = recipe.variant.image_name
        done = proc.run(
            [
                self.client.path, "build", "--network", "none", "--progress", "plain", "--pull=false",
                "--label", f"{RECIPE_LABEL}={recipe.digest}", "--platform", recipe.variant.platform,
                "--tag", name, str(recipe.folder),
            ],
            env={"DOCKER_BUILDKIT": "1", "DOCKER_CLI_HINTS": "false", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}, log=log,
        )
        if not done.ok:
            raise BuildError(
                f"{name}: docker build failed (status {done.status}), its last lines:\n{done.tail(15)}",
                cure=f"the whole log is in {log}",
            )
        built = self.find(name)
        if built is None or built.recipe != recipe.digest:
            raise BuildError(
                f"{name}: docker build said yes, but the image is not in the daemon's store",
                cure=f"the builder in use may not load its result (a docker-container builder?); log: {log}",
            )
        return built

    def remove(self, name: str) -> int:
        """Remove an image of ours by name and tag; returns the bytes it showed (0 where there was none)."""
        present = self.find(name)
        if present is None or not present.recipe:
            return 0
        self.api.images.remove(name)
        return present.size

    @contextmanager
    def save(self, name: str) -> Iterator[Readable]:
        """The stream of `docker save NAME` as a file to read."""
        chunks = cast("Iterable[bytes]", self.api.api.get_image(name, chunk_size=1 << 20))
        yield Chunks(iter(chunks))

    def load(self, archive: Iterable[bytes]) -> str:
        """Load the bytes of an archive; returns what the daemon said. Whether it worked must be asked by `find`."""
        said = self.api.api.load_image(archive)  # type: ignore[no-untyped-call]
        return "".join(str(line.get("stream") or line.get("error") or "") for line in said)


def _counted(source: io.BufferedReader, passed: Any) -> Iterator[bytes]:
    while block := source.read(1 << 20):
        passed(len(block))
        yield block
