"""What the scanner finds in the bytes of a library, however they are cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.elf_factory import fatbin

from torchferry.elf_scan import MAGIC, OVERLAP, Scanner

NOISE = b"\x01\x02lib\xff.so sm_\0lib"


def scan(data: bytes, *, cuts: int, start: int = 0, stop: int | None = None, with_flags: bool = True) -> Scanner:
    scanner = Scanner(start, len(data) if stop is None else stop, with_flags=with_flags)
    for offset in range(0, len(data), cuts):
        scanner.feed(offset, data[offset:offset + cuts])
    return scanner


def library() -> bytes:
    texts = b"\0libcublas.so.12\0libcudnn_ops.so\0sm_80 sm_86 compute_90\0"
    kernels = fatbin(["sm_80", "compute_90"], size=3000) + fatbin(["sm_86"], size=8) + bytes(16)
    return NOISE * 40 + kernels + texts + NOISE * 50 + fatbin(["sm_100"], size=1500) + b"\xfflibnvrtc.so.12\0" + NOISE


@given(cuts=st.integers(1, 9000))
def test_pieces_of_any_length_give_the_same(cuts: int) -> None:
    data = library()
    found = scan(data, cuts=cuts)
    assert {name for _, name in found.names} == {"libcublas.so.12", "libcudnn_ops.so", "libnvrtc.so.12"}
    assert all(data[place:].startswith(name.encode()) for place, name in found.names)
    assert found.code == {"sm_80", "compute_90", "sm_86", "sm_100"}
    assert found.flags == {"sm_80 sm_86 compute_90"}


@given(start=st.integers(0, 9000), length=st.integers(0, 9000), cuts=st.integers(100, 5000))
def test_what_lies_outside_of_the_range_is_not_seen(start: int, length: int, cuts: int) -> None:
    data = library()
    found = scan(data, cuts=cuts, start=start, stop=min(len(data), start + length))
    assert all(start <= place and place + len(name) <= start + length for place, name in found.names)


@pytest.mark.parametrize("text", [
    b"Could not load library libcudnn_ops.so.8. Error", b"cudaFree@@libcudart.so.12\0", b"libnvrtc.so.%d\0",
    b"libcudart.so bindings", b"/opt/libcublas.so.12\0", b"xlibcublas.so.12\0", b"libpurl.so.4\0",
])
def test_a_name_in_a_message_is_no_library_that_is_opened(text: bytes) -> None:
    assert scan(b"\0\0" + text + b"\0", cuts=1000).names == set()


def test_a_name_that_a_piece_cuts_is_not_taken_for_a_shorter_one() -> None:
    data = bytes(2 * OVERLAP) + b"libcudnn_ops_infer.so.8.9.7\0" + bytes(OVERLAP)
    for cut in range(2 * OVERLAP - 2, 2 * OVERLAP + 30):
        scanner = Scanner(0, len(data))
        scanner.feed(0, data[:cut])
        scanner.feed(cut, data[cut:])
        assert [name for _, name in scanner.names] == ["libcudnn_ops_infer.so.8.9.7"]


def test_kernels_are_stepped_over_and_not_searched() -> None:
    inside = fatbin(["sm_80"], size=4096).replace(b"\xab" * 64, b"\0libcublas.so.12\0" + b"\xab" * 47, 1)
    found = scan(inside + b"\0libcufft.so.11\0", cuts=500)
    assert {name for _, name in found.names} == {"libcufft.so.11"}


@pytest.mark.parametrize("data", [
    MAGIC, MAGIC + bytes(4), MAGIC + bytes(100), MAGIC * 40, fatbin(["sm_80"])[:50], fatbin([]),
    fatbin(["sm_80"]).replace(b"\x02\0\x01\x01", b"\x07\0\x01\x01"),
])
def test_what_only_looks_like_gpu_code_is_passed_by(data: bytes) -> None:
    found = scan(data + b"\0libcufft.so.11\0", cuts=37)
    assert found.code == set()
    assert {name for _, name in found.names} == {"libcufft.so.11"}


def test_flags_are_looked_for_only_where_that_is_asked() -> None:
    assert scan(b"\0sm_80 sm_86\0", cuts=50, with_flags=False).flags == set()
