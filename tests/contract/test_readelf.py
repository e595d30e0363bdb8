"""binutils is the judge: what is read of real libraries is what readelf says of them."""

from __future__ import annotations

import re
import shutil
import site
import subprocess
import zipfile
from pathlib import Path

import pytest

from torchferry.elf_file import is_elf, read_elf
from torchferry.wheel_reader import OpenZip
from torchferry.zipdir import read_directory

pytestmark = pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf (binutils) is not on this machine")


def libraries() -> list[Path]:
    """Compiled modules of this environment, of many makers and linkers, one of each size."""
    found = {path.stat().st_size: path for folder in site.getsitepackages() for path in Path(folder).rglob("*.so*")}
    return [found[size] for size in sorted(found)][::max(1, len(found) // 40)]


def readelf(path: Path, flag: str) -> str:
    return subprocess.run(["readelf", "-W", flag, path], capture_output=True, text=True, check=True).stdout


def test_real_libraries_say_to_us_what_they_say_to_readelf(tmp_path: Path) -> None:
    paths = libraries()
    assert len(paths) > 10
    archive = tmp_path / "all.whl"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for number, path in enumerate(paths):
            made.write(path, f"{number}.so")
    with archive.open("rb") as source:
        entries = {entry.name: entry for entry in read_directory(source)}
        wheel = OpenZip(path=archive, source=source, entries=entries)
        for number, path in enumerate(paths):
            entry = entries[f"{number}.so"]
            assert is_elf(wheel, entry)
            elf, dynamic = read_elf(wheel, entry), readelf(path, "-d")
            assert list(elf.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic), path
            assert [elf.soname] == (re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) or [None]), path
            folders = re.findall(r"\(RUNPATH\).*\[(.*)\]", dynamic) or re.findall(r"\(RPATH\).*\[(.*)\]", dynamic)
            assert list(elf.search) == [part for text in folders for part in text.split(":") if part], path
            needs = readelf(path, "-V").partition("Version needs")[2]
            versions = [tuple(map(int, found.split("."))) for found in re.findall(r"Name: GLIBC_([\d.]+)", needs)]
            assert (elf.glibc or (0, 0)) == max((one[:2] for one in versions), default=(0, 0)), path
