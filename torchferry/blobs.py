"""The blob store: every layer once, compressed, under the SHA-256 of its uncompressed tar; and image configs.

<folder>/<compression>/<diff_id>.gz       the layer, as gzip members
<folder>/<compression>/<diff_id>.json     what was proven of that file when it was made
<folder>/configs/<digest>.json            the exact bytes of an image config
<folder>/answers/<fingerprint>.json       which layers come of the wheels with that fingerprint

A record is written last and says only what was proven: each member was inflated again and found equal to its block
before the block's bytes counted for the diff_id. So who later finds the SHA-256 of the compressed file unchanged knows
that it inflates to that layer, and need not inflate it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from torchferry import files, hybrid, members
from torchferry.errors import DiskFull, IntegrityError
from torchferry.members import MemberReader, Readable
from torchferry.model import Image, Layer, fingerprint

RECORD_VERSION = 3
_serial = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A stored layer: its file, and bytes, hex SHA-256 and CRC-32 of that file as proven when it was made."""

    layer: Layer
    path: Path
    gz_size: int
    gz_sha256: str
    gz_crc32: int


class _Packed:
    """A layer's file while it is written: what passes is hashed and counted."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._sha256 = hashlib.sha256()
        self._crc32 = 0
        self._size = 0

    def write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._crc32 = members.crc32(data, self._crc32)
        self._size += len(data)
        self._sink.write(data)

    def blob(self, layer: Layer, path: Path) -> Blob:
        """The file as it is now."""
        return Blob(
            layer=layer, path=path, gz_size=self._size, gz_sha256=self._sha256.hexdigest(), gz_crc32=self._crc32)


@contextmanager
def full_disk_at(place: Path) -> Iterator[None]:
    """Turn the system's 'no space left' into DiskFull for ``place``."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"{place}: the disk became full",
            cure="free space there (inv clean removes what torchferry made), or put the project on a larger disk",
        ) from error


