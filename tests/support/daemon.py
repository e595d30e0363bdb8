"""A Docker daemon of a test's own: own data root, socket, containerd, mounts and network, no way out; gone afterwards.

    with PrivateDaemon() as daemon:
        subprocess.run(["docker", "load", "-i", archive], env={**os.environ, **daemon.env}, check=True)

It needs root on Linux. A network namespace keeps its bridge and its addresses apart from the machine's daemon and
from its siblings; a mount namespace takes all its mounts with it when its last process ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PROGRAMS = ("dockerd", "containerd", "ip", "nsenter", "unshare", "mount")
MEMORY_OR_LAYERED = ("overlay", "overlayfs", "tmpfs", "ramfs", "aufs", "squashfs")
PATIENCE = 60.0
"""Seconds a daemon may take to answer, and to end."""

DAEMONS = ("dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2")
"""Only these are ended for naming our folder: a client that a test still runs may name it as well."""

# dockerd joins a machine-wide containerd unasked; with that one's socket out of sight it starts its own.
HIDE_CONTAINERD = '[ ! -d /run/containerd ] || mount -t tmpfs tmpfs /run/containerd; exec "$@"'


def unavailable() -> str | None:
    """Why this machine cannot have a private daemon, or None where it can."""
    if not sys.platform.startswith("linux"):
        return "a private Docker daemon needs Linux"
    if os.geteuid() != 0:
        return "a private Docker daemon needs root"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"a private Docker daemon needs {', '.join(absent)}"
    disk = real_disk()
    if disk is None:
        return "a private Docker daemon needs a temporary folder on a real disk"
    return _cannot_isolate(disk)


def real_disk() -> Path | None:
    """A folder for temporary files where the daemon's overlay mounts work: not in memory, nor itself an overlay."""
    for folder in (tempfile.gettempdir(), "/var/tmp", "/var/lib", str(Path.cwd())):
        if Path(folder).is_dir() and _filesystem(Path(folder).resolve()) not in MEMORY_OR_LAYERED:
            return Path(folder)
    return None


def _filesystem(folder: Path) -> str:
    kinds = {}
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split(" ")
        kinds[place.encode().decode("unicode_escape")] = kind  # a later mount covers an earlier one
    return next(kinds[str(place)] for place in (folder, *folder.parents) if str(place) in kinds)


def _cannot_isolate(disk: Path) -> str | None:
    """Try what a daemon will do, a network of its own and an overlay mount, in namespaces that end with the attempt."""
    with tempfile.TemporaryDirectory(prefix="ferry-try-", dir=disk) as folder:
        for name in ("lower", "upper", "work", "merged"):
            Path(folder, name).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        tried = subprocess.run(
            ["unshare", "--net", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, f"{folder}/merged"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )
    return f"a private Docker daemon cannot be had here: {tried.stderr.strip()}" if tried.returncode else None


class PrivateDaemon:
    """One daemon, alive inside a ``with`` block; ``env`` points any Docker client at it.

    ``disk`` is the folder below which it keeps everything (default: `real_disk`).
    """

    def __init__(self, *, disk: Path | None = None) -> None:
        self.name = f"ferry-{uuid.uuid4().hex[:10]}"
        self._disk = disk
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateDaemon:
        reason = unavailable()
        if reason:
            raise RuntimeError(reason)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=self._disk or real_disk()))
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def root(self) -> Path:
        """The daemon's data root."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    @property
    def env(self) -> dict[str, str]:
        """What to add to the environment of a client."""
        return {"DOCKER_HOST": f"unix://{self.socket}"}

    @property
    def pid(self) -> int:
        """The process id of dockerd itself: every program before it became the next one by exec."""
        assert self._process is not None
        return self._process.pid

    def inside(self, *argv: str) -> list[str]:
        """A command line that runs in the daemon's network: there its published ports are on localhost."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *argv]

    def _start(self) -> None:
        _must("ip", "netns", "add", self.name)
        _must(*self.inside("ip", "link", "set", "lo", "up"))
        settings = self.folder / "daemon.json"  # else the machine's own /etc/docker/daemon.json is read
        settings.write_text(json.dumps({}), encoding="utf-8")
        dockerd = [
            "dockerd", f"--config-file={settings}", f"--host=unix://{self.socket}",
            f"--data-root={self.root}", f"--exec-root={self.folder / 'exec'}", f"--pidfile={self.folder / 'pid'}",
            "--storage-driver=overlay2", "--iptables=false", "--ip-masq=false", "--shutdown-timeout=5",
            "--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent=/{self.name}",
        ]
        # Slave: what a test mounts on the machine later is seen in here, and nothing from here is seen outside.
        apart = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", HIDE_CONTAINERD, "sh"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.inside(*apart, *dockerd), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _answers(self.socket):
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
                raise RuntimeError(f"dockerd {self.name} does not answer (exit {self._process.returncode}):\n{tail}")
            time.sleep(0.05)

    def _end(self) -> None:
        """Remove every trace; what cannot be removed is left behind loudly, after all the rest is gone."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
            self._kill_family()
            self._process.wait()
        for place in sorted(mounts_below(self.folder), reverse=True):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
        self._remove_control_groups()
        if Path("/run/netns", self.name).exists():
            _must("ip", "netns", "delete", self.name)
        shutil.rmtree(self.folder)

    def _remove_control_groups(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while groups := control_groups(self.name):
            for group in groups:
                with suppress(OSError):  # busy for a moment after its last process ended
                    group.rmdir()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: control groups {groups} stay busy")
            time.sleep(0.01)

    def _kill_family(self) -> None:
        """End by id whatever names our folder (dockerd, containerd, its shims) and all that they started."""
        deadline = time.monotonic() + PATIENCE
        while members := family(str(self.folder)):
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: processes {sorted(members)} do not end")
            time.sleep(0.05)


def _must(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")


def _answers(socket: Path) -> bool:
    argv = ["docker", "--host", f"unix://{socket}", "version", "--format", "{{.Server.Version}}"]
    return socket.exists() and subprocess.run(argv, capture_output=True, check=False).returncode == 0


def control_groups(name: str) -> list[Path]:
    """Every control group of this name and those below it, deepest first (version 1 has one tree per controller)."""
    tops = [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]
    return [Path(place) for top in tops for place, _, _ in os.walk(top, topdown=False)]


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    places = [line.split(" ")[1].encode().decode("unicode_escape") for line in lines]
    return [place for place in places if place.startswith(f"{folder}/")]


def family(word: str) -> set[int]:
    """The ids of live programs with this word among their arguments, and of all their descendants; never our own."""
    parents: dict[int, int] = {}
    named: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended while we looked
            status = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            state, parent = status.rpartition(")")[2].split()[:2]
            if state == "Z":
                continue
            parents[int(entry.name)] = int(parent)
            arguments = (entry / "cmdline").read_text(encoding="utf-8", errors="replace")
            if word in arguments and arguments.split("\0")[0].rpartition("/")[2] in DAEMONS:
                named.add(int(entry.name))
    found = set(named)
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {os.getpid()}
