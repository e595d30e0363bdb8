"""Reads what `docker save` streams, once, and puts its layers and configs into the blob store.

Up to Docker 24 layers are <v1 id>/layer.tar, equal ones symbolic links; from 25 on blobs/sha256/<digest>; the
containerd store adds attestations, and its layers may be gzip. manifest.json names the images in all of them.
Nothing is believed: every SHA-256 is computed, names and kinds of entries are a short list, and since Docker can leave
layers out and still succeed (moby #49473), every layer that a config names must be there in the end.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from isal import igzip, igzip_lib

from torchferry import files, hybrid
from torchferry.blobs import BlobStore
from torchferry.errors import IntegrityError
from torchferry.hybrid import DOCKER_MANIFEST, HEX, JSON_LIMIT
from torchferry.members import Readable, exactly
from torchferry.model import Image, Layer
from torchferry.reference import parse_reference
from torchferry.tarstream import Entry, TarStream

WHAT = "docker save"
CURE = "save the image again; if it stays so, build the image again"
_BLOB = re.compile(f"blobs/sha256/({HEX})")
_CONFIG = re.compile(rf"({HEX})\.json")
_LAYER = re.compile(rf"{HEX}/layer\.tar")
_LINK = re.compile(rf"\.\./{HEX}/layer\.tar")
_SKIPPED = re.compile(f"index.json|oci-layout|repositories|{HEX}/(VERSION|json)")
_FOLDER = re.compile(f"blobs|blobs/sha256|{HEX}")
_ENTRIES_LIMIT = 4096
_SMALL_LIMIT = 64 << 20
_PEEK = 512


def read_save(
    stream: Readable, *, store: BlobStore, names: Sequence[str], passed: Callable[[int], object] = files.ignore,
) -> tuple[Image, ...]:
    """The images of these names, in this order, from the tar that `docker save` writes; the store then holds them.

    ``passed`` hears the count of the tar's bytes as they come. An image that was saved by its ID has no name in the
    stream: if there is one image only, it is the one that was asked for. Raises IntegrityError for anything else than
    complete and unchanged images; layers that were whole by then stay in the store.
    """
    def read(count: int) -> bytes:
        data = stream.read(count)
        passed(len(data))
        return data

    saved = _Saved(tar=TarStream(read, what=WHAT, cure=CURE), store=store)
    saved.read_entries()
    listed = saved.manifest()
    return tuple(saved.image(name, _named(name, listed)) for name in names)


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """One image as manifest.json lists it: its names as Docker spells them, and the paths of its parts."""

    names: tuple[str, ...]
    config: str
    layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """What came so far: small documents and layers, by path."""

    tar: TarStream
    store: BlobStore
    small: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)

    def read_entries(self) -> None:
        seen: set[str] = set()
        for entry in self.tar:
            if entry.name in seen or len(seen) >= _ENTRIES_LIMIT:
                raise self.tar.refused(f"entry {entry.name!r} comes twice, or there are too many")
            seen.add(entry.name)
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        name, blob, config = entry.name, _BLOB.fullmatch(entry.name), _CONFIG.fullmatch(entry.name)
        if entry.kind == "folder" and _FOLDER.fullmatch(name):
            return
        if entry.kind == "link" and _LAYER.fullmatch(name) and _LINK.fullmatch(entry.target):
            return  # to an equal layer: the config names it once more, and the store has it
        if entry.kind == "file" and blob:
            self._take_blob(entry, blob[1])
        elif entry.kind == "file" and _LAYER.fullmatch(name):
            self.layers[name] = self.store.add(self.tar)
        elif entry.kind == "file" and config:
            self.small[name] = self._document(entry, digest=config[1])
        elif entry.kind == "file" and name == DOCKER_MANIFEST:
            self.small[name] = self._document(entry)
        elif entry.kind == "file" and _SKIPPED.fullmatch(name) and entry.size <= JSON_LIMIT:
            return
        else:
            raise self.tar.refused(f"{entry.kind} {name!r} of {entry.size} bytes does not belong there")

    def _take_blob(self, entry: Entry, digest: str) -> None:
        """A blob says only by its first bytes what it is: a layer, a compressed layer, or a document."""
        known = self.store.layer(digest)
        body = _Hashed(self.tar, head=exactly(self.tar.read, _PEEK))
        if known is None and body.head.startswith(b"\x28\xb5\x2f\xfd"):
            raise IntegrityError(
                f"{WHAT}: layer {digest} is compressed with zstd",
                cure="build the image without zstd layers, or on a daemon with the classic image store",
            )
        if known is not None:
            self.layers[entry.name] = known
        elif body.head.startswith(b"\x1f\x8b"):
            self.layers[entry.name] = self._compressed_layer(body)
        elif body.head.startswith(b"{") and body.head[257:262] != b"ustar":
            self.small[entry.name] = self._document(entry, digest=digest, start=body.head)
            return
        else:
            self.layers[entry.name] = self.store.add(body, expected=digest)
            return
        if body.finish() != digest:
            raise self.tar.refused(f"the SHA-256 of {entry.name} is {body.finish()}")

    def _compressed_layer(self, body: _Hashed) -> Layer:
        try:
            with igzip.open(body) as inflated:  # type: ignore[no-untyped-call]  # isal ships no types for it
                return self.store.add(inflated)
        except (gzip.BadGzipFile, EOFError, igzip_lib.error) as error:  # type: ignore[misc]  # as in members.py
            raise self.tar.refused(f"a compressed layer is damaged: {error}") from error

    def _document(self, entry: Entry, *, digest: str | None = None, start: bytes = b"") -> bytes:
        if entry.size > JSON_LIMIT or entry.size + sum(map(len, self.small.values())) > _SMALL_LIMIT:
            raise self.tar.refused(f"{entry.name} has {entry.size} bytes, too many for a document")
        data = start + exactly(self.tar.read, entry.size - len(start))
        if digest not in (None, hashlib.sha256(data).hexdigest()):
            raise self.tar.refused(f"the SHA-256 of {entry.name} is {hashlib.sha256(data).hexdigest()}")
        return data

    def manifest(self) -> tuple[_Listed, ...]:
        """The images that manifest.json lists."""
        if DOCKER_MANIFEST not in self.small:
            raise self.tar.refused("no manifest.json: not an image archive, or of a Docker before 1.10")
        try:
            return tuple(_listed(row) for row in json.loads(self.small[DOCKER_MANIFEST]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self.tar.refused(f"manifest.json cannot be read: {error!r}") from error

    def image(self, name: str, listed: _Listed) -> Image:
        """The image of a row, every layer of it in the store."""
        config = self.small.get(listed.config)
        if config is None:
            raise self.tar.refused(f"{name}: Docker left out its config, {listed.config}")
        wanted = hybrid.diff_ids(config, what=f"{WHAT}: {name}", cure=CURE)
        if len(wanted) != len(listed.layers):
            raise self.tar.refused(f"{name}: {len(listed.layers)} layers are listed, the config names {len(wanted)}")
        layers = tuple(self._layer(name, diff_id, path) for diff_id, path in zip(wanted, listed.layers, strict=True))
        self.store.add_config(config)
        return Image(name=name, config=config, layers=layers)

    def _layer(self, name: str, diff_id: str, path: str) -> Layer:
        layer = self.layers.get(path) or self.store.layer(diff_id)
        if layer is None:
            raise self.tar.refused(f"{name}: Docker left out layer {diff_id} ({path})")
        if layer.diff_id != diff_id:
            raise self.tar.refused(f"{name}: {path} is layer {layer.diff_id}, the config names {diff_id} there")
        return layer


class _Hashed:
    """The body of an entry whose ``head`` was read already, hashed while the rest is read."""

    def __init__(self, source: Readable, *, head: bytes) -> None:
        self.head = head
        self._source = source
        self._unread = head
        self._digest = hashlib.sha256(head)

    def read(self, count: int = 1 << 20, /) -> bytes:
        if self._unread:
            data, self._unread = self._unread[:count], self._unread[count:]
            return data
        data = self._source.read(count)
        self._digest.update(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        """For gzip's reader, which fills a buffer of its own."""
        data = self.read(len(buffer))
        buffer[:len(data)] = data
        return len(data)

    def finish(self) -> str:
        """The hex SHA-256 of the whole body; what was not read yet is read."""
        while self.read():
            pass
        return self._digest.hexdigest()


def _listed(row: Any) -> _Listed:
    names, config, layers = row.get("RepoTags") or [], row["Config"], row["Layers"]
    if not isinstance(config, str) or not all(isinstance(text, str) for text in [*names, *layers]):
        raise TypeError("a name that is no text")
    return _Listed(names=tuple(names), config=config, layers=tuple(layers))


def _named(name: str, listed: tuple[_Listed, ...]) -> _Listed:
    wanted = parse_reference(name)
    for row in listed:
        if wanted in map(parse_reference, row.names):
            return row
    if len(listed) == 1 and not listed[0].names:
        return listed[0]
    raise IntegrityError(f"{WHAT}: the stream does not hold the image {name}", cure=CURE)
