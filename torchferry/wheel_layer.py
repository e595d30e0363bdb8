"""Wheels to layers: each large file's deflate stream moves from the wheel into the layer as it is.

A wheel is a zip of deflate streams, and a gzip member is a header, a deflate stream, CRC-32 and length. Only tar
headers and small files are compressed here. A layer is inflated once, to learn its diff_id and to prove every CRC-32
and every hash of RECORD; the answer is kept in the store for ever, by what decides it: the wheels, the environment,
and the version of the layout.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from torchferry import files, layer_tar, tarstream, wheel_groups, wheel_record, zipdir
from torchferry.blobs import BlobStore
from torchferry.errors import IntegrityError
from torchferry.inflate import Inflater
from torchferry.layer_pack import LayerPacker
from torchferry.model import Layer, WheelSet, fingerprint
from torchferry.wheel_groups import WheelGroup
from torchferry.wheel_layout import LAYOUT_VERSION, Placed, Venv, WheelLayout, conflicts, lay_out
from torchferry.wheel_reader import WheelZip, open_wheel

TRANSPLANT = 64 << 10
"""Deflated bytes from which a file is moved as it is; below, its neighbours compress it better than its own stream."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """An open wheel and what it puts into the environment."""

    wheel: WheelZip
    layout: WheelLayout


def wheel_layers(
    wheels: WheelSet, venv: Venv, store: BlobStore, *, passed: Callable[[int], object] = files.ignore,
) -> tuple[Layer, ...]:
    """The stored layers, lowest first, that hold what uv would install of these wheels into ``venv``.

    ``passed`` hears how many bytes of wheels became layers. Raises IntegrityError for a wheel, or for two together,
    whose tree is not certain, and DiskFull.
    """
    groups = wheel_groups.wheel_groups(wheels.lock.wheels)
    whole = _key(venv, *groups)
    known = store.recall(whole)
    if known is not None and all(store.has(layer.diff_id) for layer in known):
        passed(wheels.lock.size)
        return known
    with ExitStack() as stack:
        parts = {}
        for wheel in wheels.lock.wheels:
            opened = stack.enter_context(open_wheel(wheels.path(wheel)))
            parts[wheel.filename] = Part(wheel=opened, layout=lay_out(opened, venv))
        refuse_conflicts(part.layout for part in parts.values())
        layers = _build(groups, parts, venv, store, passed)
    store.remember(whole, layers)
    return layers


def refuse_conflicts(layouts: Iterable[WheelLayout]) -> None:
    """Raise IntegrityError for wheels that cannot be installed beside each other with a certain result."""
    if found := list(conflicts(layouts)):
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise IntegrityError(
            f"wheels get in each other's way: {'; '.join(found[:5])}{more}",
            cure="uv installs them in no certain order: require only one of them, or other versions",
        )


def pack_layer(
    parts: Iterable[Part], venv: Venv, write: Callable[[bytes], object], *, compression: str,
    passed: Callable[[int], object] = files.ignore,
) -> Layer:
    """Write one layer with the trees of these wheels as gzip members; the layer that they inflate to.

    Raises IntegrityError where a file of a wheel is not what its zip directory and its RECORD say.
    """
    placed = {file.path: (part.wheel, file) for part in parts for file in part.layout.files}
    folders = {folder for part in parts for folder in part.layout.folders}
    packer = LayerPacker(write, compression)
    root = str(venv.prefix).lstrip("/")
    for path in sorted(_with_parents(root, placed.keys() | folders), key=str.encode):
        below = path.removeprefix(f"{root}/")
        if path != root and below in placed:
            _pack_file(packer, path, *placed[below])
            passed(placed[below][1].entry.packed_size if placed[below][1].entry else 0)
        else:
            packer.plain(layer_tar.folder_header(path))
    packer.plain(tarstream.END)
    return packer.finish()


def _build(
    groups: tuple[WheelGroup, ...], parts: Mapping[str, Part], venv: Venv, store: BlobStore,
    passed: Callable[[int], object],
) -> tuple[Layer, ...]:
    """The layer of each group. The largest is begun first, so that no core waits long for the last one."""
    work = {group.name: [parts[wheel.filename] for wheel in group.wheels] for group in groups}
    order = sorted(groups, key=lambda group: -sum(_inflated(part) for part in work[group.name]))
    with ThreadPoolExecutor(store.threads + 1) as pool:  # one more than cores: one may wait for the disk
        made = {group.name: pool.submit(_stored, group, work[group.name], venv, store, passed) for group in order}
        try:
            return tuple(made[group.name].result() for group in groups)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _stored(
    group: WheelGroup, parts: list[Part], venv: Venv, store: BlobStore, passed: Callable[[int], object],
) -> Layer:
    key = _key(venv, group)
    known = store.recall(key) or (None,)
    if known[0] is not None and store.has(known[0].diff_id):
        passed(group.size)
        return known[0]
    layer = store.add_packed(
        lambda write: pack_layer(parts, venv, write, compression=store.compression, passed=passed),
        expected=known[0].diff_id if known[0] else None,
    )
    store.remember(key, (layer,))
    return layer


def _pack_file(packer: LayerPacker, path: str, wheel: WheelZip, placed: Placed) -> None:
    packer.plain(layer_tar.file_header(path, mode=placed.mode, size=placed.size))
    entry = placed.entry
    if entry is None:
        packer.plain(placed.content)
    elif entry.method == zipdir.DEFLATED and entry.packed_size >= TRANSPLANT:
        inflater = Inflater(deflated=entry.packed_size, size=entry.size)
        packer.transplant(_proven(wheel, placed, wheel.inflate(entry, inflater)), inflater, size=entry.size)
    else:
        for _, piece in _proven(wheel, placed, ((b"", piece) for piece in wheel.chunks(entry))):
            packer.plain(piece)
    packer.plain(tarstream.padding(placed.size))


def _proven(wheel: WheelZip, placed: Placed, stream: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """A file's pieces as they come; at the end their hash must be the one of RECORD."""
    digest = wheel_record.new_hash(placed.hash) if placed.hash else None
    for data, piece in stream:
        if digest:
            digest.update(piece)
        yield data, piece
    if digest and placed.hash and not wheel_record.same_hash(placed.hash, digest.digest()):
        raise wheel.refused(f"{placed.path}: RECORD states another hash of it")


def _with_parents(root: str, paths: Iterable[str]) -> set[str]:
    """Every path in full, and every folder above one."""
    found: set[str] = set()
    for path in (root, *(f"{root}/{path}" for path in paths)):
        while path and path not in found:
            found.add(path)
            path = posixpath.dirname(path)
    return found


def _inflated(part: Part) -> int:
    return sum(file.size for file in part.layout.files)


def _key(venv: Venv, *groups: WheelGroup) -> str:
    return fingerprint([
        LAYOUT_VERSION, TRANSPLANT, str(venv.prefix), venv.python,
        [[[wheel.filename, wheel.sha256] for wheel in group.wheels] for group in groups],
    ])
