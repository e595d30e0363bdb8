"""Measures, in one run and on the same wheels, the usual way to an offline image against ours; see bench/README.md.

    .venv/bin/python bench/bench.py [--variant cu121] [--skip-usual] [--out FILE]

The tables go to stdout in Markdown, all figures to FILE in JSON. Every way gets a Docker daemon of its own, and the
bench a project of its own; both are gone afterwards. It needs root on Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.daemon import PrivateDaemon, unavailable  # type: ignore[import-not-found]  # noqa: E402
from support.enclave import real_disk  # type: ignore[import-not-found]  # noqa: E402

from bench import figures  # noqa: E402
from bench.figures import Measured  # noqa: E402
from bench.ways import WAYS, Scene, Way  # noqa: E402
from torchferry import base, console, fetch, files, host, members  # noqa: E402
from torchferry.engines.docker import DockerEngine  # noqa: E402
from torchferry.errors import ConfigError, FerryError, LockError, ToolMissing  # noqa: E402
from torchferry.ignore import IGNORE_FILE  # noqa: E402
from torchferry.layout import VARIANTS_FILE, VERIFIED, Layout  # noqa: E402
from torchferry.model import Lock, Project, Variant, fingerprint  # noqa: E402
from torchferry.pipeline import Road  # noqa: E402

SPARE = 2_000_000_000
"""Bytes of disk beside what grows with the wheels: bases, daemons, logs."""


def main(words: Sequence[str]) -> int:
    """Measure, print, write; a refusal becomes one message and an exit status."""
    options = arguments().parse_args(words)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that everything is removed
    try:
        document, text = measure(options)
        if options.out:
            files.write_text(options.out, json.dumps(document, indent=2) + "\n")
    except FerryError as error:
        console.show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.say("interrupted; everything it made is removed")
        return 130
    console.show(text)
    return 0


def arguments() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(prog="bench.py", description="The usual way to an offline image, against ours.")
    parser.add_argument("--variant", default="cu121", help="the variant to measure; its wheels must be fetched")
    parser.add_argument("--service", help="its service, where several have such a variant")
    parser.add_argument("--file", type=Path, default=ROOT / VARIANTS_FILE, help="the variants.yaml of another project")
    parser.add_argument("--skip-usual", action="store_true", help="measure only our ways; then there are no ratios")
    parser.add_argument("--disk", type=Path, help="the folder for everything it makes (default: a temporary one)")
    parser.add_argument("--out", type=Path, help="write all figures to this file, in JSON")
    return parser


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Every way in turn, each on a daemon of its own: the JSON document and the tables."""
    road = Road.open(options.file.absolute())
    variant = one_variant(road, options)
    lock = fetched(road, variant)
    ways = WAYS[1:] if options.skip_usual else WAYS
    disk = place(options.disk)
    require_room(disk, lock, ways)
    facts, code = about(variant, lock), code_digest()
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="ferry-bench-", dir=disk) as folder:
        for way in ways:
            layout = Layout(root=Path(folder) / way.name)
            link_project(road.project, variant, lock, layout)
            with own_daemon(disk) as (engine, pid):
                facts["docker"] = {"client": engine.client.version, "daemon": host.daemon_version(engine.client)}
                console.say(f"bench: the {way.name} way")
                measured.append(way.measure(scene(layout, variant, lock, engine, pid)))
            files.remove_tree(layout.root)
    facts["code"] = {"digest": code, "changed_meanwhile": code_digest() != code}
    others = [] if options.skip_usual else measured[1:]
    compared = [ratio for other in others for ratio in figures.ratios(measured[0], other)]
    text = figures.report(measured, compared)
    if facts["code"]["changed_meanwhile"]:
        text = f"VOID: torchferry was edited while it was measured; run it again on a copy that rests.\n\n{text}"
    return figures.document(facts, measured, compared), text


def one_variant(road: Road, options: argparse.Namespace) -> Variant:
    """The one variant that was asked for, on a base that needs no registry: a daemon of our own reaches none."""
    chosen = road.select([options.variant], [options.service] if options.service else [])
    if len(chosen) > 1:
        names = ", ".join(variant.service.name for variant in chosen)
        raise ConfigError(f"--variant {options.variant}: {names} have it", cure="say which with --service")
    if chosen[0].service.base.image:
        raise ConfigError(f"{chosen[0].label} stands on a registry image", cure="measure one with base: {debian: ...}")
    return chosen[0]


