"""Running an image on a Docker daemon without network: one command to its end, or the service itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from torchferry.proc import Finished

LABEL = {"io.torchferry.smoke": "1"}


@dataclass(frozen=True, kw_only=True)
class Service:
    """A started container of an image: the service as it will run, but with no network at all."""

    container: Container

    def running(self) -> bool:
        self.container.reload()
        return bool(self.container.status == "running")

    def execute(self, words: Sequence[str]) -> Finished:
        """Run a command beside the service, as its user."""
        try:
            said = self.container.exec_run(list(words), demux=True)
        except APIError as error:
            return Finished(argv=tuple(words), status=126, stdout="", stderr=str(error.explanation or error))
        out, err = cast("tuple[bytes | None, bytes | None]", said.output)
        return Finished(
            argv=tuple(words), status=int(said.exit_code or 0),
            stdout=(out or b"").decode("utf-8", "replace"), stderr=(err or b"").decode("utf-8", "replace"),
        )

    def stop(self, patience: int) -> float:
        """Send SIGTERM and wait; seconds until it ended. After ``patience`` seconds it is killed."""
        started = time.monotonic()
        self.container.stop(timeout=patience)
        return time.monotonic() - started

    def log(self) -> str:
        """The last lines it wrote."""
        return bytes(self.container.logs(tail=12)).decode("utf-8", "replace")


class Containers:
    """The containers of one daemon; each is removed with its volumes when its block ends."""

    def __init__(self, api: docker.DockerClient) -> None:
        self._api = api

    def run(self, image: str, words: Sequence[str]) -> Finished:
        """Run one command in a fresh container of ``image``, no network, as the image's user."""
        with self._container(image, command=list(words)) as container:
            container.start()
            status = container.wait()["StatusCode"]
            out = bytes(container.logs(stdout=True, stderr=False)).decode("utf-8", "replace")
            err = bytes(container.logs(stdout=False, stderr=True)).decode("utf-8", "replace")
            return Finished(argv=tuple(words), status=status, stdout=out, stderr=err)

    @contextmanager
    def service(self, image: str) -> Iterator[Service]:
        """Start ``image`` with its own command and no network; PID 1 is the service, as it is (no --init)."""
        with self._container(image) as container:
            container.start()
            yield Service(container=container)

    @contextmanager
    def _container(self, image: str, **settings: Any) -> Iterator[Container]:
        container = self._api.containers.create(
            image, network_mode="none", labels=LABEL, log_config=LogConfig(type=LogConfig.types.JSON), **settings
        )
        try:
            yield container
        finally:
            with suppress(NotFound):
                container.remove(force=True, v=True)
