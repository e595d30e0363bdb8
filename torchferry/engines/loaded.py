"""Running an image of the blob store on a Docker daemon: loaded under a name of its own, gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from torchferry import archive, console, files
from torchferry.blobs import BlobStore
from torchferry.engines.containers import Containers, Service
from torchferry.engines.docker import DockerEngine
from torchferry.errors import SmokeError
from torchferry.model import Image
from torchferry.proc import Finished


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The containers of one loaded image, whatever name they are asked for."""

    name: str
    containers: Containers

    def run(self, image: str, words: Sequence[str]) -> Finished:
        """Run one command in a fresh container."""
        return self.containers.run(self.name, words)

    def service(self, image: str) -> AbstractContextManager[Service]:
        """Start the image with its own command."""
        return self.containers.service(self.name)


@contextmanager
def loaded(image: Image, store: BlobStore, docker: DockerEngine) -> Iterator[Loaded]:
    """Load an image from the store for as long as the block lasts; the daemon's other images stay as they are.

    Raises SmokeError where the daemon does not have it afterwards, whatever it said, and DiskFull.
    """
    name = f"torchferry-smoke:{image.config_digest[:32]}"
    root = docker.root()
    if root is not None:
        files.require_space(root, 2 * image.size, what=f"{image.name}, loaded for its smoke test")
    renamed = replace(image, name=name)
    try:
        with console.progress(f"load {image.name} for its smoke test", archive.packed_size(renamed, store)) as step:
            said = docker.load(archive.stream(renamed, store, passed=step.advance))
        found = docker.find(name)
        if found is None or found.diff_ids != tuple(layer.diff_id for layer in image.layers):
            raise SmokeError(
                f"{image.name}: the daemon did not load it: {said.strip()[-300:]}",
                cure="look at the daemon's log; a full disk is the usual cause",
            )
        yield Loaded(name=name, containers=Containers(docker.api))
    finally:
        docker.remove(name)
