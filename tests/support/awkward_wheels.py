"""Small wheels, each awkward in one way; with `craft` a test makes its own, every byte of the zip in its hand."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchferry.wheel_layout import Venv, lay_out
from torchferry.wheel_reader import open_wheel

EPOCH = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry: content, Unix mode (with or without type bits), the system that is said to have written it."""

    content: bytes = b""
    mode: int = 0o100644
    system: int = 3
    method: int = zipfile.ZIP_DEFLATED
    zip64: bool = False
    listed: bool = True
    hash: str = "sha256"


class Pipe(io.RawIOBase):
    """A sink that cannot seek: zipfile then writes data descriptors."""

    def __init__(self, sink: io.BytesIO) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._sink.write(data)  # type: ignore[arg-type]


def craft(
    folder: Path, project: str, files: Mapping[str, bytes | str | Item], *, version: str = "1.0",
    entry_points: str | None = None, pure: bool = True, record: Callable[[str], str] = str, piped: bool = False,
    metadata_name: str | None = None, folders: Sequence[str] = (), tag: str = "py3-none-any",
) -> Path:
    """Write a wheel; DATA and INFO in paths stand for its .data and .dist-info, ``record`` may change RECORD."""
    stem = f"{project.replace('-', '_')}-{version}"
    items = {_path(path, stem): _item(content) for path, content in files.items()}
    info = f"{stem}.dist-info"
    own = {
        "METADATA": f"Metadata-Version: 2.1\nName: {metadata_name or project}\nVersion: {version}\n",
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: {str(pure).lower()}\nTag: {tag}\n",
    }
    if entry_points is not None:
        own["entry_points.txt"] = entry_points
    items |= {f"{info}/{name}": _item(text) for name, text in own.items() if f"{info}/{name}" not in items}
    record_item = items.pop(f"{info}/RECORD", Item())
    rows = "".join(_row(path, item) for path, item in items.items() if item.listed) + f"{info}/RECORD,,\n"
    items[f"{info}/RECORD"] = Item(content=record(rows).encode(), mode=record_item.mode)
    sink = io.BytesIO()
    with zipfile.ZipFile(Pipe(sink) if piped else sink, "w") as archive:  # type: ignore[arg-type]
        for name in folders:
            entry = zipfile.ZipInfo(f"{_path(name, stem)}/", EPOCH)
            entry.external_attr = 0o40755 << 16 | 0x10
            archive.writestr(entry, b"")
        for path, item in items.items():
            _write(archive, path, item)
    target = folder / f"{stem}-{tag}.whl"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(sink.getvalue())
    return target


def _path(path: str, stem: str) -> str:
    return path.replace("DATA", f"{stem}.data", 1).replace("INFO", f"{stem}.dist-info", 1)


def _item(content: bytes | str | Item) -> Item:
    if isinstance(content, Item):
        return content
    return Item(content=content.encode() if isinstance(content, str) else content)


def _row(path: str, item: Item) -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(item.hash, item.content).digest()).rstrip(b"=").decode()
    name = '"' + path.replace('"', '""') + '"' if set(path) & set(',"') else path
    return f"{name},{item.hash}={digest},{len(item.content)}\n"


def _write(archive: zipfile.ZipFile, path: str, item: Item) -> None:
    entry = zipfile.ZipInfo(path, EPOCH)
    entry.create_system, entry.external_attr, entry.compress_type = item.system, item.mode << 16, item.method
    with archive.open(entry, "w", force_zip64=item.zip64) as sink:
        sink.write(item.content)


def _modes(folder: Path) -> list[Path]:
    modes = (0, 0o400, 0o600, 0o644, 0o700, 0o711, 0o744, 0o755, 0o777, 0o4755, 0o664, 0o001)
    files = {f"modes/m{mode:o}_{system}": Item(mode=0o100000 | mode, system=system, content=b"x")
             for mode in modes for system in (3, 0, 10, 19)}
    bare = {f"modes/bare{mode:o}": Item(mode=mode) for mode in modes}
    return [craft(folder, "modes", {**files, **bare})]


