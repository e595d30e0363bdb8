"""A real registry server (Debian's docker-registry) of a test's own, and a line to it that breaks.

    with start(tmp_path) as registry:
        subprocess.run(["skopeo", "copy", "--dest-tls-verify=false", source, f"docker://{registry.host}/name:tag"])
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

USER, PASSWORD = "ferry", "secret"
HTPASSWD = "ferry:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


def unavailable() -> str | None:
    """Why there can be no registry here, or None where there can."""
    return None if shutil.which("docker-registry") else "docker-registry is not installed here"


@dataclass(frozen=True, kw_only=True)
class RegistryServer:
    """A registry that runs: where it answers, keeps its blobs, and notes what it was asked."""

    host: str
    folder: Path
    log: Path

    def asked(self, method: str, part: str = "") -> list[str]:
        """The requests of one method so far, as it noted them."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if f'"{method} /v2/' in line and part in line]

    def blobs(self) -> set[str]:
        """The digests of all blobs that it has."""
        return {path.parent.name for path in (self.folder / "docker/registry/v2/blobs").rglob("data")}


@contextmanager
def start(
    folder: Path, *, port: int | None = None, within: Callable[..., Sequence[str]] | None = None, **settings: Any,
) -> Iterator[RegistryServer]:
    """A registry with its files below ``folder``; ``within`` makes a command line that runs elsewhere (a daemon's
    network); ``settings`` are more of its configuration."""
    inside = within or (lambda *words: words)
    host = f"127.0.0.1:{port or free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    http = {"addr": host, **settings.pop("http", {})}
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
              "http": http, "log": {"level": "error"}, **settings}
    (folder / "registry.yml").write_text(json.dumps(config), encoding="utf-8")
    server = RegistryServer(host=host, folder=folder / "registry", log=folder / "registry.log")
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            list(inside("docker-registry", "serve", str(folder / "registry.yml"))), stdout=log, stderr=log)
        try:
            _wait(process, inside, host)
            yield server
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], inside: Callable[..., Sequence[str]], host: str) -> None:
    ask = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1).close()"
    for _ in range(200):
        done = subprocess.run(
            list(inside("python3", "-c", ask, host.partition(":")[2])), capture_output=True, check=False)
        if done.returncode == 0:
            return
        assert process.poll() is None, "docker-registry ended"
        time.sleep(0.05)
    raise AssertionError("docker-registry does not answer")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


@dataclass(kw_only=True)
class Line:
    """A TCP line to a server: each connection takes the next number of ``limits``, bytes that pass before it breaks.

    Where ``stalls``, it takes no more instead of breaking. Connections beyond the list are whole.
    A request that begins with ``before`` breaks the line once, too, and does not pass.
    """

    target: str
    limits: list[int] = field(default_factory=list)
    stalls: bool = False
    before: bytes = b""
    broken: int = 0
    _ends: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Line:
        self._door = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                host, _, port = self.target.partition(":")
                far = socket.create_connection((host, int(port)))
                self._ends += [near, far]
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _is_over(self, passed: int, data: bytes) -> bool:
        if self.before and data.startswith(self.before):
            self.before = b""
            return True
        if self.limits and passed > self.limits[0]:
            self.limits.pop(0)
            return True
        return False

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if counted and self._is_over(passed, data):
                    self.broken += 1
                    if self.stalls:
                        return
                    break
                sink.sendall(data)
            for end in (source, sink):
                if counted:  # a reset, as a machine in between sends it
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR) if not counted else end.close()
