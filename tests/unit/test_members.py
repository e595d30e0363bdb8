"""Gzip members: readable by everyone, the same everywhere, and no damaged byte goes unseen."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.saved_images import noise

from torchferry import members
from torchferry.errors import IntegrityError
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


@pytest.mark.parametrize("after", [b"\0", bytes(512), gzip.compress(b"foreign")])
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
