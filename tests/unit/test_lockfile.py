"""A lock says the same after a way over the disk, and a damaged one is refused by name."""

import subprocess
import sys
from dataclasses import replace

import pytest
import tomli
import uv
from support import nouns

from torchferry import lockfile
from torchferry.errors import LockError
from torchferry.model import BuiltWheel

FULL = replace(
    nouns.lock(),
    base_digest="sha256:" + "a" * 64,
    built=(BuiltWheel(name="openai-whisper", sdist="openai-whisper-20231117.tar.gz", sdist_sha256="d" * 64,
                      sdist_size=798, requires=(nouns.wheel("setuptools", "80.9.0"),)),),
)


@pytest.mark.parametrize("lock", [nouns.lock(), nouns.lock("any"), FULL])
def test_round_trip(lock) -> None:
    assert lockfile.parse(lockfile.dump(lock, nouns.variant()), file="pylock.x.toml") == lock


def test_no_host_stands_in_a_lock() -> None:
    assert "://" not in lockfile.dump(FULL, nouns.variant())


def test_it_is_a_pep_751_file_that_uv_reads(tmp_path) -> None:
    """uv reads our file as a lock: it gets as far as looking for the wheels by their paths."""
    (tmp_path / "pylock.toml").write_text(lockfile.dump(nouns.lock(), nouns.variant()), encoding="utf-8")
    said = subprocess.run(
        [uv.find_uv_bin(), "pip", "install", "--dry-run", "--offline", "--no-config", "--preview-features", "pylock",
         "--target", str(tmp_path / "t"), "--python", sys.executable, "--python-version", "3.11",
         "--python-platform", "x86_64-manylinux_2_36", "-r", str(tmp_path / "pylock.toml")],
        capture_output=True, text=True, check=False,
    )
    assert "cu121/" in said.stderr and "parse" not in said.stderr.lower(), said.stderr


@pytest.mark.parametrize("old, new", [
    ('lock-version = "1.0"', "lock-version = "),
    ("version = 1\n", "version = 99\n"),
    ("[tool.torchferry]", "[tool.other]"),
    ("fastapi-0.115.0-", "fastapi-0.116.0-"),
    ('sha256 = "', 'sha256 = "zz'),
])
def test_a_damaged_lock_is_refused_by_name(old: str, new: str) -> None:
    text = lockfile.dump(nouns.lock(), nouns.variant())
    assert old in text
    with pytest.raises(LockError, match=r"pylock\.x\.toml"):
        lockfile.parse(text.replace(old, new), file="pylock.x.toml")


def test_the_fingerprint_follows_every_input() -> None:
    variant = nouns.variant()
    same = lockfile.asked(variant, "torch\n", ["numpy<2"])
    assert same == lockfile.asked(variant, "torch\n", ["numpy<2"])
    others = [
        lockfile.asked(nouns.variant("cpu"), "torch\n", ["numpy<2"]),
        lockfile.asked(replace(variant, torch="2.1.1"), "torch\n", ["numpy<2"]),
        lockfile.asked(replace(variant, python="3.10"), "torch\n", ["numpy<2"]),
        lockfile.asked(replace(variant, architecture="aarch64"), "torch\n", ["numpy<2"]),
        lockfile.asked(replace(variant, service=replace(variant.service, sdists=("x",))), "torch\n", ["numpy<2"]),
        lockfile.asked(variant, "torch\nnumpy\n", ["numpy<2"]),
        lockfile.asked(variant, "torch\n", []),
    ]
    assert len({same, *others}) == 8


def test_a_mirror_does_not_change_the_fingerprint() -> None:
    one, other = nouns.variant(), nouns.variant(index="https://mirror.example/whl/cu121")
    assert lockfile.asked(one, "", []) == lockfile.asked(other, "", [])


def test_the_file_is_plain_toml() -> None:
    data = tomli.loads(lockfile.dump(nouns.lock(), nouns.variant()))
    assert data["lock-version"] == "1.0"
    assert all(package["wheels"][0]["path"].startswith("cu121/") for package in data["packages"])
