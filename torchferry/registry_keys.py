"""The keys that a registry asks for: a user and password, or a token that its token server gives for them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlencode

from torchferry import web
from torchferry.errors import ShipError
from torchferry.registry_login import Login
from torchferry.registry_refusals import told
from torchferry.web import Answer

_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What opens one registry: the person's log-in, and the header for each repository once it was asked for."""

    domain: str
    login: Login | None
    headers: dict[tuple[str, str], str] = field(default_factory=dict)

    def header(self, repository: str, also: str = "") -> dict[str, str]:
        """The header for a repository, one that only reads ``also`` from another; none until it was asked for."""
        found = self.headers.get((repository, also))
        return {"Authorization": found} if found else {}

    def renew(self, http: web.Client, answer: Answer, repository: str, also: str = "") -> None:
        """Get what an answer 401 asks for, if that can be had. Raises ShipError where the token server refuses."""
        kind, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
        said = dict(_PARAMETER.findall(rest))
        if kind.lower() == "basic" and self.login:
            self.headers[repository, also] = self.login.basic
        elif kind.lower() == "bearer" and said.get("realm"):
            self.headers[repository, also] = f"Bearer {self._token(http, said, repository, also)}"

    def _token(self, http: web.Client, said: dict[str, str], repository: str, also: str) -> str:
        scopes = [f"repository:{repository}:pull,push", *([f"repository:{also}:pull"] if also else [])]
        asked: list[tuple[str, str]] = [("service", said["service"])] if "service" in said else []
        try:
            if self.login and self.login.token:
                form = [*asked, ("scope", " ".join(scopes)), ("grant_type", "refresh_token"),
                        ("client_id", "torchferry"), ("refresh_token", self.login.token)]
                answer = web.send(
                    http, "POST", said["realm"], headers={"Content-Type": "application/x-www-form-urlencoded"},
                    body=urlencode(form).encode("ascii"),
                )
            else:
                query = urlencode([*asked, *(("scope", scope) for scope in scopes)])
                joint = "&" if "?" in said["realm"] else "?"
                headers = {"Authorization": self.login.basic} if self.login else {}
                answer = web.send(http, "GET", f"{said['realm']}{joint}{query}", headers=headers)
        except web.Refused as error:
            raise self._none(said["realm"], str(error)) from error
        if answer.status == 429 or answer.status >= 500:
            raise web.Transient(f"{web.shown(said['realm'])} answered {told(answer)}", retry_after=answer.retry_after)
        try:
            given = json.loads(answer.body)
            return str(given.get("token") or given["access_token"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._none(said["realm"], f"answered {told(answer)}") from error

    def _none(self, realm: str, why: str) -> ShipError:
        return ShipError(
            f"{self.domain}: {web.shown(realm)}, which gives its tokens, gives none: {why}",
            cure=f"log in as somebody who may push there: docker login {self.domain}, or skopeo login {self.domain}",
        )
