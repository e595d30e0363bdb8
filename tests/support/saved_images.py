"""Small images as Docker would save them: every form of the stream, made with tarfile."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Sequence
from typing import Any

from torchferry.blobs import BlobStore
from torchferry.model import Image

Entries = list[tuple[tarfile.TarInfo, bytes]]


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that half compress: what libraries look like to a compressor."""
    source = random.Random(seed)
    head = source.randbytes(size // 2)
    return b"\x7f" * min(size, 1) + (head + bytes(size))[:max(size - 1, 0)]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def config_of(layers: Sequence[bytes], **more: Any) -> bytes:
    digests = [f"sha256:{sha(layer)}" for layer in layers]
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}, **more}
    return json.dumps(document).encode()


def stored_image(store: BlobStore, layers: Sequence[bytes], name: str = "stt-engine:1.0.0-cpu") -> Image:
    """An image whose layers are in the store."""
    stored = tuple(store.add(io.BytesIO(layer), expected=sha(layer)) for layer in layers)
    return Image(name=name, config=config_of(layers), layers=stored)


def file(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tar_of(entries: Entries, *, form: int = tarfile.PAX_FORMAT) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def manifest(*rows: dict[str, Any]) -> tuple[tarfile.TarInfo, bytes]:
    return file("manifest.json", json.dumps(rows).encode())


def row(name: str | None, config: str, layers: Sequence[str]) -> dict[str, Any]:
    """One image in manifest.json."""
    return {"Config": config, "RepoTags": [name] if name else None, "Layers": list(layers)}


def together(*images: Entries) -> Entries:
    """What one save of several images holds: each entry once, one manifest.json with a row for each image."""
    once = {info.name: (info, data) for entries in images for info, data in entries if info.name != "manifest.json"}
    rows = [found for entries in images for info, data in entries if info.name == "manifest.json"
            for found in json.loads(data)]
    return [*once.values(), manifest(*rows)]


def legacy_entries(name: str | None, layers: Sequence[bytes]) -> Entries:
    """What Docker 20.10 to 24 write: a folder for each chain of layers; equal layers are links to the first."""
    config, entries, paths, first = config_of(layers), Entries(), list[str](), dict[bytes, str]()
    for number, layer in enumerate(layers):
        folder = sha(b"".join(layers[:number + 1]) + b"%d" % number)
        entries += [special(folder, tarfile.DIRTYPE), file(f"{folder}/VERSION", b"1.0"), file(f"{folder}/json", b"{}")]
        path = f"{folder}/layer.tar"
        if layer in first:
            entries.append(special(path, tarfile.SYMTYPE, f"../{first[layer]}"))
        else:
            entries.append(file(path, layer))
        first.setdefault(layer, path)
        paths.append(path)
    return [
        *entries, file(f"{sha(config)}.json", config), manifest(row(name, f"{sha(config)}.json", paths)),
        file("repositories", b"{}"),
    ]


def oci_entries(name: str | None, layers: Sequence[bytes], *, packed: bool = False) -> Entries:
    """What Docker 25 and newer write; ``packed`` as from the containerd store, with gzip layers and an attestation."""
    config = config_of(layers)
    blobs = [gzip.compress(layer, mtime=0) if packed else layer for layer in layers]
    statement = b'{"_type": "https://in-toto.io/Statement/v0.1"}'
    documents = [config, *([statement] if packed else [])]
    content = {sha(blob): blob for blob in [*documents, *blobs]}
    return [
        special("blobs", tarfile.DIRTYPE), special("blobs/sha256", tarfile.DIRTYPE),
        *(file(f"blobs/sha256/{digest}", blob) for digest, blob in sorted(content.items())),
        file("index.json", b"{}"),
        manifest(row(name, f"blobs/sha256/{sha(config)}", [f"blobs/sha256/{sha(blob)}" for blob in blobs])),
        file("oci-layout", b"{}"),
    ]
