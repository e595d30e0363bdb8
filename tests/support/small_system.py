"""A far side with nothing but busybox: a folder that a program may be locked into, which takes root."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path


def unavailable() -> str | None:
    """Why there can be none here, or None where there can."""
    if os.geteuid() != 0:
        return "needs root"
    return None if shutil.which("busybox") and shutil.which("chroot") else "needs busybox and chroot"


def busybox_root(folder: Path, *, without: tuple[str, ...] = ()) -> str:
    """Make the folder; returns the command line of a shell that lives in it. ``without`` are commands it lacks."""
    program = Path(str(shutil.which("busybox"))).resolve()
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(", listed):
        target = folder / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(program, folder / "bin" / "the-one-program")
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in {*applets, "busybox"} - set(without):
        (folder / "bin" / name).symlink_to("the-one-program")
    (folder / "dev").mkdir()
    os.mknod(folder / "dev" / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (folder / "dev" / "null").chmod(0o666)
    return f"env PATH=/bin /usr/sbin/chroot '{folder}' /bin/sh"
