"""An archive in parts: together the same bytes, each with its hash; damage, loss and another cut are noticed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import nouns
from support.saved_images import noise, sha, stored_image

from torchferry import archive, compat, files, manifest, packing, parts
from torchferry.archive import verify_archive, write_archive
from torchferry.blobs import BlobStore
from torchferry.errors import IntegrityError
from torchferry.layout import Layout
from torchferry.members import BLOCK
from torchferry.memory import Memory
from torchferry.model import BuiltImage, Image, Part, Project, Release, Variant

LAYERS = [noise(3000, 1), noise(512, 2), noise(BLOCK + 513, 3), noise(3000, 1)]
PART = 64 << 10
TABLE = compat.load()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(folder=tmp_path / "blobs")


# Names and sizes


@settings(deadline=None)
@given(st.integers(1, 50_000), st.integers(1, 4000) | st.none())
def test_names_follow_each_other_as_they_sort_and_sizes_are_all_bytes(size: int, split: int | None) -> None:
    made = parts.names("a.tar.gz", size, split)
    assert sum(count for _, count in made) == size
    assert [name for name, _ in made] == sorted(name for name, _ in made)
    assert len({len(name) for name, _ in made}) == 1
    if split is None or size <= split:
        assert made == (("a.tar.gz", size),)
    else:
        assert {count for _, count in made[:-1]} == {split}
        assert 0 < made[-1][1] <= split
        assert int(made[0][0].removeprefix("a.tar.gz.part")) == 1
        assert len(made[0][0]) >= len("a.tar.gz.part001")


def test_a_part_of_exactly_the_size_is_one_file() -> None:
    assert parts.names("a", 10, 10) == (("a", 10),)
    assert parts.names("a", 11, 10) == (("a.part001", 10), ("a.part002", 1))
    assert parts.names("a", 20, 10) == (("a.part001", 10), ("a.part002", 10))


# Writing


def test_the_parts_together_are_the_archive(store: BlobStore, tmp_path: Path) -> None:
    image, heard = stored_image(store, LAYERS), list[int]()
    whole = write_archive(image, store=store, target=tmp_path / "whole/stt.tar.gz")
    cut = write_archive(image, store=store, target=tmp_path / "cut/stt.tar.gz", split=PART, passed=heard.append)
    assert (cut.size, cut.sha256, cut.image) == (whole.size, whole.sha256, image)
    assert whole.parts == (Part(name="stt.tar.gz", size=whole.size, sha256=whole.sha256),)
    data = whole.path.read_bytes()
    assert len(cut.parts) == -(-len(data) // PART) > 3
    for number, part in enumerate(cut.parts):
        piece = data[number * PART:(number + 1) * PART]
        assert (part.name, part.size) == (f"stt.tar.gz.part{number + 1:03}", len(piece))
        assert part.sha256 == sha(piece)
        assert (tmp_path / "cut" / part.name).read_bytes() == piece
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [part.name for part in cut.parts]
    assert sum(heard) == 2 * cut.size


@pytest.mark.parametrize("split", [1, 100, 4096, 99_999])
def test_a_part_may_end_anywhere(store: BlobStore, tmp_path: Path, split: int) -> None:
    image = stored_image(store, [noise(700, 1), noise(90, 2)])
    whole = write_archive(image, store=store, target=tmp_path / "stt.tar.gz")
    cut = write_archive(image, store=store, target=tmp_path / "cut/stt.tar.gz", split=split)
    assert b"".join((tmp_path / "cut" / part.name).read_bytes() for part in cut.parts) == whole.path.read_bytes()


def test_another_cut_takes_the_place_of_the_one_before(store: BlobStore, tmp_path: Path) -> None:
    image, folder = stored_image(store, LAYERS), tmp_path / "dist"
    mine = ["stt.tar.gz.part", "stt.tar.gz.part001.txt", "stt.tar.gz.party", "xstt.tar.gz.part001"]
    folder.mkdir()
    for name in mine:
        (folder / name).write_text("mine", encoding="utf-8")
    for split in (PART, None, 3 * PART, PART):
        made = write_archive(image, store=store, target=folder / "stt.tar.gz", split=split)
        assert sorted(path.name for path in folder.iterdir()) == sorted([*mine, *(part.name for part in made.parts)])


def test_what_cannot_be_written_leaves_the_parts_as_they_were(store: BlobStore, tmp_path: Path) -> None:
    image, folder = stored_image(store, LAYERS), tmp_path / "dist"
    write_archive(image, store=store, target=folder / "stt.tar.gz", split=PART)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    blob = store.verify(image.layers[2].diff_id)
    whole = blob.path.read_bytes()
    blob.path.write_bytes(whole[:900] + bytes([whole[900] ^ 1]) + whole[901:])
    with pytest.raises(IntegrityError, match="the stored layer is damaged"):
        write_archive(image, store=store, target=folder / "stt.tar.gz", split=2 * PART)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_ctrl_c_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    image, count = stored_image(store, LAYERS), 0

    def interrupt(_: int) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_archive(image, store=store, target=tmp_path / "dist/stt.tar.gz", split=PART, passed=interrupt)
    assert list((tmp_path / "dist").iterdir()) == []


# Reading


def test_parts_are_verified_as_the_archive_that_they_are(store: BlobStore, tmp_path: Path) -> None:
    made = write_archive(stored_image(store, LAYERS), store=store, target=tmp_path / "stt.tar.gz", split=PART)
    places = [tmp_path / part.name for part in made.parts]
    found = verify_archive(*places)
    assert (found.size, found.sha256, found.image, found.parts) == (made.size, made.sha256, made.image, made.parts)
    for wrong in (places[:-1], places[1:], [places[1], places[0], *places[2:]], [*places, places[-1]]):
        with pytest.raises(IntegrityError, match=r"stt\.tar\.gz"):
            verify_archive(*wrong)


def test_cat_puts_the_parts_together(store: BlobStore, tmp_path: Path) -> None:
    if shutil.which("sh") is None:
        pytest.skip("no sh on this machine")
    made = write_archive(stored_image(store, LAYERS), store=store, target=tmp_path / "stt.tar.gz", split=PART)
    joined = subprocess.run(
        ["sh", "-c", "cat stt.tar.gz.part*"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert hashlib.sha256(joined).hexdigest() == made.sha256


# A release folder


class Site:
    """A packed image of one variant, and its release folder; `release` may be cut otherwise later."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root=root)
        self.store = BlobStore(folder=self.layout.blobs)
        self.image = stored_image(self.store, LAYERS)
        self.store.add_config(self.image.config)
        self.built = BuiltImage(
            engine="direct", name=self.image.name, image_id="sha256:" + "a" * 64, recipe="r",
            diff_ids=packing.diff_ids(self.image), size=self.image.size,
        )
        self.split: int | None = PART

    @property
    def variant(self) -> Variant:
        release = Release(name="stt", version="1.0.0", split=self.split)
        return replace(nouns.variant("cpu"), release=release)

    @property
    def folder(self) -> Path:
        return self.layout.release(self.variant.release)

    def pack(self) -> bool:
        """Make the release folder, and whether the archive had to be written."""
        packing.write_record(self.layout, self.variant, self.built, self.image)
        made, fresh = packing.pack(self.variant, self.built, self.layout, self._take)
        head = archive.head(self.image, self.store, name="load/cpu.head", image_name="stt-engine:incoming-1")
        files.write_bytes(self.folder / head.name, head.data)
        row = manifest.entry(self.variant, nouns.lock("cpu"), made, head, TABLE, (), revision=None)
        project = Project(root=self.layout.root, release=self.variant.release, variants=(self.variant,))
        document = manifest.document(project, [row])
        files.write_text(self.layout.manifest(self.variant.release), manifest.as_text(document))
        files.write_text(self.layout.sums(self.variant.release), manifest.sums(document, {}))
        return fresh

    def listed_size(self) -> int | None:
        return packing.listed_size(self.variant, self.built, self.layout)

    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("*.tar.gz*"))

    @staticmethod
    def _take(built: BuiltImage, _: Variant) -> Image:
        raise AssertionError(f"the store holds {built.name} already")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    assert made.pack()
    return made


