"""A package index on localhost that serves a folder of wheels, and fails in every way real ones do when told to.

    with IndexServer(root) as server:
        server.url                                              # http://127.0.0.1:PORT
        server.fail("ferrypure-1.0.0-py3-none-any.whl", Fault(kind="status", status=503, times=2))
        server.requests                                         # what was asked, in order

Below ``root``: pypi/*.whl is served at /pypi/simple/ (HTML and JSON, with metadata files) and whl/NAME/*.whl at
/whl/NAME/ (HTML only, without sizes and metadata files, as the PyTorch index has torch 2.1.2).
`wheel_factory.stand_in_indexes` lays such a folder out. Files are read anew for each request, so a test may change
them while the server runs. Faults meet GET requests only.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import socket
import struct
import sys
import threading
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import canonicalize_name, parse_wheel_filename

Kind = Literal[
    "status",  # answers ``status`` (with Retry-After where ``retry_after`` is given)
    "reset",  # sends ``after`` bytes, then a TCP reset
    "cut",  # promises the whole body, sends ``after`` bytes, then closes
    "short",  # a whole answer, but the file ends after ``after`` bytes
    "ignore-range",  # answers 200 with the whole file whatever Range says, and no Accept-Ranges
    "refuse-range",  # answers 416 to any Range
    "wrong-offset",  # answers 206 from byte 0 whatever Range says
    "new-etag",  # another ETag than last time, so If-Range never matches
    "page",  # a log-in page with status 200
    "wrong-bytes",  # the right size, one byte changed
    "gzip",  # says Content-Encoding: gzip
    "stall",  # sends ``after`` bytes, then nothing until the server closes
]
HTML = "application/vnd.pypi.simple.v1+html"
JSON = "application/vnd.pypi.simple.v1+json"
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Guest network</title></head><body>Please log in</body></html>\n"


@dataclass(kw_only=True)
class Fault:
    """One way to fail, for the next ``times`` requests (None: always) that get a body."""

    kind: Kind
    times: int | None = None
    status: int = 503
    retry_after: str | None = None
    after: int = 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came in, and the status it got."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


class IndexServer(ThreadingHTTPServer):
    """Serves ``root`` while its ``with`` block runs; port 0 takes any free port."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, root: Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Handler)
        self.root = root
        self.url = f"http://{host}:{self.server_port}"
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def default_index(self) -> str:
        return f"{self.url}/pypi/simple/"

    @property
    def torch_index(self) -> str:
        """The template of the torch indexes, with {variant}."""
        return f"{self.url}/whl/{{variant}}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables that make uv, pip and torchferry use this server and nothing else."""
        return {
            "UV_DEFAULT_INDEX": self.default_index, "UV_INDEX_URL": "", "UV_INDEX": "", "UV_EXTRA_INDEX_URL": "",
            "UV_FIND_LINKS": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": self.default_index, "PIP_EXTRA_INDEX_URL": "",
            "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "TORCHFERRY_TORCH_INDEX": self.torch_index,
            "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
        }

    def file_url(self, filename: str) -> str:
        """Where a wheel of ``root`` is served."""
        path = next(self.root.rglob(filename))
        folder = path.parent.relative_to(self.root).as_posix()
        return f"{self.url}/{'pypi/packages' if folder == 'pypi' else folder}/{quote(filename)}"

    def fail(self, path: str, fault: Fault) -> None:
        """Let requests whose path ends with ``path`` fail; several faults for one path come one after the other."""
        self._faults.setdefault(path, []).append(fault)

    def clear(self) -> None:
        """No more faults."""
        self._faults.clear()

    def asked(self, path: str, *, method: str = "GET") -> list[Request]:
        """The requests so far whose path ends with ``path``."""
        return [request for request in self.requests if request.method == method and request.path.endswith(path)]

    def next_fault(self, path: str) -> Fault | None:
        """The fault that this request meets, counted down."""
        with self._lock:
            for end, faults in self._faults.items():
                while path.endswith(end) and faults:
                    if faults[0].times is None:
                        return faults[0]
                    if faults[0].times > 0:
                        faults[0].times -= 1
                        return faults[0]
                    faults.pop(0)
        return None

    def __enter__(self) -> IndexServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._connections:
                # Idle keep-alive connections would keep their threads in readline().
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection until its thread is done with it."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Its thread is done with it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up, and resets we caused ourselves, are no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: IndexServer

    def log_message(self, *words: object) -> None:
        """Stay quiet: tests read ``requests``."""

    def send_response(self, code: int, message: str | None = None) -> None:
        super().send_response(code, message)
        self.server.requests.append(Request(
            method=self.command, path=unquote(urlsplit(self.path).path),
            headers={name.lower(): value for name, value in self.headers.items()}, status=code,
        ))

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = tuple(part for part in unquote(urlsplit(self.path).path).split("/") if part)
        match parts:
            case ("pypi", "packages", filename):
                self._file(self.server.root / "pypi", filename)
            case ("whl", _, filename) if filename.endswith((".whl", ".metadata")):
                self._file(self.server.root / "whl" / parts[1], filename)
            case ("pypi", "simple", *project):
                self._page(self.server.root / "pypi", project, files="/pypi/packages/", rich=True)
            case ("whl", variant, *project):
                self._page(self.server.root / "whl" / variant, project, files=f"/whl/{variant}/", rich=False)
            case _:
                self._body(404, b"no such page\n", "text/plain")

    def _next_fault(self) -> Fault | None:
        return self.server.next_fault(unquote(urlsplit(self.path).path)) if self.command == "GET" else None

    def _page(self, folder: Path, project: list[str], *, files: str, rich: bool) -> None:
        fault = self._next_fault()
        if fault and fault.kind == "status":
            return self._status(fault)
        if fault and fault.kind == "page":
            return self._body(200, LOGIN_PAGE, "text/html; charset=utf-8")
        wheels: dict[str, list[Path]] = {}
        for path in sorted(folder.glob("*.whl")):
            wheels.setdefault(canonicalize_name(parse_wheel_filename(path.name)[0]), []).append(path)
        if not project:
            links = "\n".join(f'<a href="{name}/">{name}</a><br>' for name in wheels)
            return self._body(200, _document(links), "text/html; charset=utf-8")
        found = wheels.get(canonicalize_name(project[0]))
        if found is None:
            return self._body(404, b"no such project\n", "text/plain")
        if rich and JSON in self.headers.get("Accept", ""):
            return self._body(200, _json_page(project[0], found, files), JSON)
        links = "\n".join(_link(path, files, metadata=rich) for path in found)
        return self._body(200, _document(links), HTML if rich else "text/html; charset=utf-8")

    def _file(self, folder: Path, filename: str) -> None:
        path = folder / filename.removesuffix(".metadata")
        if not path.is_file() or (filename.endswith(".metadata") and folder.name != "pypi"):
            return self._body(404, b"no such file\n", "text/plain")
        if filename.endswith(".metadata"):
            return self._body(200, _metadata(path), "application/octet-stream")
        content = path.read_bytes()
        return self._content(content, self._next_fault())

    def _content(self, content: bytes, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        if fault and kind == "status":
            self._status(fault)
        elif kind == "page":
            self._body(200, LOGIN_PAGE, "text/html; charset=utf-8")
        elif fault and kind == "short":
            self._part(content[: fault.after], None)
        elif kind == "wrong-bytes":
            self._part(content[:-1] + bytes([content[-1] ^ 0xFF]), None)
        else:
            self._part(content, fault)

    def _part(self, content: bytes, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        changing = f"{len(self.server.requests)}" if kind == "new-etag" else ""
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}{changing}"'
        start = None if kind == "ignore-range" else self._asked_range(len(content), etag)
        if start is not None and (kind == "refuse-range" or start[0] >= len(content)):
            return self._body(416, b"", "text/plain")
        first, last = start or (0, len(content) - 1)
        if kind == "wrong-offset":
            first = 0
        part = content[first : last + 1]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", formatdate(1577836800, usegmt=True))
        if kind != "ignore-range":
            self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        if kind == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.command == "GET":
            self._send(part, fault)
        return None

    def _send(self, part: bytes, fault: Fault | None) -> None:
        if fault is None or fault.kind not in ("reset", "cut", "stall"):
            self.wfile.write(part)
            return
        self.wfile.write(part[: fault.after])
        self.wfile.flush()
        self.close_connection = True
        if fault.kind == "reset":
            # A linger of zero makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        if fault.kind == "stall":
            self.server.closing.wait()

    def _asked_range(self, total: int, etag: str) -> tuple[int, int] | None:
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes=") or self.headers.get("If-Range", etag) != etag:
            return None
        first, _, last = asked.removeprefix("bytes=").partition("-")
        if not first:
            return max(0, total - int(last)), total - 1
        return int(first), min(int(last), total - 1) if last else total - 1

    def _status(self, fault: Fault) -> None:
        body = b"told to fail\n"
        self.send_response(fault.status)
        if fault.retry_after is not None:
            self.send_header("Retry-After", fault.retry_after)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _body(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _document(links: str) -> bytes:
    meta = '<meta name="pypi:repository-version" content="1.0">'
    return f"<!DOCTYPE html>\n<html><head>{meta}</head><body>\n{links}\n</body></html>\n".encode()


def _link(path: Path, files: str, *, metadata: bool) -> str:
    extra = f' data-core-metadata="sha256={hashlib.sha256(_metadata(path)).hexdigest()}"' if metadata else ""
    target = html.escape(f"{files}{quote(path.name)}#sha256={_sha256(path)}")
    return f'<a href="{target}"{extra}>{html.escape(path.name)}</a><br>'


def _json_page(project: str, wheels: list[Path], files: str) -> bytes:
    rows = [
        {
            "filename": path.name, "url": files + quote(path.name), "size": path.stat().st_size,
            "hashes": {"sha256": _sha256(path)},
            "core-metadata": {"sha256": hashlib.sha256(_metadata(path)).hexdigest()},
            "upload-time": "2020-01-01T00:00:00Z", "requires-python": ">=3.8", "yanked": False,
        }
        for path in wheels
    ]
    versions = sorted({str(parse_wheel_filename(path.name)[1]) for path in wheels})
    page = {"meta": {"api-version": "1.1"}, "name": canonicalize_name(project), "versions": versions, "files": rows}
    return json.dumps(page).encode("utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _metadata(path: Path) -> bytes:
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")))
