"""The empty virtual environment that `uv venv` makes in an image, asked of uv itself on this machine.

uv writes the same files for every Python of a version but for its place, so it makes one here, and what names this
machine's Python is put right. The uv has to be the one of the lock: another may write another activate script.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import uv

from torchferry import proc
from torchferry.base_tree import Python
from torchferry.errors import BuildError, LockError
from torchferry.model import VENV, Lock
from torchferry.small_layer import Entry, file, folder, link

_HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"


def venv_entries(lock: Lock, python: Python, *, place: str = str(VENV)) -> tuple[Entry, ...]:
    """Everything below and with ``place`` as `uv venv` leaves it for this Python.

    Raises LockError where this machine's uv is not the locked one, BuildError where uv fails.
    """
    _require_same_uv(lock)
    with tempfile.TemporaryDirectory(prefix="torchferry-venv-") as work:
        made = Path(work).resolve() / "venv"
        done = proc.run([
            uv.find_uv_bin(), "venv", "--quiet", "--no-cache", "--no-config", "--offline", "--no-managed-python",
            "--python", sys.executable, made,
        ])
        if not done.ok:
            raise BuildError(f"uv venv failed:\n{done.tail()}", cure="mend what uv says above, or: --engine docker")
        return tuple(_entries(made, python, place))


def _require_same_uv(lock: Lock) -> None:
    here = proc.run([uv.find_uv_bin(), "--version"]).stdout.split()[1]
    if here != lock.installer.version:
        raise LockError(
            f"the lock names uv {lock.installer.version}, this machine has uv {here}",
            cure="./inv installs the uv of requirements.txt; if that moved on, make the lock anew: inv lock --upgrade",
        )


def _entries(made: Path, python: Python, place: str) -> Iterator[Entry]:
    """What uv made, with the image's names in place of this machine's."""
    root = place.lstrip("/")
    yield folder(root)
    for where, folders, names in os.walk(made):
        for name in [*folders, *names]:
            here = Path(where, name)
            path = f"{root}/{_renamed(str(here.relative_to(made)), python)}"
            if here.is_symlink():
                yield link(path, _link_target(str(here.readlink()), python))
            elif here.is_dir():
                yield folder(path)
            else:
                mode = 0o755 if os.access(here, os.X_OK) else 0o644
                yield file(path, _content(here, made, python, place), mode=mode)


def _renamed(path: str, python: Python) -> str:
    return path.replace(_HERE, f"python{_minor(python)}")


def _link_target(target: str, python: Python) -> str:
    return python.path if target.startswith("/") else _renamed(target, python)


def _content(here: Path, made: Path, python: Python, place: str) -> bytes:
    text = here.read_bytes()
    if here.name == "pyvenv.cfg":
        said = re.sub(rb"(?m)^home = .*$", b"home = " + bytes(PurePosixPath(python.path).parent), text)
        return re.sub(rb"(?m)^version_info = .*$", b"version_info = " + python.version.encode(), said)
    return text.replace(str(made).encode(), place.encode()).replace(
        _HERE.encode(), f"python{_minor(python)}".encode())


def _minor(python: Python) -> str:
    return ".".join(python.version.split(".")[:2])
