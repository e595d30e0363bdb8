"""The shells and awks that ferry.sh has to run in, as far as they are here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SHELLS = {
    "dash": ("dash",), "bash": ("bash",), "bash-posix": ("bash", "--posix"), "busybox": ("busybox", "ash"),
    "ksh": ("ksh",), "mksh": ("mksh",), "yash": ("yash",), "zsh": ("zsh", "--emulate", "sh"),
}
AWKS = ("mawk", "gawk", "busybox", "original-awk")


def awk(name: str, folder: Path) -> Path:
    """A program that is this awk, whatever it is called; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    if name != "busybox":
        return Path(found)
    made = folder / "awk"
    made.write_text(f'#!/bin/sh\nexec {found} awk "$@"\n', encoding="utf-8")
    made.chmod(0o755)
    return made


def shell(name: str) -> tuple[str, ...]:
    """How this shell is started; skips the test where there is none."""
    if shutil.which(SHELLS[name][0]) is None:
        pytest.skip(f"no {name} here")
    return SHELLS[name]
