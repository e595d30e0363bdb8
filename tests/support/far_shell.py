"""The far side of `inv ship` without a network: the same commands and the same script, in a shell of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import cast

import pytest

from torchferry import proc
from torchferry.openssh import OpenSsh, Server
from torchferry.ssh import Ssh

SHELLS = {
    "dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "ash"), "ksh": ("ksh",), "mksh": ("mksh",),
    "yash": ("yash",),
}


class LocalShell:
    """What `Ssh` does for a carrier, in ``home`` on this machine; its `sh` is ``shell``, before other programs."""

    host = "here"

    def __init__(self, home: Path, shell: Sequence[str], path: str | None = None) -> None:
        self._home, self._bin = home, home.with_name(f"{home.name}-bin")
        self._path = path
        program = shutil.which(shell[0])
        if program is None:
            pytest.skip(f"no {shell[0]} here")
        home.mkdir(parents=True, exist_ok=True)
        self._bin.mkdir()
        sh = self._bin / "sh"
        sh.write_text(f'#!/bin/sh\nexec {program} {" ".join(shell[1:])} "$@"\n', encoding="utf-8")
        sh.chmod(0o755)

    def run(
        self, command: str, blocks: Iterable[bytes], *, heard: Callable[[str], object] = proc.ignore_line,
        enough: str | None = None,
    ) -> proc.Finished:
        del enough
        here = f'cd "$1" && PATH="$2:$PATH" && export PATH && {command}'
        return proc.feed(["sh", "-c", here, "sh", self._home, self._bin], blocks, heard=heard)


def far_shell(home: Path, name: str, folder: str = "tiny-1.0.0") -> OpenSsh:
    """A carrier to a folder below ``home``, through a shell of SHELLS."""
    return OpenSsh(Server(host="here", folder=folder), cast(Ssh, LocalShell(home, SHELLS[name])))


def tmpfs(place: Path, size: str) -> None:
    """Mount a small disk in memory; skips the test where that cannot be done. The caller unmounts it."""
    place.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, text=True, check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be made here: {mounted.stderr.strip()}")
