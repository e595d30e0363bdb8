"""BuildKit that is nobody's docker: a private daemon's, on a socket of its own, for buildx's `remote` driver.

dockerd has BuildKit behind an upgrade of HTTP at /grpc; whatever comes to the socket is led through that. To buildx it
is then a builder elsewhere, as buildkitd in Kubernetes is: it sees no image, no folder and no name of this machine.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"


class RemoteBuilder:
    """A socket at ``path`` that leads to the BuildKit behind ``daemon``'s, alive inside a ``with`` block."""

    def __init__(self, path: Path, *, daemon: Path) -> None:
        self.path, self._daemon = path, daemon

    @property
    def address(self) -> str:
        """What `docker buildx create --driver remote` takes."""
        return f"unix://{self.path}"

    def __enter__(self) -> RemoteBuilder:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self.path))
        self._door.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                threading.Thread(target=self._lead, args=(near,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        with suppress(OSError), near, socket.socket(socket.AF_UNIX) as far:
            far.connect(str(self._daemon))
            far.sendall(UPGRADE)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = far.recv(1)
                if not byte:
                    return
                head += byte
            if b" 101 " in head.split(b"\r\n")[0]:
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
