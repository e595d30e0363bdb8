"""A release folder without its images: the files that `inv ship` sees, random bytes where archives would be."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import ferry
from torchferry.layout import FERRY, MANIFEST, SUMS
from torchferry.manifest import VERSION

Row = tuple[str, str, str]
"""Service, variant and platform of an image."""

ROWS: tuple[Row, ...] = (
    ("engine", "cu118", "linux/amd64"), ("engine", "cu121", "linux/amd64"), ("engine", "cu124", "linux/amd64"),
    ("engine", "cpu", "linux/amd64"), ("engine", "cpu", "linux/arm64"), ("page", "any", "linux/amd64"),
)


@dataclass(frozen=True, kw_only=True)
class ReleaseFolder:
    """A folder as `inv bundle` leaves it; `close` writes SHA256SUMS over what lies there."""

    folder: Path

    def archive(self, service: str, variant: str, platform: str = "linux/amd64") -> Path:
        extra = "" if platform == "linux/amd64" else "-arm64"
        return self.folder / f"{service}-1.0.0-{variant}{extra}.tar.gz"

    def write(self, name: str, data: bytes) -> Path:
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place

    def close(self) -> None:
        names = sorted(
            path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")
            if path.is_file() and path.name not in (SUMS, f"{SUMS}.sig")
        )
        lines = [f"{hashlib.sha256((self.folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        self.write(SUMS, "".join(lines).encode())

    def names(self) -> set[str]:
        """Every file, below the folder."""
        return tree(self.folder).keys() - set()


def tree(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_release(
    folder: Path, *, size: int = 20_000, rows: tuple[Row, ...] = ROWS, parts: int = 0,
    others: Mapping[str, bytes] | None = None,
) -> ReleaseFolder:
    """A release `tiny 1.0.0` below ``folder``, with archives of ``size`` bytes, each in ``parts`` where asked."""
    release, chance = ReleaseFolder(folder=folder / "tiny-1.0.0"), random.Random(size)
    images = []
    for service, variant, platform in rows:
        whole = release.archive(service, variant, platform)
        data = chance.randbytes(size)
        archive: dict[str, Any] = {"name": whole.name, "size": size, "sha256": hashlib.sha256(data).hexdigest()}
        step = -(-size // (parts or 1))
        pieces = {f"{whole.name}.part{at + 1:03}": data[at * step:(at + 1) * step] for at in range(parts)}
        pieces = pieces or {whole.name: data}
        archive["parts"] = [
            {"name": name, "size": len(piece), "sha256": hashlib.sha256(piece).hexdigest()}
            for name, piece in pieces.items()
        ]
        archive["head"] = {"name": f"load/{whole.name}.head", "replaces": 4}
        for name, piece in {**pieces, archive["head"]["name"]: b"head"}.items():
            release.write(name, piece)
        images.append({"service": service, "variant": variant, "platform": platform, "archive": archive})
    said = {"manifest": VERSION, "release": "tiny", "version": "1.0.0", "images": images}
    release.write(MANIFEST, json.dumps(said).encode())
    release.write(FERRY, ferry.script("tiny 1.0.0").encode()).chmod(0o755)
    for name, data in (others or {}).items():
        release.write(name, data)
    release.close()
    return release
