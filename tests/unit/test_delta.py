"""What a delta leaves out, by whatever was said of its servers: never more than they hold, and the rest is whole."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import nouns
from support.saved_images import noise, sha, stored_image

from torchferry import archive, delta, manifest, receipts
from torchferry.archive import verify_archive, write_archive
from torchferry.blobs import BlobStore
from torchferry.delta import Held
from torchferry.errors import ConfigError, IntegrityError
from torchferry.hybrid import unique
from torchferry.manifest import chain_ids
from torchferry.model import Image
from torchferry.receipts import Receipt

BODIES = [noise(900 + number, number) for number in range(5)]
"""Few, so that images have layers in common, also in other places, and twice."""

LAYERS = st.lists(st.sampled_from(BODIES), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("delta")


def receipt(host: str, images: Iterable[Sequence[bytes]], *, raw: bool = True, models: str = "") -> Receipt:
    """What a server would write that holds these images."""
    lines = ["torchferry receipt 1", f"host {host}", "made 2026-11-24T10:00:00Z", "engine docker 26.1.3 classic",
             "release stt", "instance stt", "sequence 1000000"]
    for number, layers in enumerate(images):
        diff_ids = [sha(layer) for layer in layers]
        lines.append(f"image a:{number} {sha(b'id')} {'raw' if raw else 'unknown'}")
        lines += [f"layer {chain} {diff_id}" for chain, diff_id in zip(chain_ids(diff_ids), diff_ids, strict=True)]
    lines += [f"model {name}" for name in models.split()]
    return receipts.parse("".join(f"{line}\n" for line in lines), file="receipt.txt")


def in_common(image: Image, layers: Sequence[bytes]) -> int:
    """How many of the lowest layers of an image lie just so in another."""
    pairs = zip([layer.diff_id for layer in image.layers], map(sha, layers), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def bodies(path: Path) -> list[str]:
    """The layers that lie in an archive, by their bytes."""
    with gzip.open(path) as plain, tarfile.open(fileobj=plain) as tar:
        return [sha(tar.extractfile(entry).read()) for entry in tar][5:]  # type: ignore[union-attr]


@given(new=LAYERS, sites=st.lists(st.lists(LAYERS, max_size=3), min_size=1, max_size=3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_whole_is_the_delta_and_what_every_server_holds(
    new: list[bytes], sites: list[list[list[bytes]]], place: Path,
) -> None:
    store = BlobStore(folder=place / "blobs")
    image = stored_image(store, new)
    omits = delta.of_receipts([receipt(f"h{number}", images) for number, images in enumerate(sites)]).omits(image)
    assert omits == min(max((in_common(image, held) for held in images), default=0) for images in sites)

    made = write_archive(image, store=store, target=place / "delta.tar.gz", omits=omits)
    left_out, sent = new[:omits], bodies(made.path)
    for images in sites:
        assert omits == 0 or any(held[:omits] == left_out for held in images)
    known = {sha(layer) for layer in left_out} | set(sent)
    assert known == {layer.diff_id for layer in image.layers}
    assert sent == [layer.diff_id for layer in unique(image.layers[omits:])]

    found = verify_archive(made.path, omits=omits)
    assert (found.image, found.sha256, found.omits) == (image, made.sha256, omits)
    for wrong in set(range(len(new) + 1)) - {omits}:
        if unique(image.layers[wrong:]) != unique(image.layers[omits:]):
            with pytest.raises(IntegrityError, match=r"delta\.tar\.gz"):
                verify_archive(made.path, omits=wrong)


@given(new=LAYERS, omits=st.integers(0, 6))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_delta_has_the_same_bytes_each_time_and_the_size_that_was_said(
    new: list[bytes], omits: int, place: Path,
) -> None:
    store = BlobStore(folder=place / "blobs")
    image, omits = stored_image(store, new), min(omits, len(new))
    twice = [write_archive(image, store=store, target=place / name, omits=omits) for name in ("1.tar.gz", "2.tar.gz")]
    assert (place / "1.tar.gz").read_bytes() == (place / "2.tar.gz").read_bytes()
    assert [made.size for made in twice] == [archive.packed_size(image, store, omits=omits)] * 2
    head = archive.head(image, store, name="head", image_name="stt-engine:incoming-1", omits=omits)
    renamed = head.data + (place / "1.tar.gz").read_bytes()[head.replaces:]
    (place / "renamed.tar.gz").write_bytes(renamed)
    assert verify_archive(place / "renamed.tar.gz", omits=omits).image == replace(image, name="stt-engine:incoming-1")


def test_every_damaged_byte_and_every_cut_of_a_delta_is_noticed(tmp_path: Path) -> None:
    store = BlobStore(folder=tmp_path / "blobs")
    image = stored_image(store, [noise(700, 1), noise(90, 2), noise(60, 3)])
    for omits in (1, 2, 3):
        made = write_archive(image, store=store, target=tmp_path / "stt.tar.gz", omits=omits)
        data, damaged = made.path.read_bytes(), tmp_path / "damaged.tar.gz"
        for position in range(len(data)):
            damaged.write_bytes(data[:position] + bytes([data[position] ^ 8]) + data[position + 1:])
            with pytest.raises(IntegrityError, match=r"damaged\.tar\.gz"):
                verify_archive(damaged, omits=omits)
            damaged.write_bytes(data[:position])
            with pytest.raises(IntegrityError, match=r"damaged\.tar\.gz"):
                verify_archive(damaged, omits=omits)


def test_layers_that_nobody_knows_how_they_are_kept_do_not_count(place: Path) -> None:
    image = stored_image(BlobStore(folder=place / "blobs"), BODIES)
    assert delta.of_receipts([receipt("a", [BODIES])]).omits(image) == len(BODIES)
    assert delta.of_receipts([receipt("a", [BODIES], raw=False)]).omits(image) == 0
    assert delta.of_receipts([receipt("a", [BODIES]), receipt("b", [BODIES], raw=False)]).omits(image) == 0


def test_the_same_layers_in_another_order_are_not_held(place: Path) -> None:
    image = stored_image(BlobStore(folder=place / "blobs"), BODIES)
    assert delta.of_receipts([receipt("a", [BODIES[:2] + BODIES[3:], BODIES[1:], BODIES[::-1]])]).omits(image) == 2


def test_models_are_left_out_that_all_servers_have_and_the_release_has() -> None:
    held = delta.of_receipts([receipt("a", [], models="words-1 sounds-2"), receipt("b", [], models="words-1 other-1")])
    assert held.models == {"words-1"}
    assert held.as_json(["words-1", "sounds-2"])["models"] == ["words-1"]
    assert held.as_json(["sounds-2"])["models"] == []


HOSTS = ["gpu01", "GPU-01.example", "..", ".", "-rf", "--", "한국어", "a b", "$(reboot)", "`id`", "'", '"', "\\", "*",
         "a" * 255, "a" * 39 + "." + "b" * 9, "a" * 39 + "한" + "b", "CON", "x;y|z&", "%s%n", "{}", "~root", "!!",
         "\u202egpj"]


@given(st.one_of(st.sampled_from(HOSTS), st.text(min_size=1, max_size=255)), st.integers(1, 1200))
@settings(max_examples=300)
def test_any_host_gives_a_folder_name_that_every_system_takes(host: str, count: int) -> None:
    try:
        one = receipt("gpu01", [])
        label = delta.of_receipts([replace(one, host=host), *[one] * (count - 1)]).label
    except ConfigError:
        return
    assert label.isascii()
    assert all(char.isalnum() or char in ".-" for char in label)
    assert label[0].isalnum()
    assert label[-1].isalnum()  # some file systems drop a dot there
    assert len(label) <= 64
    assert ".." not in replace(nouns.RELEASE, delta=label).folder


def test_a_label_tells_how_many_servers_it_suits() -> None:
    one, other = receipt("gpu01", []), receipt("gpu02", [])
    assert delta.of_receipts([one]).label == "for-gpu01"
    assert delta.of_receipts([one, other, other]).label == "for-gpu01-and-2-more"
    assert delta.of_receipts([one, other]).rests_on == ("gpu01, 2026-11-24T10:00:00Z", "gpu02, 2026-11-24T10:00:00Z")


# What `sh ferry.sh missing` wrote


CHAIN = chain_ids([sha(layer) for layer in BODIES])
MISSING = "\n".join([
    "torchferry missing 1", "host gpu01", "release stt 1.0.0", "image stt-engine cu121 x86_64",
    *(f"holds {chain}" for chain in CHAIN[:2]), *(f"lacks {chain}" for chain in CHAIN[2:]), "model words-1", "end", "",
])


def missing(folder: Path, text: str | bytes) -> Held:
    (folder / "missing.txt").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return delta.of_missing(folder / "missing.txt", nouns.RELEASE)


def test_what_a_server_lacks_is_read(place: Path) -> None:
    held = missing(place, MISSING)
    assert (held.label, held.rests_on) == ("for-gpu01", ("what gpu01 lacked",))
    assert held.omits(stored_image(BlobStore(folder=place / "blobs"), BODIES)) == 2
    assert held.models == {"words-1"}
    variants = (nouns.variant("cu121"), nouns.variant("cpu"), nouns.variant("any"))
    assert held.chosen(variants) == (nouns.variant("cu121"),)


@pytest.mark.parametrize("data", [
    MISSING.replace("\n", "\r\n").encode(), MISSING.encode("utf-16"), MISSING.encode("utf-8-sig"),
    f"Last login: Tue\n{MISSING}".encode(),
], ids=["CRLF", "UTF-16", "BOM", "a banner above it"])
def test_what_systems_do_to_the_text_does_not_matter(data: bytes, tmp_path: Path) -> None:
    assert missing(tmp_path, data) == missing(tmp_path, MISSING)


@pytest.mark.parametrize("length", range(len(MISSING)))
def test_every_cut_is_refused(length: int, place: Path) -> None:
    with pytest.raises(ConfigError, match="cut"):
        missing(place, MISSING[:length])


@pytest.mark.parametrize(("text", "told"), [
    (MISSING.replace("release stt 1.0.0", "release stt 1.0.1"), "it is of stt 1.0.1, and this is stt 1.0.0"),
    (MISSING.replace("release stt 1.0.0", "release other 1.0.0"), "it is of other 1.0.0, and this is stt 1.0.0"),
    (MISSING.replace("release stt 1.0.0\n", ""), "it is of nothing, and this is stt 1.0.0"),
    (MISSING.replace("release stt 1.0.0", "release stt 1.0.0\nrelease stt 1.0.1"), "it is of stt 1.0.0, stt 1.0.1"),
    (MISSING.replace("missing 1", "missing 2"), "not what sh ferry.sh missing writes"),
    (MISSING.replace("missing", "receipt"), "not what sh ferry.sh missing writes"),
    ("", "not what sh ferry.sh missing writes"), (b"\0" * 2000, "not what sh ferry.sh missing writes"),
    (MISSING.replace("gpu01", "\x1b[31mgpu01"), "no name of a host"),
])
def test_other_files_are_refused(text: str | bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told.replace("[", r"\[")) as refused:
        missing(tmp_path, text)
    assert refused.value.cure
    assert str(refused.value).replace("\n", "").isprintable()


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match=str(path)):
            delta.of_missing(path, nouns.RELEASE)


@given(start=st.integers(0, len(MISSING)), gone=st.integers(0, 200), put=st.text(max_size=9))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_one_is_read_or_refused_and_never_a_traceback(
    start: int, gone: int, put: str, place: Path,
) -> None:
    try:
        held = missing(place, MISSING[:start] + put + MISSING[start + gone:])
    except ConfigError as error:
        assert error.cure
    else:
        assert held.omits(stored_image(BlobStore(folder=place / "blobs"), BODIES)) <= 2


# What a person says


def test_only_one_of_the_flags_can_be_right() -> None:
    for words in ({"receipts": ["a"], "since": "b"}, {"since": "a", "missing": "b"},
                  {"receipts": ["a"], "since": "b", "missing": "c"}):
        with pytest.raises(ConfigError, match="--for, --since and --missing: only one"):
            delta.held(nouns.RELEASE, **words)  # type: ignore[arg-type]
    assert delta.held(nouns.RELEASE) is None
    assert delta.held(nouns.RELEASE, receipts=(), since="", missing="") is None


RELEASE_TEXT = {
    "torchferry": "1", "manifest": manifest.VERSION, "release": "stt", "version": "0.9.0", "models": [
        {"name": "words", "version": "1", "files": []}],
    "images": [{"archive": {"sha256": "a" * 64}, "layers": [{"diff_id": sha(body), "chain_id": chain}
                for body, chain in zip(BODIES[:3], CHAIN, strict=False)]}],
}


def since(folder: Path, said: object) -> Held:
    (folder / "manifest.json").write_text(json.dumps(said), encoding="utf-8")
    return delta.of_release(folder)


def test_what_a_release_left_on_its_servers(tmp_path: Path) -> None:
    held = since(tmp_path, RELEASE_TEXT)
    assert (held.label, held.rests_on, held.models) == ("since-0.9.0", ("stt 0.9.0",), {"words-1"})
    assert held.omits(stored_image(BlobStore(folder=tmp_path / "blobs"), BODIES)) == 3


@pytest.mark.parametrize("name", ["models", "images", "manifest", "layers", "chain_id", None])
def test_a_folder_that_is_none_of_ours_is_refused(name: str | None, tmp_path: Path) -> None:
    said = json.loads(json.dumps(RELEASE_TEXT))
    for at in (said, said["images"][0], said["images"][0]["layers"][0]):
        at.pop(name, None)
    with pytest.raises((ConfigError, IntegrityError), match=str(tmp_path)):
        since(tmp_path, said if name else [said])


def test_no_release_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no release folder"):
        delta.of_release(tmp_path)


def test_a_stream_for_a_daemon_is_always_whole(place: Path) -> None:
    store = BlobStore(folder=place / "blobs")
    image = stored_image(store, BODIES)
    whole = write_archive(image, store=store, target=place / "whole.tar.gz")
    assert b"".join(archive.stream(image, store)) == io.BytesIO(whole.path.read_bytes()).getvalue()
