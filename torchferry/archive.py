"""The archive that `docker load` takes: one deterministic .tar.gz, spliced from stored layers, proven before it counts.

It is a tar of documents (`hybrid.documents`) and layers, as gzip members. A stored layer is members already, so its
file is copied as it is; between layers stand small members with padding and the next header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from torchferry import files, hybrid, members, parts, tarstream
from torchferry.blobs import Blob, BlobStore, full_disk_at
from torchferry.errors import ConfigError, IntegrityError
from torchferry.growing import Growing
from torchferry.hybrid import DOCKER_MANIFEST, JSON_LIMIT, blob_name
from torchferry.members import MemberReader, Readable
from torchferry.model import Archive, Image, Layer
from torchferry.reference import parse_reference
from torchferry.running import Extent, Head
from torchferry.tarstream import Entry, TarStream

CURE = "pack it again, or copy it again from where it was made"
_COPY = 64 << 20
_REGION = 4 << 20


def packed_size(image: Image, store: BlobStore, *, omits: int = 0) -> int:
    """Bytes that the archive of an image will have. Raises IntegrityError when the store lacks a layer."""
    return sum(len(piece) if isinstance(piece, bytes) else piece.gz_size for piece in _pieces(image, store, omits))


def write_archive(
    image: Image, *, store: BlobStore, target: Path, split: int | None = None, omits: int = 0,
    passed: Callable[[int], object] = files.ignore,
) -> Archive:
    """Write the archive of an image whose layers are all stored; the same image and store give the same bytes.

    ``omits`` is how many of the lowest layers stay out, since the servers that it goes to hold them.

    ``split`` is the largest size of a file; an archive that is larger becomes parts beside ``target``.
    ``passed`` hears every byte of the archive twice: when it is written and when it is verified. Raises IntegrityError
    for a layer that is not stored or was damaged there, and DiskFull; ``target`` is then as it was.
    """
    pieces, size = list(_pieces(image, store, omits)), packed_size(image, store, omits=omits)
    files.require_space(target.parent, size, what=target.name)
    proven = {piece.layer.diff_id: piece for piece in pieces if isinstance(piece, Blob)}
    with full_disk_at(target.parent), parts.written(target, size, split) as (sink, written):
        # What was written is verified while the rest is written: one core copies, one hashes.
        growing = Growing(written)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(_write, pieces, sink, growing, passed)
            try:
                made = _verify(growing, what=str(target), proven=proven, omits=omits, passed=passed)
            except IntegrityError:
                writing.cancel()
                growing.given_up = True
                writing.result()
                for diff_id in proven:
                    store.verify(diff_id)
                raise
            except BaseException:  # Ctrl-C, say: the writer must not go on for gigabytes
                growing.given_up = True
                raise
            writing.result()
        if made.image != replace(image, name=parse_reference(image.name).familiar):
            raise IntegrityError(f"{target}: another image came out than went in", cure="this is a bug: report it")
    return replace(made, path=target, image=image, parts=written.parts(made.sha256), omits=omits)


def _write(
    pieces: list[bytes | Blob], sink: parts.Writer, growing: Growing, passed: Callable[[int], object],
) -> None:
    """Write the pieces and bring them to the disk, telling ``growing`` how far it is."""
    try:
        for piece in pieces:
            if growing.given_up:
                break
            if isinstance(piece, bytes):
                sink.write(piece)
                passed(len(piece))
                growing.grown(sink.size)
            else:
                _copy(piece, sink, growing, passed)
        growing.ended()
        sink.close()
    except BaseException as error:
        growing.ended(error)
        raise


def head(image: Image, store: BlobStore, *, name: str, image_name: str, omits: int = 0) -> Head:
    """What stands in for the beginning of an image's archive, so that it is loaded under ``image_name``."""
    replaced = next(_pieces(image, store, omits))
    data = next(_pieces(replace(image, name=image_name), store, omits))
    assert isinstance(replaced, bytes) and isinstance(data, bytes), "an archive begins with its documents"
    return Head(name=name, image_name=image_name, data=data, replaces=len(replaced))


