"""A release of two services that talk to each other, with a model, a proof and an update hook; built without Docker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from support.index_server import IndexServer
from support.project import Project, torch_indexes

VARIANTS_YAML = """\
release: {name: duo, version: VERSION}
engine: direct
python: "3.11"
base: {debian: bookworm}
models:
  words: {source: models/words, version: "@MODEL@", at: /app/models/words, expect: [words.txt]}
services:
  engine:
    source: engine
    requirements: engine/requirements.in
    command: [python, -m, engine]
    port: 8003
    health: {path: /health, expect: {status: ok}, within: 10s}
    env: {ENGINE_MODE: auto}
    mounts: {/app/models: models:ro, /app/rules: rules:ro, /app/logs: logs}
    prove: {path: /twice, body: '{"number": 21}', expect: {answer: 42}}
    before_update: {copy: [/app/logs], command: [python, -m, engine.migrate]}
    variants:
      cu121: {torch: 2.1.2}
      cpu: {torch: 2.1.2}
  page:
    source: page
    requirements: page/requirements.in
    command: [python, -m, page]
    port: 8100
    health: {path: /, within: 20s}
"""

SERVE = """\
import json, os, signal, sys, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.say(answer(self.path))

    def do_POST(self):
        self.say(posted(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def say(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def main(port):
    if os.environ.get("DIES"):
        sys.exit("CUDA error: no kernel image is available for execution on the device")
    if os.environ.get("DEAF"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()

"""

ENGINE = SERVE + """\
import torch

MODEL = "/app/models/words/words.txt"

def answer(path):
    words = open(MODEL).read().strip() if os.path.exists(MODEL) else None
    return {"status": os.environ.get("STATUS", "ok"), "release": "VERSION", "words": words, "uid": os.getuid(),
            "cuda": torch.version.cuda, "migrated": os.path.exists("/app/logs/migrated")}

def posted(what):
    return {"answer": what["number"] * int(os.environ.get("FACTOR", "2"))}

if __name__ == "__main__":
    print("engine VERSION starts", flush=True)
    main(8003)
"""

PAGE = SERVE + """\
def answer(path):
    if path == "/engine":
        return json.load(urllib.request.urlopen("http://engine:8003/health", timeout=5))
    return {"page": "VERSION"}

if __name__ == "__main__":
    main(8100)
"""

MIGRATE = """\
import os, sys, time
time.sleep(float(os.environ.get("MIGRATION_TAKES", "0")))
if os.environ.get("NO_MIGRATION"):
    sys.exit("the schema cannot be changed")
open("/app/logs/migrated", "a").close()
"""


def make_site_project(
    folder: Path, index: IndexServer, *, version: str = "1.0.0", model: str = "1", env: Mapping[str, str] | None = None,
) -> Project:
    """Write one version of the release into ``folder``."""
    project = Project(folder=folder, env=project_env(folder, index, env))
    for path, text in {
        "variants.yaml": VARIANTS_YAML, "engine/requirements.in": "torch\nferrypure==1.0.0\n",
        "engine/engine/__init__.py": "", "engine/engine/__main__.py": ENGINE, "engine/engine/migrate.py": MIGRATE,
        "page/requirements.in": "ferrypure\n", "page/page/__init__.py": "", "page/page/__main__.py": PAGE,
        "models/words/words.txt": "words of model @MODEL@\n", "models/words/tables/one two.txt": "the same in all\n",
    }.items():
        project.write(path, text.replace("VERSION", version).replace("@MODEL@", model))
    return project


def project_env(folder: Path, index: IndexServer, env: Mapping[str, str] | None) -> dict[str, str]:
    """The environment of a project whose wheels come from ``index`` and whose Docker is nobody's."""
    return {
        **os.environ, **index.environ, **torch_indexes(index), "PYTHONWARNINGS": "error",
        "HOME": str(folder / "home"), "UV_CACHE_DIR": str(folder / ".uv-cache"),
        "DOCKER_HOST": f"unix://{folder}/none.sock", **(env or {}),
    }
