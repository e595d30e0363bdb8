"""The blob store: what lies there under its final name is whole and proven, whatever happened before."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.saved_images import config_of, noise, sha

from torchferry.blobs import BlobStore, full_disk_at
from torchferry.errors import DiskFull, IntegrityError
from torchferry.members import BLOCK
from torchferry.model import Layer

DATA = noise(2 * BLOCK + 5)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(folder=tmp_path / "blobs")


def names(store: BlobStore) -> list[str]:
    return sorted(path.name for path in store.shelf.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, BLOCK, BLOCK + 1])
def test_a_layer_is_stored_under_the_hash_of_its_uncompressed_bytes(store: BlobStore, size: int) -> None:
    data, heard = noise(size), list[int]()
    layer = store.add(io.BytesIO(data), passed=heard.append)
    assert layer == Layer(diff_id=sha(data), size=size)
    assert sum(heard) == size
    blob = store.verify(layer.diff_id)
    packed = blob.path.read_bytes()
    assert gzip.decompress(packed) == data
    assert (blob.gz_size, blob.gz_sha256) == (len(packed), sha(packed))
    assert store.has(layer.diff_id) and store.layer(layer.diff_id) == layer


def test_compressions_do_not_mix(tmp_path: Path) -> None:
    fast, small = (BlobStore(folder=tmp_path, compression=name) for name in ("fast", "small"))
    layer = fast.add(io.BytesIO(DATA))
    assert not small.has(layer.diff_id)
    assert small.add(io.BytesIO(DATA)) == layer
    assert fast.verify(layer.diff_id).gz_sha256 != small.verify(layer.diff_id).gz_sha256


def test_another_layer_than_expected_is_not_kept(store: BlobStore) -> None:
    with pytest.raises(IntegrityError, match=sha(DATA)):
        store.add(io.BytesIO(DATA), expected=sha(b"other"))
    assert names(store) == []


def test_a_stream_that_breaks_leaves_nothing(store: BlobStore) -> None:
    class Breaking(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            return super().read(count) or self.fail()

        def fail(self) -> bytes:
            raise ConnectionResetError("the daemon went away")

    with pytest.raises(ConnectionResetError):
        store.add(Breaking(DATA))
    assert names(store) == []


def test_a_stored_layer_is_kept_when_it_comes_again(store: BlobStore) -> None:
    diff_id = store.add(io.BytesIO(DATA)).diff_id
    before = store.verify(diff_id).path.stat().st_ino
    store.add(io.BytesIO(DATA))
    assert store.verify(diff_id).path.stat().st_ino == before
    assert names(store) == [f"{diff_id}.gz", f"{diff_id}.json"]


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""])
def test_a_blob_of_wrong_length_is_absent_and_heals(store: BlobStore, change: object) -> None:
    assert callable(change)
    blob = store.verify(store.add(io.BytesIO(DATA)).diff_id)
    blob.path.write_bytes(change(blob.path.read_bytes()))
    assert not store.has(blob.layer.diff_id)
    store.add(io.BytesIO(DATA))
    assert store.verify(blob.layer.diff_id) == blob


def test_a_damaged_blob_is_dropped_at_verification_and_heals(store: BlobStore) -> None:
    blob = store.verify(store.add(io.BytesIO(DATA)).diff_id)
    damaged = bytearray(blob.path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    blob.path.write_bytes(damaged)
    with pytest.raises(IntegrityError, match="damaged, and dropped"):
        store.verify(blob.layer.diff_id)
    assert names(store) == []
    store.add(io.BytesIO(DATA))
    assert store.verify(blob.layer.diff_id) == blob


def test_every_damaged_byte_of_a_record_makes_it_count_as_absent(store: BlobStore) -> None:
    blob = store.verify(store.add(io.BytesIO(DATA)).diff_id)
    path = blob.path.with_suffix(".json")
    record = path.read_bytes().rstrip()
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        assert store.blob(blob.layer.diff_id) in (None, blob)
    path.write_text(json.dumps({**json.loads(record), "size": 7}))
    assert store.blob(blob.layer.diff_id) is None
    store.add(io.BytesIO(DATA))
    assert store.verify(blob.layer.diff_id) == blob


def test_a_record_of_another_layer_does_not_count(store: BlobStore) -> None:
    blob = store.verify(store.add(io.BytesIO(DATA)).diff_id)
    other = blob.path.with_name(f"{sha(b'other')}.gz")
    blob.path.rename(other)
    blob.path.with_suffix(".json").rename(other.with_suffix(".json"))
    assert not store.has(sha(b"other"))


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(store: BlobStore) -> None:
    store.shelf.mkdir(parents=True)
    left, written = store.shelf / ".incoming-0.partial-999999", store.shelf / ".incoming-1.partial-999999"
    left.write_bytes(b"half a lay")
    with written.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        store.add(io.BytesIO(DATA))
    assert names(store) == sorted([written.name, f"{sha(DATA)}.gz", f"{sha(DATA)}.json"])


def test_many_may_add_the_same_layers_at_once(store: BlobStore) -> None:
    layers = [noise(BLOCK + number, number) for number in range(3)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda data: store.add(io.BytesIO(data)), layers * 4))
    assert found == [Layer(diff_id=sha(data), size=len(data)) for data in layers] * 4
    for data in layers:
        store.verify(sha(data))
    assert len(names(store)) == 6


def test_a_config_is_kept_as_it_is(store: BlobStore) -> None:
    config = b'{"b": 1,  "a": 2}\n'
    digest = store.add_config(config)
    assert (digest, store.config(digest)) == (sha(config), config)
    (store.folder / "configs" / f"{digest}.json").write_bytes(b"{}")
    assert store.config(digest) is None
    assert store.config(sha(b"other")) is None


def test_an_image_is_known_when_its_config_and_every_layer_are_there(store: BlobStore) -> None:
    layers = [noise(10, 1), noise(20, 2), noise(10, 1)]
    digest = sha(config_of(layers))
    assert store.image("stt:1", digest) is None
    store.add_config(config_of(layers))
    assert store.image("stt:1", digest) is None
    stored = [store.add(io.BytesIO(layer)) for layer in layers]
    image = store.image("stt:1", digest)
    assert image is not None and (image.name, image.config_digest, image.layers) == ("stt:1", digest, tuple(stored))
    store.drop(stored[1].diff_id)
    assert store.image("stt:1", digest) is None


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="became full"), full_disk_at(tmp_path):
        Path("/dev/full").write_bytes(b"x")


def test_a_missing_layer_is_said(store: BlobStore) -> None:
    with pytest.raises(IntegrityError, match="not there"):
        store.verify(sha(b"never stored"))
