"""Where templates lie: those of torchferry, and a project's own that stand in for them."""

from __future__ import annotations

from pathlib import Path

from torchferry.layout import Layout

TEMPLATES = Path(__file__).parent.parent / "templates"


def folder_of(template: str, layout: Layout) -> Path:
    """The project's own templates/ where it has a file of this name, else those of torchferry."""
    own = layout.root / "templates"
    return own if (own / template).is_file() else TEMPLATES
