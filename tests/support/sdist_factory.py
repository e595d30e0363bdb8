"""Tiny source distributions, a build backend of our own, and a PEP 503 index as a plain folder.

The backend is as careless as it may be (times, order, modes), so that equal wheels are the merit of torchferry.
A source may bring a ferry_hook.py; the backend runs it while it builds, with `files` (path to bytes) at hand.
"""

from __future__ import annotations

import hashlib
import html
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from packaging.utils import canonicalize_name

from support.wheel_factory import make_wheel

BACKEND = '''\
import os, pathlib, random, time, zipfile


def get_requires_for_build_wheel(config_settings=None):
    place = pathlib.Path("further.txt")
    return place.read_text().split() if place.exists() else []


def build_wheel(folder, config_settings=None, metadata_directory=None):
    said = dict(line.split(": ", 1) for line in pathlib.Path("PKG-INFO").read_text().splitlines() if line)
    stem = said["Name"].replace("-", "_") + "-" + said["Version"]
    info = stem + ".dist-info"
    files = {path.name: path.read_bytes() for path in pathlib.Path().glob("*.py")}
    files[info + "/METADATA"] = pathlib.Path("PKG-INFO").read_bytes()
    files[info + "/RECORD"] = b"nonsense"
    tag = "py3-none-any"
    space = {"files": files, "tag": tag}
    if "ferry_hook.py" in files:
        exec(files.pop("ferry_hook.py"), space)
        tag = space["tag"]
    files[info + "/WHEEL"] = ("Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: " + tag + "\\n").encode()
    paths = list(files)
    random.SystemRandom().shuffle(paths)
    name = space.get("name", stem + "-" + tag + ".whl")
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path in paths:
            entry = zipfile.ZipInfo(path, time.gmtime(random.SystemRandom().randrange(400000000, 1700000000))[:6])
            entry.external_attr = random.SystemRandom().choice([0o100600, 0o100664]) << 16
            wheel.writestr(entry, files[path])
    return name
'''

PYPROJECT = '[build-system]\nrequires = ["ferrybackend"]\nbuild-backend = "ferrybackend"\n'


def make_sdist(folder: Path, name: str, version: str, files: Mapping[str, str] | None = None) -> Path:
    """Write one .tar.gz built by ferrybackend, unless ``files`` has another pyproject.toml (empty: none)."""
    stem = f"{name}-{version}"
    contents = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "pyproject.toml": PYPROJECT,
        f"{name.replace('-', '_')}.py": f"version = {version!r}\n", **(files or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{stem}.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        for path, text in contents.items():
            if text:
                entry = tarfile.TarInfo(f"{stem}/{path}")
                entry.size = len(text.encode("utf-8"))
                archive.addfile(entry, io.BytesIO(text.encode("utf-8")))
    return target


def make_backend(folder: Path) -> Path:
    """The wheel of ferrybackend."""
    return make_wheel(folder, "ferrybackend", "1.0", files={"ferrybackend.py": BACKEND})


def write_index(folder: Path, found: Sequence[Path], *, hashes: bool = True) -> None:
    """Lay ``found`` out as /NAME/index.html and /NAME/FILE; without ``hashes`` the pages promise none."""
    pages: dict[str, list[str]] = {}
    for path in found:
        stem = path.name.rpartition("-") if path.name.endswith(".tar.gz") else path.name.partition("-")
        project = canonicalize_name(stem[0])
        content = path.read_bytes()
        place = folder / project / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        promise = f"#sha256={hashlib.sha256(content).hexdigest()}" if hashes else ""
        pages.setdefault(project, []).append(f'<a href="{html.escape(quote(path.name) + promise)}">{path.name}</a>')
    for folder_name, links in pages.items():
        text = "<!DOCTYPE html>\n<html><body>\n" + "\n".join(links) + "\n</body></html>\n"
        (folder / folder_name / "index.html").write_text(text, encoding="utf-8")
