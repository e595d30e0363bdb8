"""Wheels to layers: each large file's deflate stream moves from the wheel into the layer as it is.

A wheel is a zip of deflate streams, and a gzip member is a header, a deflate stream, CRC-32 and length. Only tar
headers and small files are compressed here. A layer is inflated once, to learn its diff_id and to prove every CRC-32
and every hash of RECORD; the answer is kept in the store for ever, by what decides it: the wheels, the environment,
and the version of the layout.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock

from torchferry import files, layer_tar, tarstream, wheel_groups, wheel_record, zipdir
from torchferry.blobs import BlobStore
from torchferry.errors import IntegrityError
from torchferry.inflate import Inflater
from torchferry.layer_pack import LayerPacker
from torchferry.model import Layer, Wheel, WheelSet, fingerprint
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
    whole = layer_key(venv, *groups)
    known = store.recall(whole)
    if known is not None and all(store.has(layer.diff_id) for layer in known):
        passed(wheels.lock.size)
        return known
    with ExitStack() as stack:
        layers = _Builder(wheels, venv, store, passed, stack).build(groups)
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
            _pack_file(packer, path, *placed[below], passed)
        else:
            packer.plain(layer_tar.folder_header(path))
    packer.plain(tarstream.END)
    return packer.finish()


class _Stopped(Exception):
    """Another layer failed; this one need not be finished."""


class _Builder:
    """The layers of one set of wheels while they are made; what is opened stays open until ``stack`` closes."""

    def __init__(
        self, wheels: WheelSet, venv: Venv, store: BlobStore, passed: Callable[[int], object], stack: ExitStack,
    ) -> None:
        self._wheels = wheels
        self._venv = venv
        self._store = store
        self._heard = passed
        self._stack = stack
        self._lock = Lock()
        self._failed = False

    def build(self, groups: tuple[WheelGroup, ...]) -> tuple[Layer, ...]:
        """The layer of each group. The largest are begun first, so that no core waits long for the last one."""
        missing = sum(group.size for group in groups if not self._stored(group))
        files.require_space(self._store.folder, missing + missing // 20, what="layers of wheels")
        layouts: list[WheelLayout] = []
        made: dict[str, Future[Layer]] = {}
        with ThreadPoolExecutor(self._store.threads + 1) as pool:  # one more than cores: one may wait for the disk
            try:
                for group in sorted(groups, key=lambda group: (-group.size, group.name)):
                    parts = [self._open(wheel) for wheel in group.wheels]
                    layouts += (part.layout for part in parts)
                    made[group.name] = pool.submit(self._layer, group, parts)
                refuse_conflicts(layouts)
                done, _ = wait(made.values(), return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                return tuple(made[group.name].result() for group in groups)
            except BaseException:
                self._failed = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _open(self, wheel: Wheel) -> Part:
        opened = self._stack.enter_context(open_wheel(self._wheels.path(wheel)))
        return Part(wheel=opened, layout=lay_out(opened, self._venv))

    def _stored(self, group: WheelGroup) -> Layer | None:
        known = self._store.recall(layer_key(self._venv, group))
        return known[0] if known and self._store.has(known[0].diff_id) else None

    def _layer(self, group: WheelGroup, parts: list[Part]) -> Layer:
        if stored := self._stored(group):
            self._passed(group.size)
            return stored
        store, key = self._store, layer_key(self._venv, group)
        known = store.recall(key)
        layer = store.add_packed(
            lambda write: pack_layer(
                parts, self._venv, write, compression=store.compression, passed=self._passed,
            ),
            expected=known[0].diff_id if known else None,
        )
        store.remember(key, (layer,))
        return layer

    def _passed(self, count: int) -> None:
        if self._failed:
            raise _Stopped
        with self._lock:
            self._heard(count)


def _pack_file(
    packer: LayerPacker, path: str, wheel: WheelZip, placed: Placed, passed: Callable[[int], object],
) -> None:
    packer.plain(layer_tar.file_header(path, mode=placed.mode, size=placed.size))
    entry = placed.entry
    if entry is None:
        packer.plain(placed.content)
    elif entry.method == zipdir.DEFLATED and entry.packed_size >= TRANSPLANT:
        inflater = Inflater(deflated=entry.packed_size, size=entry.size)
        packer.transplant(_proven(wheel, placed, wheel.inflate(entry, inflater), passed), inflater, size=entry.size)
    else:
        for _, piece in _proven(wheel, placed, ((b"", piece) for piece in wheel.chunks(entry)), passed):
            packer.plain(piece)
        passed(entry.packed_size)
    packer.plain(tarstream.padding(placed.size))


def _proven(
    wheel: WheelZip, placed: Placed, stream: Iterator[tuple[bytes, bytes]], passed: Callable[[int], object],
) -> Iterator[tuple[bytes, bytes]]:
    """A file's pieces as they come; at the end their hash must be the one of RECORD."""
    digest = wheel_record.new_hash(placed.hash) if placed.hash else None
    for data, piece in stream:
        if digest:
            digest.update(piece)
        passed(len(data))
        yield data, piece
    if digest and placed.hash and not wheel_record.is_digest(placed.hash, digest.digest()):
        raise wheel.refused(f"{placed.path}: RECORD states another hash of it")


def _with_parents(root: str, paths: Iterable[str]) -> set[str]:
    """Every path in full, and every folder above one."""
    found: set[str] = set()
    for path in (root, *(f"{root}/{path}" for path in paths)):
        while path and path not in found:
            found.add(path)
            path = posixpath.dirname(path)
    return found


def layer_key(venv: Venv, *groups: WheelGroup) -> str:
    """All that decides which layers these groups become, as a fingerprint."""
    return fingerprint([
        LAYOUT_VERSION, TRANSPLANT, str(venv.prefix), venv.python,
        [[[wheel.filename, wheel.sha256] for wheel in group.wheels] for group in groups],
    ])
