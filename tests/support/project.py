"""A small release on disk, four CUDA variants and a page without torch, and torchferry's tasks as people run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.index_server import IndexServer
from torchferry.proc import Finished

TASKS = Path(__file__).parents[2]
VARIANTS = ("cu118", "cu121", "cu124", "cpu")

VARIANTS_YAML = """\
release: {name: tiny, version: 1.0.0}
engine: ENGINE
python: "3.11"
base: {debian: bookworm}
services:
  engine:
    source: engine
    requirements: engine/requirements.in
    command: [python, -m, engine]
    port: 8003
    health: {path: /health, expect: {status: ok, ready: true}, within: 30s}
    env: {ENGINE_WORDS: "it's $HOME, \\"quoted\\" \\\\ and `kept`"}
    mounts: {/app/models: models, /app/logs: logs}
    smoke: [[ferrypure], [python, -c, "open('/app/logs/mine', 'w').close()"]]
    variants:
      cu118: {torch: 2.1.2}
      cu121: {torch: 2.1.2}
      cu124: {torch: 2.6.0}
      cpu: {torch: 2.1.2, env: {ENGINE_DEVICE: cpu}}
  page:
    source: page
    requirements: page/requirements.in
    command: [python, -m, page]
    port: 8100
    health: {path: /, within: 30s}
"""

SERVE = """\
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(answer()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def main(port):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    HTTPServer(("127.0.0.1", port), Handler).serve_forever()

"""

ENGINE = SERVE + """\
import ferrypure
import torch
from engine.words import WORDS

def answer():
    return {"status": "ok", "ready": True, "cuda": torch.version.cuda, "words": os.environ[WORDS],
            "pure": ferrypure.__version__, "uid": os.getuid()}

if __name__ == "__main__":
    main(8003)
"""

PAGE = SERVE + """\
def answer():
    return {"page": "hello"}

if __name__ == "__main__":
    main(8100)
"""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project folder, and the environment in which its tasks run."""

    folder: Path
    env: Mapping[str, str]

    def inv(self, *words: str, **env: str) -> Finished:
        """Run one task (`inv("build", "--variant", "cu124")`) with stdin closed."""
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env={**self.env, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )
        return Finished(argv=words, status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def made(self, *words: str, **env: str) -> Finished:
        """Run one task that has to succeed."""
        done = self.inv(*words, **env)
        assert done.ok, f"{words}: status {done.status}\n{done.stdout}\n{done.stderr}"
        return done

    def interrupted(self, *words: str, when: Callable[[], bool]) -> Finished:
        """Run one task and press Ctrl-C as soon as ``when`` holds."""
        process = subprocess.Popen(
            self.command(*words), cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        while not when():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to every process of the group
        out, err = process.communicate()
        return Finished(argv=words, status=process.returncode, stdout=out, stderr=err)

    def command(self, *words: str) -> list[str]:
        file = ["--file", str(self.folder / "variants.yaml")]
        return [sys.executable, "-m", "invoke", "--search-root", str(TASKS), *words, *file]

    def write(self, path: str, text: str) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    @property
    def release(self) -> Path:
        return self.folder / "dist" / "tiny-1.0.0"

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.release / "manifest.json").read_text(encoding="utf-8"))
        return found

    def partial_files(self) -> list[Path]:
        """Whatever is not whole; the beginning of a download is kept on purpose, to go on from."""
        return [path for path in self.folder.rglob("*partial*") if not path.name.endswith(".whl.partial")]


def make_project(
    folder: Path, index: IndexServer, *, env: Mapping[str, str] | None = None, engine: str = "docker",
) -> Project:
    """Write the release into ``folder``; its wheels come from ``index``, and from nowhere else."""
    project = Project(folder=folder, env={
        **os.environ, **index.environ, **torch_indexes(index), "PYTHONWARNINGS": "error",
        "HOME": str(folder / "home"), "UV_CACHE_DIR": str(folder / ".uv-cache"), **(env or {}),
    })
    project.write("variants.yaml", VARIANTS_YAML.replace("ENGINE", engine, 1))
    project.write("engine/requirements.in", "torch\nferrypure==1.0.0\n")
    project.write("engine/engine/__init__.py", "")
    project.write("engine/engine/__main__.py", ENGINE)
    project.write("engine/engine/words.py", 'WORDS = "ENGINE_WORDS"\n')
    project.write("page/requirements.in", "ferrypure\n")
    project.write("page/page/__init__.py", "")
    project.write("page/page/__main__.py", PAGE)
    return project


def torch_indexes(index: IndexServer) -> dict[str, str]:
    """cu121 and cu124 come from the default index, where PyPI has them too; cu118 and cpu from the torch index."""
    named = {f"TORCHFERRY_TORCH_INDEX_{name.upper()}": f"{index.url}/whl/{name}" for name in ("cu118", "cpu")}
    return {"TORCHFERRY_TORCH_INDEX": "", **named}
