"""Where uv puts each file of a wheel in a virtual environment, and what it writes there itself.

This is what `uv pip install --no-installer-metadata` of the rendered Dockerfile leaves behind, with nothing of it run.
uv is the judge: tests/contract/test_uv_equality.py installs wheels with it and compares the trees. A wheel whose tree
is not certain is refused by name.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from email.parser import BytesParser
from pathlib import PurePosixPath

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from torchferry import wheel_scripts
from torchferry.model import VENV
from torchferry.wheel_reader import WheelZip
from torchferry.wheel_record import Row, format_record, same_hash, sha256_field
from torchferry.wheel_scripts import BadScript, Script
from torchferry.zipdir import Entry

LAYOUT_VERSION = 1
"""Goes up with every change that gives one wheel another tree or another tar: remembered layers then count no more."""

UV = "0.13.9"
"""The uv whose ways these are. Version 0.12 differs in executable files of zips made on Windows, in #!python lines that
end in CR LF, and in what it takes for an entry point."""

SCRIPT_LIMIT = 16 << 20
"""Bytes of a script whose first line is rewritten; programs in machine code have none and may be larger."""

_KEPT = ("bin", "include", "lib", "lib64", "pyvenv.cfg", "CACHEDIR.TAG", ".gitignore", ".lock")


@dataclass(frozen=True, kw_only=True)
class Venv:
    """The virtual environment: where it will stand, and its Python ("3.11")."""

    python: str
    prefix: PurePosixPath = VENV

    @property
    def site(self) -> str:
        return f"lib/python{self.python}/site-packages"

    @property
    def headers(self) -> str:
        return f"include/site/python{self.python}"

    @property
    def executable(self) -> str:
        return f"{self.prefix}/bin/python"


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A file of the environment, ``path`` below its prefix: an entry of the wheel as it is, or ``content``.

    ``hash`` is as RECORD spells it, None where RECORD states none.
    """

    path: str
    executable: bool
    hash: str | None
    entry: Entry | None = None
    content: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        return self.entry.size if self.entry else len(self.content)

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644


@dataclass(frozen=True, kw_only=True)
class WheelLayout:
    """All that one wheel puts into the environment; ``folders`` are those that stand in the wheel by themselves."""

    wheel: str
    files: tuple[Placed, ...] = field(repr=False)
    folders: frozenset[str] = field(repr=False)


def lay_out(wheel: WheelZip, venv: Venv) -> WheelLayout:
    """The tree that uv makes of a wheel. Raises IntegrityError for a wheel that uv refuses or that is not certain."""
    try:
        name = _project(wheel)
        return _Layout(wheel, venv, name).made()
    except BadScript as error:
        raise wheel.refused(str(error)) from error


def _project(wheel: WheelZip) -> str:
    """The normalised name of a wheel's project; its METADATA, WHEEL and file name must agree, as uv demands."""
    metadata = BytesParser().parsebytes(wheel.read(f"{wheel.info}/METADATA"), headersonly=True)
    form = BytesParser().parsebytes(wheel.read(f"{wheel.info}/WHEEL"), headersonly=True)
    if str(form["Wheel-Version"]).strip().partition(".")[::2] not in (("1", "0"), ("0", "1")):
        raise wheel.refused(f"Wheel-Version {form['Wheel-Version']} is not known")
    try:
        name, version, _, _ = parse_wheel_filename(wheel.path.name)
        said = Version(str(metadata["Version"]))
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise wheel.refused(str(error)) from error
    if canonicalize_name(str(metadata["Name"])) != name or said not in (version, Version(version.public)):
        raise wheel.refused(f"METADATA says {metadata['Name']} {metadata['Version']}")
    return name


