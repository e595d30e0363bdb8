"""A server without internet, as ferry.sh meets it: a daemon, a shell, folders for data and state; and releases for it.

    with PrivateDaemon() as daemon:
        site = Site(daemon=daemon, folder=tmp_path)
        assert site.ferry(releases.folder("1.0.0"), "up").ok
        assert site.ask(8003, "/health")["release"] == "1.0.0"

Sites may share a daemon, one after another: images stay loaded, `clear` removes the rest.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.daemon import PrivateDaemon
from support.engines import Engine
from support.index_server import IndexServer
from support.project import Project
from support.site_project import make_site_project
from torchferry.proc import Finished

VERSIONS = {"1.0.0": "1", "1.1.0": "2", "1.2.0": "2"}
"""The releases of the stand-in project, and the version of the model in each."""

SERVICES = {"engine": 8003, "page": 8100}

ASK = """\
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(sys.argv[1], timeout=10).read().decode())
"""


@dataclass(frozen=True, kw_only=True)
class Releases:
    """Release folders that nobody may change; `copy` gives one that its owner may damage with `own`."""

    root: Path

    def folder(self, version: str) -> Path:
        return self.root / f"duo-{version}"

    def copy(self, version: str, target: Path) -> Path:
        """The same release in another place: its files are hard links until `own` breaks them."""
        return shutil.copytree(self.folder(version), target, copy_function=os.link)


def make_releases(folder: Path, index: IndexServer, give_base: Callable[[Project], None]) -> Releases:
    """Package every version in one project, so that what they have in common is made once."""
    project = make_site_project(folder, index)
    give_base(project)
    for version, model in VERSIONS.items():
        make_site_project(folder, index, version=version, model=model)
        project.made("package")
    return Releases(root=folder / "dist")


def own(path: Path) -> Path:
    """Break the hard link of a file before it is changed."""
    twin = path.with_name(f".{path.name}.own")
    shutil.copy2(path, twin)
    return twin.replace(path)


def flip(path: Path, offset: int) -> None:
    """Invert every bit of one byte: a fixed value could be there already. Negative offsets count from the end."""
    with own(path).open("r+b") as damaged:
        place = damaged.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        [byte] = damaged.read(1)
        damaged.seek(place)
        damaged.write(bytes([byte ^ 0xFF]))


@dataclass(kw_only=True)
class Site:
    """One server with its own folders; ``shell`` runs ferry.sh, ``path`` is looked through before PATH."""

    daemon: PrivateDaemon | Engine
    folder: Path
    shell: tuple[str, ...] = ("sh",)
    env: dict[str, str] = field(default_factory=dict)
    path: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.state = self.folder / "state"
        self.home = self.folder / "home"
        self._settled: dict[str, str] = {}
        self.fill()

    def fill(self) -> None:
        """What an operator puts on a server before the first release comes."""
        (self.data / "rules").mkdir(parents=True, exist_ok=True)
        (self.data / "rules" / "rules.txt").write_text("rules of the site\n", encoding="utf-8")
        self.home.mkdir(exist_ok=True)

    def environ(self, env: Mapping[str, str]) -> dict[str, str]:
        """The environment of a command; nothing of the person who runs the tests decides."""
        base = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ} | self.daemon.env
        base["PATH"] = ":".join([*map(str, self.path), base["PATH"]])
        return {
            **base, "HOME": str(self.home), "FERRY_STATE": str(self.state), "LANG": "C.UTF-8", "USER": "operator",
            **self.env, **env,
        }

    def command(self, release: Path, *words: str) -> list[str]:
        """``up``, ``run``, ``receipt`` and ``report`` are told where the site's data lies, unless the words say it."""
        if words[:1] in (("up",), ("run",), ("receipt",), ("report",)) and "--data" not in words:
            words = (*words, "--data", str(self.data))
        return self.daemon.inside(*self.shell, str(release / "ferry.sh"), *words)

    def ferry(self, release: Path, *words: str, env: Mapping[str, str] | None = None) -> Finished:
        """One command to its end, with stdin closed."""
        done = subprocess.run(
            self.command(release, *words), env=self.environ(env or {}), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", check=False,
        )
        return Finished(argv=words, status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def start(
        self, release: Path, *words: str, env: Mapping[str, str] | None = None, stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """One command in a session of its own, to be killed by its process id (`nsenter` becomes the shell)."""
        return subprocess.Popen(
            self.command(release, *words), env=self.environ(env or {}), stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=subprocess.STDOUT, start_new_session=True,
        )

    def up(self, release: Path, *words: str) -> Finished:
        """`up` that has to succeed."""
        done = self.ferry(release, "up", *words)
        assert done.ok, f"{words}: status {done.status}\n{done.stdout}\n{done.stderr}"
        return done

    def ask(self, port: int, path: str = "/") -> dict[str, object] | None:
        """What a service answers on the server's own port; None when nobody does."""
        done = subprocess.run(
            self.daemon.inside(sys.executable, "-I", "-S", "-c", ASK, f"http://127.0.0.1:{port}{path}"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )
        answer: dict[str, object] | None = json.loads(done.stdout) if done.returncode == 0 else None
        return answer

    def answers(self) -> list[object]:
        """The releases of which the page, and the engine that the page asks, are now."""
        page, engine = self.ask(SERVICES["page"]) or {}, self.ask(SERVICES["page"], "/engine") or {}
        direct = self.ask(SERVICES["engine"], "/health") or {}
        return [page.get("page"), engine.get("release"), direct.get("release")]

    def docker(self, *words: str) -> str:
        done = subprocess.run(
            ["docker", *words], env={**os.environ, **self.daemon.env}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )
        assert done.returncode == 0, f"docker {words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def containers(self) -> dict[str, str]:
        """Every container of the daemon by name, and its state."""
        lines = self.docker("ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines()
        return dict(line.split(" ") for line in lines)

    def ids(self) -> dict[str, str]:
        """Every container that runs, and its id: the same id is the same start of the same container."""
        lines = self.docker("ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}").splitlines()
        return dict(line.split(" ") for line in lines)

    def clear(self) -> None:
        """Remove containers, networks, data and state; images stay."""
        found = self.docker("ps", "--all", "--quiet").split()
        if found:
            self.docker("rm", "--force", "--volumes", *found)
        self.docker("network", "prune", "--force")
        for place in (self.data, self.state):
            shutil.rmtree(place, ignore_errors=True)
        for copied in self.folder.glob("data/*.before-*"):
            shutil.rmtree(copied)
        self.fill()

    def settle(self, release: Path, version: str) -> None:
        """The release runs, well, and nothing else is there: what a test of an update begins with."""
        here = self.ids()
        if here and here == self._settled and here.keys() == self.containers().keys() \
                and self.answers() == [version] * 3:
            return
        self.clear()
        self.up(release)
        assert self.answers() == [version] * 3
        self._settled = self.ids()


def refused(site: Site, release: Path, status: int, *words: str, runs: str = "1.0.0") -> Finished:
    """`up` (or other words) ends with this status, and the very containers that ran before run and answer."""
    before = site.ids()
    done = site.ferry(release, *(words or ("up",)))
    assert done.status == status, f"{done.stdout}\n{done.stderr}"
    assert "ferry.sh: " in done.stderr
    assert site.ids() == before
    assert site.answers() == [runs] * 3
    return done


def write_program(folder: Path, name: str, text: str) -> Path:
    """A stand-in for a program of the server, for `Site.path`; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    program.chmod(0o755)
    return folder


def without(programs: Iterable[str], folder: Path) -> str:
    """A PATH on which all programs of this machine are, except these."""
    folder.mkdir(parents=True, exist_ok=True)
    gone = set(programs)
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in gone and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return str(folder)
