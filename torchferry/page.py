"""index.html of a release folder: one page without network, in two languages, with the judge of ferry.sh in it.

The judge's parts are in templates/page/, in JavaScript; what it knows is the very text that ferry.sh has.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchferry import page_words, render, verdict_korean
from torchferry.compat import Compat
from torchferry.components import Component
from torchferry.coverage import coverages
from torchferry.ferry_tables import tables
from torchferry.guide import chapters, checklists
from torchferry.guide_words import DOCTOR, OPTIONS, STATUSES
from torchferry.model import Variant
from torchferry.release_facts import File, parse
from torchferry.verdict import Rule, rules

TEMPLATE = "index.html.j2"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One component of all bills of materials together, and the images that it is in."""

    component: Component
    images: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """GPUs of one compute capability, with names that people know them by."""

    name: str
    capability: str
    gpus: str


def html(
    document: Mapping[str, Any], variants: Sequence[Variant], compat: Compat, *, templates: Path,
    texts: Mapping[str, str] | None = None, boms: Mapping[str, Sequence[Component]] | None = None,
) -> str:
    """The page for a parsed manifest.json.

    ``variants`` are those that are there, as ferry.sh knows them. ``texts`` are the files of the folder that the
    manifest does not name, by their path; ``boms`` the components of each image, by a name for the image.
    IntegrityError where the document is no manifest. The same in, the same out.
    """
    facts, known = parse(document), rules(variants, compat)
    others = tuple(_file(name, text) for name, text in sorted((texts or {}).items()))
    return render.page(
        templates, TEMPLATE, facts=facts, say=page_words.PAGE, kinds=page_words.KINDS, rules=known,
        pictures=coverages(variants, compat), generations=generations(compat), chapters=chapters(facts),
        options=OPTIONS, statuses=STATUSES, checklists=checklists(facts), others=others, listed=listed(boms or {}),
        data=judge_data(known, compat),
    )


def judge_data(known: Sequence[Rule], compat: Compat) -> dict[str, Any]:
    """What the page's script knows: the tables, its words in both languages, and how each variant is started."""
    return {
        "tables": tables(known, compat),
        "korean": {"sentences": dict(verdict_korean.REASONS), "lookedFor": list(verdict_korean.LOOKED_FOR)},
        "words": {key: {"en": said.en, "ko": said.ko} for key, said in page_words.SCRIPT.items()},
        "statuses": {str(status): {"en": said.en, "ko": said.ko} for status, said in DOCTOR.items()},
        "start": {rule.name: shlex.join(["sh", "ferry.sh", "up", "--variant", rule.name]) for rule in known},
    }


def listed(boms: Mapping[str, Sequence[Component]]) -> tuple[Listed, ...]:
    """The components of all images, each once, wheels first."""
    images: dict[Component, list[str]] = {}
    for name, components in sorted(boms.items()):
        for one in dict.fromkeys(components):
            images.setdefault(one, []).append(name)
    order = sorted(images, key=lambda one: (one.kind != "wheel", one.kind, one.name.lower(), one.version, one.sha256))
    return tuple(Listed(component=one, images=tuple(images[one])) for one in order)


def generations(compat: Compat) -> tuple[Generation, ...]:
    """Every compute capability that servers with an x86_64 CPU have, newest first."""
    found = []
    for row in compat.table.generations:
        for capability in row.capabilities:
            names = [name for gpu in compat.table.gpus if gpu.capability == capability and gpu.arch is None
                     for name in gpu.names]
            if names:
                found.append(Generation(name=row.name, capability=capability, gpus=", ".join(names)))
    return tuple(reversed(found))


def _file(name: str, text: str) -> File:
    data = text.encode("utf-8")
    return File(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
