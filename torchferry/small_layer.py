"""A layer of small things: entries in a fixed order and form, so that equal content is one layer everywhere."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torchferry import layer_tar, tarstream
from torchferry.blobs import BlobStore
from torchferry.members import Chunks
from torchferry.model import Layer

BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in a layer, ``path`` without leading slash: a folder, a link (``target``), or a file with content.

    ``content`` is bytes, or a file on this machine that is read when the layer is written.
    """

    path: str
    kind: str
    mode: int
    owner: int = 0
    content: bytes | Path = b""
    target: str = ""


def folder(path: str, *, mode: int = 0o755, owner: int = 0) -> Entry:
    return Entry(path=path, kind="folder", mode=mode, owner=owner)


def file(path: str, content: bytes | Path, *, mode: int = 0o644, owner: int = 0) -> Entry:
    return Entry(path=path, kind="file", mode=mode, owner=owner, content=content)


def link(path: str, target: str, *, owner: int = 0) -> Entry:
    return Entry(path=path, kind="link", mode=0o777, owner=owner, target=target)


def store_entries(entries: Iterable[Entry], store: BlobStore) -> Layer:
    """Store the layer of these entries, folders before what is in them; of a path that comes twice the last counts."""
    by_path = {entry.path: entry for entry in entries}
    return store.add(Chunks(_tar(by_path)))


def with_parents(entries: Iterable[Entry], known: Mapping[str, int]) -> tuple[Entry, ...]:
    """The entries, and every folder above one that is not among them; ``known`` has the modes of those that exist.

    A layer has to say each folder: what a daemon makes of one that no layer names depends on its version.
    """
    found = {entry.path: entry for entry in entries}
    for path in list(found):
        while path := posixpath.dirname(path):
            found.setdefault(path, folder(path, mode=known.get(path, 0o755)))
    return tuple(found.values())


def _tar(entries: Mapping[str, Entry]) -> Iterator[bytes]:
    for path in sorted(entries, key=str.encode):
        yield from _member(entries[path])
    yield tarstream.END


def _member(entry: Entry) -> Iterator[bytes]:
    if entry.kind == "folder":
        yield layer_tar.folder_header(entry.path, mode=entry.mode, owner=entry.owner)
    elif entry.kind == "link":
        yield layer_tar.link_header(entry.path, entry.target, owner=entry.owner)
    else:
        size = len(entry.content) if isinstance(entry.content, bytes) else entry.content.stat().st_size
        yield layer_tar.file_header(entry.path, mode=entry.mode, size=size, owner=entry.owner)
        yield from _content(entry.content)
        yield tarstream.padding(size)


def _content(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while block := source.read(BLOCK):
            yield block
