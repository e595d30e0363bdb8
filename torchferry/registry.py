"""Images out of a registry without a daemon, by skopeo: their digests for locks, their layers for the store.

skopeo reads credentials from ~/.docker/config.json, proxies from the environment and mirrors from registries.conf.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import igzip

from torchferry import console, files, hybrid, proc
from torchferry.blobs import BlobStore
from torchferry.errors import BuildError, IntegrityError, SourceError, ToolMissing
from torchferry.model import Layer

CPU = {"x86_64": "amd64", "aarch64": "arm64"}
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?/")
_CURE = "check the name, `skopeo login`, HTTPS_PROXY, or a mirror in registries.conf; or use base: {debian: bookworm}"


@dataclass(frozen=True, kw_only=True)
class PulledImage:
    """An image whose layers are stored: the bytes of its config, and its layers, lowest first."""

    config: bytes
    layers: tuple[Layer, ...]


def available() -> bool:
    """Whether skopeo is on this machine."""
    return proc.which("skopeo") is not None


def digest(image: str) -> str:
    """The digest that a registry gives for a name today ('sha256:...'), of its index where it has several platforms.

    Raises ToolMissing without skopeo, SourceError where the registry does not have it or does not answer.
    """
    said = _skopeo("inspect", "--raw", *_tls("--tls-verify=false", image), f"docker://{image}", what=image)
    return f"sha256:{hashlib.sha256(said.encode('utf-8')).hexdigest()}"


def pull(reference: str, architecture: str, store: BlobStore) -> PulledImage:
    """Bring an image's layers for one architecture into the store, every SHA-256 checked.

    ``reference`` is NAME@sha256:DIGEST. Raises what `digest` raises, IntegrityError for other bytes than named,
    BuildError for an image of another platform or with layers of a kind that is not read.
    """
    name, _, wanted = reference.partition("@")
    record = store.folder / "bases" / f"{wanted.removeprefix('sha256:')}-{architecture}.json"
    known = _known(record, store)
    if known is not None:
        return known
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=_made(store.folder)) as folder:
        layout = Path(folder) / "oci"
        # A tag beside a digest confuses skopeo; the digest alone decides.
        bare = re.sub(r":[A-Za-z0-9_][A-Za-z0-9_.-]*$", "", name)
        with console.progress(f"pull {name} for {architecture}"):
            _skopeo(
                "copy", "--quiet", "--override-os", "linux", "--override-arch", CPU[architecture],
                *_tls("--src-tls-verify=false", name), f"docker://{bare}@{wanted}", f"oci:{layout}:base",
                what=reference,
            )
        pulled = _read_layout(layout, reference, architecture, store)
    files.write_text(record, json.dumps({"config": hashlib.sha256(pulled.config).hexdigest()}) + "\n")
    return pulled


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _known(record: Path, store: BlobStore) -> PulledImage | None:
    try:
        image = store.image("base", str(json.loads(record.read_bytes())["config"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return PulledImage(config=image.config, layers=image.layers) if image else None


def _read_layout(layout: Path, reference: str, architecture: str, store: BlobStore) -> PulledImage:
    """The image of an OCI layout that skopeo wrote."""
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(_blob(layout, index["manifests"][0]["digest"], reference))
    config = _blob(layout, manifest["config"]["digest"], reference)
    said = json.loads(config)
    if (said.get("os"), said.get("architecture")) != ("linux", CPU[architecture]):
        raise BuildError(
            f"base {reference} is for {said.get('os')}/{said.get('architecture')}, not for linux/{CPU[architecture]}",
            cure="take a base that has this platform",
        )
    named = hybrid.diff_ids(config, what=reference, cure=_CURE)
    layers = tuple(
        _layer(layout, row, diff_id, reference, store)
        for row, diff_id in zip(manifest["layers"], named, strict=True)
    )
    store.add_config(config)
    return PulledImage(config=config, layers=layers)


def _blob(layout: Path, name: str, reference: str) -> bytes:
    data = _blob_path(layout, name).read_bytes()
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != name:
        raise IntegrityError(f"base {reference}: {name} has another SHA-256", cure="run the command again")
    return data


def _blob_path(layout: Path, name: str) -> Path:
    if not re.fullmatch(f"sha256:{hybrid.HEX}", name):
        raise IntegrityError(f"{name!r} is no SHA-256 digest", cure=_CURE)
    return layout / "blobs" / "sha256" / name.removeprefix("sha256:")


def _layer(layout: Path, row: dict[str, Any], diff_id: str, reference: str, store: BlobStore) -> Layer:
    known = store.layer(diff_id)
    if known is not None:
        return known
    path = _blob_path(layout, row["digest"])
    with path.open("rb") as source, _damage_told(reference):
        start = source.read(4)
        source.seek(0)
        if start == b"\x28\xb5\x2f\xfd":
            raise BuildError(
                f"base {reference}: a layer is compressed with zstd, which is not read here",
                cure="take a tag with gzip layers, or: --engine docker",
            )
        if start[:2] != b"\x1f\x8b":
            return store.add(source, expected=diff_id)
        with igzip.open(source) as inflated:  # type: ignore[no-untyped-call]  # isal ships no types for it
            return store.add(inflated, expected=diff_id)


@contextmanager
def _damage_told(reference: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, igzip.BadGzipFile) as error:
        raise IntegrityError(f"base {reference}: a layer is damaged: {error}", cure="run the command again") from error


def _tls(words: str, image: str) -> tuple[str, ...]:
    """Docker too speaks plain HTTP with a registry on this machine, and with no other."""
    return (words,) if _LOOPBACK.match(image) else ()


def _skopeo(*words: str, what: str) -> str:
    try:
        done = proc.run(["skopeo", *words])
    except ToolMissing as error:
        raise ToolMissing(
            f"base {what}: skopeo is not on this machine, and a registry is asked through it",
            cure="run: inv setup   (macOS: brew install skopeo), or use the docker engine: --engine docker",
        ) from error
    if not done.ok:
        raise SourceError(f"base {what}: the registry does not give it:\n{done.tail(4)}", cure=_CURE)
    return done.stdout