def _scripts(folder: Path) -> list[Path]:
    starts = {
        "python": b"#!python\nprint(1)\n", "pythonw": b"#!pythonw\nprint(1)\n", "crlf": b"#!python\r\nprint(1)\r\n",
        "bare": b"#!python", "words": b"#!python3 -u\nprint(1)\n", "cr": b"#!python\rprint(1)\r",
        "absolute": b"#!/usr/bin/python3\n", "short": b"#!pyth", "env": b"#!/usr/bin/env python\n", "empty": b"",
        "space": b" #!python\n", "capital": b"#!Python\n", "binary": b"\x7fELF" + bytes(3000), "text.py": b"pass\n",
        "newlines": b"#!python\n\n\n", "none-after": b"#!python\n",
    }
    files = {f"DATA/scripts/{name}-{mode:o}": Item(content=text, mode=0o100000 | mode)
             for name, text in starts.items() for mode in (0o644, 0o755, 0o744)}
    return [craft(folder, "scripts", {**files, "scripts.py": ""}, folders=("DATA/scripts",))]


def _entry_points(folder: Path) -> list[Path]:
    text = """
# a comment
; another
[console_scripts]
plain = pkg.mod:main
dotted = pkg.mod:Class.method.deep
spaced   =   pkg.mod  :  main
extras = pkg.mod:main [one,two]
extras2 = pkg.mod:main[one]
dash-ed.name_x+y = pkg.m-o-d:main
UPPER = Pkg:Main
pip = pkg:pip
pip3 = pkg:pip3
pip3.7 = pkg:old
pip3.x = pkg:kept

[gui_scripts]
window = pkg.gui:run

[other.section]
name = anything at all: # here
lines =
    one
    two
    [three]
"""
    crlf = "[console_scripts]\r\n    first = crlf:f\r\n    second = crlf:g\r\n"
    return [
        craft(folder, "points", {"pkg.py": ""}, entry_points=text),
        craft(folder, "crlf-points", {"crlf.py": ""}, entry_points=crlf),
        craft(folder, "no-points", {}, entry_points=""),
    ]


def _data(folder: Path) -> list[Path]:
    files: dict[str, bytes | str | Item] = {
        "DATA/data/share/doc/readme": "r", "DATA/data/etc/conf.d/x.conf": "c", "DATA/data/top": "t",
        "DATA/data/bin/prog": Item(content=b"#!python\n"), "DATA/data/bin/prog2": Item(mode=0o100755),
        "DATA/data/lib/libx.so": b"\x7fELF", "DATA/data/lib/below.py": "d",
        "DATA/data/include/x.h": "h", "DATA/headers/one.h": "1", "DATA/headers/sub/two.h": "2",
        "DATA/purelib/pure_one.py": "1", "DATA/platlib/plat_one/__init__.py": "2", "main_one.py": "",
        "DATA/platlib/plat_one/run": Item(mode=0o100755),
    }
    return [craft(folder, "Odd.Name_x", files, metadata_name="Odd.Name-x", pure=False,
                  folders=("DATA", "DATA/data/empty/folder", "DATA/headers", "DATA/purelib/void"))]


def _folders(folder: Path) -> list[Path]:
    return [craft(folder, "folders", {"a/b/c.py": "", "x/y.py": ""},
                  folders=("a", "a/b", "empty", "empty/deep", "only/deep/below", "INFO", "INFO/licenses"))]


def _names(folder: Path) -> list[Path]:
    long = "/".join(["a_long_folder_name" * 3] * 6)
    files = {
        "pkg/naïve.py": "1", "pkg/日本語.txt": "2", "pkg/a,comma.txt": "3", 'pkg/a"quote.txt': "4", "pkg/a b.txt": "5",
        "pkg/.hidden": "6", "pkg/-dash": "7", "pkg/~tilde$x;&'": "8", "pkg/#hash": "9", f"pkg/{long}/x.py": "10",
        "pkg/" + "n" * 200: "11", "pkg/" + "é" * 60 + "/" + "ü" * 70: "12", "pkg/emoji_🌈": "13", "Z": "", "a": "",
        "pkg-x/1": "", "pkg.x": "", "pkg0": "", "pkg/" + "m" * 95: "", "p" * 99: "", "p" * 100: "", "p" * 101: "",
    }
    return [craft(folder, "names", files)]


