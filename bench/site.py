"""Measures, in one run, what the far side pays for being told the truth: `ferry.sh up` against a plain `docker load`.

    .venv/bin/python bench/site.py [--release dist/stt-1.0.0] [--rounds 2]

Each way gets an empty Docker daemon of its own and cold files; the order alternates. It needs root on Linux, a packed
release of one variant, and room for its image twice. The table goes to stdout in Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.daemon import PrivateDaemon, unavailable  # type: ignore[import-not-found]  # noqa: E402

Way = Callable[[PrivateDaemon, Path, Path], None]


def main(words: Sequence[str]) -> int:
    """Measure every way in every round, and print the best of each: the others had company."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=Path, default=ROOT / "dist/stt-1.0.0")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args(words)
    reason = unavailable()
    if reason:
        print(reason, file=sys.stderr)
        return 7
    release = options.release.absolute()
    best = {name: min(measured(way, release) for _ in range(options.rounds)) for name, way in WAYS.items()}
    usual = best["docker load"]
    print("| way | seconds | of docker load |\n|---|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds:.1f} | {seconds / usual:.2f} |")
    return 0


def measured(way: Way, release: Path) -> float:
    """Seconds that a way takes on an empty daemon, with nothing of the release in memory."""
    with PrivateDaemon() as daemon, tempfile.TemporaryDirectory() as data:
        Path(data, "models").mkdir()
        Path(data, "models/README").write_text("a model lies here\n", encoding="utf-8")
        subprocess.run(["sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches"], check=True)
        started = time.monotonic()
        way(daemon, release, Path(data))
        return time.monotonic() - started


def plain(daemon: PrivateDaemon, release: Path, _: Path) -> None:
    """What people type, with no check at all."""
    for archive in sorted(release.glob("*.tar.gz")):
        run(daemon, ["docker", "load", "--quiet", "--input", str(archive)])


def ferry(*words: str) -> Way:
    """A command of ferry.sh."""

    def done(daemon: PrivateDaemon, release: Path, data: Path) -> None:
        options = ["--data", str(data)] if words[0] in ("run", "up") else []
        run(daemon, daemon.inside("sh", str(release / "ferry.sh"), *words, *options), FERRY_STATE=f"{data}/state")

    return done


def run(daemon: PrivateDaemon, argv: Sequence[str], **env: str) -> None:
    """Run a program against a daemon; it has to succeed."""
    done = subprocess.run(argv, env={**os.environ, **daemon.env, **env}, stdin=subprocess.DEVNULL, check=False,
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stdout}{done.stderr}")


WAYS = {
    "docker load": plain,
    "ferry.sh verify": ferry("verify"),
    "ferry.sh load": ferry("load", "--variant", "cu121"),
    "ferry.sh up": ferry("up", "--variant", "cu121", "--gpus", "none"),
}
"""`up` ends when the service is well: on the CPU, so that a machine without a GPU tells it too."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
