"""What a person does on the server: load, run without network, ask. Plain docker, nothing of torchferry."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

from support.daemon import PrivateDaemon

PATIENCE = 120.0
"""Seconds after which a service that does not answer is given up."""


def docker(daemon: PrivateDaemon, *words: str) -> str:
    """What a docker command says, which has to succeed."""
    done = _docker(daemon, *words)
    assert done.returncode == 0, f"docker {words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def answer(daemon: PrivateDaemon, image: str, *, port: int, path: str) -> dict[str, Any]:
    """The JSON that an image answers, started with no network and a root that cannot be written."""
    name = docker(daemon, "run", "--detach", "--network", "none", "--read-only", image)
    ask = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}{path}', timeout=5).read().decode())"
    deadline = time.monotonic() + PATIENCE
    try:
        while (asked := _docker(daemon, "exec", name, "python", "-c", ask)).returncode:
            assert time.monotonic() < deadline, f"{image}: {asked.stderr}\n{_docker(daemon, 'logs', name)}"
            time.sleep(0.1)
        said: dict[str, Any] = json.loads(asked.stdout)
        return said
    finally:
        docker(daemon, "rm", "--force", "--volumes", name)


def _docker(daemon: PrivateDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words], env={**os.environ, **daemon.env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )
