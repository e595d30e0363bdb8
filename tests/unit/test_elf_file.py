"""Libraries are read out of a wheel as they are, in one pass, and never believed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.elf_factory import make_elf

from torchferry import elf_file
from torchferry.elf_file import BadElf, is_elf, read_elf
from torchferry.library_facts import Elf
from torchferry.wheel_reader import OpenZip
from torchferry.zipdir import Entry, read_directory

FULL = {
    "soname": "libx.so.1", "needed": ["libcublas.so.12", "libc.so.6"], "rpath": "$ORIGIN/../a:$ORIGIN",
    "versions": {"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_PRIVATE"], "libcudart.so.12": ["libcudart.so.12"]},
    "texts": ["libcufft.so.11", "sm_80 sm_90"], "code": ["sm_80", "compute_90"],
}


@contextmanager
def opened(folder: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> Iterator[OpenZip]:
    path = folder / "x.whl"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.so", data)
    with path.open("rb") as source:
        yield OpenZip(path=path, source=source, entries={entry.name: entry for entry in read_directory(source)})


def read(folder: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> Elf:
    with opened(folder, data, method) as wheel:
        return read_elf(wheel, wheel.entries["x.so"], with_flags=True)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("filler", [0, 700_000])
@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_all_that_a_library_says(tmp_path: Path, method: int, filler: int, patched: bool, apart: bool) -> None:
    """Strings before the dynamic section or behind it, constants with the code or apart: the same answer."""
    data = make_elf(**FULL, filler=filler, patched=patched, apart=apart)
    assert read(tmp_path, data, method) == Elf(
        machine="x64", soname="libx.so.1", needed=("libcublas.so.12", "libc.so.6"), search=("$ORIGIN/../a", "$ORIGIN"),
        is_runpath=False, glibc=(2, 17), opened=("libcufft.so.11",), code=("compute_90", "sm_80"), flags="sm_80 sm_90",
    )


def test_runpath_goes_before_rpath(tmp_path: Path) -> None:
    found = read(tmp_path, make_elf(rpath="/old", runpath="$ORIGIN/lib"))
    assert (found.search, found.is_runpath) == (("$ORIGIN/lib",), True)


def test_names_of_needed_libraries_and_of_their_versions_are_not_opened_by_code(tmp_path: Path) -> None:
    data = make_elf(needed=["libcublas.so.12"], versions={"libcudnn.so.8": ["libcudnn.so.8"]}, texts=["libcufft.so.11"])
    assert read(tmp_path, data).opened == ("libcufft.so.11",)


def test_relr_needs_the_glibc_that_brought_it(tmp_path: Path) -> None:
    assert read(tmp_path, make_elf(versions={"libc.so.6": ["GLIBC_2.4", "GLIBC_ABI_DT_RELR"]})).glibc == (2, 36)


def test_a_file_without_a_dynamic_section_needs_nothing(tmp_path: Path) -> None:
    data = bytearray(make_elf(soname="x", machine="aarch64"))
    data[56:58] = (1).to_bytes(2, "little")  # one segment only
    assert read(tmp_path, bytes(data)) == Elf(machine="AArch64")


def test_no_more_of_a_library_is_held_than_a_few_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 MB go through the reader; what it keeps of them is counted."""
    kept = []
    original = elf_file._Ranges.read

    def counted(self: elf_file._Ranges, count: int = -1) -> bytes:
        kept.append(sum(len(data) for _, data in self.known))
        return original(self, count)

    monkeypatch.setattr(elf_file._Ranges, "read", counted)
    assert read(tmp_path, make_elf(**FULL, filler=24_000_000, patched=True)).soname == "libx.so.1"
    assert 0 < max(kept) < 300_000


def test_a_piece_without_bytes_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inflater takes bytes and gives none now and then: so it was in onnxruntime-gpu 1.31.1."""
    original = OpenZip.chunks

    def hesitant(self: OpenZip, entry: Entry) -> Iterator[bytes]:
        for piece in original(self, entry):
            yield from (b"", piece, b"", b"")

    monkeypatch.setattr(OpenZip, "chunks", hesitant)
    found = read(tmp_path, make_elf(**FULL, filler=700_000))
    assert (found.soname, found.opened, found.code) == ("libx.so.1", ("libcufft.so.11",), ("compute_90", "sm_80"))


def test_only_elf_files_are_taken_for_one(tmp_path: Path) -> None:
    for data, wanted in ((b"\x7fELF", False), (b"PK" * 100, False), (make_elf(), True)):
        with opened(tmp_path, data) as wheel:
            assert is_elf(wheel, wheel.entries["x.so"]) is wanted


@pytest.mark.parametrize("break_it", [
    lambda data: data[:200], lambda _: b"\x7fELF stand-in" + bytes(100), lambda data: data[:4] + b"\xff" * 300,
    lambda data: data[:-30],
], ids=["cut", "text", "noise", "strings cut"])
def test_what_cannot_be_understood_is_refused_by_one_error(tmp_path: Path, break_it: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadElf):
        read(tmp_path, break_it(make_elf(**FULL, patched=True)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(4, 1200), st.integers(0, 255)), min_size=1, max_size=12))
def test_damage_anywhere_is_an_answer_or_that_error(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(make_elf(**FULL))
    for place, value in changes:
        data[place % len(data)] = value
    if data[:4] == b"\x7fELF":
        try:
            assert isinstance(read(tmp_path, bytes(data)), Elf)
        except BadElf:
            pass
