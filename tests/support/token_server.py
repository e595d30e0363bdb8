"""A token server of a registry's: the person's password in, a token for some repositories out, signed by openssl."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.registry import PASSWORD, USER

SERVICE, ISSUER = "site registry", "the site"
REFRESH = "an identity token"


@dataclass(kw_only=True)
class TokenServer:
    """Where it answers, what it lets a person do, and what it was asked."""

    folder: Path
    url: str = ""
    actions: tuple[str, ...] = ("pull", "push")
    asked: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """The `auth` of a registry that trusts it."""
        return {"token": {"realm": f"{self.url}/token", "service": SERVICE, "issuer": ISSUER,
                          "rootcertbundle": str(self.folder / "cert.pem")}}

    def token(self, scopes: list[str]) -> str:
        names = [scope.split(":") for scope in scopes]
        access = [{"type": kind, "name": name, "actions": [one for one in wanted.split(",") if one in self.actions]}
                  for kind, name, wanted in names]
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": USER, "aud": SERVICE, "exp": now + 300, "nbf": now - 60, "iat": now,
                  "jti": f"{now}", "access": access}
        pem = (self.folder / "cert.pem").read_text(encoding="ascii")
        der = "".join(line for line in pem.splitlines() if "-----" not in line)
        head = _part({"typ": "JWT", "alg": "RS256", "x5c": [der]}) + "." + _part(claims)
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.folder / "key.pem")],
                                input=head.encode(), capture_output=True, check=True).stdout
        return f"{head}.{_text(signed)}"


def _part(said: object) -> str:
    return _text(json.dumps(said).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def start(folder: Path) -> Iterator[TokenServer]:
    """A token server with a key of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "key.pem"), "-out",
         str(folder / "cert.pem"), "-days", "2", "-subj", "/CN=tokens"], check=True, capture_output=True)
    server = TokenServer(folder=folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            right = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            allowed = self.headers.get("Authorization") == f"Basic {right}"
            self._answer(parse_qs(urlsplit(self.path).query).get("scope", []), allowed)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            server.asked.append(self.path)
            self._answer(form["scope"][0].split(" "), form["refresh_token"] == [REFRESH])

        def _answer(self, scopes: list[str], allowed: bool) -> None:
            no = {"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}
            body = json.dumps({"token": server.token(scopes)} if allowed else no).encode()
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield server
        http.shutdown()
        thread.join()
