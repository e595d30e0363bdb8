"""What this machine has and lacks for building images."""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchferry import proc
from torchferry.errors import ToolMissing
from torchferry.model import Base

OLDEST_DOCKER = (20, 10)
"""The first client whose own BuildKit knows RUN --mount without a frontend image from a registry."""

FIRST_WITHOUT_BUILDKIT = (23, 0)
"""From here on a client builds only with the buildx plugin."""

CLIENT = "a docker client that can build"
DAEMON = "a Docker daemon"
DEFAULT_ENDPOINTS = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, kw_only=True)
class DockerClient:
    """One docker command line client: where it is, its version, and whether it can build images with BuildKit."""

    path: str
    version: str
    can_build: bool


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine that builds: kernel name in lower case, os-release's ID and ID_LIKE, and what we may do there."""

    system: str
    distribution: str = ""
    like: tuple[str, ...] = ()
    root: bool = False
    supervised: bool = False

    @property
    def debian_family(self) -> bool:
        return bool({"debian", "ubuntu"} & {self.distribution, *self.like})

    @property
    def redhat_family(self) -> bool:
        return bool({"fedora", "rhel"} & {self.distribution, *self.like})

    @property
    def may_install(self) -> bool:
        return self.system == "linux" and self.debian_family and self.root

    @property
    def may_start_daemon(self) -> bool:
        return self.system == "linux" and self.root and not self.supervised


@dataclass(frozen=True, kw_only=True)
class Need:
    """One thing that is absent: its name, what was found instead, and what cures it.

    ``packages`` are Debian's names; ``advice`` are the lines for a person, where packages are not the answer.
    """

    what: str
    found: str
    packages: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def this_host(*, os_release: Path = Path("/etc/os-release"), run: Path = Path("/run")) -> Host:
    """Describe this machine; systemd and OpenRC count as supervising services when they run."""
    fields = parse_os_release(os_release.read_text(encoding="utf-8")) if os_release.is_file() else {}
    return Host(
        system=platform.system().lower(),
        distribution=fields.get("ID", ""),
        like=tuple(fields.get("ID_LIKE", "").split()),
        root=os.geteuid() == 0,
        supervised=(run / "systemd/system").is_dir() or (run / "openrc/softlevel").exists(),
    )


