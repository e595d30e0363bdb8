"""A release with a broken layer in it whose hashes all agree: what went wrong did so before it was packed.

    break_layer(releases.copy("1.1.0", tmp_path / "duo-1.1.0"), "engine-1.1.0-cpu.tar.gz", b"engine 1.1.0 starts")
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

from support.site import own

TOLD = ("ferry.sh", "manifest.json")
"""What tells the size and the hash of an archive, beside SHA256SUMS, which comes last."""


def break_layer(release: Path, archive: str, text: bytes) -> None:
    """Flip one bit of a file in a layer, known by a text in it, then make the rest of the release say so."""
    place = own(release / archive)
    before = place.read_bytes()
    kept = _documents(release, archive)
    plain = bytearray(gzip.decompress(before[kept:]))
    plain[plain.rindex(text)] ^= 1
    after = before[:kept] + gzip.compress(plain, 1)
    place.write_bytes(after)
    for name in TOLD:
        _replace(release / name, {_sha256(before): _sha256(after), str(len(before)): str(len(after))})
    hashes = {name: _sha256((release / name).read_bytes()) for name in (archive, *TOLD)}
    lines = (release / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {line[66:]: line[:64] for line in lines} | hashes
    own(release / "SHA256SUMS").write_text("".join(f"{sha256}  {name}\n" for name, sha256 in listed.items()))


def _documents(release: Path, archive: str) -> int:
    """The bytes of its beginning, in place of which ferry.sh sends another that was made with it."""
    images = json.loads((release / "manifest.json").read_text(encoding="utf-8"))["images"]
    (row,) = (row for row in images if row["archive"]["name"] == archive)
    replaced: int = row["archive"]["head"]["replaces"]
    return replaced


def _replace(path: Path, words: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in words.items():
        assert old in text, f"{path.name} does not tell {old}"
        text = text.replace(old, new)
    own(path).write_text(text, encoding="utf-8")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
