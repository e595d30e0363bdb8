"""The ways from wheels to an archive that `docker load` takes; a new one is a class here and a row in `WAYS`."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import figures
from bench.figures import Measured, Step
from bench.watch import timed
from torchferry import files, proc
from torchferry.engines.docker import DockerEngine
from torchferry.errors import BuildError, ToolMissing
from torchferry.layout import VARIANTS_FILE, Layout
from torchferry.model import BuiltImage, Lock, Variant

ROOT = Path(__file__).resolve().parents[1]

USUAL_DOCKERFILE = """\
FROM {base}
ENV PATH=/opt/venv/bin:$PATH
COPY pip /opt/pip
COPY wheels /wheels
COPY requirements.txt /requirements.txt
RUN python3 -m venv --without-pip /opt/venv && \\
    /opt/venv/bin/python /opt/pip install --no-cache-dir --no-index --find-links /wheels -r /requirements.txt
COPY app /app
WORKDIR /app
CMD {command}
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What every way starts from: a project of the bench's own, in which one variant is fetched and has its base."""

    layout: Layout
    variant: Variant
    lock: Lock
    base: str
    engine: DockerEngine
    daemon: int

    def timed(self, name: str, *argv: str | Path) -> Step:
        """Run a program to its end as one step."""
        return timed(name, lambda: self.run(*argv), without=self.daemon)

    def run(self, *argv: str | Path) -> None:
        """Run a program; BuildError tells its last lines when it fails."""
        log = self.layout.root / "bench.log"
        done = proc.run(argv, env={"DOCKER_BUILDKIT": "1"}, log=log)
        if not done.ok:
            raise BuildError(
                f"bench: {Path(argv[0]).name} failed (status {done.status}), its last lines:\n{done.tail(15)}",
                cure="mend what it says, then run the bench again",
            )

    def image(self, name: str) -> BuiltImage:
        """An image that was built just now."""
        found = self.engine.find(name)
        if found is None:
            raise BuildError(f"bench: {name} is not in the daemon's store", cure="look at what the build says")
        return found


class Way(Protocol):
    """One way, measured on a daemon of its own; ``room`` is the disk it needs, in bytes per byte of wheels."""

    name: str
    room: float

    def measure(self, scene: Scene) -> Measured:
        """Take the wheels all the way to an archive."""


class UsualWay:
    """What people do: COPY the wheels, pip install, docker save | gzip."""

    name = "usual"
    room = 12.0
    image = "ferry-bench:usual"

    def measure(self, scene: Scene) -> Measured:
        context, archive = scene.layout.root / "usual", scene.layout.root / "usual.tar.gz"
        self._lay_out(context, scene)
        client = scene.engine.client.path
        build = scene.timed(figures.BUILD, client, "build", "--progress", "plain", "--tag", self.image, context)
        pack = timed(figures.PACK, lambda: save_and_gzip(client, self.image, archive), without=scene.daemon)
        return Measured(
            way=self.name, image_bytes=scene.image(self.image).size, archive_bytes=archive.stat().st_size,
            steps=(build, pack),
        )

    def _lay_out(self, context: Path, scene: Scene) -> None:
        for wheel in scene.lock.wheels:
            source = scene.layout.wheel_folder(scene.variant) / wheel.filename
            files.link_or_copy(source, context / "wheels" / wheel.filename)
        pins = "".join(f"{wheel.name}=={wheel.version}\n" for wheel in scene.lock.wheels)
        files.write_text(context / "requirements.txt", pins)
        shutil.copytree(own_pip(), context / "pip", ignore=shutil.ignore_patterns("__pycache__"))
        service = scene.variant.service
        shutil.copytree(scene.layout.root / service.source, context / "app")
        text = USUAL_DOCKERFILE.format(base=scene.base, command=json.dumps(list(service.command)))
        files.write_text(context / "Dockerfile", text)


