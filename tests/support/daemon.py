"""A Docker daemon of a test's own: own data root, socket, containerd, mounts and network, no way out; gone afterwards.

    with PrivateDaemon() as daemon:
        subprocess.run(["docker", "load", "-i", archive], env={**os.environ, **daemon.env}, check=True)

It needs root on Linux. A network namespace keeps its bridge and its addresses apart from the machine's daemon and
from its siblings; a mount namespace takes all its mounts with it when its last process ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from support import enclave
from support.enclave import PATIENCE, UNPACKED_PATH, Enclave

PROGRAMS = ("dockerd", "containerd")


def unavailable() -> str | None:
    """Why this machine cannot have a private daemon of the installed programs, or None where it can."""
    return enclave.unavailable(*PROGRAMS)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a daemon differs from the plain one."""

    programs: Path | None = None
    """An unpacked root (`debian_programs.unpacked`) whose dockerd runs; else the installed one does."""
    containerd_store: bool = False
    """Whether containerd keeps the images."""
    first_on_path: Path | None = None
    """A folder in which dockerd looks for programs before it looks elsewhere."""
    disk_mb: int | None = None
    """The size of the disk that its data root is."""


PLAIN = Setting()


class PrivateDaemon:
    """One daemon, alive inside a ``with`` block; ``env`` points any Docker client at it.

    ``disk`` is the folder below which it keeps everything (default: `enclave.real_disk`); ``kind`` is
    a name for people.
    """

    def __init__(self, *, disk: Path | None = None, setting: Setting = PLAIN, kind: str = "docker") -> None:
        self.kind = kind
        self._disk, self._setting = disk, setting
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateDaemon:
        reason = enclave.unavailable(*(() if self._setting.programs else PROGRAMS))
        if reason:
            raise RuntimeError(reason)
        self._enclave = Enclave(disk=self._disk, usr=self._setting.programs, disk_mb=self._setting.disk_mb)
        try:
            self._enclave.open()
            self._put_client()
            self._start()
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
        return "docker"

    @property
    def name(self) -> str:
        return self._enclave.name

    @property
    def folder(self) -> Path:
        return self._enclave.folder

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def root(self) -> Path:
        """The daemon's data root."""
        return self._enclave.data

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    @property
    def env(self) -> dict[str, str]:
        """What to add to the environment of a client; with unpacked programs, the first docker on PATH is theirs."""
        said = {"DOCKER_HOST": f"unix://{self.socket}"}
        if self._setting.programs:
            said["PATH"] = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return said

    @property
    def pid(self) -> int:
        """The process id of dockerd itself: every program before it became the next one by exec."""
        assert self._process is not None
        return self._process.pid

    def inside(self, *argv: str) -> list[str]:
        """A command line that runs in the daemon's network: there its published ports are on localhost."""
        return self._enclave.in_network(*argv)

    def version(self) -> str:
        """The server's version, as it says it. Raises RuntimeError when it does not answer."""
        asked = self._asked_for_version()
        if asked.returncode:
            raise RuntimeError(f"dockerd {self.name}: {asked.stderr.strip()}")
        return asked.stdout.strip()

    def restart(self) -> None:
        """End dockerd, unless a test already did, and start it anew on what is on its disk.

        Its containerd goes, too: on a server that one is a service of its own, which does not lose its output.
        """
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE)
        containerd = self.folder / "exec" / "containerd" / "containerd.pid"
        if containerd.exists():
            with suppress(ProcessLookupError):
                os.kill(int(containerd.read_text(encoding="ascii")), signal.SIGKILL)
            containerd.unlink()
        (self.folder / "pid").unlink(missing_ok=True)
        self._start()

    def _put_client(self) -> None:
        """The set's own docker, run by the set's own loader: it works when no daemon does, on this machine's files."""
        root = self._setting.programs
        if root is None:
            return
        loader = next(found for name in ("lib64", "lib") for found in (root / "usr" / name).glob("ld-linux*.so.*"))
        libraries = ":".join(str(folder.parent) for folder in (root / "usr" / "lib").glob("*/libc.so.6"))
        client = self.folder / "bin" / "docker"
        client.parent.mkdir()
        client.write_text(
            f'#!/bin/sh\nexec {loader} --library-path {libraries} --argv0 docker {root}/usr/bin/docker "$@"\n',
            encoding="utf-8",
        )
        client.chmod(0o755)

    def _start(self) -> None:
        settings = self.folder / "daemon.json"  # else the machine's own /etc/docker/daemon.json is read
        settings.write_text(json.dumps(
            {"features": {"containerd-snapshotter": True}} if self._setting.containerd_store
            else {"storage-driver": "overlay2"}
        ), encoding="utf-8")
        dockerd = [
            "dockerd", f"--config-file={settings}", f"--host=unix://{self.socket}",
            f"--data-root={self.root}", f"--exec-root={self.folder / 'exec'}", f"--pidfile={self.folder / 'pid'}",
            "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--shutdown-timeout=5",
            "--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent=/{self.name}",
        ]
        path = UNPACKED_PATH if self._setting.programs else os.environ["PATH"]
        if self._setting.first_on_path:
            path = f"{self._setting.first_on_path}:{path}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._enclave.within(*dockerd), env={**os.environ, "PATH": path},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.socket.exists() or self._asked_for_version().returncode:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
                raise RuntimeError(f"dockerd {self.name} does not answer (exit {self._process.returncode}):\n{tail}")
            time.sleep(0.05)

    def _asked_for_version(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"], env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        self._enclave.close()
        if self._process is not None:
            self._process.wait()
