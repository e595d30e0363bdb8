"""How a release comes up on a server: folders, models, proof, what an update needs before, how an archive is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a service says that it is well: an HTTP path, what its JSON answer must hold, and how soon (seconds)."""

    path: str
    expect: Mapping[str, Any]
    within: int


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder of the server in a container: ``point`` there, ``folder`` below the server's data folder.

    One that is only read must hold something before a service starts; one that is written is made where it is missing.
    """

    point: str
    folder: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a started service must do once before it counts: a command in its container, or an HTTP request to it.

    ``body`` is sent as it is, ``file`` names a file in the image instead. ``expect`` is what the JSON answer must hold.
    ``within`` is in seconds.
    """

    command: tuple[str, ...] = ()
    path: str | None = None
    method: str = "GET"
    body: str | None = None
    file: str | None = None
    content_type: str = "application/json"
    expect: Mapping[str, Any] = field(default_factory=dict)
    within: int = 60


@dataclass(frozen=True, kw_only=True)
class BeforeUpdate:
    """What has to happen before a new release takes over: folders to copy (by mount point), then a command."""

    copy: tuple[str, ...]
    command: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Head:
    """The beginning of an archive under another image name, for a guarded load: bytes that stand in for the first
    ``replaces`` bytes of the archive. Everything else of the two is the same."""

    name: str
    image_name: str
    data: bytes
    replaces: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Extent:
    """A layer as it lies in an archive: a run of its bytes that is a gzip file; where it begins, bytes, hex SHA-256.

    Without ``at`` it is left out of this archive.
    """

    at: int | None
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """A folder of model files that travels beside the images, with a version of its own.

    ``source`` lies in the project; ``at`` is where it is mounted in the containers of ``services``; ``expect`` are
    files that must be in it.
    """

    name: str
    version: str
    source: str
    at: str
    services: tuple[str, ...]
    expect: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Its name in a release and on a server; another version lies beside it."""
        return f"{self.name}-{self.version}"

    def covers(self, mount: Mount) -> bool:
        """Whether a mount's place in the container is taken by this model, as a whole or in part."""
        point, place = PurePosixPath(mount.point), PurePosixPath(self.at)
        return point == place or point in place.parents
