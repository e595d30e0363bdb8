"""What `docker save` streams, in all its forms; anything but a complete and unchanged image is refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.saved_images import (
    Entries,
    config_of,
    file,
    legacy_entries,
    manifest,
    noise,
    oci_entries,
    row,
    sha,
    special,
    tar_of,
    together,
)

from torchferry.blobs import BlobStore
from torchferry.errors import FerryError, IntegrityError
from torchferry.members import BLOCK
from torchferry.model import Image
from torchferry.savestream import read_save

NAME = "stt-engine:1.0.0-cpu"
LAYERS = [noise(3000, 1), noise(BLOCK + 513, 2), noise(512, 3), noise(3000, 1)]
FORMS: dict[str, Callable[[str | None, list[bytes]], Entries]] = {
    "legacy": legacy_entries,
    "oci": oci_entries,
    "containerd": lambda name, layers: oci_entries(name, layers, packed=True),
}
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(folder=tmp_path / "blobs")


def read(data: bytes, store: BlobStore, *names: str) -> tuple[Image, ...]:
    return read_save(io.BytesIO(data), store=store, names=names or (NAME,))


def check_nothing_half_written(store: BlobStore) -> None:
    """Every file on the shelf is a proven layer: no temporary files, no layer without record or with wrong bytes."""
    for path in store.shelf.glob("*") if store.shelf.exists() else ():
        if path.name == ".lock":
            continue
        assert path.suffix in (".gz", ".json"), path
        store.verify(path.stem)


@every_form
def test_an_image_comes_in_whole(store: BlobStore, form: str) -> None:
    stream, heard = tar_of(FORMS[form](NAME, LAYERS)), list[int]()
    [image] = read_save(io.BytesIO(stream), store=store, names=[NAME], passed=heard.append)
    assert (image.name, image.config) == (NAME, config_of(LAYERS))
    assert [layer.diff_id for layer in image.layers] == [sha(layer) for layer in LAYERS]
    assert image.size == sum(map(len, LAYERS))
    assert store.image(NAME, image.config_digest) == image
    assert sum(heard) == len(stream)
    check_nothing_half_written(store)


@pytest.mark.parametrize("size", [1, 511, 512, 513, BLOCK, BLOCK + 1])
@every_form
def test_layers_of_every_size(store: BlobStore, form: str, size: int) -> None:
    [image] = read(tar_of(FORMS[form](NAME, [noise(size)])), store)
    assert [(layer.diff_id, layer.size) for layer in image.layers] == [(sha(noise(size)), size)]


@every_form
def test_images_come_in_the_order_asked_for(store: BlobStore, form: str) -> None:
    web = "registry.corp:5000/web:2"
    stream = tar_of(together(FORMS[form](NAME, LAYERS[:2]), FORMS[form](web, [LAYERS[0], LAYERS[2]])))
    first, second = read(stream, store, web, f"docker.io/library/{NAME}")
    assert [layer.diff_id for layer in first.layers] == [sha(LAYERS[0]), sha(LAYERS[2])]
    assert [layer.diff_id for layer in second.layers] == [sha(LAYERS[0]), sha(LAYERS[1])]


@every_form
def test_an_image_saved_by_its_id_has_no_name(store: BlobStore, form: str) -> None:
    [image] = read(tar_of(FORMS[form](None, LAYERS)), store)
    assert image.name == NAME


@every_form
def test_an_image_that_is_not_in_the_stream_is_said(store: BlobStore, form: str) -> None:
    with pytest.raises(IntegrityError, match="does not hold the image web:1"):
        read(tar_of(FORMS[form](NAME, LAYERS)), store, "web:1")


def test_a_layer_that_is_stored_is_checked_but_not_stored_again(store: BlobStore) -> None:
    stream = tar_of(oci_entries(NAME, LAYERS))
    read(stream, store)
    before = {path: path.stat().st_ino for path in store.shelf.glob("*.gz")}
    read(stream, store)
    assert {path: path.stat().st_ino for path in store.shelf.glob("*.gz")} == before
    with pytest.raises(IntegrityError, match=r"the SHA-256 of blobs/sha256/[0-9a-f]{64} is"):
        read(stream.replace(LAYERS[1], LAYERS[1][:-1] + b"!"), store)


def test_a_changed_layer_is_refused(store: BlobStore) -> None:
    for form in ("oci", "legacy"):
        stream = tar_of(FORMS[form](NAME, LAYERS))
        assert LAYERS[1] in stream
        with pytest.raises(IntegrityError):
            read(stream.replace(LAYERS[1], LAYERS[1][:-1] + b"!"), store)
        assert not store.has(sha(LAYERS[1]))
        assert form == "legacy" or not store.has(sha(LAYERS[1][:-1] + b"!"))
        check_nothing_half_written(store)


@every_form
def test_a_changed_config_is_refused(store: BlobStore, form: str) -> None:
    stream = tar_of(FORMS[form](NAME, LAYERS))
    assert b'"amd64"' in stream
    with pytest.raises(IntegrityError, match="SHA-256"):
        read(stream.replace(b'"amd64"', b'"arm64"'), store)


@pytest.mark.parametrize("form", ["oci", "containerd"])
def test_a_layer_that_docker_left_out_is_named(store: BlobStore, form: str) -> None:
    entries = FORMS[form](NAME, LAYERS)
    without = [entry for entry in entries if len(entry[1]) < BLOCK // 2]
    assert len(without) == len(entries) - 1
    with pytest.raises(IntegrityError, match=f"Docker left out layer {sha(LAYERS[1])}"):
        read(tar_of(without), store)
    store.add(io.BytesIO(LAYERS[1]))
    [image] = read(tar_of(without), store)
    assert [layer.diff_id for layer in image.layers] == [sha(layer) for layer in LAYERS]


def test_a_config_that_docker_left_out_is_named(store: BlobStore) -> None:
    entries = [entry for entry in legacy_entries(NAME, LAYERS) if entry[0].name != f"{sha(config_of(LAYERS))}.json"]
    with pytest.raises(IntegrityError, match="Docker left out its config"):
        read(tar_of(entries), store)


def test_layers_in_another_order_than_the_config_says_are_refused(store: BlobStore) -> None:
    entries = oci_entries(NAME, LAYERS[:2])
    paths = [f"blobs/sha256/{sha(layer)}" for layer in (LAYERS[1], LAYERS[0])]
    swapped = manifest(row(NAME, f"blobs/sha256/{sha(config_of(LAYERS[:2]))}", paths))
    with pytest.raises(IntegrityError, match="the config names"):
        read(tar_of([*[entry for entry in entries if entry[0].name != "manifest.json"], swapped]), store)


def test_fewer_layers_than_the_config_names_are_refused(store: BlobStore) -> None:
    entries, config = oci_entries(NAME, LAYERS[:2]), f"blobs/sha256/{sha(config_of(LAYERS[:2]))}"
    fewer = manifest(row(NAME, config, [f"blobs/sha256/{sha(LAYERS[0])}"]))
    with pytest.raises(IntegrityError, match="1 layers are listed, the config names 2"):
        read(tar_of([*[entry for entry in entries if entry[0].name != "manifest.json"], fewer]), store)


def test_a_layer_whose_first_file_looks_like_json_is_a_layer(store: BlobStore) -> None:
    layer = tar_of([file("{", b"not JSON")])
    [image] = read(tar_of(oci_entries(NAME, [layer])), store)
    assert image.layers[0].diff_id == sha(layer)


def test_a_damaged_compressed_layer_is_refused(store: BlobStore) -> None:
    packed = gzip.compress(LAYERS[0], mtime=0)
    stream = tar_of(oci_entries(NAME, LAYERS[:1], packed=True))
    for damaged in (packed[:40] + bytes(20) + packed[60:], packed[:-8] + bytes(8), packed[:-4] + b"\0\0\0\0"):
        assert len(damaged) == len(packed) and damaged != packed
        with pytest.raises(IntegrityError):
            read(stream.replace(packed, damaged), store)
        check_nothing_half_written(store)


def test_a_layer_compressed_with_zstd_is_refused_by_name(store: BlobStore) -> None:
    layer = b"\x28\xb5\x2f\xfd" + noise(600)
    with pytest.raises(IntegrityError, match=f"layer {sha(layer)} is compressed with zstd"):
        read(tar_of([file(f"blobs/sha256/{sha(layer)}", layer)]), store)


HEX = sha(b"folder")
HOSTILE: dict[str, Entries] = {
    "hard link": [special(f"{HEX}/layer.tar", tarfile.LNKTYPE, "manifest.json")],
    "character device": [special("manifest.json", tarfile.CHRTYPE)],
    "block device": [special("manifest.json", tarfile.BLKTYPE)],
    "fifo": [special("manifest.json", tarfile.FIFOTYPE)],
    "sparse": [special(f"{HEX}/layer.tar", tarfile.GNUTYPE_SPARSE)],
    "dots": [file("../manifest.json", b"[]")],
    "dots in a blob": [file("blobs/sha256/../../x", b"[]")],
    "absolute": [file("/etc/passwd", b"root")],
    "unknown file": [file("evil.sh", b"true")],
    "unknown folder": [special("evil", tarfile.DIRTYPE)],
    "short digest": [file("blobs/sha256/abc", b"")],
    "upper case digest": [file(f"blobs/sha256/{HEX.upper()}", b"")],
    "newline after a digest": [file(f"blobs/sha256/{HEX}\n", b"")],
    "link out": [special(f"{HEX}/layer.tar", tarfile.SYMTYPE, "../../etc/passwd")],
    "absolute link": [special(f"{HEX}/layer.tar", tarfile.SYMTYPE, "/etc/passwd")],
    "link as manifest": [special("manifest.json", tarfile.SYMTYPE, f"../{HEX}/layer.tar")],
    "folder as manifest": [special("manifest.json", tarfile.DIRTYPE)],
    "long name": [file("a" * 120, b"")],
    "not UTF-8": [file("caf\udce9", b"")],
    "twice": [file("oci-layout", b"{}"), file("oci-layout", b"{}")],
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("case", HOSTILE)
def test_entries_that_no_image_archive_has_are_refused(store: BlobStore, case: str, form: int) -> None:
    with pytest.raises(IntegrityError):
        read(tar_of([*HOSTILE[case], *legacy_entries(NAME, LAYERS)], form=form), store)


def with_records(name: str, data: bytes, **records: str) -> tuple[tarfile.TarInfo, bytes]:
    info, _ = file(name, data)
    info.pax_headers = {key.replace("__", "."): value for key, value in records.items()}
    return info, data


@pytest.mark.parametrize("records", [
    {"path": "../evil"}, {"linkpath": "/etc/passwd"}, {"size": "-1"}, {"size": "1e3"}, {"size": str(21 << 20)},
    {"GNU__sparse__size": "7"}, {"GNU__sparse__name": "manifest.json"},
])
def test_pax_records_that_rename_or_resize_are_refused(store: BlobStore, records: dict[str, str]) -> None:
    with pytest.raises(IntegrityError):
        read(tar_of([with_records("oci-layout", b"{}", **records), *legacy_entries(NAME, LAYERS)]), store)


def test_pax_records_that_say_nothing_about_the_data_are_read_over(store: BlobStore) -> None:
    entries = [
        with_records(info.name, data, mtime="1700000000.25", SCHILY__xattr__user__x="y") if data else (info, data)
        for info, data in legacy_entries(NAME, LAYERS)
    ]
    assert [layer.diff_id for layer in read(tar_of(entries), store)[0].layers] == [sha(layer) for layer in LAYERS]


def test_a_pax_header_may_state_the_size(store: BlobStore) -> None:
    entries = [
        with_records(info.name, data, size=str(len(data))) if data else (info, data)
        for info, data in legacy_entries(NAME, LAYERS)
    ]
    assert [layer.diff_id for layer in read(tar_of(entries), store)[0].layers] == [sha(layer) for layer in LAYERS]


def test_headers_that_tarfile_would_not_write_are_refused(store: BlobStore) -> None:
    good = tar_of(legacy_entries(NAME, LAYERS))
    negative = tarfile.TarInfo("manifest.json")
    negative.size = -1
    header = negative.tobuf(tarfile.GNU_FORMAT)
    globals_ = tarfile.TarInfo.create_pax_global_header({"path": "manifest.json"})
    padded = good.replace(b"1.0\0", b"1.0x", 1)
    for bad in (
        header + good, globals_ + good, b"x" * 512 + good, good[:-1] + b"x", good + b"x", b"", bytes(1024), padded,
    ):
        with pytest.raises(IntegrityError):
            read(bad, store)


@pytest.mark.parametrize("text", [
    b"", b"{}", b"[]", b"null", b"[1]", b'[{"Config": 1}]', b'[{"Config": "x", "Layers": [1]}]', b"\xff", b"[" * 5000,
    b'[{"Config": ["x"], "Layers": []}]', b'{"Config": "x", "Layers": []}',
])
def test_a_manifest_that_lists_no_images_is_refused(store: BlobStore, text: bytes) -> None:
    with pytest.raises(IntegrityError):
        read(tar_of([file("manifest.json", text)]), store)


@pytest.mark.parametrize("text", [
    b"{}", b"[]", b"\xff", b'{"rootfs": {"diff_ids": "abc"}}', b'{"rootfs": {"diff_ids": ["x"]}}',
])
def test_a_config_that_names_no_layers_is_refused(store: BlobStore, text: bytes) -> None:
    path = f"{sha(text)}.json"
    with pytest.raises(IntegrityError, match="config"):
        read(tar_of([file(path, text), manifest(row(NAME, path, []))]), store)


@every_form
def test_a_stream_cut_anywhere_leaves_only_whole_layers(store: BlobStore, form: str) -> None:
    stream = tar_of(FORMS[form](NAME, LAYERS))
    ends = {len(stream) * part // 64 for part in range(64)} | {len(stream.rstrip(b"\0")) + 1}
    for end in sorted(ends):
        with pytest.raises(IntegrityError):
            read(stream[:end], store)
        check_nothing_half_written(store)
        assert {path.stem for path in store.shelf.glob("*.gz")} <= {sha(layer) for layer in LAYERS}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(sorted(FORMS)), place=st.floats(0, 1), mask=st.integers(1, 255))
def test_a_changed_byte_never_brings_in_another_image(
    tmp_path_factory: pytest.TempPathFactory, form: str, place: float, mask: int,
) -> None:
    store = BlobStore(folder=tmp_path_factory.mktemp("store"), threads=1)
    layers = [noise(700, 1), noise(1500, 2)]
    stream = bytearray(tar_of(FORMS[form](NAME, layers)))
    stream[int(place * (len(stream) - 1))] ^= mask
    try:
        [image] = read(bytes(stream), store)
    except FerryError:
        pass
    else:
        assert [layer.diff_id for layer in image.layers] == [sha(layer) for layer in layers]
        assert image.config == config_of(layers)
    check_nothing_half_written(store)
