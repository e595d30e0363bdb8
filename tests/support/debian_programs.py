"""Programs of another Debian release, unpacked beside this machine's own and never installed.

    python -m support.debian_programs        # fetch and unpack all of them; in tests/

apt resolves and fetches into folders of ours, and checks the signatures with Debian's keyring; dpkg only unpacks. What
is kept lies in ~/.cache/torchferry-tests (or below XDG_CACHE_HOME), one folder a set, shared by all that run tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PROGRAMS = ("apt-get", "dpkg-deb", "tar")
OWN_RELEASES = ("bullseye", "bookworm", "trixie", "forky", "oldstable", "stable", "testing", "unstable", "sid")
ALWAYS = ("dash", "coreutils", "util-linux", "mount", "procps", "iproute2", "kmod", "base-files", "busybox-static")
"""What an engine and its hooks look for, since the unpacked /usr stands in for this machine's; a program for images."""

MERGED = ("bin", "sbin", "lib", "lib64")
PATIENCE = 500
"""Seconds that apt may take."""


class ProgramsAbsent(Exception):
    """The programs cannot be had here; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class ProgramSet:
    """Packages of one Debian release, with all that they depend on."""

    release: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it lies once unpacked: another list of packages is another folder."""
        told = hashlib.sha256(" ".join((*self.packages, *ALWAYS)).encode()).hexdigest()[:8]
        return cache() / f"{self.release}-{told}"

    def version(self) -> str:
        """The version of its first package, once unpacked."""
        lines = (self.folder / "packages").read_text(encoding="utf-8").splitlines()
        return next(line.split("_")[1] for line in lines if line.split("_")[0] == self.packages[0])


DOCKER_20 = ProgramSet(release="bookworm", packages=("docker.io", "containerd", "runc", "tini"))
DOCKER_26 = ProgramSet(release="trixie", packages=("docker.io", "docker-cli", "containerd", "runc", "tini"))
DOCKER_28 = ProgramSet(release="sid", packages=("docker.io", "docker-cli", "containerd", "runc", "tini"))
PODMAN_PARTS = ("podman", "runc", "conmon", "netavark", "aardvark-dns", "catatonit", "iptables", "nftables")
PODMAN_4 = ProgramSet(release="bookworm", packages=PODMAN_PARTS)
PODMAN_5 = ProgramSet(release="trixie", packages=PODMAN_PARTS)
COMPOSE_2 = ProgramSet(release="trixie", packages=("docker-compose",))
BUILDX = {release: ProgramSet(release=release, packages=("docker-buildx",)) for release in ("trixie", "sid")}
"""buildx 0.13 and the newest."""
ALL = (DOCKER_20, DOCKER_26, DOCKER_28, PODMAN_4, PODMAN_5, COMPOSE_2, *BUILDX.values())


def compose() -> Path:
    """The program of `docker compose`, which needs no docker beside it. Raises ProgramsAbsent."""
    return unpacked(COMPOSE_2) / "usr/libexec/docker/cli-plugins/docker-compose"


def buildx(release: str) -> Path:
    """The program of `docker buildx`, which needs no docker beside it to read a file. Raises ProgramsAbsent."""
    program = unpacked(BUILDX[release]) / "usr/libexec/docker/cli-plugins/docker-buildx"
    _must([str(program), "version"], f"buildx of Debian {release} does not run here")
    return program


def cache() -> Path:
    """The folder that outlives the tests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torchferry-tests"


def unpacked(programs: ProgramSet) -> Path:
    """The folder that holds usr/ and etc/ of the set, fetched now if need be; others that want it wait for it.

    Raises ProgramsAbsent.
    """
    if programs.folder.is_dir():
        return programs.folder
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent or not KEYRING.is_file():
        raise ProgramsAbsent(f"{', '.join(absent) or KEYRING} is not here: programs of Debian cannot be fetched")
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not programs.folder.is_dir():
            with tempfile.TemporaryDirectory(prefix=".making-", dir=cache()) as making:
                _make(programs, Path(making))
    return programs.folder


def _make(programs: ProgramSet, making: Path) -> None:
    for name in ("lists/partial", "archives/partial", "root/usr"):
        (making / name).mkdir(parents=True)
    source = making / "debian.sources"
    source.write_text(
        f"Types: deb\nURIs: {_mirror()}\nSuites: {programs.release}\nComponents: main\nSigned-By: {KEYRING}\n",
        encoding="utf-8",
    )
    apt = ["apt-get", "-q", "-y", *_apart(making, source)]
    _must([*apt, "update"], f"the packages of Debian {programs.release} cannot be listed")
    _must(
        [*apt, "--no-install-recommends", "--download-only", "install", *programs.packages, *ALWAYS],
        f"{programs.packages[0]} of Debian {programs.release} cannot be fetched",
    )
    root = making / "root"
    for name in MERGED:  # packages of bookworm still have files in /lib; whoever uses the folder has usr/ alone
        (root / "usr" / name).mkdir()
        (root / name).symlink_to(f"usr/{name}")
    packages = sorted((making / "archives").glob("*.deb"))
    for package in packages:
        _unpack(package, root)
    (root / "packages").write_text("".join(f"{package.stem}\n" for package in packages), encoding="utf-8")
    for name in ("iptables", "ip6tables"):  # else dpkg would choose, when it installs
        if (root / "usr" / "sbin" / f"{name}-nft").exists():
            (root / "usr" / "sbin" / name).symlink_to(f"{name}-nft")
    root.replace(programs.folder)


def _mirror() -> str:
    """Debian's archive as this machine's apt knows it. Raises ProgramsAbsent."""
    named = os.environ.get("TORCHFERRY_DEBIAN_MIRROR")
    if named:
        return named
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    rows = _must(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], "apt's sources cannot be read")
    own = [[release, "main"] for release in OWN_RELEASES]
    found = [row.split()[0] for row in rows.splitlines() if row.split()[1:] in own]
    if not found:
        raise ProgramsAbsent("no archive of Debian is among apt's sources; TORCHFERRY_DEBIAN_MIRROR=URL names one")
    return found[0]


def _apart(making: Path, source: Path) -> list[str]:
    """Options with which apt knows nothing of what is installed here, and writes into our folder alone."""
    settings = {
        "Dir::State::Lists": making / "lists", "Dir::State::status": "/dev/null",
        "Dir::State::extended_states": making / "extended_states",
        "Dir::Cache": making, "Dir::Cache::archives": making / "archives",
        "Dir::Etc::SourceList": source, "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null", "Dir::Etc::PreferencesParts": "/dev/null",
        "APT::Sandbox::User": "root", "APT::Install-Recommends": "false", "Acquire::Languages": "none",
        "Acquire::Retries": "2", "Debug::NoLocking": "true",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _unpack(package: Path, root: Path) -> None:
    unread = [f"--exclude=./usr/share/{name}" for name in ("doc", "man", "locale", "info")]
    words = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", *unread]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as packed:
        done = subprocess.run(words, stdin=packed.stdout, capture_output=True, text=True, check=False)
    if packed.returncode or done.returncode:
        raise ProgramsAbsent(f"{package.name} cannot be unpacked: {done.stderr.strip()}")


def _must(argv: list[str], what: str) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramsAbsent(f"{what}: no end after {PATIENCE} s") from error
    if done.returncode:
        raise ProgramsAbsent(f"{what}: {' '.join(done.stderr.split())[-400:]}")
    return done.stdout


if __name__ == "__main__":
    for wanted in ALL:
        print(f"{unpacked(wanted)}: {wanted.packages[0]} {wanted.version()}", flush=True)
