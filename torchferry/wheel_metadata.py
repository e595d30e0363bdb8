"""What wheels say of themselves in METADATA, remembered by the wheel's hash: reading one takes a while."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

from torchferry import files, licenses
from torchferry.layout import Layout
from torchferry.model import Wheel

LIMIT = 16 << 20
"""Bytes of a METADATA that is read; with a long description it has 100 kB."""

VERSION = 1
"""Goes up with every change of what is read; what is remembered then counts no more."""


@dataclass(frozen=True, kw_only=True)
class WheelMetadata:
    """One wheel: its Requires-Dist lines, and its license as `licenses.declared` gives it."""

    requires: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()


def read_all(wheels: Iterable[Wheel], folder: Path, layout: Layout) -> dict[Wheel, WheelMetadata | None]:
    """The METADATA of the wheels in ``folder``; None for one that cannot be read, which is not for an SBOM to judge."""
    return {wheel: _known(wheel, layout) or _read(wheel, folder / wheel.filename, layout) for wheel in wheels}


def _known(wheel: Wheel, layout: Layout) -> WheelMetadata | None:
    try:
        said = json.loads(layout.wheel_metadata(wheel.sha256).read_bytes())
        if said["version"] != VERSION:
            return None
        return WheelMetadata(requires=tuple(said["requires"]), licenses=tuple(said["licenses"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(wheel: Wheel, path: Path, layout: Layout) -> WheelMetadata | None:
    try:
        with zipfile.ZipFile(path) as opened:
            entry = next(entry for entry in opened.infolist() if _is_metadata(entry))
            made = parse(opened.read(entry))
    except (OSError, StopIteration, zipfile.BadZipFile, NotImplementedError):
        return None
    text = json.dumps({"version": VERSION, **dataclasses.asdict(made)})
    files.write_text(layout.wheel_metadata(wheel.sha256), text + "\n")
    return made


def _is_metadata(entry: zipfile.ZipInfo) -> bool:
    right = entry.filename.count("/") == 1 and entry.filename.endswith(".dist-info/METADATA")
    return right and entry.file_size <= LIMIT


def parse(metadata: bytes) -> WheelMetadata:
    """The parts of a METADATA file that an SBOM has a place for."""
    said = message_from_string(metadata.decode("utf-8", "replace"))
    return WheelMetadata(
        requires=tuple(map(str, said.get_all("Requires-Dist", []))),
        licenses=licenses.declared(
            str(said["License-Expression"] or ""), str(said["License"] or ""),
            map(str, said.get_all("Classifier", []))),
    )
