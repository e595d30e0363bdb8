"""A manifest with everything that one may hold, the page and the text made of it, and the page's judge in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchferry import install_text, page
from torchferry.components import Component
from torchferry.server import Server
from torchferry.templates import TEMPLATES

from .chromium import Page
from .ferry import COMPAT, project

CUDA = {
    "torch": "2.1.2", "cuda": "12.1", "driver": {"floor": "525.60.13", "full_support": "530.30.02"},
    "compute_capabilities": ["50", "60", "70", "75", "80", "86", "90"],
}
SMOKE = [
    {"check": "health", "status": "passed", "seen": "after 2.0 s"},
    {"check": "computation on a GPU", "status": "not tested", "seen": ""},
]


def digest(word: str) -> str:
    """A hash that follows from a word."""
    return hashlib.sha256(word.encode()).hexdigest()


def image(service: str, variant: str, *, parts: int = 0, needs: Mapping[str, Any] = CUDA) -> dict[str, Any]:
    """One image of a manifest, its archive whole or in parts."""
    name = f"{service}-1.0.0-{variant}.tar.gz"
    archive: dict[str, Any] = {"name": name, "size": 2_780_123_456, "sha256": digest(name), "compression": "fast"}
    if parts:
        archive["parts"] = [
            {"name": f"{name}.part{number:03}", "size": 1_390_061_728, "sha256": digest(f"{name}{number}")}
            for number in range(1, parts + 1)
        ]
    return {
        "service": service, "variant": variant, "image": f"{service}:1.0.0-{variant}", "archive": archive,
        "platform": "linux/amd64", "config": digest("config"), "layers": [], "size": 5_050_000_000,
        "revision": "c0ffee" + "0" * 34, "lock": {"digest": digest("lock"), "fingerprint": digest("of")},
        "needs": dict(needs), "wheels": [], "smoke": SMOKE,
    }


def document(name: str = "stt", service: str = "engine") -> dict[str, Any]:
    """A whole manifest.json, with all that it may hold."""
    return {
        "torchferry": "0.1.0", "manifest": 1, "release": name, "version": "1.0.0", "sequence": 7,
        "images": [
            image(service, "cu121", parts=2), image(service, "cpu", needs={"torch": "2.1.2", "cuda": None}),
            image("web", "any", needs={"torch": None, "cuda": None}),
        ],
        "services": [
            {"name": service, "port": 8003, "health": {"path": "/health", "expect": {"status": "ok"}, "within": 60}},
            {"name": "web", "port": 8100},
        ],
        "models": [{"name": "whisper", "version": "3", "files": [
            {"path": "model.bin", "size": 1_540_000_000, "sha256": digest("model")},
            {"path": "config/preprocessor_config.json", "size": 340, "sha256": digest("config")},
        ]}],
    }


COMPONENTS = (
    Component(name="torch", version="2.1.2", license="BSD-3-Clause", kind="wheel", sha256=digest("torch")),
    Component(name="numpy", version="1.26.4", license="BSD-3-Clause", kind="wheel", sha256=digest("numpy")),
    Component(name="libc6", version="2.36-9+deb12u9", license="LGPL-2.1", kind="deb", sha256=digest("libc6")),
)


def html(
    made: Mapping[str, Any] | None = None, *, components: Sequence[Component] = COMPONENTS,
    texts: Mapping[str, str] | None = None,
) -> str:
    """index.html of a manifest."""
    said = document() if made is None else made
    others = {"manifest.json": json.dumps(said), "INSTALL.txt": install_text.text(said)} if texts is None else texts
    return page.html(
        said, project().variants, COMPAT, templates=TEMPLATES, texts=others, components=components
    )


def release(folder: Path, made: Mapping[str, Any] | None = None) -> Path:
    """index.html in a folder whose path has blanks and Korean in it."""
    place = folder / "새 릴리스 1.0" / "index.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(html(made), encoding="utf-8")
    return place


JUDGED = """(hosts, driver, gpus) => hosts.map((host) => {
  const content = host === null ? null : host.bytes === undefined ? host.text
    : Uint8Array.from(atob(host.bytes), (character) => character.charCodeAt(0));
  const answer = host?.server ? { server: host.server, ...torchferry.judge.judge(host.server) }
    : torchferry.doctor(content, driver ?? "", gpus ?? []);
  const { server, verdicts, pick, status } = answer;
  const { driver: known, limit, platform, arch, failure, mig } = server;
  const lines = [["facts", known, limit, platform, arch, failure, Number(mig)]];
  for (const { index, name, capability } of server.gpus) lines.push(["gpu", index, name, capability]);
  for (const { rule, runs, full, on, reasons } of verdicts) {
    lines.push(["variant", rule.name, runs, Number(full), on.join(",")]);
    for (const reason of reasons) lines.push(["reason", torchferry.reasonText(reason, "en")]);
  }
  lines.push(["pick", pick, status]);
  return lines.map((line) => line.join("\\t")).join("\\n");
})"""
"""What the page's judge says of each text, file or bare facts of a server.

In the form of `ferry.sh doctor --plain`, without its first line.
"""


def facts(server: Server) -> dict[str, Any]:
    """A server as the page's judge knows it."""
    gpus = [{"index": gpu.index, "name": gpu.name, "capability": gpu.capability or ""} for gpu in server.gpus]
    return {
        "driver": server.driver or "", "limit": server.cuda_limit or "", "platform": server.platform,
        "arch": server.arch or "", "failure": server.failure or "", "mig": server.mig, "gpus": gpus,
    }


def judged_bytes(page: Page, texts: Mapping[str, bytes]) -> dict[str, str]:
    """What the page says of the bytes of files, all in one go."""
    sent = [{"bytes": base64.b64encode(data).decode()} for data in texts.values()]
    return dict(zip(texts, page.call(JUDGED, sent), strict=True))


def judged_texts(page: Page, texts: Mapping[str, str]) -> dict[str, str]:
    """What the page says of pasted texts."""
    return dict(zip(texts, page.call(JUDGED, [{"text": text} for text in texts.values()]), strict=True))
