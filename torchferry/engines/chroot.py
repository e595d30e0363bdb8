"""Running an image without Docker: unpacked, in namespaces of its own, with no network. Needs root on Linux."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from torchferry import console, files, proc, unpack
from torchferry.blobs import BlobStore
from torchferry.model import Image, Variant
from torchferry.proc import Finished

NAMESPACES = ("unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child")


def unavailable(variant: Variant) -> str | None:
    """Why this machine cannot run the image of a variant so, or None where it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "without Docker it takes root on Linux"
    if platform.machine() != variant.architecture:
        return f"it is for {variant.architecture}, this machine is {platform.machine()}"
    if proc.which("unshare") is None or not proc.run([*NAMESPACES, "true"]).ok:
        return "this machine gives no namespaces"
    return None


@dataclass(frozen=True, kw_only=True)
class Chroot:
    """An unpacked image, and what its config says of running it."""

    root: Path
    environ: dict[str, str]
    owner: int
    workdir: str
    command: tuple[str, ...]

    def run(self, image: str, words: Sequence[str]) -> Finished:
        """Run one command to its end."""
        return proc.run(self._alone(words), cwd=Path("/"))

    @contextmanager
    def service(self, image: str) -> Iterator[Running]:
        """Start the image's own command as PID 1 of its namespaces; it is ended with the block."""
        with tempfile.TemporaryFile() as log:
            process = proc.start(self._alone(self.command), log=log)
            running = Running(chroot=self, process=process, log_file=log)
            try:
                yield running
            finally:
                if process.poll() is None:
                    process.kill()  # unshare --kill-child takes all below it along
                process.wait()

    def _alone(self, words: Sequence[str]) -> list[str]:
        script = str(resources.files("torchferry").joinpath("inside/sandbox.py"))
        settings = [f"{key}={value}" for key, value in self.environ.items()]
        return [
            *NAMESPACES, "env", "-i", *settings, sys.executable, "-I", script, str(self.root), str(self.owner),
            self.workdir, *words,
        ]

    def beside(self, pid: int, words: Sequence[str]) -> list[str]:
        """A command line in the namespaces of a running service, as its user."""
        settings = [f"{key}={value}" for key, value in self.environ.items()]
        return [
            "nsenter", f"--target={pid}", "--net", "--pid", "--mount", "--ipc", "env", "-i", *settings, "PWD=/",
            "chroot", f"--userspec={self.owner}:{self.owner}", "--groups=", str(self.root), *words,
        ]


@dataclass(kw_only=True)
class Running:
    """A service that was started in a chroot."""

    chroot: Chroot
    process: subprocess.Popen[bytes]
    log_file: Any
    _pid: int | None = field(default=None)

    def running(self) -> bool:
        return self.process.poll() is None

    def execute(self, words: Sequence[str]) -> Finished:
        """Run a command beside the service."""
        pid = self._service_pid()
        if pid is None:
            return Finished(argv=tuple(words), status=126, stdout="", stderr="the service is not running")
        return proc.run(self.chroot.beside(pid, words), cwd=Path("/"))

    def stop(self, patience: int) -> float:
        """Send SIGTERM to the service and wait; seconds until it ended. After ``patience`` seconds it is killed."""
        started = time.monotonic()
        pid = self._service_pid()
        if pid is not None:
            proc.terminate(pid)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        return time.monotonic() - started

    def log(self) -> str:
        """The last lines it wrote."""
        self.log_file.seek(0)
        return "\n".join(self.log_file.read().decode("utf-8", "replace").splitlines()[-12:])

    def _service_pid(self) -> int | None:
        """The process id of the program, which unshare started: its only child."""
        if self._pid is None:
            place = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            with suppress(OSError, ValueError, IndexError):
                self._pid = int(place.read_text(encoding="ascii").split()[0])
        return self._pid


@contextmanager
def unpacked(image: Image, store: BlobStore, folder: Path) -> Iterator[Chroot]:
    """An image unpacked below ``folder``, gone with the block. Raises DiskFull and BuildError."""
    said = json.loads(image.config).get("config") or {}
    folder.mkdir(parents=True, exist_ok=True)
    files.require_space(folder, image.size, what=f"{image.name}, unpacked for its smoke test")
    with tempfile.TemporaryDirectory(prefix="rootfs-", dir=folder) as root:
        with console.progress(f"unpack {image.name}", image.size) as step:
            unpack.unpack(image, store, Path(root), passed=step.advance)
        yield Chroot(
            root=Path(root), owner=int(str(said.get("User") or "0").split(":")[0]),
            environ=dict(line.split("=", 1) for line in said.get("Env") or ()),
            workdir=str(said.get("WorkingDir") or "/"),
            command=(*(said.get("Entrypoint") or ()), *(said.get("Cmd") or ())),
        )
