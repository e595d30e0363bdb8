"""What is noticed of a model's file without loading it: a page or pointer in its place, an end that is missing."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

HEAD = 4096

LFS = b"version https://git-lfs.github.com/spec/"
PAGES = (b"<!doctype html", b"<html", b"<?xml version=\"1.0\" encoding=\"utf-8\"?><error>")
MAY_BE_PAGES = frozenset({".html", ".htm", ".xhtml", ".md"})

WEIGHTS = frozenset({
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".gguf", ".ggml", ".npz", ".npy", ".h5", ".zip", ".tflite",
    ".engine", ".msgpack", ".pkl", ".model",
})
"""What only a program reads: empty, or an answer in JSON, it is not what it is called."""

ZIPS = frozenset({".zip", ".npz"})
ZIP_MAGIC = b"PK\x03\x04"

JSON_LIMIT = 64 << 20

HEADER_LIMIT = 100_000_000
"""Bytes of the largest header that readers of safetensors take."""

CT2_NEWEST = 20
CT2_NAME = 64
"""CTranslate2 is at version 6 of its model.bin; the name in it is that of a class, WhisperSpec for one."""


class _Cut(Exception):
    """What is wrong with a file."""


def problem(path: Path, name: str) -> str | None:
    """Why the file cannot be what its ``name`` in the model says; None where nothing is noticed. It costs no reading.

    Raises OSError when it cannot be read.
    """
    suffix = PurePosixPath(name).suffix.lower()
    with path.open("rb") as source:
        head = source.read(HEAD)
        try:
            _stands_for_another(head, suffix)
            check = _check_for(suffix, head)
            if check:
                check(source)
        except _Cut as error:
            return str(error)
    return None


def _stands_for_another(head: bytes, suffix: str) -> None:
    if head.startswith(LFS):
        meant = next((line[5:].decode("ascii", "replace") for line in head.splitlines() if line[:5] == b"size "), "?")
        raise _Cut(f"is a pointer of git-lfs, not the file of {meant} bytes: git lfs pull")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if suffix not in MAY_BE_PAGES and b"".join(start.split(b"\n")).startswith(PAGES):
        raise _Cut("is a web page, probably an error that a server sent in its place: download it again")
    if suffix in WEIGHTS and not head:
        raise _Cut("is empty: download it again")
    if suffix in WEIGHTS and start.startswith(b'{"error"'):
        raise _Cut("is an error that a server sent in its place: download it again")


def _safetensors(source: BinaryIO) -> None:
    """Its header says where each tensor ends; the last one ends with the file."""
    count = struct.unpack("<Q", _exactly(source, 0, 8))[0]
    if count > HEADER_LIMIT:
        raise _Cut(f"does not begin as safetensors do: a header of {count} bytes")
    try:
        rows = json.loads(_exactly(source, 8, count))
        ends = [int(row["data_offsets"][1]) for name, row in rows.items() if name != "__metadata__"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise _Cut(f"has a header that is no safetensors header: {error!r}") from error
    _require(source, 8 + count + max(ends, default=0))


def _zip(source: BinaryIO) -> None:
    """Its directory is at its end, and each entry lies where that says, the first at the first byte."""
    try:
        with zipfile.ZipFile(source) as archive:
            rows, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise _Cut(f"is no zip file, or one that is cut or damaged ({error}): download it again") from error
    if rows and min(row.header_offset for row in rows) != 0:
        raise _Cut("is a zip file that is cut: its directory is that of a part of it; download it again")
    for row in rows:
        last = row.header_offset + 30 + row.compress_size
        if last > end or _exactly(source, row.header_offset, 4) != ZIP_MAGIC:
            raise _Cut(f"is a damaged zip file: {row.filename!r} is not where its directory says")


def _json(source: BinaryIO) -> None:
    """What its first bracket opens is closed; other dialects than JSON's own are nobody's business here."""
    size = _size(source)
    if size > JSON_LIMIT:
        return
    text = _exactly(source, 0, size).decode("utf-8-sig", "replace").strip()
    closes = {"{": "}", "[": "]"}.get(text[:1])
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if closes and (error.pos >= len(text) or text[-1] != closes):
            raise _Cut("is JSON without its end: download it again") from error
    except (ValueError, RecursionError):
        pass


def _ctranslate2(source: BinaryIO) -> None:
    """A model.bin of CTranslate2 is a row of variables, each with its length, then a row of aliases."""
    at = 4 + 2 + struct.unpack_from("<H", _exactly(source, 4, 2))[0] + 4
    variables, at = _number(source, at, "<I")
    for _ in range(variables):
        _, at = _text(source, at)
        rank, at = _number(source, at, "<B")
        length, at = _number(source, at + 4 * rank + 1, "<I")
        at += length
    aliases, at = _number(source, at, "<I")
    for _ in range(2 * aliases):
        _, at = _text(source, at)
    _require(source, at)


def _is_ctranslate2(head: bytes) -> bool:
    """Version, then the name of a specification with its length and a zero at its end."""
    if len(head) < 6:
        return False
    version, length = struct.unpack_from("<IH", head)
    name = head[6:6 + length]
    return 4 <= version <= CT2_NEWEST and 4 < length <= CT2_NAME and name.endswith(b"Spec\0") and name[:-1].isalnum()


def _text(source: BinaryIO, at: int) -> tuple[bytes, int]:
    length, at = _number(source, at, "<H")
    return _exactly(source, at, length), at + length


def _number(source: BinaryIO, at: int, form: str) -> tuple[int, int]:
    count = struct.calcsize(form)
    return int(struct.unpack(form, _exactly(source, at, count))[0]), at + count


def _exactly(source: BinaryIO, at: int, count: int) -> bytes:
    source.seek(at)
    data = source.read(count)
    if len(data) != count:
        raise _Cut(f"ends after {_size(source)} bytes, in the middle: download it again")
    return data


def _require(source: BinaryIO, wanted: int) -> None:
    size = _size(source)
    if size != wanted:
        raise _Cut(f"has {size} bytes, its own header says {wanted}: download it again")


def _size(source: BinaryIO) -> int:
    return os.fstat(source.fileno()).st_size


def _check_for(suffix: str, head: bytes) -> Callable[[BinaryIO], None] | None:
    """How a file is looked into, by its name and its first bytes."""
    if suffix == ".safetensors":
        return _safetensors
    if suffix in ZIPS or head.startswith(ZIP_MAGIC):
        return _zip
    if suffix == ".json":
        return _json
    return _ctranslate2 if suffix == ".bin" and _is_ctranslate2(head) else None