def packed_layers(image: Image, store: BlobStore, *, omits: int = 0) -> dict[str, Extent]:
    """Where each layer lies in the archive of an image, by diff_id: a registry takes those very bytes."""
    held = [blob for layer in image.layers[:omits] if (blob := store.blob(layer.diff_id))]
    found = {blob.layer.diff_id: Extent(at=None, size=blob.gz_size, sha256=blob.gz_sha256) for blob in held}
    at = 0
    for piece in _pieces(image, store, omits):
        if isinstance(piece, Blob):
            found[piece.layer.diff_id] = Extent(at=at, size=piece.gz_size, sha256=piece.gz_sha256)
        at += len(piece) if isinstance(piece, bytes) else piece.gz_size
    return found


def stream(
    image: Image, store: BlobStore, *, passed: Callable[[int], object] = files.ignore,
) -> Iterator[bytes]:
    """The bytes of the archive that `write_archive` would write, for a daemon that reads them at once."""
    for piece in _pieces(image, store):
        if isinstance(piece, bytes):
            yield piece
            passed(len(piece))
            continue
        with piece.path.open("rb") as source:
            while block := source.read(files.CHUNK):
                yield block
                passed(len(block))


def verify_archive(
    path: Path, *more: Path, omits: int = 0, passed: Callable[[int], object] = files.ignore,
) -> Archive:
    """Read an archive through, inflating everything: one file, or all parts in their order.

    ``omits`` is how many of the lowest layers its manifest says are not in it.

    ``passed`` hears the count of its bytes. The path of what comes back is the first that was given.
    Raises IntegrityError unless it is, byte for byte of its tar, the complete archive of the image it holds.
    """
    with closing(parts.reader([path, *more])) as source:
        found = _verify(source, what=str(path), proven={}, omits=omits, passed=passed)
        return replace(found, path=path, parts=source.parts(found.sha256))


def _pieces(image: Image, store: BlobStore, omits: int = 0) -> Iterator[bytes | Blob]:
    """The archive in order: compressed bytes, and stored layers; not those that are omitted."""
    named = hybrid.diff_ids(image.config, what=image.name, cure="build the image again")
    if named != tuple(layer.diff_id for layer in image.layers):
        raise IntegrityError(f"{image.name}: its layers are not those of its config", cure="build the image again")
    plain = b"".join(
        tarstream.header(name, len(data)) + data + tarstream.padding(len(data))
        for name, data in hybrid.documents(image).items()
    )
    for layer in hybrid.unique(image.layers[omits:]):
        blob = store.blob(layer.diff_id)
        if blob is None or blob.layer != layer:
            raise IntegrityError(
                f"{image.name}: layer {layer.diff_id} is not in {store.shelf}",
                cure="run the command again: the layer is then taken from the image anew",
            )
        yield _compressed(plain + tarstream.header(blob_name(layer.diff_id), layer.size), store)
        yield blob
        plain = tarstream.padding(layer.size)
    yield _compressed(plain + tarstream.END, store)


def _compressed(plain: bytes, store: BlobStore) -> bytes:
    cut = [plain[start:start + members.BLOCK] for start in range(0, len(plain), members.BLOCK)]
    return b"".join(members.member(block, store.compression) for block in cut)


def _copy(blob: Blob, sink: parts.Writer, growing: Growing, passed: Callable[[int], object]) -> None:
    with blob.path.open("rb") as source:
        left = blob.gz_size
        while left:
            count = sink.take(source.fileno(), min(left, _COPY))
            if not count:
                raise IntegrityError(f"{blob.path}: it became shorter while it was read", cure=CURE)
            left -= count
            passed(count)
            growing.grown(sink.size)


class _Raw:
    """An archive's file, hashed and counted while it is read."""

    def __init__(self, source: Readable, passed: Callable[[int], object]) -> None:
        self._source = source
        self._passed = passed
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, count: int, /) -> bytes:
        data = self._source.read(count)
        self.digest.update(data)
        self._count(data)
        return data

    def region(self, size: int) -> int:
        """The CRC-32 of the next ``size`` bytes, or of fewer where the file ends."""
        found = 0
        while size and (data := self._source.read(min(size, _REGION))):
            self.digest.update(data)
            found = members.crc32(data, found)
            self._count(data)
            size -= len(data)
        return found

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self._passed(len(data))


