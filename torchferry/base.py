"""The ground an image stands on: a Debian suite as one deterministic tar by mmdebstrap, and its packages."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from torchferry import console, files, proc
from torchferry.errors import BuildError, ToolMissing
from torchferry.layout import Layout
from torchferry.memory import Memory
from torchferry.model import Base

EPOCH = "0"
"""SOURCE_DATE_EPOCH of a base: no file in it is younger."""

KEEP_OUT = (
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
"""dpkg's path filters: manuals and translations are of no use in a container, licences must stay."""

CLEAN_HOOK = (
    # Which mirror the builder used is nobody's business on the server, and would change the bytes.
    'rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/resolv.conf "$1"/etc/hostname; '
    'rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig "$1"/var/lib/dpkg/*-old'
)


@dataclass(frozen=True, kw_only=True)
class DebianBase:
    """A base that lies on disk: its tar, the tar's SHA-256 (the layer's diff_id), and name=version of its packages."""

    tar: Path
    sha256: str
    packages: tuple[str, ...]

    @property
    def reference(self) -> str:
        """Name and tag under which a Docker daemon holds it."""
        return f"torchferry-base:{self.tar.stem}-{self.sha256[:12]}"


def debian_base(base: Base, layout: Layout, *, architecture: str) -> DebianBase:
    """The Debian base of a service: the one on disk if its bytes are those of its record, else a new one."""
    known = read_base(base, layout, architecture)
    if known is not None:
        return known
    if proc.which("mmdebstrap") is None:
        raise ToolMissing(
            f"base {base.debian}: mmdebstrap is not on this machine",
            cure="run: inv setup   (or use a registry image: base: {image: ...} in variants.yaml)",
        )
    made = _make(base, layout, architecture)
    _tell_changes(base, layout.base_lock(base, architecture), made)
    files.write_text(layout.base_lock(base, architecture), _record(base, made))
    return made


def read_base(base: Base, layout: Layout, architecture: str) -> DebianBase | None:
    """The base on disk, if its tar is the one that its record describes."""
    record = _read_record(layout.base_lock(base, architecture))
    tar = layout.base_tar(base, architecture)
    if record is None or not tar.is_file() or tar.stat().st_size != record["size"]:
        return None
    if not Memory(layout.verified).checked(tar, record["sha256"]):
        console.say(f"base {base.debian}: {tar.name} is damaged, making it anew")
        return None
    return DebianBase(tar=tar, sha256=record["sha256"], packages=tuple(record["packages"]))


def _make(base: Base, layout: Layout, architecture: str) -> DebianBase:
    tar = layout.base_tar(base, architecture)
    tar.parent.mkdir(parents=True, exist_ok=True)
    files.require_space(tar.parent, 1_000_000_000, what=f"base {base.debian}")
    with tempfile.TemporaryDirectory(prefix=".base-", dir=tar.parent) as folder:
        fresh, listing = Path(folder) / "base.tar", Path(folder) / "packages"
        with console.progress(f"base {base.debian} (mmdebstrap)") as step:
            done = proc.run(
                _command(base, architecture, fresh, listing), env={"SOURCE_DATE_EPOCH": EPOCH},
                log=layout.logs / f"base.{tar.stem}.log",
            )
            if not done.ok:
                raise BuildError(
                    f"base {base.debian}: mmdebstrap failed:\n{done.tail(12)}",
                    cure="check apt's sources and the network; TORCHFERRY_DEBIAN_MIRROR=URL names another mirror; "
                    "another architecture than this machine's needs qemu-user-static, or base: {image: ...}",
                )
            step.advance(fresh.stat().st_size)
        packages = tuple(sorted(listing.read_text(encoding="utf-8").split()))
        digest = files.sha256(fresh)
        fresh.replace(tar)
    return DebianBase(tar=tar, sha256=digest, packages=packages)


def _command(base: Base, architecture: str, tar: Path, listing: Path) -> list[str]:
    include = ",".join(["python3", "ca-certificates", *sorted(base.packages)])
    words = [
        "mmdebstrap", "--variant=minbase", "--format=tar", f"--include={include}",
        f"--architectures={ {'x86_64': 'amd64', 'aarch64': 'arm64'}[architecture] }",
        '--aptopt=APT::Install-Recommends "false"', *(f"--dpkgopt={line}" for line in KEEP_OUT),
        f"--customize-hook=chroot \"$1\" dpkg-query -W -f '${{Package}}=${{Version}}\\n' > '{listing}'",
        f"--customize-hook={CLEAN_HOOK}", str(base.debian), str(tar),
    ]
    mirror = os.environ.get("TORCHFERRY_DEBIAN_MIRROR")
    return [*words, mirror] if mirror else [*words, *_host_sources(str(base.debian))]


def _host_sources(suite: str) -> list[str]:
    """This host's own apt sources where they are of the wanted suite; else nothing: mmdebstrap knows Debian's."""
    release = Path("/etc/os-release")
    if not release.is_file() or not re.search(rf"(?m)^VERSION_CODENAME={suite}$", release.read_text(encoding="utf-8")):
        return []
    lists = [Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")]
    return [str(path) for path in lists if path.is_file() and path.stat().st_size][:1]


def _record(base: Base, made: DebianBase) -> str:
    lines = [
        f"# Base {base.debian}: what mmdebstrap put in; written by torchferry.",
        f'sha256 = "{made.sha256}"', f"size = {made.tar.stat().st_size}",
        "packages = [", *(f"  {json.dumps(package)}," for package in made.packages), "]",
    ]
    return "\n".join(lines) + "\n"


def _read_record(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        record = tomli.loads(path.read_text(encoding="utf-8"))
    except tomli.TOMLDecodeError:
        return None
    return record if {"sha256", "size", "packages"} <= record.keys() else None


def _tell_changes(base: Base, record: Path, made: DebianBase) -> None:
    """A mirror moves on: say which versions are no longer those of the record, never pass over it."""
    before = _read_record(record)
    if before is None:
        return
    old, new = set(before["packages"]), set(made.packages)
    for line in sorted(new - old):
        name = line.split("=")[0]
        was = next((row for row in old if row.split("=")[0] == name), "absent")
        console.say(f"base {base.debian}: the mirror moved on: {was} -> {line}")
    if old == new and before["sha256"] != made.sha256:
        console.say(f"base {base.debian}: same packages, other bytes (another mmdebstrap?)")

