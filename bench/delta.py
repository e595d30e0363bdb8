"""Measures, in one run, what a small change costs to build, to carry and to take: deltas against a plain `docker load`.

    .venv/bin/python bench/delta.py [--release dist/stt-1.0.0] [--variant cu121]

It needs a packed release of the variant (`./inv bundle --variant cu121`), root on Linux, an index for the bumped wheel,
and room for the image three times. Nothing of the project is touched: it works on hard links. Markdown goes to stdout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.daemon import PrivateDaemon, unavailable  # type: ignore[import-not-found]  # noqa: E402

Row = tuple[str, str, str]
USUAL = "docker load of all"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A copy of the project in ``folder``, and the release that sites have."""

    folder: Path
    release: Path
    variant: str

    def inv(self, *words: str) -> float:
        """Seconds that a task takes from the start of its Python to its end."""
        started = time.monotonic()
        run([sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words, "--variant", self.variant,
             "--file", str(self.folder / "variants.yaml")])
        return time.monotonic() - started

    def change(self, path: str, text: str) -> None:
        place = self.folder / path
        place.write_text(place.read_text(encoding="utf-8") + text, encoding="utf-8")

    def becomes(self, version: str) -> None:
        place = self.folder / "variants.yaml"
        lines = place.read_text(encoding="utf-8").splitlines(keepends=True)
        stated = f"release: {{name: {self.release.name.rpartition('-')[0]}, version: {version}}}\n"
        lines = [stated if line.startswith("release:") else line for line in lines]
        place.write_text("".join(lines), encoding="utf-8")

    def delta(self, version: str) -> Path:
        old = self.release.name.rpartition("-")[2]
        return self.folder / "dist" / f"{self.release.name.rpartition('-')[0]}-{version}-since-{old}"


def main(words: Sequence[str]) -> int:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=Path, default=ROOT / "dist/stt-1.0.0")
    parser.add_argument("--variant", default="cu121")
    options = parser.parse_args(words)
    reason = unavailable()
    if reason:
        print(reason, file=sys.stderr)
        return 7
    release = options.release.absolute()
    with tempfile.TemporaryDirectory(dir=release.parents[1] / "build", prefix="bench-") as folder:
        bench = Bench(folder=Path(folder), release=release, variant=options.variant)
        link(release.parents[1], bench.folder)
        print("| figure | usual way | with a delta |\n|---|---|---|")
        for figure, usual, ours in measured(bench):
            print(f"| {figure} | {usual} | {ours} |", flush=True)
    return 0


def link(project: Path, folder: Path) -> None:
    """The project once more, its large files as hard links."""
    for name in ("wheels", "build"):
        shutil.copytree(project / name, folder / name, copy_function=os.link, symlinks=True,
                        ignore=shutil.ignore_patterns("bench-*"))
    shutil.copytree(project / "app", folder / "app")
    shutil.copy(project / "variants.yaml", folder)


def measured(bench: Bench) -> Iterator[Row]:
    """The rows, as they are known."""
    whole = size(bench.release)
    bench.becomes("1.0.1")
    bench.inv("package", "--since", str(bench.release))  # what a first run learns is not the change's to pay
    bench.becomes("1.0.2")
    bench.change("app/stt_engine/api.py", "\n# one more line\n")
    seconds = bench.inv("package", "--since", str(bench.release))
    changed = bench.delta("1.0.2")
    yield "one changed .py: bytes to carry", megabytes(whole), share(changed, whole)
    yield "one changed .py: build + package", "bench/bench.py", f"{seconds:.1f} s"
    yield from taken(bench, changed)
    bench.becomes("1.0.3")
    bench.change("app/requirements.in", "idna<3.10\n")
    locking = bench.inv("lock")
    seconds = bench.inv("package", "--since", str(bench.release))
    yield "one bumped small wheel: bytes to carry", megabytes(whole), share(bench.delta("1.0.3"), whole)
    yield "one bumped small wheel: build + package", "bench/bench.py", f"{seconds:.1f} s (lock {locking:.1f} s)"


def taken(bench: Bench, delta: Path) -> Iterator[Row]:
    """What a server pays: on one daemon all is loaded plainly; on another the release runs, and the delta comes."""
    with PrivateDaemon() as daemon:
        started = time.monotonic()
        for archive in sorted(bench.release.glob("*.tar.gz")):
            run(["docker", "load", "--quiet", "--input", str(archive)], **daemon.env)
        loading = time.monotonic() - started
    with PrivateDaemon() as daemon, tempfile.TemporaryDirectory() as data:
        Path(data, "models").mkdir()
        Path(data, "models/README").write_text("a model lies here\n", encoding="utf-8")
        env = {**daemon.env, "FERRY_STATE": f"{data}/state"}
        up = ["up", "--variant", bench.variant, "--gpus", "none", "--data", data]
        run(daemon.inside("sh", str(bench.release / "ferry.sh"), *up), **env)
        started = time.monotonic()
        run(daemon.inside("sh", str(delta / "ferry.sh"), *up), **env)
        updating = time.monotonic() - started
        started = time.monotonic()
        run(daemon.inside("sh", str(delta / "ferry.sh"), "rollback"), **env)
        back = time.monotonic() - started
    yield "server: verify + load + prove + switch", f"{loading:.1f} s ({USUAL} alone)", f"{updating:.1f} s"
    yield "server: rollback", f"{loading:.1f} s ({USUAL} alone)", f"{back:.1f} s"


def run(argv: Sequence[str], **env: str) -> None:
    """Run a program; it has to succeed."""
    done = subprocess.run(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, check=False, capture_output=True,
                          text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stdout}{done.stderr}")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def share(folder: Path, whole: int) -> str:
    return f"{megabytes(size(folder))} ({100 * size(folder) / whole:.3f} %)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
