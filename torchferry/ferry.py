"""ferry.sh, the offline half of torchferry: one script for a release, with all that it knows baked in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from torchferry import ferry_symptoms, files, manifest, render, symptoms
from torchferry.compat import Compat
from torchferry.ferry_facts import facts
from torchferry.ferry_tables import tables
from torchferry.layout import SIGNATURE_NAMESPACE, Layout
from torchferry.model import Project, Variant
from torchferry.templates import folder_of
from torchferry.verdict import rules

MODE = 0o755
TEMPLATE = "ferry.sh.j2"

AWK = ("match", "text", "names", "csv", "read", "judge", "explain", "main")
"""The parts of the awk program, in templates/ferry/."""

SHELL = ("say", "options", "doctor", "engine", "verify", "held", "load", "models", "containers", "preflight", "prove",
         "update", "run", "history", "receipt", "report", "push")
"""The parts of the script, in templates/ferry/; each stands on those before it."""


def text(document: Mapping[str, Any], variants: Iterable[Variant], compat: Compat, *, templates: Path) -> str:
    """The script for a manifest and the variants in it: the same in, the same out."""
    values = {
        "title": manifest.title(document),
        "tables": tables(rules(variants, compat), compat),
        "symptoms": ferry_symptoms.tables(symptoms.load(compat)),
        "program": _parts(templates, AWK, "awk"), "commands": _parts(templates, SHELL, "sh"),
        "facts": facts(document), "namespace": SIGNATURE_NAMESPACE,
        "prove": _with_health("prove"), "gpu": _inside("gpu"), "preflight": _inside("preflight"),
    }
    return render.script_text(templates, values)


def write(document: Mapping[str, Any], project: Project, compat: Compat, layout: Layout) -> str:
    """Write the script of a release into its folder; returns its text. It judges by the variants that are there."""
    release = project.release
    made = text(document, present(document, project), compat, templates=folder_of(TEMPLATE, layout))
    files.write_text(layout.ferry(release), made)
    layout.ferry(release).chmod(MODE)
    return made


def present(document: Mapping[str, Any], project: Project) -> tuple[Variant, ...]:
    """The variants of a project that its manifest has: a server can only be told to run these."""
    keys = {(row["service"], row["variant"], row["platform"]) for row in document["images"]}
    return tuple(variant for variant in project.variants if variant.key in keys)


def _parts(templates: Path, names: Iterable[str], kind: str) -> str:
    return "\n".join((templates / "ferry" / f"{name}.{kind}").read_text(encoding="utf-8") for name in names)


def _inside(name: str) -> str:
    """A program that runs in a container."""
    return resources.files("torchferry").joinpath(f"inside/{name}.py").read_text(encoding="utf-8")


def _with_health(name: str) -> str:
    """A program that imports inside/health.py, which an image has only where its service has a health rule."""
    return "\n".join([
        "import sys, types",
        "for _name in ('torchferry', 'torchferry.inside', 'torchferry.inside.health'):",
        "    sys.modules[_name] = types.ModuleType(_name)",
        f"exec({_inside('health')!r}, sys.modules['torchferry.inside.health'].__dict__)",
        _inside(name),
    ])
