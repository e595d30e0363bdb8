"""Brings in what a building machine lacks: by us where we may, else by a person who is told the commands."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from torchferry import console, proc
from torchferry.errors import ToolMissing
from torchferry.host import (
    CLIENT,
    DAEMON,
    DEFAULT_ENDPOINTS,
    DockerClient,
    Host,
    Need,
    daemon_version,
    endpoint,
    find_docker,
    missing,
)
from torchferry.model import Base


def setup(host: Host, *, engine: str, bases: Sequence[Base], logs: Path) -> None:
    """Bring in what is missing where we may, and say each thing that is done.

    Raises ToolMissing, with the commands that cure it, where a person has to act.
    ``logs`` is the folder for the words of apt-get and of a daemon that is started here.
    """
    needs = missing(host, engine=engine, bases=bases)
    packages = tuple(dict.fromkeys(package for need in needs for package in need.packages))
    if packages and host.may_install:
        install(packages, log=logs / "apt-get.log")
        needs = missing(host, engine=engine, bases=bases)
    if [need.what for need in needs] == [DAEMON] and host.may_start_daemon:
        client = find_docker()
        if endpoint(client) in DEFAULT_ENDPOINTS and proc.which("dockerd"):
            start_daemon(client, ("dockerd",), log=logs / "dockerd.log")
            needs = missing(host, engine=engine, bases=bases)
    if needs:
        raise ToolMissing(
            "this machine lacks:\n" + "\n".join(f"  {need.what}: {need.found}" for need in needs),
            cure="\n  ".join(("run this, then inv setup again:", *commands(host, needs))),
        )
    _say_ready(engine, bases)


def _say_ready(engine: str, bases: Sequence[Base]) -> None:
    if engine == "docker":
        client = find_docker()
        console.say(f"docker: {client.path} {client.version} builds, daemon {daemon_version(client)} answers")
    if any(base.debian for base in bases):
        console.say(f"mmdebstrap: {proc.which('mmdebstrap')}")


def install(packages: Sequence[str], *, log: Path) -> None:
    """Install Debian packages as root; names that this release of the distribution does not have are left out."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    console.say(f"apt-get: installing {', '.join(packages)} (log: {log})")
    updated = proc.run(["apt-get", "-q", "update"], env=quiet, log=log.with_stem(f"{log.stem}-update"))
    known = [name for name in packages if proc.run(["apt-cache", "show", "--no-all-versions", name]).ok]
    argv = ["apt-get", "-q", "install", "-y", "--no-install-recommends", *known]
    done = proc.run(argv, env=quiet, log=log) if updated.ok and known else updated
    if not done.ok:
        raise ToolMissing(
            f"{shlex.join(done.argv)} failed:\n{done.tail()}",
            cure="mend what apt-get says above (its sources, the proxy, the disk), then: inv setup",
        )


def start_daemon(client: DockerClient, argv: Sequence[str | Path], *, log: Path, patience: float = 60) -> int:
    """Start a Docker daemon that outlives us and wait until ``client`` reaches it; returns its pid.

    Raises ToolMissing with the log's last lines when it ends, or does not answer within ``patience`` seconds.
    """
    console.say(f"nothing supervises services here: starting {shlex.join(map(str, argv))} (log: {log})")
    pid = proc.start_detached(argv, log=log)
    deadline = time.monotonic() + patience
    while daemon_version(client) is None:
        status = proc.exit_status(pid)
        if status is not None or time.monotonic() > deadline:
            how = "does not answer" if status is None else f"ended with status {status}"
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            raise ToolMissing(
                f"the Docker daemon {how}; the end of {log}:\n{tail}",
                cure="mend what it says; in a container it needs --privileged, and a data root that is no overlay",
            )
        time.sleep(0.2)
    return pid


def commands(host: Host, needs: Sequence[Need]) -> tuple[str, ...]:
    """What a person types, or decides, on this machine to cure these needs."""
    lines = [line for need in needs for line in need.advice]
    plain = [need for need in needs if not need.advice]
    if host.system == "linux" and host.debian_family:
        lines += _debian_commands(host, plain)
    else:
        if any(need.what in (CLIENT, DAEMON) for need in plain):
            lines += _docker_commands(host)
        if any(need.what not in (CLIENT, DAEMON) for need in plain):
            lines.append("# a Debian base needs mmdebstrap: build on Debian or Ubuntu, or set base: {image: ...}")
    return tuple(lines)


def _debian_commands(host: Host, needs: Sequence[Need]) -> list[str]:
    sudo = "" if host.root else "sudo "
    packages = sorted({package for need in needs for package in need.packages})
    lines = [f"{sudo}apt-get update", f"{sudo}apt-get install -y {' '.join(packages)}"] if packages else []
    if any(need.what == DAEMON for need in needs):
        lines.append(f"{sudo}systemctl start docker" if host.supervised else f"{sudo}dockerd &")
        if not host.root:
            lines.append('sudo usermod -aG docker "$USER"    # then log in again')
    return lines


def _docker_commands(host: Host) -> list[str]:
    if host.system == "darwin":
        return ["brew install colima docker docker-buildx && colima start    # or: brew install --cask docker-desktop"]
    start = "sudo systemctl enable --now docker"
    if host.distribution == "fedora":
        return ["sudo dnf install -y moby-engine docker-buildx", start]
    if host.redhat_family:
        return ["# Docker Engine with buildx: https://docs.docker.com/engine/install/rhel/", start]
    return ["# Docker Engine 20.10 or newer with buildx: https://docs.docker.com/engine/install/"]
