"""A manifest with everything that one may hold, the page and the text made of it, and the page's judge in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchferry import install_text, page
from torchferry.components import Component
from torchferry.ferry import present
from torchferry.model import Variant
from torchferry.server import Server
from torchferry.templates import TEMPLATES

from . import ferry
from .chromium import Page

SMOKE = [
    {"check": "health", "status": "passed", "seen": "after 2.0 s"},
    {"check": "computation on a GPU", "status": "not tested", "seen": ""},
]
REVISION = "c0ffee" + "0" * 34


def digest(word: str) -> str:
    """A hash that follows from a word."""
    return hashlib.sha256(word.encode()).hexdigest()


def document(name: str = "stt", service: str = "engine") -> dict[str, Any]:
    """A manifest.json as torchferry writes it, of a release with sizes that a person would see, and one in parts."""
    made = json.loads(json.dumps(ferry.document(name)))
    for number, image in enumerate(made["images"]):
        archive = image["archive"]
        archive.update(size=2_780_123_456 + number, sha256=digest(archive["name"]))
        count = 2 if image["variant"] == "cu121" else 1
        names = [f"{archive['name']}.part{part + 1:03}" for part in range(count)] if count > 1 else [archive["name"]]
        archive["parts"] = [{"name": one, "size": archive["size"] // count, "sha256": digest(one)} for one in names]
        archive["head"]["sha256"] = digest(archive["head"]["name"])
        image.update(size=5_050_000_000, revision=REVISION, smoke=SMOKE)
        image["service"] = service if image["service"] == "engine" else image["service"]
    for one in made["services"]:
        one["name"] = service if one["name"] == "engine" else one["name"]
    return {**made, "sequence": 7, "revision": REVISION}


def row(name: str, version: str, license: str, kind: str) -> Component:  # noqa: A002
    """A component whose hash follows from its name."""
    return Component(name=name, version=version, license=license, kind=kind, sha256=digest(name))


BOMS = {
    "engine-cu121": (
        row("torch", "2.1.2", "BSD-3-Clause", "wheel"), row("numpy", "1.26.4", "BSD-3-Clause", "wheel"),
        row("libc6", "2.36-9+deb12u9", "", "package"),
    ),
    "engine-cpu": (
        row("torch", "2.1.2+cpu", "BSD-3-Clause", "wheel"), row("numpy", "1.26.4", "BSD-3-Clause", "wheel"),
        row("libc6", "2.36-9+deb12u9", "", "package"),
    ),
}


def html(
    made: Mapping[str, Any] | None = None, *, boms: Mapping[str, Sequence[Component]] = BOMS,
    texts: Mapping[str, str] | None = None,
) -> str:
    """index.html of a manifest."""
    said = document() if made is None else made
    others = {"manifest.json": json.dumps(said), "INSTALL.txt": install_text.text(said)} if texts is None else texts
    return page.html(said, _variants(said), ferry.COMPAT, templates=TEMPLATES, texts=others, boms=boms)


def _variants(made: Mapping[str, Any]) -> list[Variant]:
    """The variants of the project that are in a manifest, their services named as there."""
    name = min({row["service"] for row in made["images"]} - {"web"}, default="engine")
    project = ferry.project()
    renamed = tuple(
        replace(one, service=replace(one.service, name=name)) if one.service.name == "engine" else one
        for one in project.variants
    )
    return list(present(made, replace(project, variants=renamed)))


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
