"""The engines that a site may have, each to be started by its kind; all are left as one finds them.

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_loads(kind: str) -> None:
        if reason := unavailable(kind):
            pytest.skip(reason)
        with start(kind) as engine:
            subprocess.run([engine.command, "load", "-i", archive], env={**os.environ, **engine.env}, check=True)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from support import debian_programs, enclave, gpu_stand_in
from support.daemon import PrivateDaemon, Setting
from support.debian_programs import ProgramsAbsent, ProgramSet
from support.podman import PrivatePodman


class Engine(Protocol):
    """What the tests know of every engine."""

    kind: str

    @property
    def command(self) -> str:
        """The program to call, with ``env``: docker, or podman where nothing answers to docker."""

    @property
    def env(self) -> dict[str, str]:
        """What to add to the environment of a client."""

    @property
    def root(self) -> Path:
        """Where its images and containers are."""

    @property
    def pid(self) -> int:
        """dockerd's process; with podman, the one that keeps its network and mounts."""

    def inside(self, *argv: str) -> list[str]:
        """A command line that runs in its network: there its published ports are on localhost."""

    def version(self) -> str:
        """The engine's version, as it says it."""

    def restart(self) -> None:
        """End what runs, unless a test already did, and start it anew on the same disk; with podman, nothing runs."""


@dataclass(frozen=True, kw_only=True)
class _Docker:
    programs: ProgramSet
    version: str
    containerd_store: bool = False


@dataclass(frozen=True, kw_only=True)
class _Podman:
    programs: ProgramSet
    version: str
    as_docker: bool = False


_ROWS: dict[str, _Docker | _Podman] = {
    "docker-20.10-classic": _Docker(programs=debian_programs.DOCKER_20, version="20.10."),
    "docker-26-classic": _Docker(programs=debian_programs.DOCKER_26, version="26."),
    "docker-26-containerd": _Docker(programs=debian_programs.DOCKER_26, version="26.", containerd_store=True),
    "docker-28-classic": _Docker(programs=debian_programs.DOCKER_28, version="28."),
    "docker-28-containerd": _Docker(programs=debian_programs.DOCKER_28, version="28.", containerd_store=True),
    "podman-4": _Podman(programs=debian_programs.PODMAN_4, version="4."),
    "podman-4-as-docker": _Podman(programs=debian_programs.PODMAN_4, version="4.", as_docker=True),
    "podman-5": _Podman(programs=debian_programs.PODMAN_5, version="5."),
}
KINDS = tuple(_ROWS)
DOCKERS = tuple(kind for kind, row in _ROWS.items() if isinstance(row, _Docker))
PODMANS = tuple(kind for kind, row in _ROWS.items() if isinstance(row, _Podman))


@cache
def unavailable(kind: str) -> str | None:
    """Why this machine cannot have an engine of this kind, or None where it can; its programs are fetched for this."""
    row = _ROWS[kind]
    reason = enclave.unavailable()
    if reason:
        return reason
    if Path("/lib").resolve() != Path("/usr/lib"):
        return f"{kind}: another /usr can stand in for this machine's only where /bin and /lib are links into it"
    try:
        debian_programs.unpacked(row.programs)
    except ProgramsAbsent as error:
        return f"{kind}: {error}"
    if not row.programs.version().startswith(row.version):
        return f"{kind}: Debian {row.programs.release} has {row.programs.packages[0]} {row.programs.version()} now"
    return None


@contextmanager
def start(kind: str, *, gpu: bool = False, disk_mb: int | None = None) -> Iterator[Engine]:
    """An engine of this kind, alive inside the block.

    ``gpu`` adds a stand-in for NVIDIA's toolkit, so that a GPU may be asked for; ``disk_mb`` is the size of the disk
    on which it keeps images and containers. Raises RuntimeError where it is `unavailable`.
    """
    reason = unavailable(kind)
    if reason:
        raise RuntimeError(reason)
    row = _ROWS[kind]
    programs = debian_programs.unpacked(row.programs)
    with tempfile.TemporaryDirectory(prefix="ferry-toolkit-") as folder:
        if isinstance(row, _Docker):
            hook = gpu_stand_in.write_hook(Path(folder) / "bin") if gpu else None
            with PrivateDaemon(kind=kind, setting=Setting(
                programs=programs, containerd_store=row.containerd_store, first_on_path=hook, disk_mb=disk_mb,
            )) as daemon:
                yield daemon
        else:
            with PrivatePodman(
                kind=kind, programs=programs, as_docker=row.as_docker, gpu=gpu, disk_mb=disk_mb
            ) as podman:
                yield podman
