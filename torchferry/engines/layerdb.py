"""Layers straight out of a local daemon's own folder, where we may read it: `docker save` without its two copies.

`docker save` writes each layer as a tar into a temporary folder and then tars that folder. The same bytes can be put
together from what the daemon keeps: the unpacked files, and a record of all bytes between them (moby, layer/;
vbatts/tar-split). That folder is Docker's private matter, so nothing of it is believed: a layer counts only when its
SHA-256 is its diff_id, and whatever is not as expected here is `Unreadable`, for which the cure is `docker save`.
"""

from __future__ import annotations

import gzip
import json
import stat
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from torchferry.members import Chunks, Readable

BLOCK = 1 << 20
_FILE, _BYTES = 1, 2


class Unreadable(Exception):
    """The daemon's folder is not as this module knows it, or not ours to read."""


@dataclass(frozen=True, kw_only=True)
class LayerDb:
    """The data root of a daemon that uses the overlay2 storage driver."""

    root: Path

    def config(self, image_id: str) -> bytes:
        """The bytes of an image's config; whoever takes them checks their SHA-256."""
        with _daemon_folder():
            return (self._database / "imagedb/content/sha256" / image_id.removeprefix("sha256:")).read_bytes()

    def layer(self, chain_id: str) -> Readable:
        """The uncompressed tar of the layer with this ChainID (hex)."""
        with _daemon_folder():
            record = self._database / "layerdb/sha256" / chain_id
            cache_id = (record / "cache-id").read_text(encoding="ascii")
            return Chunks(_tar(record / "tar-split.json.gz", self.root / "overlay2" / cache_id / "diff"))

    @property
    def _database(self) -> Path:
        return self.root / "image/overlay2"


@contextmanager
def _daemon_folder() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(str(error)) from error


def _tar(record: Path, files: Path) -> Iterator[bytes]:
    """The bytes of a layer's tar: those of the record, and between them those of the files it names."""
    with _daemon_folder(), gzip.open(record) as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["type"] == _BYTES:
                yield b64decode(entry["payload"])
            elif entry["type"] != _FILE:
                raise ValueError(f"entry of type {entry['type']}")
            elif entry.get("size"):
                yield from _content(files, entry)


def _content(files: Path, entry: dict[str, Any]) -> Iterator[bytes]:
    name = b64decode(entry["name_raw"]).decode("utf-8", "surrogateescape") if "name_raw" in entry else entry["name"]
    path = files / name
    status = path.lstat()
    inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
    if not inside or not stat.S_ISREG(status.st_mode) or status.st_size != entry["size"]:
        raise ValueError(f"{name}: not the file of the record")
    with path.open("rb", buffering=0) as source:
        while block := source.read(BLOCK):
            yield block