def _contents(folder: Path) -> list[Path]:
    noise = b"".join(hashlib.sha512(str(number).encode()).digest() for number in range(40_000))
    files = {
        "c/zero": Item(), "c/zero_stored": Item(method=0), "c/stored": Item(method=0, content=b"stored"),
        "c/stored_large": Item(method=0, content=noise), "c/noise": Item(content=noise),
        "c/zeros": Item(content=bytes(5 << 20)), "c/block": Item(content=noise[:1 << 20]),
        "c/512": Item(content=noise[:512]), "c/511": Item(content=noise[:511]), "c/513": Item(content=noise[:513]),
    }
    return [craft(folder, "contents", files)]


def _zip64(folder: Path) -> list[Path]:
    files = {"z/a.py": Item(content=b"a" * 5000, zip64=True), "z/b.py": Item(zip64=True), "z/c.py": Item(content=b"c")}
    return [craft(folder, "wide", files)]


def _piped(folder: Path) -> list[Path]:
    files = {"p/a.py": Item(content=b"a" * 5000), "p/empty.py": Item(), "p/wide": Item(content=b"w", zip64=True),
             "p/wide_empty": Item(zip64=True)}
    return [craft(folder, "piped", files, piped=True)]


def _skipped(folder: Path) -> list[Path]:
    files = {f"DATA/scripts/{name}": "#!python\n" for name in
             ("tool", "tool.exe", "tool-script.py", "tool.pya", "tool.py", "other", "tool.exe.exe")}
    return [craft(folder, "skipped", files, entry_points="[console_scripts]\ntool = skipped:main\n")]


def _records(folder: Path) -> list[Path]:
    return [
        craft(folder, "signed", {f"INFO/RECORD.{kind}": Item(listed=False) for kind in ("jws", "p7s")}),
        craft(folder, "leading", {"leading.py": "1"}, record=lambda text: text.replace("leading.py", "/leading.py")),
        craft(folder, "kinds", {"k1": Item(content=b"1", hash="sha512"), "k2": Item(content=b"2", hash="sha384")}),
        craft(folder, "crlf", {"crlf.py": "1"}, record=lambda text: text.replace("\n", "\r\n")),
        craft(folder, "nosize", {"nosize.py": "1"}, record=lambda text: text.replace(",1\n", ",\n")),
        craft(folder, "quoted", {"quoted.py": "1"}, record=lambda text: text.replace("quoted.py", '"quoted.py"')),
        craft(folder, "padded", {"padded.py": "1"}, record=lambda text: text.replace(",1\n", "=,1\n")),
        craft(folder, "blank", {"blank.py": "1"}, record=lambda text: text.replace("\n", "\n\n")),
    ]


def _own_metadata(folder: Path) -> list[Path]:
    files: dict[str, bytes | str | Item] = {
        "INFO/INSTALLER": "pip\n", "INFO/REQUESTED": "", "INFO/direct_url.json": "{}", "INFO/licenses/LICENSE": "l",
        "INFO/RECORD": Item(mode=0o100755), "own/__pycache__/x.cpython-311.pyc": b"pyc", "own/x.py": "",
        "vendored/old-1.0.dist-info/METADATA": "x", "other-1.0.data/scripts/x": "#!python\n",
    }
    return [craft(folder, "own", files)]


def _namespace(folder: Path) -> list[Path]:
    shared: dict[str, bytes | str | Item] = {"space/__init__.py": "", "space/sub/__init__.py": "# the same\n"}
    return [craft(folder, f"part{number}", {**shared, f"space/sub/part{number}.py": ""}) for number in range(6)]


EQUAL: dict[str, Callable[[Path], list[Path]]] = {
    "modes": _modes, "scripts": _scripts, "entry points": _entry_points, "data": _data, "folders": _folders,
    "names": _names, "contents": _contents, "zip64": _zip64, "data descriptors": _piped,
    "scripts that entry points make": _skipped, "records": _records, "own metadata": _own_metadata,
    "namespace": _namespace,
}
"""Sets of wheels that uv and torchferry install alike."""


def programs(wheel: Path, venv: Venv) -> dict[str, str]:
    """The programs that a wheel puts into an environment's bin, by name."""
    with open_wheel(wheel) as opened:
        files = lay_out(opened, venv).files
    return {file.path.removeprefix("bin/"): file.content.decode() for file in files if file.path.startswith("bin/")}
