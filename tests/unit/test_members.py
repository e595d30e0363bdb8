"""Gzip members: readable by everyone, the same everywhere, and no damaged byte goes unseen."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.saved_images import noise

from torchferry import members
from torchferry.errors import IntegrityError
from torchferry.inflate import PIECE
from torchferry.members import BLOCK, MemberReader


def read_all(data: bytes, *, ahead: int = 3) -> bytes:
    with ThreadPoolExecutor(2) as pool:
        reader = MemberReader(io.BytesIO(data), what="some file", cure="copy it again", pool=pool, ahead=ahead)
        return b"".join(iter(lambda: reader.read(1000), b""))


def packed(data: bytes, *, compression: str = "fast", threads: int = 2) -> bytes:
    return b"".join(members.compress(members.blocks_of(io.BytesIO(data)), compression, threads=threads))


@pytest.mark.parametrize("compression", members.COMPRESSIONS)
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_members_are_one_gzip_stream(compression: str, size: int) -> None:
    data = noise(size)
    made = packed(data, compression=compression)
    assert gzip.decompress(made) == data
    assert read_all(made) == data


@pytest.mark.parametrize("compression", members.COMPRESSIONS)
def test_bytes_do_not_depend_on_the_number_of_threads(compression: str) -> None:
    data = noise(5 * BLOCK + 3)
    assert packed(data, compression=compression, threads=1) == packed(data, compression=compression, threads=7)


def test_a_block_that_does_not_compress_fits() -> None:
    data = noise(4 * BLOCK)[1:BLOCK + 1]
    assert read_all(packed(data)) == data


def test_every_damaged_byte_of_a_member_is_noticed() -> None:
    made = packed(noise(700))
    for position in range(len(made)):
        damaged = bytearray(made)
        damaged[position] ^= 0xFF
        with pytest.raises(IntegrityError, match="some file"):
            read_all(bytes(damaged))


def test_every_cut_within_a_member_is_noticed() -> None:
    made = packed(noise(700))
    for length in range(1, len(made)):
        with pytest.raises(IntegrityError, match="some file"):
            read_all(made[:length])


@pytest.mark.parametrize("after", [b"\0", bytes(512), gzip.compress(b"foreign", mtime=0)])
def test_what_follows_the_last_member_is_refused(after: bytes) -> None:
    with pytest.raises(IntegrityError, match="no gzip member of torchferry"):
        read_all(packed(b"data") + after)


def test_a_member_that_inflates_to_more_than_a_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as larger:
        larger.setattr(members, "BLOCK", 64 * BLOCK)
        bomb = members.member(bytes(64 * BLOCK), "fast")
    with pytest.raises(IntegrityError, match="another length"):
        read_all(bomb)


def test_a_member_with_more_in_it_than_its_block_is_refused() -> None:
    made, junk = packed(b"data"), b"hidden"
    body = made[28:] + junk
    header = made[:16] + struct.pack("<QI", 28 + len(body), zlib.crc32(body[:-8]))
    assert made[:28] == made[:16] + struct.pack("<QI", len(made), zlib.crc32(made[28:-8]))
    with pytest.raises(IntegrityError, match="another length"):
        read_all(header + body)


def test_a_stream_that_gives_few_bytes_at_a_time_makes_the_same_blocks() -> None:
    class Trickle(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            return super().read(min(count or 0, 1000))

    data = noise(5000)
    assert list(members.blocks_of(Trickle(data), size=2048)) == [data[:2048], data[2048:4096], data[4096:]]


def long_member(data: bytes, *, level: int = 6, size: int | None = None) -> bytes:
    """A long member of data as another program deflated it."""
    deflated = zlib.compress(data, level, wbits=-15)
    said = len(data) if size is None else size
    end = members.long_end(crc=zlib.crc32(data), size=said, deflated_crc=zlib.crc32(deflated))
    return members.long_header(len(deflated), said) + deflated + end


@pytest.mark.parametrize("size", [0, 1, 700, PIECE, PIECE + 1, 5 * BLOCK + 3])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_long_member_of_any_length_is_read_and_is_gzip(size: int, level: int) -> None:
    data = noise(size)
    made = packed(b"before") + long_member(data, level=level) + packed(b"after") + long_member(data, level=level)
    assert gzip.decompress(made) == b"before" + data + b"after" + data
    assert read_all(made) == read_all(made, ahead=1) == b"before" + data + b"after" + data


def test_every_damaged_byte_of_a_long_member_is_noticed() -> None:
    made = long_member(noise(700))
    for position in range(len(made)):
        for mask in (1, 0xFF):
            damaged = bytearray(made)
            damaged[position] ^= mask
            with pytest.raises(IntegrityError, match="some file"):
                read_all(bytes(damaged))


def test_every_cut_within_a_long_member_is_noticed() -> None:
    made = long_member(noise(700))
    for length in range(1, len(made)):
        with pytest.raises(IntegrityError, match="some file"):
            read_all(made[:length])


@pytest.mark.parametrize(("size", "cause"), [(BLOCK, "more bytes than it states"), (3 * BLOCK, "before its stated")])
def test_a_long_member_of_another_size_than_stated_is_refused(size: int, cause: str) -> None:
    with pytest.raises(IntegrityError, match=cause):
        read_all(long_member(noise(2 * BLOCK), size=size))


def test_a_bomb_comes_out_in_pieces() -> None:
    made = long_member(bytes(64 * BLOCK))
    with ThreadPoolExecutor(2) as pool:
        reader = MemberReader(io.BytesIO(made), what="some file", cure="copy it again", pool=pool, ahead=8)
        sizes = [len(piece) for piece in iter(lambda: reader.read(64 * BLOCK), b"")]
    assert (sum(sizes), max(sizes)) == (64 * BLOCK, PIECE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 300, PIECE, BLOCK, 2 * BLOCK + 1])), max_size=6))
def test_long_and_other_members_mix(parts: list[tuple[bool, int]]) -> None:
    made = b"".join(long_member(noise(size)) if long else packed(noise(size)) for long, size in parts)
    assert read_all(made) == b"".join(noise(size) for _, size in parts)
