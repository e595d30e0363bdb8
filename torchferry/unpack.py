"""An image's layers laid out below a folder, as a container runtime would: for smoke tests without Docker."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from torchferry import files
from torchferry.blobs import BlobStore
from torchferry.errors import BuildError
from torchferry.model import Image

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


def unpack(
    image: Image, store: BlobStore, root: Path, *, passed: Callable[[int], object] = files.ignore,
) -> None:
    """Lay the stored layers of an image over each other below ``root``, which must be empty; needs root's rights.

    ``passed`` hears the bytes of the files. Raises BuildError for an entry that would leave ``root``.
    """
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    for layer in image.layers:
        with store.read(layer.diff_id) as source, tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|") as tar:
            for entry in tar:
                try:
                    _lay(tar, entry, root)
                except (tarfile.FilterError, OSError) as error:
                    raise BuildError(
                        f"{image.name}: layer {layer.diff_id[:12]}: {entry.name}: {error}",
                        cure="smoke it on a machine with Docker",
                    ) from error
                passed(entry.size)


def _lay(tar: tarfile.TarFile, entry: tarfile.TarInfo, root: Path) -> None:
    where, name = posixpath.split(posixpath.normpath(entry.name).lstrip("/"))
    if name == _OPAQUE:
        for below in (root / where).iterdir():
            _remove(below)
    elif name.startswith(_WHITEOUT):
        _remove(root / where / name.removeprefix(_WHITEOUT))
    elif not entry.isdev():  # a container's devices are its runtime's
        here = root / where / name
        if os.path.lexists(here) and not (entry.isdir() and here.is_dir() and not here.is_symlink()):
            _remove(here)
        tar.extract(entry, root, filter="tar", numeric_owner=True)
        if not entry.issym():
            here.chmod(entry.mode & 0o7777)  # the filter takes setuid and group write away


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
