"""Receipts come from elsewhere: what is read of one, and what is refused, in whatever state it arrives."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.held import receipt

from torchferry import receipts
from torchferry.errors import ConfigError, FerryError, IntegrityError
from torchferry.manifest import chain_ids
from torchferry.receipts import HeldImage, HeldService

DIFFS = tuple(hashlib.sha256(f"layer {number}".encode()).hexdigest() for number in range(4))
ID = "1" * 64


def image(name: str, diff_ids: tuple[str, ...], encoding: str = " raw") -> list[str]:
    """The lines of one image."""
    layers = zip(chain_ids(diff_ids), diff_ids, strict=True)
    return [f"image {name} {ID}{encoding}", *(f"layer {chain} {diff}" for chain, diff in layers)]


LINES = [
    "torchferry receipt 1", "host gpu01", "made 2026-11-24T10:00:00Z", "engine docker 26.1.3 classic", "release stt",
    "instance stt", "sequence 1000000", "service stt-engine 1.0.0 cu121 running", "service page 1.0.0 any stopped",
    *image("stt-engine:1.0.0-cu121", DIFFS), *image("page:1.0.0-any", DIFFS[:1], ""), "model words-1",
]


def text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def read(told: str) -> receipts.Receipt:
    return receipts.parse(told, file="receipt.txt")


def without(start: str) -> list[str]:
    return [line for line in LINES if not line.startswith(start)]


def instead(start: str, line: str) -> str:
    assert any(one.startswith(start) for one in LINES)
    return text(*(line if one.startswith(start) else one for one in LINES))


def test_a_receipt_is_read() -> None:
    found = read(text(*LINES))
    assert (found.host, found.made, found.release, found.instance, found.sequence) == (
        "gpu01", "2026-11-24T10:00:00Z", "stt", "stt", 1_000_000)
    assert (found.engine, found.engine_version, found.store) == ("docker", "26.1.3", "classic")
    assert found.services == (
        HeldService(name="stt-engine", version="1.0.0", variant="cu121", running=True),
        HeldService(name="page", version="1.0.0", variant="any", running=False),
    )
    assert found.images == (
        HeldImage(name="stt-engine:1.0.0-cu121", image_id=ID, raw=True, chain_ids=chain_ids(DIFFS), diff_ids=DIFFS),
        HeldImage(name="page:1.0.0-any", image_id=ID, raw=False, chain_ids=DIFFS[:1], diff_ids=DIFFS[:1]),
    )
    assert found.models == {"words-1"}
    assert found.chain_ids == set(chain_ids(DIFFS))
    assert read(text(*LINES[:7], *image("a:1", DIFFS, ""), *image("b:1", DIFFS[:2]))).raw_chain_ids == set(
        chain_ids(DIFFS)[:2])


@pytest.mark.parametrize("data", [
    text(*LINES).replace("\n", "\r\n").encode(), text(*LINES).encode("utf-16"), text(*LINES).encode("utf-8-sig"),
    f"Last login: Tue\n{text(*LINES)}".encode(),
], ids=["CRLF", "UTF-16", "BOM", "a banner above it"])
def test_what_systems_do_to_text_does_not_matter(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "receipt.txt").write_bytes(data)
    assert receipts.read(tmp_path / "receipt.txt") == read(text(*LINES))


def test_lines_of_later_times_say_nothing_and_other_versions_are_refused() -> None:
    later = [*LINES[:7], "gpu 0 A6000", "", *LINES[7:], "torchferry receipt 2"]
    assert read(text(*later)) == read(text(*LINES))
    with pytest.raises(ConfigError, match="a receipt of version 2, and this torchferry reads version 1"):
        read(text("torchferry receipt 2", *LINES[1:]))


@pytest.mark.parametrize("encoding", ["", " unknown", " stargz"])
def test_only_what_says_raw_is_raw(encoding: str) -> None:
    assert not read(text(*LINES[:7], *image("a:1", DIFFS, encoding))).images[0].raw


def test_folders_of_other_people_among_the_models_are_no_matter() -> None:
    assert read(text(*LINES, "model 내 모델", "model ..", "model lost+found")) == read(text(*LINES))


@pytest.mark.parametrize("told", ["", "PK\x03\x04", "torchferry report 1\nrelease stt\n", "torchferry receipt one\n"])
def test_what_is_no_receipt_is_refused_as_none(told: str) -> None:
    with pytest.raises(ConfigError, match=r"receipt\.txt: no receipt of ferry\.sh") as refused:
        read(told)
    assert "sh ferry.sh receipt > receipt.txt" in refused.value.cure


@pytest.mark.parametrize("kind", list(receipts.HEAD))
def test_a_receipt_without_its_head_is_cut(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"the receipt is cut: it does not say its {kind}"):
        read(text(*without(f"{kind} ")))


def test_half_a_line_is_not_taken_for_a_whole_one() -> None:
    with pytest.raises(ConfigError, match="its last line has no end"):
        read(text(*LINES, "model words-12")[:-2])


@pytest.mark.parametrize(("start", "line"), [
    ("host ", "host ../../etc/passwd"), ("host ", "host a b"), ("host ", "host \x1b[2J"), ("host ", "host "),
    ("made ", "made yesterday"), ("made ", "made ٢٠٢٦-11-24T10:00:00Z"), ("sequence ", "sequence -1"),
    ("sequence ", "sequence " + "9" * 5000), ("engine ", "engine docker"), ("instance ", "instance .."),
    ("service page", "service page 1.0.0 any"), ("image page", f"image page:1 {ID[:-1]} raw"),
    ("model ", "layer ABC 12"), ("model ", f"layer {DIFFS[1]}"),
])
def test_what_cannot_be_understood_is_named(start: str, line: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be understood|no name of a host") as refused:
        read(instead(start, line))
    assert len(str(refused.value)) < 400
    assert str(refused.value).replace("\n", "").isprintable()


def test_chains_that_do_not_follow_are_refused() -> None:
    chained, swapped = chain_ids(DIFFS), [DIFFS[1], DIFFS[0], *DIFFS[2:]]
    for chains, diffs in [(chained, swapped), (DIFFS, DIFFS), (chained[1:], DIFFS[1:])]:
        layers = [f"layer {chain} {diff}" for chain, diff in zip(chains, diffs, strict=True)]
        with pytest.raises(IntegrityError, match="the layers of a:1 contradict each other") as refused:
            read(text(*LINES[:7], f"image a:1 {ID}", *layers))
        assert "sh ferry.sh receipt writes a new one" in refused.value.cure


def test_a_receipt_that_says_two_things_is_refused() -> None:
    with pytest.raises(IntegrityError, match="says two things of its host"):
        read(text(*LINES, "host other"))
    with pytest.raises(IntegrityError, match="names a layer before any image"):
        read(text(*LINES[:7], f"layer {ID} {ID}"))


def test_no_file_a_folder_and_a_disk_image_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match=str(place)):
            receipts.read(place)
    monkeypatch.setattr(receipts, "MOST_BYTES", 100)
    (tmp_path / "large").write_text(text(*LINES), encoding="utf-8")
    with pytest.raises(ConfigError, match="it is larger than"):
        receipts.read(tmp_path / "large")


@given(st.integers(0, len(text(*LINES))), st.integers(0, 300), st.text(max_size=9))
@settings(max_examples=300)
def test_a_damaged_receipt_is_read_or_refused_never_a_traceback(start: int, length: int, put: str) -> None:
    told = text(*LINES)
    try:
        found = read(told[:start] + put + told[start + length:])
    except FerryError as error:
        assert error.cure
    else:
        for one in found.images:
            assert one.chain_ids == chain_ids(one.diff_ids)


@given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=40)), max_size=25))
def test_any_lines_are_read_or_refused(lines: list[str]) -> None:
    try:
        read(text(LINES[0], *lines))
    except FerryError as error:
        assert error.cure


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    place = tmp_path_factory.mktemp("receipt") / "receipt.txt"
    place.write_bytes(b"torchferry receipt 1\n" + data)
    try:
        receipts.read(place)
    except FerryError as error:
        assert error.cure


@given(st.lists(st.tuples(st.lists(st.sampled_from("abc")), st.booleans()), max_size=4), st.integers(0, 9**10))
def test_what_is_written_is_read_again(images: list[tuple[list[str], bool]], sequence: int) -> None:
    made = receipt(*[words for words, _ in images], models=["words-1", "a-2"], sequence=sequence)
    held = tuple(replace(image, raw=raw) for image, (_, raw) in zip(made.images, images, strict=True))
    made = replace(made, images=held)
    assert read(receipts.as_text(made)) == made


@given(st.integers(min_value=0, max_value=len(LINES)))
def test_a_receipt_that_ends_early_never_says_more_than_the_whole(count: int) -> None:
    try:
        found = read(text(*LINES[:count]))
    except FerryError:
        return
    whole = read(text(*LINES))
    assert found.chain_ids <= whole.chain_ids
    assert found.models <= whole.models
