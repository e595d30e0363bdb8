"""A real image of a megabyte that runs: busybox alone, and a layer that tells one release from another."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from support.saved_images import config_of, file, sha, special, tar_of
from torchferry.archive import write_archive
from torchferry.blobs import BlobStore
from torchferry.model import Archive, Image

APPLETS = ("cat", "false", "httpd", "id", "ls", "nslookup", "sh", "sleep", "touch", "true", "wget")


def busybox_archive(
    target: Path, *, busybox: Path, name: str, says: str = "hello", ballast: bytes = b"",
) -> Archive:
    """Write an archive whose image prints what is in /says, and serves /srv on port 8003 as user 1001 when started.

    ``ballast`` is a file that makes the last layer as large as a test wants it.
    """
    layers = [_programs(busybox), _release(says, ballast)]
    store = BlobStore(folder=target.parent / "blobs")
    stored = tuple(store.add(io.BytesIO(layer), expected=sha(layer)) for layer in layers)
    config = config_of(layers, config={
        "Env": ["PATH=/bin"], "User": "1001", "WorkingDir": "/srv", "ExposedPorts": {"8003/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8003/health"]},
        "Cmd": ["httpd", "-f", "-p", "8003", "-h", "/srv"],
    })
    return write_archive(Image(name=name, config=config, layers=stored), store=store, target=target)


def layers_of(archive: Archive) -> list[str]:
    """The layers as `image inspect` names them."""
    named: list[str] = json.loads(archive.image.config)["rootfs"]["diff_ids"]
    return named


def _programs(busybox: Path) -> bytes:
    program, data = file("bin/busybox", busybox.read_bytes())
    program.mode = 0o755
    links = [special(f"bin/{applet}", tarfile.SYMTYPE, "busybox") for applet in APPLETS]
    return tar_of([*_folders("bin", "tmp", "etc"), (program, data), *links])


def _release(says: str, ballast: bytes) -> bytes:
    return tar_of([
        *_folders("srv"), file("says", says.encode()), file("srv/health", json.dumps({"status": says}).encode()),
        file("ballast", ballast),
    ])


def _folders(*names: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    made = []
    for name in names:
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        made.append((info, b""))
    return made
