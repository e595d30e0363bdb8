"""Image names as Docker reads them: the rules of distribution/reference, for names with a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torchferry.errors import ConfigError

_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A complete image name: registry, path and tag."""

    domain: str
    path: str
    tag: str

    @property
    def full(self) -> str:
        """The name with nothing left out, as containerd files it: docker.io/library/stt:1.0."""
        return f"{self.domain}/{self.path}:{self.tag}"

    @property
    def familiar(self) -> str:
        """The name as Docker shows it: stt:1.0."""
        short = self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path
        return f"{short}:{self.tag}" if self.domain == "docker.io" else self.full


def parse_reference(name: str) -> Reference:
    """Read a name like stt:1.0 or registry.corp:5000/team/stt:1.0; without a tag it means latest.

    Raises ConfigError for what Docker would refuse, and for names with a digest.
    """
    first, slash, rest = name.partition("/")
    # A first part is a registry only when it could not be a plain path: 'team/stt' lies on Docker's own.
    named = bool(slash) and (first == "localhost" or "." in first or ":" in first or first != first.lower())
    domain, remainder = (first, rest) if named else ("docker.io", name)
    path, colon, tag = remainder.partition(":")
    if domain in ("docker.io", "index.docker.io"):
        domain, path = "docker.io", path if "/" in path else f"library/{path}"
    tag = tag if colon else "latest"
    if not (_DOMAIN.fullmatch(domain) and _PATH.fullmatch(path) and _TAG.fullmatch(tag)):
        raise ConfigError(f"{name}: not an image name", cure="write it as name:tag, in lower case, without a digest")
    return Reference(domain=domain, path=path, tag=tag)
