"""A reader that waits for a writer: every byte once, the writer's end and its errors."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from torchferry.growing import Growing


def test_the_reader_gets_what_was_written_as_it_grows(tmp_path: Path) -> None:
    place = tmp_path / "file"
    data = bytes(range(256)) * 400
    with place.open("wb") as sink, place.open("rb") as source:
        growing, waiting = Growing(source), threading.Event()

        def write() -> None:
            for start in range(0, len(data), 1000):
                waiting.wait(0.001)
                sink.write(data[start:start + 1000])
                sink.flush()
                growing.grown(sink.tell())
            growing.ended()

        writer = threading.Thread(target=write)
        writer.start()
        read = b""
        while part := growing.read(777):
            assert len(part) <= 777
            read += part
        writer.join()
        assert growing.read(1) == b""
    assert read == data


def test_nothing_beyond_what_was_told_is_read(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"told, not yet told")
    with place.open("rb") as source:
        growing = Growing(source)
        growing.grown(4)
        assert growing.read(100) == b"told"
        growing.ended()
        assert growing.read(100) == b""


def test_the_readers_error_is_the_writers(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"begun")
    with place.open("rb") as source:
        growing = Growing(source)
        growing.grown(5)
        growing.ended(OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space left"):
            growing.read(1)