def _verify(
    source: Readable, *, what: str, proven: Mapping[str, Blob], omits: int, passed: Callable[[int], object],
) -> Archive:
    """Check an archive; layers that are ``proven`` need only be the same compressed bytes, others are inflated.

    Whether they are the same is asked of their CRC-32: against damage it is as good as a SHA-256, and the SHA-256 of
    the whole file, which the manifest states, is taken from the same bytes.
    """
    threads = members.cores()
    with ThreadPoolExecutor(threads) as pool:
        raw = _Raw(source, passed)
        # Reading ahead would run into the members of a layer that is compared, not inflated.
        ahead = 1 if proven else 2 * threads
        inflated = MemberReader(raw, what=what, cure=CURE, pool=pool, ahead=ahead)
        tar = TarStream(inflated.read, what=what, cure=CURE)
        documents: dict[str, bytes] = {}
        layers: list[Layer] = []
        for entry in tar:
            if not entry.name.isascii() or entry.header != tarstream.header(entry.name, entry.size):
                raise tar.refused(f"{entry.name!r} has another tar header than torchferry writes")
            if len(documents) < hybrid.DOCUMENTS:
                documents[entry.name] = _document(tar, entry)
            elif (blob := proven.get(_digest(entry))) and entry.size == blob.layer.size and inflated.between_members:
                tar.body_read_elsewhere()
                layers.append(_checked(tar, entry, raw.region(blob.gz_size) == blob.gz_crc32))
            else:
                layers.append(_checked(tar, entry, _sha256(tar) == _digest(entry)))
        if tar.trailer != len(tarstream.END):
            raise tar.refused("bytes after its end")
    image = _image(documents, tuple(layers), omits, tar)
    return Archive(path=Path(what), size=raw.size, sha256=raw.digest.hexdigest(), image=image, omits=omits)


def _digest(entry: Entry) -> str:
    return entry.name.removeprefix(blob_name(""))


def _checked(tar: TarStream, entry: Entry, same: bool) -> Layer:
    if not same or entry.name != blob_name(_digest(entry)):
        raise tar.refused(f"{entry.name}: its bytes have another SHA-256")
    return Layer(diff_id=_digest(entry), size=entry.size)


def _sha256(body: Readable) -> str:
    digest = hashlib.sha256()
    while data := body.read(members.BLOCK):
        digest.update(data)
    return digest.hexdigest()


def _document(tar: TarStream, entry: Entry) -> bytes:
    if entry.size > JSON_LIMIT:
        raise tar.refused(f"{entry.name} has {entry.size} bytes, too many for a document")
    return members.exactly(tar.read, entry.size)


def _image(documents: Mapping[str, bytes], layers: tuple[Layer, ...], omits: int, tar: TarStream) -> Image:
    """The image of an archive; it must call for exactly these documents, and these layers above those omitted."""
    try:
        [listed] = json.loads(documents[DOCKER_MANIFEST])
        [name] = listed["RepoTags"]
        name, config = parse_reference(str(name)).familiar, documents[listed["Config"]]
        sizes = hybrid.listed_sizes(documents) | {layer.diff_id: layer.size for layer in layers}
    except (ValueError, TypeError, KeyError, RecursionError, ConfigError) as error:
        raise tar.refused(f"{DOCKER_MANIFEST} cannot be read: {error!r}") from error
    named = hybrid.diff_ids(config, what=tar.what, cure=CURE)
    present = {layer.diff_id for layer in layers}
    if missing := [diff_id for diff_id in named[omits:] if diff_id not in present]:
        raise tar.refused(f"layer {missing[0]} is missing")
    image = Image(
        name=name, config=config,
        layers=tuple(Layer(diff_id=diff_id, size=sizes[diff_id]) for diff_id in named),
    )
    if hybrid.unique(image.layers[omits:]) != layers:
        raise tar.refused("its layers are not those of its config, each once and in their order")
    if list(hybrid.documents(image).items()) != list(documents.items()):
        raise tar.refused("its documents are not those of its image")
    return image