def fetched(road: Road, variant: Variant) -> Lock:
    """The lock of a variant whose wheels are all here; nothing is resolved or downloaded during a measurement."""
    cure = f"inv fetch --variant {variant.name} --service {variant.service.name}"
    if not road.layout.lock(variant).is_file():
        raise LockError(f"{variant.label} has no lock", cure=cure)
    lock = road.lock(variant)
    if missing := fetch.missing(lock, variant, road.layout):
        raise LockError(f"{variant.label}: {missing[0].filename} is not fetched", cure=cure)
    return lock


def place(disk: Path | None) -> Path:
    """The folder below which everything is made; ToolMissing where no private daemon can be had."""
    reason = unavailable()
    chosen = disk or real_disk()
    if reason or chosen is None:
        raise ToolMissing(f"bench: {reason}", cure="run it as root on Linux, with dockerd and containerd on PATH")
    return chosen.absolute()


def require_room(disk: Path, lock: Lock, ways: Sequence[Way]) -> None:
    """DiskFull unless the way that needs most finds room; one is gone before the next begins."""
    needed = int(lock.size * max(way.room for way in ways)) + SPARE
    files.require_space(disk, needed, what=f"the bench ({console.size(lock.size)} of wheels)")


def about(variant: Variant, lock: Lock) -> dict[str, Any]:
    """When, on what machine and of what was measured; no names of hosts, no paths."""
    return {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "architecture": platform.machine(), "kernel": platform.release(), "cores": members.cores(),
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "python": platform.python_version(),
        "wheels": {"variant": variant.label, "count": len(lock.wheels), "bytes": lock.size},
    }


def code_digest() -> str:
    """A hex SHA-256 over all that decides what our commands do."""
    places = [ROOT / "tasks.py", *(ROOT / "torchferry").rglob("*.*"), *(ROOT / "templates").rglob("*.*")]
    return fingerprint({
        str(place.relative_to(ROOT)): files.sha256(place)
        for place in sorted(places) if place.is_file() and place.suffix != ".pyc"
    })


def link_project(project: Project, variant: Variant, lock: Lock, layout: Layout) -> None:
    """A copy of a project with one variant fetched and its base made; wheels and base are hard links."""
    here = Layout(root=project.root)
    services = {one.service.name: one.service for one in project.variants}.values()
    paths = {path for one in services for path in (one.source, one.requirements, *one.include)}
    for path in sorted({VARIANTS_FILE, IGNORE_FILE, "templates", *paths}):
        copy(here.root / path, layout.root / path)
    copy(here.lock(variant), layout.lock(variant))
    stands_on = (variant.service.base, variant.architecture)
    copy(here.base_lock(*stands_on), layout.base_lock(*stands_on))
    link(here.base_tar(*stands_on), layout.base_tar(*stands_on))
    for wheel in lock.wheels:
        link(here.wheel_folder(variant) / wheel.filename, layout.wheel_folder(variant) / wheel.filename)
    link(here.tools_folder / lock.installer.filename, layout.tools_folder / lock.installer.filename)
    for source, target in ((here.wheel_folder(variant), layout.wheel_folder(variant)),
                           (here.tools_folder, layout.tools_folder)):
        copy(source / VERIFIED, target / VERIFIED)  # links are known again by their inodes: no hash anew


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder, if it is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy2(source, target)


def link(source: Path, target: Path) -> None:
    """Make a hard link, if the file is there."""
    if source.exists():
        files.link_or_copy(source, target)


@contextmanager
def own_daemon(disk: Path) -> Iterator[tuple[DockerEngine, int]]:
    """A private daemon that every docker client below us talks to, and its process id."""
    before = os.environ.get("DOCKER_HOST")
    with PrivateDaemon(disk=disk) as daemon:
        os.environ.update(daemon.env)
        try:
            engine = DockerEngine.connect()
            yield engine, daemon.pid
            engine.api.close()
        finally:
            os.environ.pop("DOCKER_HOST")
            if before is not None:
                os.environ["DOCKER_HOST"] = before


def scene(layout: Layout, variant: Variant, lock: Lock, engine: DockerEngine, daemon: int) -> Scene:
    """Where a way begins: wheels proven, base made and in the daemon's store; none of that is timed."""
    road = Road.open(layout.root / VARIANTS_FILE)
    road.fetch(variant, road.lock(variant))
    debian = base.debian_base(variant.service.base, layout, architecture=variant.architecture)
    engine.take_base(debian)
    return Scene(layout=layout, variant=variant, lock=lock, base=debian.reference, engine=engine, daemon=daemon)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