@dataclass(frozen=True, kw_only=True)
class BlobStore:
    """The store in ``folder`` for one compression; several processes may use it at once."""

    folder: Path
    compression: str = "fast"
    threads: int = field(default_factory=members.cores)

    def __post_init__(self) -> None:
        if self.compression not in members.COMPRESSIONS:
            raise ValueError(f"compression {self.compression!r}")

    @property
    def shelf(self) -> Path:
        """Where layers of this compression lie."""
        return self.folder / self.compression

    def has(self, diff_id: str) -> bool:
        return self.blob(diff_id) is not None

    def layer(self, diff_id: str) -> Layer | None:
        """The layer, if it is stored."""
        blob = self.blob(diff_id)
        return blob.layer if blob else None

    def blob(self, diff_id: str) -> Blob | None:
        """The stored file of a layer; one whose record or length is wrong counts as absent."""
        path = self._path(diff_id)
        try:
            found = json.loads(path.with_suffix(".json").read_bytes())
            blob = Blob(
                layer=Layer(diff_id=diff_id, size=found["size"]),
                path=path, gz_size=found["gz_size"], gz_sha256=found["gz_sha256"], gz_crc32=found["gz_crc32"],
            )
            valid = found == _record(blob) and path.stat().st_size == blob.gz_size
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return blob if valid else None

    def add(
        self, stream: Readable, *, expected: str | None = None, passed: Callable[[int], object] = files.ignore,
    ) -> Layer:
        """Store the layer whose uncompressed tar ``stream`` is; ``passed`` hears the count of those bytes as they come.

        Raises IntegrityError when its SHA-256 is not ``expected``; then, and when the stream raises, nothing is kept.
        """
        plain, size = hashlib.sha256(), 0

        def blocks() -> Iterator[bytes]:
            nonlocal size
            for block in members.blocks_of(stream):
                plain.update(block)
                size += len(block)
                passed(len(block))
                yield block

        with full_disk_at(self.shelf), self._incoming() as sink:
            packed = _Packed(sink)
            for member in members.compress(blocks(), self.compression, threads=self.threads):
                packed.write(member)
            sink.flush()
            layer = Layer(diff_id=plain.hexdigest(), size=size)
            if expected not in (None, layer.diff_id):
                raise IntegrityError(
                    f"layer {expected}: its {size} bytes have the SHA-256 {layer.diff_id}",
                    cure="save the image again; if it stays so, the Docker store is damaged: build the image again",
                )
            self._publish(Path(sink.name), packed.blob(layer, self._path(layer.diff_id)))
        return layer

    def add_packed(self, pack: Callable[[Callable[[bytes], object]], Layer], *, expected: str | None = None) -> Layer:
        """Store the layer that ``pack`` writes as ready gzip members; it returns what they were proven to inflate to.

        Raises IntegrityError when that is not the layer ``expected``; then, and when ``pack`` raises, nothing is kept.
        """
        with full_disk_at(self.shelf), self._incoming() as sink:
            packed = _Packed(sink)
            layer = pack(packed.write)
            if expected not in (None, layer.diff_id):
                raise IntegrityError(
                    f"layer {expected}: made again, it came out as {layer.diff_id}",
                    cure="test this machine's memory; if it stays so, this is a bug: report it",
                )
            sink.flush()
            self._publish(Path(sink.name), packed.blob(layer, self._path(layer.diff_id)))
        return layer

    def remember(self, key: str, layers: Sequence[Layer]) -> None:
        """Keep for ever that ``key``, a fingerprint of all that decides them, gives these layers."""
        rows = [[layer.diff_id, layer.size] for layer in layers]
        text = json.dumps({"key": key, "layers": rows, "check": fingerprint([key, rows])})
        with full_disk_at(self.folder):
            files.write_text(self._answer_path(key), f"{text}\n")

    def recall(self, key: str) -> tuple[Layer, ...] | None:
        """What was remembered for ``key``; whether those layers are stored is another question."""
        try:
            found = json.loads(self._answer_path(key).read_bytes())
            if found["check"] != fingerprint([key, found["layers"]]):
                return None
            return tuple(Layer(diff_id=diff_id, size=size) for diff_id, size in found["layers"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @contextmanager
    def read(self, diff_id: str) -> Iterator[Readable]:
        """The uncompressed tar of a stored layer, to be read once. Raises IntegrityError where it is not there."""
        blob = self.blob(diff_id) or self.verify(diff_id)
        with blob.path.open("rb") as source, ThreadPoolExecutor(self.threads) as pool:
            yield MemberReader(
                source, what=str(blob.path), cure="run the command again", pool=pool, ahead=2 * self.threads)

    def verify(self, diff_id: str, *, passed: Callable[[int], object] = files.ignore) -> Blob:
        """Read a stored layer through; a damaged one is dropped.

        Raises IntegrityError when it is damaged or not there.
        """
        blob = self.blob(diff_id)
        if blob and files.sha256(blob.path, passed=passed) == blob.gz_sha256:
            return blob
        state = "damaged, and dropped" if blob else "not there"
        self.drop(diff_id)
        raise IntegrityError(
            f"{self._path(diff_id)}: the stored layer is {state}",
            cure="run the command again: the layer is then taken from the image anew",
        )

    def drop(self, diff_id: str) -> None:
        """Forget a layer."""
        with self._locked():
            # The record goes first: a blob without one does not count.
            self._path(diff_id).with_suffix(".json").unlink(missing_ok=True)
            self._path(diff_id).unlink(missing_ok=True)

    def add_config(self, config: bytes) -> str:
        """Store the bytes of an image config; returns their hex SHA-256."""
        digest = hashlib.sha256(config).hexdigest()
        with full_disk_at(self.folder):
            files.write_bytes(self._config_path(digest), config)
        return digest

    def config(self, digest: str) -> bytes | None:
        """The image config of this SHA-256; a damaged one counts as absent."""
        try:
            config = self._config_path(digest).read_bytes()
        except OSError:
            return None
        return config if hashlib.sha256(config).hexdigest() == digest else None

    def image(self, name: str, config_digest: str) -> Image | None:
        """The image of this config under this name, if the store holds all of it: then Docker need not be asked."""
        config = self.config(config_digest)
        if config is None:
            return None
        digests = hybrid.diff_ids(config, what=str(self._config_path(config_digest)), cure="build the image again")
        layers = tuple(layer for layer in map(self.layer, digests) if layer)
        return Image(name=name, config=config, layers=layers) if len(layers) == len(digests) else None

    def _path(self, diff_id: str) -> Path:
        return self.shelf / f"{diff_id}.gz"

    def _answer_path(self, key: str) -> Path:
        return self.folder / "answers" / f"{key}.json"

    def _config_path(self, digest: str) -> Path:
        return self.folder / "configs" / f"{digest}.json"

    def _publish(self, temporary: Path, blob: Blob) -> None:
        with self._locked():
            if self.has(blob.layer.diff_id):
                return
            blob.path.with_suffix(".json").unlink(missing_ok=True)
            temporary.replace(blob.path)
            files.write_text(blob.path.with_suffix(".json"), json.dumps(_record(blob)) + "\n")

    @contextmanager
    def _incoming(self) -> Iterator[BinaryIO]:
        """A temporary file on the shelf; it is gone after the block unless it was renamed.

        Whoever writes one holds a lock on it, so what a killed process left is known by being unlocked, and removed.
        """
        with self._locked():
            for left in self.shelf.glob(".incoming-*.partial-*"):
                _remove_unlocked(left)
            path = self.shelf / f".incoming-{next(_serial)}.partial-{os.getpid()}"
            sink = path.open("xb")
            fcntl.flock(sink, fcntl.LOCK_EX)
        try:
            with sink:
                yield sink
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the users of this shelf: for the moments of naming and dropping, never while bytes flow."""
        self.shelf.mkdir(parents=True, exist_ok=True)
        with (self.shelf / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _record(blob: Blob) -> dict[str, Any]:
    proven = {
        "version": RECORD_VERSION,
        "diff_id": blob.layer.diff_id,
        "size": blob.layer.size,
        "gz_size": blob.gz_size,
        "gz_sha256": blob.gz_sha256,
        "gz_crc32": blob.gz_crc32,
    }
    return proven | {"check": fingerprint(proven)}


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError), path.open("rb") as left:
        fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
