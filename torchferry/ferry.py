"""ferry.sh, the offline half of doctor: one script for a release, with all that it knows baked in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torchferry import files, render
from torchferry.compat import Compat
from torchferry.ferry_tables import tables
from torchferry.layout import Layout
from torchferry.model import Project, Variant
from torchferry.templates import folder_of
from torchferry.verdict import rules

MODE = 0o755
TEMPLATE = "ferry.sh.j2"

AWK = ("match", "text", "names", "csv", "read", "judge", "main")
"""The parts of the awk program, in templates/ferry/."""


def text(title: str, variants: Iterable[Variant], compat: Compat, *, templates: Path) -> str:
    """The script for some variants: the same in, the same out."""
    parts = [(templates / "ferry" / f"{name}.awk").read_text(encoding="utf-8") for name in AWK]
    values = {"title": title, "tables": tables(rules(variants, compat), compat), "program": "\n".join(parts)}
    return render.script_text(templates, values)


def write(project: Project, compat: Compat, layout: Layout) -> str:
    """Write the script of a release into its folder; returns its text."""
    release = project.release
    made = text(f"{release.name} {release.version}", project.variants, compat, templates=folder_of(TEMPLATE, layout))
    files.write_text(layout.ferry(release), made)
    layout.ferry(release).chmod(MODE)
    return made
