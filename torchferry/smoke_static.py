"""What can be said of an image that this machine cannot run: its files are looked at, and all else is 'not tested'."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, cast

from packaging.utils import canonicalize_name

from torchferry.blobs import BlobStore
from torchferry.model import VENV, Image, Lock, Variant
from torchferry.smoke import FAILED, NOT_TESTED, PASSED, Check

_PACKAGE = re.compile(rf"{str(VENV)[1:]}/lib/python3\.\d+/site-packages/([^/]+)-([^/]+)\.dist-info/METADATA")
_TORCH = re.compile(rf"{str(VENV)[1:]}/lib/python3\.\d+/site-packages/torch/version\.py")
NEEDS_A_RUN = ("import torch", "GPU architectures", "import of the service", "start", "stop on SIGTERM")


@dataclass(kw_only=True)
class _Seen:
    """What the layers hold: packages with versions, torch's own version file, and the files of the service."""

    packages: dict[str, str] = field(default_factory=dict)
    torch: str = ""
    app: set[str] = field(default_factory=set)


def look(variant: Variant, lock: Lock, image: Image, store: BlobStore, why: str) -> tuple[Check, ...]:
    """The checks of an image that cannot be run here, ``why`` says the reason; a wrong build is found all the same."""
    seen = _Seen()
    for layer in image.layers[1:]:  # the first is the base
        with store.read(layer.diff_id) as source, tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|") as tar:
            for entry in tar:
                _note(seen, tar, entry)
    return (
        _packages(lock, seen), *_torch(variant, seen),
        *(Check(name=name, status=NOT_TESTED, seen=f"not run: {why}") for name in NEEDS_A_RUN),
    )


def _note(seen: _Seen, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    package = _PACKAGE.fullmatch(entry.name)
    if package:
        seen.packages[canonicalize_name(package[1])] = package[2]
    elif _TORCH.fullmatch(entry.name):
        source = tar.extractfile(entry)
        seen.torch = source.read().decode("utf-8", "replace") if source else ""
    elif entry.name.startswith("app/"):
        seen.app.add(entry.name)


def _packages(lock: Lock, seen: _Seen) -> Check:
    wanted = {wheel.name for wheel in lock.wheels}
    wrong: Sequence[str] = sorted(wanted ^ set(seen.packages))
    return Check(
        name="installed set", status=FAILED if wrong else PASSED,
        seen=f"not as locked: {', '.join(wrong)}" if wrong else f"{len(wanted)} packages, as locked",
    )


def _torch(variant: Variant, seen: _Seen) -> tuple[Check, ...]:
    if variant.torch is None:
        return ()
    said = re.search(r"(?m)^cuda\b[^=\n]*=\s*(?:'([\d.]+)'|None)", seen.torch)
    cuda = said[1] if said else "unreadable"
    return (Check(
        name="torch.version.cuda", status=PASSED if cuda == variant.cuda else FAILED,
        seen=f"{cuda} in torch/version.py, wanted {variant.cuda}",
    ),)
