"""Pure wheels: nothing in them was compiled, and the same content has the same bytes whatever machine wrote them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from torchferry import files
from torchferry.errors import LockError

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest moment that a zip file can hold."""

LIBRARY = re.compile(r"\.(so|pyd|dylib)(\.[0-9.]+)?$")
MACHINE_CODE = (b"\x7fELF", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
"""How ELF and Mach-O files begin."""


def write_pure(made: Path, folder: Path, *, name: str, version: str) -> Path:
    """Write the wheel ``made`` anew into ``folder``: entries sorted, one time, plain modes, RECORD to match.

    Raises LockError for a wheel of another package or version, and for one that holds or promises compiled code.
    """
    with zipfile.ZipFile(made) as wheel:
        entries = {entry.filename: entry for entry in wheel.infolist() if not entry.is_dir()}
        contents = {path: wheel.read(entry) for path, entry in entries.items()}
        executable = {path for path, entry in entries.items() if entry.external_attr >> 16 & 0o100}
    info = _check(made.name, contents, name=name, version=version)
    contents = {path: content for path, content in contents.items() if not path.startswith(f"{info}/RECORD")}
    # PEP 427 asks for the .dist-info at the end of the archive.
    ordered = sorted(contents, key=lambda path: (path.startswith(f"{info}/"), path))
    target = folder / made.name
    with files.whole_file(target) as sink, zipfile.ZipFile(sink, "w") as wheel:
        for path in ordered:
            wheel.writestr(_entry(path, executable=path in executable), contents[path])
        wheel.writestr(_entry(f"{info}/RECORD", executable=False), _record(ordered, contents, info))
    return target


def _check(filename: str, contents: Mapping[str, bytes], *, name: str, version: str) -> str:
    """Refuse what is not the pure wheel that was meant; returns the name of its .dist-info folder."""
    cure = f"build {name} for the target yourself and put the wheel into a find-links folder (UV_FIND_LINKS=FOLDER)"
    compiled = next((path for path, content in contents.items() if _is_compiled(path, content)), None)
    if compiled is not None:
        raise LockError(f"{name}: it compiles: {filename} has {compiled}; only pure Python is built here", cure=cure)
    try:
        found, found_version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise LockError(f"{name}: its build made {filename}: {error}", cure=cure) from error
    if (found, str(found_version)) != (canonicalize_name(name), version):
        raise LockError(
            f"{name}: its source distribution says {version}, but its build made {filename}",
            cure=f"require another version of {name}, or put its wheel into a find-links folder",
        )
    if Tag("py3", "none", "any") not in tags:
        raise LockError(
            f"{name}: its build made {filename}, which is for {', '.join(sorted(map(str, tags)))} only; "
            "only pure Python (py3-none-any) is built here", cure=cure,
        )
    info = next((path.partition("/")[0] for path in contents if path.endswith(".dist-info/WHEEL")), None)
    if info is None:
        raise LockError(f"{name}: its build made {filename}, which has no .dist-info and is no wheel", cure=cure)
    return info


def _is_compiled(path: str, content: bytes) -> bool:
    return bool(LIBRARY.search(path)) or content.startswith(MACHINE_CODE)


def _entry(path: str, *, executable: bool) -> zipfile.ZipInfo:
    # Stored, not deflated: what deflate writes differs between versions of zlib.
    entry = zipfile.ZipInfo(path, date_time=EPOCH)
    entry.create_system = 3
    entry.external_attr = (0o100755 if executable else 0o100644) << 16
    return entry


def _record(ordered: list[str], contents: Mapping[str, bytes], info: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path in ordered:
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents[path]).digest()).rstrip(b"=").decode("ascii")
        rows.writerow((path, f"sha256={digest}", len(contents[path])))
    rows.writerow((f"{info}/RECORD", "", ""))
    return text.getvalue()