class _Layout:
    """One wheel while it is laid out."""

    def __init__(self, wheel: WheelZip, venv: Venv, project: str) -> None:
        self._wheel = wheel
        self._venv = venv
        self._data = wheel.info.removesuffix(".dist-info") + ".data"
        self._roots = {
            "purelib": venv.site, "platlib": venv.site, "data": "", "headers": f"{venv.headers}/{project}",
        }
        self._rows = {row.path: row for row in wheel.record}
        self._files: dict[str, Placed] = {}
        self._folders: set[str] = set()
        self._scripts = self._entry_points()

    def made(self) -> WheelLayout:
        record = f"{self._wheel.info}/RECORD"
        for path, entry in self._wheel.entries.items():
            if path == self._data or path.startswith(f"{self._data}/"):
                self._place_data(path, entry)
            elif path != record:
                self._place(path, entry, f"{self._venv.site}/{path}")
        launchers = [self._launcher(script) for script in self._scripts]
        text = format_record([*self._rows.values(), *launchers])
        self._add(Placed(
            path=f"{self._venv.site}/{record}", content=text, hash=None,
            executable=_is_executable(self._wheel.entries[record]),
        ))
        return WheelLayout(
            wheel=self._wheel.path.name, files=tuple(self._files.values()), folders=frozenset(self._folders),
        )

    def _entry_points(self) -> tuple[Script, ...]:
        path = f"{self._wheel.info}/entry_points.txt"
        if path not in self._wheel.entries:
            return ()
        try:
            text = self._wheel.read(path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadScript(f"entry_points.txt: {error}") from error
        return wheel_scripts.entry_points(text, python=self._venv.python)

    def _launcher(self, script: Script) -> Row:
        content = wheel_scripts.launcher(script, self._venv.executable)
        made = Placed(path=f"bin/{script.name}", executable=True, hash=sha256_field(content), content=content)
        self._add(made)
        return Row(path=self._recorded(made.path), hash=made.hash, size=made.size)

    def _place(self, path: str, entry: Entry, target: str, *, executable: bool = False) -> None:
        if entry.is_folder:
            self._folders.add(target.rstrip("/"))
            return
        row = self._rows.get(path, Row(path=path))
        self._add(Placed(path=target, executable=executable or _is_executable(entry), hash=row.hash, entry=entry))
        if path in self._rows:
            self._rows[path] = replace(row, path=self._recorded(target))

    def _place_data(self, path: str, entry: Entry) -> None:
        kind, _, rest = path.removeprefix(self._data).lstrip("/").partition("/")
        if not kind and entry.is_folder:
            return
        if kind not in (*self._roots, "scripts") or not (rest or entry.is_folder):
            raise self._wheel.refused(f"{path}: no kind of data that an installer knows")
        if kind == "scripts":
            self._place_script(path, rest, entry)
        else:
            self._place(path, entry, posixpath.join(self._roots[kind], rest))

    def _place_script(self, path: str, name: str, entry: Entry) -> None:
        if entry.is_folder and not name:
            return
        if entry.is_folder or "/" in name:
            raise self._wheel.refused(f"{path}: a folder among scripts")
        if wheel_scripts.made_by_entry_point(name, self._scripts):
            return
        target = f"bin/{name}"
        if self._wheel.head(entry, len(wheel_scripts.PLACEHOLDER)) != wheel_scripts.PLACEHOLDER:
            self._place(path, entry, target, executable=True)
            return
        if entry.size > SCRIPT_LIMIT:
            raise self._wheel.refused(f"{path}: a script of {entry.size} bytes")
        original, row = self._wheel.read(path), self._rows[path]
        if row.hash and not same_hash(row.hash, original):
            raise self._wheel.refused(f"{path}: RECORD states another hash of it")
        content = wheel_scripts.rewritten(original, self._venv.executable)
        made = Placed(path=target, executable=True, hash=sha256_field(content), content=content)
        self._add(made)
        self._rows[path] = Row(path=self._recorded(target), hash=made.hash, size=made.size)

    def _add(self, placed: Placed) -> None:
        if placed.path in self._files:
            raise self._wheel.refused(f"{placed.path}: two of its files would be installed there")
        head, _, rest = placed.path.partition("/")
        if (head in _KEPT and (not rest or head == "lib64")) or placed.path in self._own():
            raise self._wheel.refused(f"{placed.path}: belongs to the virtual environment itself")
        if head == "bin":
            wheel_scripts.check_name(rest)
        self._files[placed.path] = placed

    def _own(self) -> tuple[str, ...]:
        return f"{self._venv.site}/_virtualenv.py", f"{self._venv.site}/_virtualenv.pth"

    def _recorded(self, target: str) -> str:
        return posixpath.relpath(target, self._venv.site)


def _is_executable(entry: Entry) -> bool:
    return bool(entry.mode & 0o111)


def conflicts(layouts: Iterable[WheelLayout]) -> Iterator[str]:
    """Why some wheels cannot be installed beside each other with a certain result; uv installs them all at once.

    One file in several wheels is fine where it is the same in all, byte for byte and mode for mode.
    """
    files: dict[str, tuple[Placed, str]] = {}
    folders: dict[str, str] = {}
    for layout in sorted(layouts, key=lambda layout: layout.wheel):
        for placed in layout.files:
            other, wheel = files.setdefault(placed.path, (placed, layout.wheel))
            if other is not placed and not _same(other, placed):
                yield f"{placed.path} differs between {wheel} and {layout.wheel}"
        for folder in _all_folders(layout):
            folders.setdefault(folder, layout.wheel)
    for path in files.keys() & folders.keys():
        yield f"{path} is a file in {files[path][1]} and a folder in {folders[path]}"


def _same(one: Placed, other: Placed) -> bool:
    return one.hash is not None and (one.hash, one.size, one.mode) == (other.hash, other.size, other.mode)


def _all_folders(layout: WheelLayout) -> set[str]:
    found: set[str] = set()
    for path in (*(posixpath.dirname(placed.path) for placed in layout.files), *layout.folders):
        while path and path not in found:
            found.add(path)
            path = posixpath.dirname(path)
    return found
