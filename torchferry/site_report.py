"""What `sh ferry.sh report` wrote on a server, read at home: one text, in sections under '=== title ==='."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torchferry import kernel, smi
from torchferry.errors import ConfigError
from torchferry.gpus import GpuNames
from torchferry.kernel import Kernel
from torchferry.server import Server
from torchferry.smi_forms import kernel_arch

VERSION = 1
LABEL = "io.torchferry"

_FIRST = re.compile(r"^torchferry report (\d{1,9}) *$", re.MULTILINE)
_TITLE = re.compile(r"^=== (.+) ===$")
_STATE = re.compile(
    r"^state (?P<state>\S+) exit (?P<exit>-?\d{1,9}) oom (?P<oom>true|false) restarts (?P<restarts>\d{1,9}) "
    r"started (?P<started>\S*)", re.MULTILINE,
)
_DISK = re.compile(r"\S.{0,200}? +(\d{1,15}) +(\d{1,15}) +(-?\d{1,15}) +(\d{1,3})% +(/.{0,1000})")
_ROOT = re.compile(r"^\s*(?:Docker Root Dir|graphRoot): +(/.*)$", re.MULTILINE)
_STORE = re.compile(r"^\s*(?:Storage Driver|graphDriverName): +(\S+)$", re.MULTILINE)
_SERVER_VERSION = re.compile(r"^\s*Server Version: +(\S+)|^version:.*?^\s+Version: +(\S+)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A mounted file system: where, bytes in all and free, and how full it is in per cent."""

    mount: str
    size: int
    free: int
    used: int


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of the release: its state as the engine has it, and the end of its log.

    ``state`` is None where the engine could not tell.
    """

    name: str
    service: str | None
    version: str | None
    variant: str | None
    image: str | None
    state: str | None
    exit_status: int | None
    out_of_memory: bool
    restarts: int
    started: str | None
    log: str


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What the container engine says of itself, or why it says nothing; None where it did not say it."""

    said: str
    word: str | None = None
    version: str | None = None
    store: str | None = None
    root: str | None = None


@dataclass(frozen=True, kw_only=True)
class SiteReport:
    """A report, as far as it could be read; ``here`` are the sentences that ferry.sh doctor said on the spot."""

    release: str
    made: str
    system: str
    server: Server
    engine: Engine | None
    disks: tuple[Disk, ...]
    containers: tuple[Container, ...]
    here: tuple[str, ...]

    def disk_of(self, path: str) -> Disk | None:
        """The disk on which a path of the server lies."""
        above = [disk for disk in self.disks if f"{path}/".startswith(f"{disk.mount.rstrip('/')}/")]
        return max(above, key=lambda disk: len(disk.mount), default=None)


def parse(text: str, names: GpuNames, *, place: str) -> SiteReport:
    """Read a report; ConfigError, which names ``place``, when the text is none or is one of another version."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = _FIRST.search(text)
    if first is None:
        raise ConfigError(
            f"{place}: no report of ferry.sh; its first line would be 'torchferry report {VERSION}'",
            cure="make one on the server with: sh ferry.sh report > report.txt; "
                 "what nvidia-smi printed goes to --smi, a message to --error",
        )
    if int(first[1]) != VERSION:
        raise ConfigError(
            f"{place}: a report of version {first[1]}, and this torchferry reads version {VERSION}",
            cure="read it with the torchferry that made the release, or a newer one",
        )
    head, sections = _sections(text[first.end():])
    said = dict(reversed(sections))  # the first of a name counts
    return SiteReport(
        release=_field(head, "release"), made=_field(head, "made"), system=_system(said),
        server=kernel.completed(smi.read(said.get("nvidia-smi", ""), names), _kernel(said), names),
        engine=_engine(sections), disks=tuple(_disks(said.get("df -Pk", ""))),
        containers=tuple(_containers(sections, said)), here=tuple(_here(said.get("doctor", ""))),
    )


def _sections(text: str) -> tuple[str, Sequence[tuple[str, str]]]:
    """What stands above the first title, and the sections in order."""
    parts: list[tuple[str, list[str]]] = [("", [])]
    for line in text.split("\n"):
        if title := _TITLE.match(line):
            parts.append((title[1], []))
        else:
            parts[-1][1].append(line)
    read = [(title, "\n".join(lines).strip("\n")) for title, lines in parts]
    return read[0][1], read[1:]


def _field(head: str, name: str) -> str:
    found = re.search(rf"^{name} +(.+?) *$", head, re.MULTILINE)
    return found[1] if found else "unknown"


def _system(said: Mapping[str, str]) -> str:
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]+)', said.get("cat /etc/os-release", ""), re.MULTILINE)
    uname = said.get("uname -a", "").split()
    return ", ".join([*([pretty[1]] if pretty else []), *([" ".join(uname[:3])] if uname else [])])


def _kernel(said: Mapping[str, str]) -> Kernel:
    if "kernel" in said:
        return kernel.parse(said["kernel"])
    return Kernel(arch=kernel_arch(said.get("uname -a", "")))


def _engine(sections: Sequence[tuple[str, str]]) -> Engine | None:
    found = next(((title.rpartition(" ")[0], text) for title, text in sections if title.endswith(" info")), None)
    if found is None:  # ferry.sh found none that answers, and tells what it was told
        trouble = next((text for title, text in sections if title == "engine"), None)
        return Engine(said=trouble) if trouble is not None else None
    word, text = found
    version = _SERVER_VERSION.search(text)
    return Engine(
        word=word.rpartition("/")[2], version=(version[1] or version[2]) if version else None,
        store=_first(_STORE, text), root=_first(_ROOT, text), said=text,
    )


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1].strip() if found else None


def _disks(text: str) -> Iterator[Disk]:
    for line in text.splitlines():
        if found := _DISK.fullmatch(line.rstrip()):
            blocks, _, free, used, mount = found.groups()
            yield Disk(mount=mount, size=int(blocks) * 1024, free=max(int(free), 0) * 1024, used=int(used))


def _containers(sections: Sequence[tuple[str, str]], said: Mapping[str, str]) -> Iterator[Container]:
    titles = dict.fromkeys(title for title, _ in sections if title.startswith("container "))
    for title in titles:
        name, text = title.partition(" ")[2], said[title]
        state, labels = _STATE.search(text), _labels(text)
        yield Container(
            name=name, service=labels.get(f"{LABEL}.service"), version=labels.get(f"{LABEL}.version"),
            variant=labels.get(f"{LABEL}.variant"), image=text.split(" ")[0] if state else None,
            state=state["state"] if state else None, exit_status=int(state["exit"]) if state else None,
            out_of_memory=state is not None and state["oom"] == "true", restarts=int(state["restarts"]) if state else 0,
            started=state["started"] if state else None, log=said.get(f"log of {name}", ""),
        )


def _labels(text: str) -> Mapping[str, str]:
    line = next((line for line in text.splitlines() if line.startswith("labels ")), "")
    try:
        found = json.loads(line.partition(" ")[2])
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _here(doctor: str) -> Iterator[str]:
    """The indented lines at the end of what ferry.sh doctor said: below 'on this machine', in either language."""
    _, title, rest = doctor.partition("\non this machine:\n")
    if not title:
        rest = doctor.partition("\n이 서버:\n")[2]
    yield from (line.strip() for line in rest.splitlines() if line.startswith("    "))
