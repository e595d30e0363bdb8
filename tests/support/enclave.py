"""A folder, a network and a view of the disk of an engine's own: no way out, and no trace when it ends.

A process that only sleeps holds the namespaces, so an engine that lives in them may die and be started again.
"""

from __future__ import annotations

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

PROGRAMS = ("ip", "nsenter", "unshare", "mount", "umount", "sleep")
MEMORY_OR_LAYERED = ("overlay", "overlayfs", "tmpfs", "ramfs", "aufs", "squashfs")
UNPACKED_PATH = "/usr/sbin:/usr/bin"
"""Where unpacked programs are, seen from within."""

PATIENCE = 60.0
"""Seconds a process may take to start, and to end."""

ENGINES = (
    "dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "conmon", "podman", "netavark",
    "aardvark-dns",
)
"""Only these are ended for naming our folder: a client that a test still runs may name it as well."""

# A dockerd joins a machine-wide containerd unasked; what engines leave below /run goes with the view, too.
VIEW = """
set -e
mount -t tmpfs tmpfs /run
if [ -n "$1" ]; then
    mkdir -p "$2/etc" "$2/etc.work"
    mount -t overlay overlay -o "lowerdir=$1/etc:/etc,upperdir=$2/etc,workdir=$2/etc.work" /etc
    mount --bind "$1/usr" /usr
fi
echo ready
exec sleep infinity
"""


def unavailable(*programs: str) -> str | None:
    """Why this machine cannot have an enclave in which these programs run, or None where it can."""
    if not sys.platform.startswith("linux"):
        return "a private engine needs Linux"
    if os.geteuid() != 0:
        return "a private engine needs root"
    absent = [program for program in (*programs, *PROGRAMS) if shutil.which(program) is None]
    if absent:
        return f"a private engine needs {', '.join(absent)}"
    disk = real_disk()
    if disk is None:
        return "a private engine needs a temporary folder on a real disk"
    return _cannot_isolate(disk)


def real_disk() -> Path | None:
    """A folder for temporary files where an engine's overlay mounts work: not in memory, nor itself an overlay."""
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
    """Try what an engine will do, a network of its own and an overlay mount, in namespaces that end at once."""
    with tempfile.TemporaryDirectory(prefix="ferry-try-", dir=disk) as folder:
        for name in ("lower", "upper", "work", "merged"):
            Path(folder, name).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        tried = subprocess.run(
            ["unshare", "--net", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, f"{folder}/merged"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )
    return f"a private engine cannot be had here: {tried.stderr.strip()}" if tried.returncode else None


class Enclave:
    """``usr`` names an unpacked root (`debian_programs.unpacked`): what runs in here sees its usr/ and etc/.

    ``data`` is the folder for an engine's images and containers; with ``disk_mb`` it is a disk of its own, that small,
    which everybody on this machine sees.
    """

    def __init__(self, *, disk: Path | None = None, usr: Path | None = None, disk_mb: int | None = None) -> None:
        self.name = f"ferry-{uuid.uuid4().hex[:10]}"
        self.usr = usr
        self._disk_mb = disk_mb
        self._holder: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=disk or real_disk()))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def open(self) -> None:
        must("ip", "netns", "add", self.name)
        must(*self.in_network("ip", "link", "set", "lo", "up"))
        self.data.mkdir()
        if self._disk_mb:  # in memory: full at exactly this size, and overlays work on it
            must("mount", "-t", "tmpfs", "-o", f"size={self._disk_mb}m,mode=711", self.name, str(self.data))
        # Slave: what a test mounts on the machine later is seen in here, and nothing from here is seen outside.
        apart = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", VIEW, "sh", str(self.usr or "")]
        self._holder = subprocess.Popen(
            self.in_network(*apart, str(self.folder)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )
        assert self._holder.stdout
        said = self._holder.stdout.readline()
        if said != b"ready\n":
            raise RuntimeError(f"{self.name}: {said.decode().strip()}")

    @property
    def pid(self) -> int:
        """The process that holds the namespaces."""
        assert self._holder is not None
        return self._holder.pid

    def in_network(self, *argv: str) -> list[str]:
        """A command line that runs in the enclave's network, on this machine's own files."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *argv]

    def within(self, *argv: str) -> list[str]:
        """A command line that runs in the enclave's network and sees its files."""
        return self.in_network("nsenter", f"--mount=/proc/{self.pid}/ns/mnt", *argv)

    def close(self) -> None:
        """Remove every trace; what cannot be removed is left behind loudly, after all the rest is gone."""
        self._end_family()
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            assert self._holder.stdout
            self._holder.stdout.close()
        for place in sorted(mounts_below(self.folder), reverse=True):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
        self._remove_control_groups()
        if Path("/run/netns", self.name).exists():
            must("ip", "netns", "delete", self.name)
        shutil.rmtree(self.folder)

    def _end_family(self) -> None:
        """End by id whatever engine names our folder and all that it started, and what it left in our groups."""
        deadline = time.monotonic() + PATIENCE
        while members := family(str(self.folder), self.name) | _grouped(self.name):
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: processes {sorted(members)} do not end")
            time.sleep(0.05)

    def _remove_control_groups(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while groups := control_groups(self.name):
            for group in groups:
                with suppress(OSError):  # busy for a moment after its last process ended
                    group.rmdir()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: control groups {groups} stay busy")
            time.sleep(0.01)


def must(*argv: str) -> None:
    """Run what has to succeed. Raises RuntimeError with its words."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")


def control_groups(name: str) -> list[Path]:
    """Every control group of this name and those below it, deepest first (version 1 has one tree per controller)."""
    tops = [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]
    return [Path(place) for top in tops for place, _, _ in os.walk(top, topdown=False)]


def _grouped(name: str) -> set[int]:
    found: set[int] = set()
    for group in control_groups(name):
        with suppress(OSError):
            found |= {int(line) for line in (group / "cgroup.procs").read_text(encoding="ascii").split()}
    return found


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    places = [line.split(" ")[1].encode().decode("unicode_escape") for line in lines]
    return [place for place in places if place.startswith(f"{folder}/")]


def lives_in(process: Path, network: str) -> bool:
    """Whether a /proc entry is of a process in this network of /run/netns. Raises OSError once either is gone."""
    return Path("/run/netns", network).samefile(process / "ns" / "net")


def family(word: str, network: str | None = None) -> set[int]:
    """The ids of live engines with this word among their arguments, and of all their descendants; never our own.

    With ``network``, a name in /run/netns, engines in that network as well: aardvark-dns names no folder of ours.
    """
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
            if arguments.split("\0")[0].rpartition("/")[2] in ENGINES and (
                word in arguments or (network is not None and lives_in(entry, network))
            ):
                named.add(int(entry.name))
    found = set(named)
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {os.getpid()}