def parse_os_release(text: str) -> dict[str, str]:
    """The fields of an os-release file, shell quotes undone (os-release(5))."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {key.strip(): " ".join(shlex.split(value)) for key, value in pairs}


def docker_clients() -> tuple[DockerClient, ...]:
    """Every docker client on PATH that runs, first one first; a podman under that name is not one."""
    return tuple(client for path in proc.on_path("docker") if (client := _ask(path)) is not None)


def find_docker() -> DockerClient:
    """The first docker client on PATH that can build; ToolMissing tells an absent client from one that cannot."""
    clients = docker_clients()
    for client in clients:
        if client.can_build:
            return client
    if clients:
        seen = ", ".join(f"{client.path} {client.version}" for client in clients)
        raise ToolMissing(
            f"docker: no client on PATH can build images ({seen}): no buildx, nor BuildKit of its own (20.10 to 22)",
            cure="install Docker's buildx plugin (package docker-buildx or docker-buildx-plugin), or run: inv setup",
        )
    broken = proc.on_path("docker")
    raise ToolMissing(
        f"docker: {', '.join(broken)} is no Docker client that runs" if broken else "docker: no such program on PATH",
        cure="install Docker 20.10 or newer with buildx, or run: inv setup",
    )


def _ask(path: str) -> DockerClient | None:
    try:
        said = proc.run([path, "--version"])  # unlike "docker version", it talks to no daemon
    except (ToolMissing, OSError):  # a script whose interpreter is gone, a binary for another machine
        return None
    match = re.match(r"Docker version (\d+)\.(\d+)([^,\s]*)", said.stdout) if said.ok else None
    if match is None:
        return None
    version = (int(match[1]), int(match[2]))
    built_in = OLDEST_DOCKER <= version < FIRST_WITHOUT_BUILDKIT
    can_build = built_in or (version >= OLDEST_DOCKER and proc.run([path, "buildx", "version"]).ok)
    return DockerClient(path=path, version=f"{match[1]}.{match[2]}{match[3]}", can_build=can_build)


def daemon_version(client: DockerClient) -> str | None:
    """The version of the daemon that this client talks to (DOCKER_HOST, then its context), or None: none answers."""
    said = proc.run([client.path, "version", "--format", "{{.Server.Version}}"])
    return said.stdout.strip() or None if said.ok else None


def endpoint(client: DockerClient) -> str:
    """Where this client looks for its daemon: DOCKER_HOST, else its current context."""
    if told := os.environ.get("DOCKER_HOST"):
        return told
    said = proc.run([client.path, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
    return said.stdout.strip() if said.ok and said.stdout.strip() else DEFAULT_ENDPOINTS[0]


def missing(host: Host, *, engine: str, bases: Sequence[Base]) -> tuple[Need, ...]:
    """What this engine and these bases need and this machine lacks; a daemon counts only where it answers."""
    needs = _docker_needs() if engine == "docker" else []
    if engine != "docker" and any(base.image for base in bases) and proc.which("skopeo") is None:
        needs.append(Need(what="skopeo", found="not on PATH; registries are asked through it", packages=("skopeo",)))
    if any(base.debian for base in bases):
        needs += _debian_needs(host)
    return tuple(needs)


def _docker_needs() -> list[Need]:
    clients = docker_clients()
    builder = next((client for client in clients if client.can_build), None)
    reaching = [client for client in clients if daemon_version(client)]
    if builder and builder in reaching:
        return []
    if reaching:
        return [_client_need(clients, builder, reaching[0])]
    needs = [] if builder else [_client_need(clients, None, None)]
    return [*needs, _daemon_need(endpoint(clients[0]) if clients else os.environ.get("DOCKER_HOST"))]


def _client_need(
    clients: Sequence[DockerClient], builder: DockerClient | None, reaching: DockerClient | None
) -> Need:
    seen = ", ".join(f"{client.path} {client.version} has no buildx" for client in clients) or "none on PATH that runs"
    if reaching is None:
        return Need(what=CLIENT, found=seen, packages=("docker.io", "docker-cli", "docker-buildx"))
    if builder is not None:
        seen = f"{builder.path} {builder.version} does not reach the daemon that {reaching.path} reaches"
    # With a daemon in place, Debian's docker.io would bring a second one and stop the first.
    return Need(
        what=CLIENT, found=seen, packages=("docker-buildx",),
        advice=(f"# the buildx plugin for {reaching.path}: https://docs.docker.com/build/install-buildx/",),
    )


def _daemon_need(where: str | None) -> Need:
    where = where or DEFAULT_ENDPOINTS[0]
    socket = Path(where.removeprefix("unix://"))
    if where not in DEFAULT_ENDPOINTS:
        advice = (f"# start the daemon at {where}, or: unset DOCKER_HOST; docker context use default",)
        return Need(what=DAEMON, found=f"none answers at {where}", advice=advice)
    if socket.exists() and not os.access(socket, os.R_OK | os.W_OK):
        advice = ('sudo usermod -aG docker "$USER"    # then log in again',)
        return Need(what=DAEMON, found=f"{socket} is closed to this user", advice=advice)
    packages = () if proc.which("dockerd") else ("docker.io",)
    return Need(what=DAEMON, found=f"none answers at {where}", packages=packages)


def _debian_needs(host: Host) -> list[Need]:
    needs = []
    if proc.which("mmdebstrap") is None:
        needs.append(Need(what="mmdebstrap", found="not on PATH", packages=("mmdebstrap",)))
    if host.debian_family and not DEBIAN_KEYRING.exists():
        needs.append(Need(what="Debian's keys", found=f"no {DEBIAN_KEYRING}", packages=("debian-archive-keyring",)))
    if host.system == "linux" and not host.root and proc.which("newuidmap") is None:
        needs.append(Need(what="newuidmap", found="mmdebstrap needs it to run without root", packages=("uidmap",)))
    return needs
