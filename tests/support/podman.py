"""Podman of a test's own: images, containers and networks apart from this machine's; gone afterwards.

    with PrivatePodman(programs=unpacked(PODMAN_4), as_docker=True) as podman:
        subprocess.run(["docker", "load", "-i", archive], env={**os.environ, **podman.env}, check=True)

There is no daemon to talk to: a program of that name enters the enclave, keeps its working folder and becomes podman.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from support import enclave, gpu_stand_in
from support.enclave import UNPACKED_PATH, Enclave, control_groups

OTHERS = ("docker", "podman", "nerdctl", "podman-remote")
"""What a host that has nothing but this podman does not have."""

HELLO = "Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg."
"""What the package podman-docker says on standard error, each time."""

STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "{root}"\nrunroot = "{run}"\n'
CONTAINERS = (
    '[containers]\nlog_driver = "k8s-file"\n'  # journald's messages would go to this machine's journal
    'default_ulimits = ["nofile={files}", "nproc={processes}"]\n'  # a machine may forbid what podman asks for unasked
    '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    'runtime = "runc"\n'  # crun refuses machines with control groups of both versions
    '[network]\nnetwork_backend = "netavark"\n'
)


class PrivatePodman:
    """One podman, usable inside a ``with`` block; ``env`` has it on PATH, and there no other engine.

    ``programs`` is an unpacked root (`debian_programs.unpacked`); ``as_docker`` puts a ``docker`` beside it, as the
    package podman-docker does. ``disk_mb`` makes the place of its images a disk of that size; ``gpu`` tells it of a
    device nvidia.com/gpu=all, in which nothing is. ``kind`` is a name for people.
    """

    def __init__(
        self, *, programs: Path, as_docker: bool = False, disk_mb: int | None = None, gpu: bool = False,
        kind: str = "podman",
    ) -> None:
        self.kind = kind
        self._programs, self._as_docker, self._disk_mb, self._gpu = programs, as_docker, disk_mb, gpu

    def __enter__(self) -> PrivatePodman:
        reason = enclave.unavailable()
        if reason:
            raise RuntimeError(reason)
        self._enclave = Enclave(usr=self._programs, disk_mb=self._disk_mb)
        try:
            self._enclave.open()
            self._configure()
            self._put_programs()
            self.version()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def command(self) -> str:
        """The client's name."""
        return "docker" if self._as_docker else "podman"

    @property
    def name(self) -> str:
        return self._enclave.name

    @property
    def folder(self) -> Path:
        return self._enclave.folder

    @property
    def root(self) -> Path:
        """Where images and containers are."""
        return self._enclave.data

    @property
    def env(self) -> dict[str, str]:
        """What to add to the environment of a client."""
        return {"PATH": f"{self._bin}:{self.folder / 'path'}", "DOCKER_HOST": ""}

    @property
    def pid(self) -> int:
        """The process that keeps the network and the mounts; podman itself has none that stays."""
        return self._enclave.pid

    def inside(self, *argv: str) -> list[str]:
        """A command line that runs in podman's network: there its published ports are on localhost."""
        return self._enclave.in_network(*argv)

    def version(self) -> str:
        """The version, as podman says it. Raises RuntimeError when it does not."""
        asked = self._podman("version", "--format", "{{.Client.Version}}")
        if asked.returncode:
            raise RuntimeError(f"podman {self.name}: {asked.stderr.strip()}")
        return asked.stdout.strip()

    def restart(self) -> None:
        """Nothing: no daemon is there to be started again."""

    @property
    def _bin(self) -> Path:
        return self.folder / "bin"

    def _configure(self) -> None:
        """In the enclave this is /etc/containers."""
        place = self.folder / "etc" / "containers"
        place.mkdir(parents=True, exist_ok=True)
        storage = STORAGE.format(root=self.root, run=self.folder / "run")
        (place / "storage.conf").write_text(storage, encoding="utf-8")
        if self._gpu:
            gpu_stand_in.write_device(self.folder / "etc" / "cdi")
        files, processes = (_limit(what) for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        text = CONTAINERS.format(files=files, processes=processes)
        (place / "containers.conf").write_text(text, encoding="utf-8")

    def _put_programs(self) -> None:
        tmp = self.folder / "tmp"  # where it unpacks what it loads; else /var/tmp
        tmp.mkdir()
        become = f'cd "$0" && export PATH={UNPACKED_PATH} TMPDIR={tmp} && exec podman "$@"'
        enter = shlex.join(self._enclave.within("sh", "-c", become))
        self._bin.mkdir()
        script = f'exec {enter} "$PWD" "$@"\n'
        texts = {"podman": f"#!/bin/sh\n{script}"}
        if self._as_docker:
            texts["docker"] = f"#!/bin/sh\necho '{HELLO}' >&2\n{script}"
        for name, text in texts.items():
            (self._bin / name).write_text(text, encoding="utf-8")
            (self._bin / name).chmod(0o755)
        _link_all_but(OTHERS, self.folder / "path")

    def _podman(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._bin / "podman"), *words], env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )

    def _end(self) -> None:
        containers = [place.name for place in (self.root / "overlay-containers").glob("*") if place.is_dir()]
        self._enclave.close()
        for container in containers:
            for group in control_groups(f"libpod_parent/libpod-{container}"):
                with suppress(FileNotFoundError):  # two controllers may share one, or podman was still at it
                    group.rmdir()
        for group in control_groups("libpod_parent"):
            with suppress(OSError):  # another podman's containers are in it
                group.rmdir()


def _limit(what: int) -> str:
    """What every machine grants its containers; the most that it grants is told differently by its layers."""
    _, hard = resource.getrlimit(what)
    granted = 16384 if hard == resource.RLIM_INFINITY else min(16384, hard)
    return f"{granted}:{granted}"


def _link_all_but(names: tuple[str, ...], folder: Path) -> None:
    """Make a folder with a link to every program on PATH but these."""
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            link = folder / program.name
            if program.name not in names and not link.is_symlink() and shutil.which(program.name, path=place):
                link.symlink_to(program.absolute())
