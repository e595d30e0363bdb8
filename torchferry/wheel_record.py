"""RECORD, the list of a wheel's files: read strictly, written as uv writes it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass

_HASH = re.compile(r"(sha256|sha384|sha512)=([A-Za-z0-9_-]{43,86})=*")


class BadRecord(Exception):
    """Why a RECORD is refused; who reads it says whose it is."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: path, hash as it is written ("sha256=..."), size in bytes; the latter two may be left out."""

    path: str
    hash: str | None = None
    size: int | None = None


def parse_record(data: bytes) -> tuple[Row, ...]:
    """The rows of a RECORD. Raises BadRecord for one that two readers could understand differently."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRecord(f"it cannot be read: {error}") from error
    return tuple(_row(line) for line in lines if line)


def _row(line: list[str]) -> Row:
    if len(line) != 3:
        raise BadRecord(f"a line of {len(line)} fields: {','.join(line)[:200]!r}")
    path, digest, size = line
    if digest and not _HASH.fullmatch(digest):
        raise BadRecord(f"{path}: a hash of unknown kind: {digest[:100]!r}")
    if size and not re.fullmatch(r"0|[1-9][0-9]{0,18}", size):
        raise BadRecord(f"{path}: a size that is no number: {size[:100]!r}")
    # uv drops leading slashes too: selenium once listed its files so.
    return Row(path=path.lstrip("/"), hash=digest or None, size=int(size) if size else None)


def format_record(rows: Iterable[Row]) -> bytes:
    """The text of a RECORD as uv writes it: rows in order of their bytes, a field quoted only where it must be."""
    ordered = sorted(rows, key=lambda row: (
        row.path.encode(), row.hash is not None, row.hash or "", row.size is not None, row.size or 0,
    ))
    lines = [
        f"{_field(row.path)},{_field(row.hash or '')},{'' if row.size is None else row.size}\n" for row in ordered
    ]
    return "".join(lines).encode("utf-8")


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if re.search('[",\r\n]', text) else text


def sha256_field(data: bytes) -> str:
    """The hash of a file as RECORD spells it."""
    return f"sha256={_encode(hashlib.sha256(data).digest())}"


def new_hash(row_hash: str) -> hashlib._Hash:
    """A fresh hash of the kind that a row names; compare its digest by `is_digest`."""
    return hashlib.new(row_hash.partition("=")[0])


def is_digest(row_hash: str, digest: bytes) -> bool:
    """Whether a digest is the one that a row states."""
    return row_hash.partition("=")[2].rstrip("=") == _encode(digest)


def same_hash(row_hash: str, data: bytes) -> bool:
    """Whether the hash of these bytes is the one that a row states."""
    digest = new_hash(row_hash)
    digest.update(data)
    return is_digest(row_hash, digest.digest())


def _encode(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
