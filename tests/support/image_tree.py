"""The files of an image as a container would see them: its layers laid over each other, whoever made them."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from typing import IO, Any, NamedTuple, cast

from torchferry.blobs import BlobStore
from torchferry.model import Image

UVS_OWN = frozenset({"opt/venv/.lock"})
"""What uv writes about itself: the lock file of `uv pip install`, which nobody reads in an image."""


class Node(NamedTuple):
    """One path: kind, permission bits, owner, group, and the SHA-256 of a file or where a link points."""

    kind: str
    mode: int
    uid: int
    gid: int
    content: str


def image_tree(image: Image, store: BlobStore) -> dict[str, Node]:
    """Every path of an image below /, without times."""
    found: dict[str, Node] = {}
    for layer in image.layers:
        with store.read(layer.diff_id) as source, tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|") as tar:
            for entry in tar:
                _lay(found, tar, entry)
    return found


def differences(one: Image, other: Image, store: BlobStore) -> list[str]:
    """Every path that is not the same in both, but for UVS_OWN."""
    left, right = image_tree(one, store), image_tree(other, store)
    return [f"{path}: {left.get(path)} | {right.get(path)}" for path in sorted({*left, *right} - UVS_OWN)
            if left.get(path) != right.get(path)]


def started_with(image: Image) -> dict[str, Any]:
    """What a container of the image starts with; times, history and how the layers came about are the engine's own."""
    said = json.loads(image.config)
    kept = {key: value for key, value in said["config"].items() if value not in (None, "", [], {}, False)}
    kept.pop("ArgsEscaped", None)  # Windows only
    return {"architecture": said["architecture"], "os": said["os"], **kept}


def _lay(found: dict[str, Node], tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    path = posixpath.normpath(entry.name).lstrip("/")
    where, name = posixpath.split(path)
    assert name != ".wh..wh..opq", "an opaque folder"
    if name.startswith(".wh."):
        _remove(found, posixpath.join(where, name[4:]))
        return
    if path == ".":
        return
    if not entry.isdir():
        _remove(found, path)
    if entry.islnk():
        found[path] = found[posixpath.normpath(entry.linkname).lstrip("/")]
        return
    kind = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link"}.get(entry.type, "file" if entry.isreg() else "device")
    content = entry.linkname
    if entry.isreg():
        source = tar.extractfile(entry)
        assert source is not None
        content = hashlib.file_digest(source, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha(source)
    found[path] = Node(kind, entry.mode & 0o7777, entry.uid, entry.gid, content)


def _sha(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while data := source.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def _remove(found: dict[str, Node], path: str) -> None:
    if found.pop(path, None) is not None:
        for below in [other for other in found if other.startswith(f"{path}/")]:
            del found[below]
