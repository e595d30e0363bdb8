"""ferry.sh for a project with several variants, run over folders of texts; and Python's judgement in the same form."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import ferry, manifest
from torchferry.compat import load
from torchferry.gpus import GpuNames
from torchferry.model import Archive, Image, Layer, Project, Variant
from torchferry.running import Head
from torchferry.server import Server
from torchferry.smi import read
from torchferry.templates import TEMPLATES
from torchferry.verdict import judge, rules

from . import nouns
from .variants_text import FULL, parsed

COMPAT = load()
NAMES = GpuNames(table=COMPAT.table)
BOTH = ["linux/amd64", "linux/arm64"]


def project() -> Project:
    """A release with four CUDA variants and one for the CPU of two architectures."""
    document = copy.deepcopy(FULL)
    document["platforms"] = ["linux/amd64"]
    engine = document["services"]["engine"]
    engine["variants"] = {
        "cu118": {"torch": "2.1.2"}, "cu121": {"torch": "2.1.2"}, "cu124": {"torch": "2.5.1"},
        "cu128": {"torch": "2.7.1"}, "cpu": {"torch": "2.1.2", "platforms": BOTH},
    }
    return parsed(json.dumps(document))


RULES = rules(project().variants, COMPAT)


def document(name: str = "stt") -> dict[str, Any]:
    """The manifest of a release with all images of the project, a model, and how services run."""
    rows = [_entry(variant, project()) for variant in project().variants]
    models = [{"name": "words", "version": "1", "at": "/app/models", "services": ["engine"],
               "files": [{"path": "a b.txt", "size": 3, "sha256": "a" * 64}]}]
    return {**manifest.document(project(), rows, models), "release": name}


def _entry(variant: Variant, of: Project) -> dict[str, Any]:
    layers = (Layer(diff_id="1" * 64, size=5), Layer(diff_id="2" * 64, size=7))
    image = Image(name=variant.image_name, config=b"{}", layers=layers)
    path = Path(f"{variant.label}-{of.release.version}.tar.gz")
    archive = Archive(path=path, size=9, sha256="b" * 64, image=image)
    head = Head(name=f"load/{variant.label}.head", image_name="engine:incoming-1", data=b"head", replaces=4)
    return manifest.entry(variant, nouns.lock("cpu"), archive, head, COMPAT, (), revision=None)


def script(name: str = "stt") -> str:
    """The rendered ferry.sh."""
    return ferry.text(document(name), project().variants, COMPAT, templates=TEMPLATES)


def judged(name: str, server: Server) -> str:
    """What Python says of a server, as `ferry.sh doctor --plain` prints it."""
    made = judge(server, RULES, COMPAT)
    facts = (server.driver, server.cuda_limit, server.platform, server.arch, server.failure, str(int(server.mig)))
    lines = [("host", name), ("facts", *facts)]
    lines += [("gpu", str(gpu.index), gpu.name, gpu.capability) for gpu in server.gpus]
    for variant, verdict in made.verdicts.items():
        gpus = ",".join(map(str, verdict.gpus))
        lines.append(("variant", variant, verdict.runs, str(int(verdict.full_support)), gpus))
        lines += [("reason", reason.text) for reason in verdict.reasons]
    lines.append(("pick", made.pick, str(made.status)))
    return "\n".join("\t".join(part or "" for part in line) for line in lines)


def texts_judged(texts: Mapping[str, bytes]) -> dict[str, str]:
    """What Python says of each text."""
    return {name: judged(name, read(data, NAMES)) for name, data in texts.items()}


@dataclass(frozen=True, kw_only=True)
class Ferry:
    """One ferry.sh, run by some shell with some awk."""

    place: Path
    shell: Sequence[str] = ("sh",)
    awk: Path | str = "awk"

    def run(self, *words: str, given: bytes = b"", path: str | None = None) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "FERRY_AWK": str(self.awk), **({"PATH": path} if path else {})}
        return subprocess.run([*self.shell, str(self.place), *words], input=given, env=environment, check=False,
                              capture_output=True, timeout=120)

    def each(self, folder: Path, texts: Mapping[str, bytes], form: str = "plain") -> dict[str, str]:
        """What it says of each text, as a server or (plain-explain) as messages; one process for all of them."""
        folder.mkdir()
        for name, data in texts.items():
            (folder / name).write_bytes(data)
        done = self.run("each", str(folder), form)
        assert done.stderr == b"", done.stderr
        blocks = [f"host\t{block}".rstrip("\n") for block in done.stdout.decode("utf-8", "replace").split("host\t")[1:]]
        return {block.split("\n")[0].partition("\t")[2]: block for block in blocks}
