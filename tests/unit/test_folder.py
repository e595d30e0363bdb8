"""The carrier to a folder or a stick: the same promises as over ssh."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.far_shell import tmpfs
from support.release import tree

from torchferry import download, files
from torchferry.carriers import Begun, Busy, Garbled, Item
from torchferry.errors import DiskFull, ShipError
from torchferry.folder import Folder, Place
from torchferry.patience import Transient


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    return tmp_path / "my stick" / "한" / "tiny-1.0.0"


def item(folder: Path, name: str = "file", *, size: int = 300_000) -> Item:
    place = folder / "source" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(os.urandom(size))
    return Item(name=name, path=place, size=size, sha256=files.sha256(place))


class Cut(Item):
    """A file on a disk that is pulled out after 100,001 bytes."""

    def blocks(self, start: int, passed: Callable[[int], object]) -> Iterator[bytes]:
        passed(0)
        yield self.path.read_bytes()[start:100_001]
        raise Transient("pulled out")


def carrier(stick: Path) -> Folder:
    return Folder(Place(folder=stick))


def test_files_arrive_and_are_known_again(stick: Path, tmp_path: Path) -> None:
    items = [item(tmp_path, "-rf"), item(tmp_path, "models/한 글/it's"), item(tmp_path, "empty", size=0)]
    items.append(replace(item(tmp_path, "ferry.sh"), executable=True))
    before = carrier(stick).survey(items)
    assert (before.place, before.whole, before.begun) == (str(stick), frozenset(), {})
    for one in items:
        carrier(stick).send(one, 0, files.ignore)
    assert carrier(stick).survey(items).whole == frozenset(one.name for one in items)
    assert tree(stick) == {one.name: one.path.read_bytes() for one in items}
    assert os.access(stick / "ferry.sh", os.X_OK) and not os.access(stick / "-rf", os.X_OK)


def test_a_beginning_is_kept_and_gone_on_from(stick: Path, tmp_path: Path) -> None:
    one = item(tmp_path)
    with pytest.raises(Transient):
        carrier(stick).send(Cut(name=one.name, path=one.path, size=one.size, sha256=one.sha256), 0, files.ignore)
    begun = carrier(stick).survey([one]).begun
    assert begun == {"file": Begun(size=100_001, sha256=files.sha256(one.path, size=100_001))}
    passed: list[int] = []
    carrier(stick).send(one, 100_001, passed.append)
    assert sum(passed) == one.size - 100_001
    assert tree(stick) == {"file": one.path.read_bytes()}


def test_a_beginning_that_is_none_is_overwritten(stick: Path, tmp_path: Path) -> None:
    one = item(tmp_path)
    stick.mkdir(parents=True)
    (stick / ".file.partial").write_bytes(b"x" * 400_000)
    carrier(stick).send(one, 0, files.ignore)
    assert tree(stick) == {"file": one.path.read_bytes()}


def test_other_bytes_never_get_the_name(stick: Path, tmp_path: Path) -> None:
    with pytest.raises(Garbled):
        carrier(stick).send(replace(item(tmp_path), sha256="0" * 64), 0, files.ignore)
    assert tree(stick) == {}


def test_damage_is_seen(stick: Path, tmp_path: Path) -> None:
    one = item(tmp_path)
    carrier(stick).send(one, 0, files.ignore)
    (stick / "file").write_bytes(b"\0" + one.path.read_bytes()[1:])
    assert carrier(stick).survey([one]).whole == frozenset()


def test_another_ship_to_the_same_folder_is_waited_for(stick: Path, tmp_path: Path) -> None:
    one = item(tmp_path)
    wanted = download.Wanted(target=stick / "file", size=one.size, sha256=one.sha256)
    with download.claimed(wanted, waiting=lambda: None) as partial:
        partial.write(b"x" * 5000)
        partial.flush()
        with pytest.raises(Busy) as caught:
            carrier(stick).send(one, 0, files.ignore)
        assert caught.value.at == 5000
    carrier(stick).send(one, 0, files.ignore)
    assert tree(stick) == {"file": one.path.read_bytes()}


def test_a_file_is_removed_and_an_absent_one_is_fine(stick: Path) -> None:
    stick.mkdir(parents=True)
    (stick / "SHA256SUMS.sig").touch()
    for _ in range(2):
        carrier(stick).remove("SHA256SUMS.sig")
    assert tree(stick) == {}


def test_a_source_that_cannot_be_read_is_told_as_such(stick: Path, tmp_path: Path) -> None:
    one = item(tmp_path)
    one.path.unlink()
    with pytest.raises(ShipError, match="source/file: cannot be read"):
        carrier(stick).send(one, 0, files.ignore)


def test_a_file_in_the_place_of_the_folder_is_told(stick: Path, tmp_path: Path) -> None:
    stick.parent.mkdir(parents=True)
    stick.touch()
    with pytest.raises(ShipError, match=r"tiny-1\.0\.0: cannot be written: File exists"):
        carrier(stick).survey([item(tmp_path)])


def test_a_stick_that_takes_no_large_files_is_told_with_its_cure(stick: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    one = item(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ShipError, match="File too large") as caught:
            carrier(stick).send(one, 0, files.ignore)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "FAT32" in caught.value.cure


def test_a_full_stick_is_told_and_gone_on_from(tmp_path: Path) -> None:
    disk, one = tmp_path / "disk", item(tmp_path, size=3_000_000)
    tmpfs(disk, "2m")
    try:
        with pytest.raises(DiskFull, match="No space left"):
            carrier(disk).send(one, 0, files.ignore)
        begun = carrier(disk).survey([one]).begun["file"]
        assert begun.size > 1_000_000
        subprocess.run(["mount", "-o", "remount,size=5m", disk], check=True)
        carrier(disk).send(one, begun.size, files.ignore)
        assert files.sha256(disk / "file") == one.sha256
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(ShipError, match="Read-only") as caught:
            carrier(disk).survey([one])
        assert "mounted read-only" in caught.value.cure
    finally:
        subprocess.run(["umount", disk], check=True)
