"""Tar headers: what we write, Python's tarfile reads back, and plain ones are written wherever they suffice."""

from __future__ import annotations

import io
import tarfile
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchferry import layer_tar
from torchferry.layer_tar import file_header, folder_header


def read_back(header: bytes) -> tarfile.TarInfo:
    assert len(header) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(header + bytes(1024)), ignore_zeros=False) as tar:
        return tar.firstmember if tar.firstmember is not None else tar.getmembers()[0]


PART = st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=120)


PATH = st.lists(PART, min_size=1, max_size=6).map("/".join)


@given(path=PATH, size=st.integers(0, 1 << 45), mode=st.integers(0, 0o777))
def test_any_file_is_read_back(path: str, size: int, mode: int) -> None:
    found = read_back(file_header(path, mode=mode, size=size))
    assert (found.name, found.size, found.mode, found.isreg()) == (path, size, mode, True)
    assert (found.mtime, found.uid, found.gid, found.uname, found.gname) == (layer_tar.MTIME, 0, 0, "", "")


@given(path=PATH)
def test_any_folder_is_read_back(path: str) -> None:
    found = read_back(folder_header(path))
    assert (found.name, found.size, found.mode, found.isdir()) == (path, 0, 0o755, True)


@pytest.mark.parametrize(("path", "records"), [
    ("n" * 100, 1), ("p" * 155 + "/" + "n" * 100, 1), ("p/" + "n" * 100, 1), ("n" * 101, 3), ("é", 3),
    ("p" * 156 + "/" + "n" * 100, 3), ("/".join(["twenty_letters_long_"] * 11), 1),
])
def test_a_pax_header_only_where_it_must_be(path: str, records: int) -> None:
    assert len(file_header(path, mode=0o644, size=1)) == records * 512


@pytest.mark.parametrize(("size", "records"), [(8**11 - 1, 1), (8**11, 3)])
def test_sizes_from_8_gib_on_stand_in_a_pax_header(size: int, records: int) -> None:
    header = file_header("x", mode=0o644, size=size)
    assert (len(header), read_back(header).size) == (records * 512, size)


def test_every_zip_file_can_hold_the_time() -> None:
    # Twelve hours west of Greenwich, too, it must not be 1979.
    assert datetime.fromtimestamp(layer_tar.MTIME, timezone(-timedelta(hours=12))).year == 1980