def test_what_lies_there_is_current_and_not_read_again(site: Site) -> None:
    assert not site.pack()
    status = site.parts()[1].stat()
    data = bytearray(site.parts()[1].read_bytes())
    data[7] ^= 1
    site.parts()[1].write_bytes(data)
    os.utime(site.parts()[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not site.pack()


def test_a_damaged_part_is_noticed_and_written_anew(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    whole = {place.name: place.read_bytes() for place in site.parts()}
    damaged = site.parts()[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    assert site.pack()
    assert f"{damaged.name}: damaged, writing stt-engine-1.0.0-cpu.tar.gz anew" in capsys.readouterr().err
    assert {place.name: place.read_bytes() for place in site.parts()} == whole


@pytest.mark.parametrize("what", ["gone", "short"])
def test_a_missing_or_short_part_is_written_anew(site: Site, what: str) -> None:
    place, size = site.parts()[2], site.listed_size()
    data = place.read_bytes()
    place.unlink()
    if what == "short":
        place.write_bytes(data[:-1])
    assert site.listed_size() is None
    assert site.pack()
    assert (site.listed_size(), place.read_bytes()) == (size, data)


@pytest.mark.parametrize("split", [None, 2 * PART])
def test_another_size_of_parts_cuts_it_anew(site: Site, split: int | None) -> None:
    before = site.listed_size()
    site.split = split
    assert site.listed_size() is None
    assert site.pack()
    assert not site.pack()
    assert site.listed_size() == before
    assert len(site.parts()) == (1 if split is None else -(-(before or 0) // split))


def test_sha256sum_reads_the_sums_of_the_parts(site: Site) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum on this machine")
    check = ["sha256sum", "-c", "SHA256SUMS"]
    done = subprocess.run(check, cwd=site.folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"{place.name}: OK" in done.stdout for place in site.parts())


def test_a_manifest_that_names_places_elsewhere_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    row = {"name": "../a", "size": 3, "sha256": sha(b"123")}
    assert not parts.stands(row, tmp_path / "dist")
    assert parts.stands({**row, "name": "a"}, tmp_path)


def test_only_the_damaged_parts_are_named(site: Site, tmp_path: Path) -> None:
    found = packing.current_archive(site.variant, site.image, site.layout)
    assert found is not None
    for place in site.parts()[1:3]:
        place.write_bytes(bytes(place.stat().st_size))
    names = parts.damaged(found, Memory(tmp_path / "memory.json"))
    assert names == tuple(place.name for place in site.parts()[1:3])
