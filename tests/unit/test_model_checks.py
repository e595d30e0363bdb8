"""A model's file that is cut, or another thing than its name says, is noticed; what only looks like it is taken."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import pytest

from torchferry import model_checks

WEIGHTS = bytes(range(256)) * 40


def safetensors(count: int) -> bytes:
    """One tensor of ``count`` bytes."""
    header = json.dumps({
        "__metadata__": {"format": "pt"}, "w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]},
    }).encode()
    return struct.pack("<Q", len(header)) + header + bytes(count)


def zipped(**contents: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return sink.getvalue()


def ctranslate2() -> bytes:
    """A model.bin of two variables and one alias."""
    def text(word: str) -> bytes:
        return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"

    def variable(name: str, *shape: int) -> bytes:
        data = bytes(4 * shape[0] * (shape[1] if len(shape) > 1 else 1))
        return text(name) + struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, 0, len(data)) + data

    head = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<2I", 3, 2)
    return head + variable("encoder/w", 3, 5) + variable("b", 7) + struct.pack("<I", 1) + text("decoder/w") + text("b")


WHOLE = {
    "a.safetensors": (safetensors(300), 1), "a.npz": (zipped(x=b"0" * 300, y=b"12"), 1), "a.zip": (zipped(x=b"1"), 1),
    "a.pt": (zipped(data=b"1" * 90), 4), "a.pth": (zipped(data=b"2" * 300), 4), "a.bin": (zipped(data=b"3" * 300), 4),
    "model.bin": (ctranslate2(), 19), "a.json": (b'{"a": [1, 2, {"b": "' + b"x" * 300 + b'"}]}', 1),
}
"""Files, and how much of one is needed to tell what it is."""


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_whole_is_taken_and_every_cut_is_noticed(tmp_path: Path, name: str) -> None:
    place, (data, tells) = tmp_path / name, WHOLE[name]
    place.write_bytes(data)
    assert model_checks.problem(place, name) is None
    for length in range(tells, len(data)):
        place.write_bytes(data[:length])
        assert model_checks.problem(place, name), length


@pytest.mark.parametrize("name", ["a.safetensors", "model.bin"])
def test_bytes_after_the_end_are_noticed(tmp_path: Path, name: str) -> None:
    data, _ = WHOLE[name]
    (tmp_path / name).write_bytes(data + b"x")
    assert f"its own header says {len(data)}" in str(model_checks.problem(tmp_path / name, name))


def test_a_zip_cut_behind_a_zip_that_it_holds_is_noticed(tmp_path: Path) -> None:
    inner, path = zipped(x=b"whole"), tmp_path / "a.pt"
    outer = zipped(**{"inner.zip": inner, "w": WEIGHTS})
    path.write_bytes(outer[:outer.index(b"PK\5\6") + 22])
    assert "its directory is that of a part of it" in str(model_checks.problem(path, "a.pt"))


def test_a_zip_whose_entries_lie_elsewhere_is_noticed(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.npz", zipped(x=b"1" * 50, y=b"2" * 50)
    second = whole.index(b"PK\3\4", 4)
    path.write_bytes(whole[:second] + b"XX" + whole[second + 2:])
    assert "'y' is not where its directory says" in str(model_checks.problem(path, "a.npz"))


def test_a_zip_whose_entry_would_end_behind_its_directory_is_noticed(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.npz", zipped(x=b"1" * 50)
    size = whole.index(b"PK\1\2") + 20  # of the packed bytes, in the directory's row
    path.write_bytes(whole[:size] + struct.pack("<I", 5000) + whole[size + 4:])
    assert "'x' is not where its directory says" in str(model_checks.problem(path, "a.npz"))


OTHER_THINGS = {
    "model.bin": (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1500000000\n",
                  "is a pointer of git-lfs, not the file of 1500000000 bytes: git lfs pull"),
    "tokenizer.json": (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 2\n", "pointer of git-lfs"),
    "page.bin": (b"\n  <!DOCTYPE html>\n<html><body>403</body></html>", "is a web page"),
    "page.safetensors": (b"<HTML><head>", "is a web page"),
    "vocab.txt": (b"\xef\xbb\xbf<html lang='en'>", "is a web page"),
    "store.pt": (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>', "is a web page"),
    "hub.bin": (b'{"error":"Repository not found"}', "is an error that a server sent"),
    "none.onnx": (b"", "is empty"),
    "none.safetensors": (b"", "is empty"),
    "text.npz": (b"Access denied", "is no zip file"),
    "huge.safetensors": (b"\xff" * 64, "does not begin as safetensors do"),
    "list.safetensors": (struct.pack("<Q", 4) + b"[12]", "no safetensors header"),
}


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_what_stands_in_the_place_of_a_file_is_noticed(tmp_path: Path, name: str) -> None:
    data, said = OTHER_THINGS[name]
    (tmp_path / name).write_bytes(data)
    assert said in str(model_checks.problem(tmp_path / name, name))


@pytest.mark.parametrize(("name", "data"), [
    ("index.html", b"<!doctype html><html></html>"), ("README.md", b"<html>"), ("empty.txt", b""), ("a.json", b""),
    ("legacy.pt", b"\x80\x02\x8a\nl\xfc\x9c"), ("weights.bin", b"\0" * 9),
    ("a.xml", b'<?xml version="1.0"?><vocabulary/>'),
    ("merges.txt", b"#version: 0.2\n<h t m l>"), ("short.bin", b"\6\0\0\0\x0c\0WhisperSpel\0"),
])
def test_what_only_looks_like_it_is_taken(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert model_checks.problem(tmp_path / name, name) is None
