"""Who a person is at a registry: what `docker login`, `skopeo login` or a credential helper keep; nothing is asked."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import proc
from torchferry.errors import ConfigError, ToolMissing

DOCKER_HUB = "docker.io"
_HUB_NAMES = ("https://index.docker.io/v1/", "index.docker.io", DOCKER_HUB)


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user and password, or the identity token that stands for both."""

    user: str
    password: str
    token: str = ""

    @property
    def basic(self) -> str:
        """The header's value."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


def places(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where log-ins are kept, the nearest first: as skopeo and docker look for them."""
    home = Path(environ.get("HOME", "/"))
    found = [environ.get("REGISTRY_AUTH_FILE")]
    if environ.get("XDG_RUNTIME_DIR"):
        found.append(str(Path(environ["XDG_RUNTIME_DIR"], "containers/auth.json")))
    found.append(str(home / ".config/containers/auth.json"))
    found.append(str(Path(environ.get("DOCKER_CONFIG") or home / ".docker", "config.json")))
    return tuple(Path(place) for place in found if place)


def find(domain: str, repository: str, files: tuple[Path, ...]) -> Login | None:
    """The log-in for a repository of a registry, or None. Raises ConfigError where it cannot be had."""
    for place in files:
        said = _read(place)
        for name in _names(domain, repository):
            login = _kept(said, name, place)
            if login is not None:
                return login
    return None


def _names(domain: str, repository: str) -> Iterator[str]:
    """Under which names a log-in may be kept: a repository's, a folder's, the registry's."""
    parts = repository.split("/")
    yield from ("/".join([domain, *parts[:end]]) for end in range(len(parts), 0, -1))
    yield from _HUB_NAMES if domain == DOCKER_HUB else (domain, f"https://{domain}", f"https://{domain}/")


def _read(place: Path) -> dict[str, Any]:
    try:
        said = json.loads(place.read_text(encoding="utf-8"))
        return dict(said)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{place}: the log-ins to registries cannot be read: {error}", cure="correct that file, or log in anew",
        ) from error


def _kept(said: Mapping[str, Any], name: str, place: Path) -> Login | None:
    try:
        row = dict(said.get("auths") or {}).get(name) or {}
        if row.get("auth") or row.get("identitytoken"):
            user, _, password = base64.b64decode(row.get("auth") or "", validate=True).decode("utf-8").partition(":")
            return Login(user=user, password=password, token=str(row.get("identitytoken") or ""))
        # A common store knows whole registries; Docker notes in auths which of them it has.
        helper = dict(said.get("credHelpers") or {}).get(name) or ("auths" in said and name in said["auths"]
                                                                  and said.get("credsStore"))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{place}: the log-in to {name} cannot be read: {error}", cure="log in anew") from error
    return _helped(str(helper), name) if helper else None


def _helped(helper: str, name: str) -> Login | None:
    program = f"docker-credential-{helper}"
    try:
        done = proc.run([program, "get"], stdin=name, timeout=60)
    except ToolMissing as error:
        raise ToolMissing(
            f"{program}: no such program, and it keeps the log-in to {name}",
            cure=f"install it, or remove it from Docker's config.json and log in anew: docker login {name}",
        ) from error
    if not done.ok:
        if "not found" in done.tail(2):
            return None
        raise ConfigError(f"{program} does not give the log-in to {name}: {done.tail(2)}", cure="log in anew")
    try:
        said = json.loads(done.stdout)
        user, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{program} gives no log-in to {name}: {error!r}", cure="log in anew") from error
    return Login(user="", password="", token=secret) if user == "<token>" else Login(user=user, password=secret)