class FerryWay:
    """Ours: inv build, then inv package with nothing stored, with every layer stored, and with all of it there."""

    name = "docker engine"
    room = 10.0

    def measure(self, scene: Scene) -> Measured:
        build = self._inv(scene, figures.BUILD, "build")
        _require(not scene.layout.blobs.exists(), "layers were stored before anything was packed")
        cold = self._inv(scene, figures.PACK_COLD, "package")
        shutil.rmtree(scene.layout.release(scene.variant.release))
        warm = self._inv(scene, figures.PACK_WARM, "package")
        written = scene.layout.archive(scene.variant).stat()
        unchanged = self._inv(scene, figures.PACK_UNCHANGED, "package")
        _require(scene.layout.archive(scene.variant).stat().st_ino == written.st_ino, "the archive was written again")
        return Measured(
            way=self.name, image_bytes=scene.image(scene.variant.image_name).size, archive_bytes=written.st_size,
            steps=(build, cold, warm, unchanged),
        )

    def _inv(self, scene: Scene, name: str, task: str) -> Step:
        return scene.timed(
            name, *inv(scene, task, "docker"),
        )


class DirectWay:
    """Ours with no daemon: wheels to archive in one command; again; and with one line of the service changed."""

    name = "direct engine"
    room = 4.0

    def measure(self, scene: Scene) -> Measured:
        archive = scene.layout.archive(scene.variant)
        whole = scene.timed(figures.WHOLE, *inv(scene, "package", "direct"))
        unchanged = scene.timed(figures.UNCHANGED, *inv(scene, "package", "direct"))
        copy = scene.layout.root / "copy"
        copied = scene.timed(figures.COPY, "cp", archive, copy)
        copy.unlink()
        synced = scene.timed(figures.COPY_SYNCED, "dd", f"if={archive}", f"of={copy}", "bs=4M", "conv=fsync")
        copy.unlink()
        source = next((scene.layout.root / scene.variant.service.source).rglob("*.py"))
        with source.open("a", encoding="utf-8") as code:
            code.write("# changed\n")
        changed = scene.timed(figures.CHANGED, *inv(scene, "package", "direct"))
        (row,) = json.loads(scene.layout.manifest(scene.variant.release).read_text(encoding="utf-8"))["images"]
        return Measured(
            way=self.name, image_bytes=row["size"], archive_bytes=archive.stat().st_size,
            steps=(whole, unchanged, copied, synced, changed),
        )


def inv(scene: Scene, task: str, engine: str) -> tuple[str | Path, ...]:
    """A task on the scene's one variant, as users start it."""
    return (
        sys.executable, "-m", "invoke", "--search-root", ROOT, task, "--engine", engine,
        "--file", scene.layout.root / VARIANTS_FILE,
        "--variant", scene.variant.name, "--service", scene.variant.service.name,
    )


WAYS: tuple[Way, ...] = (UsualWay(), FerryWay(), DirectWay())
"""In the order in which they are measured; the others are compared with the first."""


def save_and_gzip(client: str, image: str, target: Path) -> None:
    """``docker save IMAGE | gzip > TARGET``, through a real pipe; BuildError when either of the two fails."""
    with (
        target.open("wb") as sink,
        subprocess.Popen([client, "save", image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as saving,
        subprocess.Popen(["gzip", "-6"], stdin=saving.stdout, stdout=sink) as packing,
    ):
        assert saving.stdout is not None
        saving.stdout.close()  # gzip alone holds the pipe now: if it dies, docker save ends as well
        ended = {"docker save": saving.wait(), "gzip": packing.wait()}
    for program, status in ended.items():
        _require(status == 0, f"{program} ended with status {status}")


def own_pip() -> Path:
    """The pip package of this interpreter; it came with pip-tools, and runs from any folder."""
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        raise ToolMissing("no pip in this Python", cure="run the bench with .venv/bin/python, which ./inv makes")
    return Path(spec.origin).parent


def _require(fact: bool, otherwise: str) -> None:
    if not fact:
        raise BuildError(f"bench: {otherwise}", cure="what was measured so far is void; run it again")
