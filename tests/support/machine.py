"""A made-up server to stand on: programs on a PATH of their own, and what its kernel tells."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

TOOLS = (
    "sh", "awk", "sed", "od", "cat", "uname", "head", "tail", "grep", "df", "sleep", "printf", "env", "id", "tr", "cut",
    "sort", "date",
)
"""What ferry.sh needs of a server to answer as doctor."""


def programs(folder: Path, scripts: Mapping[str, str]) -> str:
    """A PATH on which there are these scripts (nvidia_smi becomes nvidia-smi) and what every server has."""
    folder.mkdir()
    for name in TOOLS:
        if name.replace("-", "_") not in scripts and (found := shutil.which(name)):
            (folder / name).symlink_to(found)
    for name, script in scripts.items():
        place = folder / name.replace("_", "-")
        place.write_text("#!/bin/sh\n" + script, encoding="utf-8")
        place.chmod(0o755)
    return str(folder)


def kernel(root: Path, *, driver: str, model: str | None = None) -> Path:
    """What /proc tells where the driver's module is loaded."""
    place = root / "proc/driver/nvidia"
    (place / "gpus/0000:01:00.0").mkdir(parents=True)
    (place / "version").write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Sat Aug 19\n"
                                   "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")
    if model:
        (place / "gpus/0000:01:00.0/information").write_text(f"Model: \t\t {model}\nIRQ:   100\n")
    return root
