"""What a service was made from, as its repository tells it."""

from __future__ import annotations

from pathlib import Path

from torchferry import proc
from torchferry.model import Variant


def revision(root: Path, variant: Variant) -> str | None:
    """The commit that last touched the service's files, with '-dirty' where they differ from it; None without git.

    Not HEAD: a commit elsewhere in the repository must not make every image a new one.
    """
    if proc.which("git") is None:
        return None
    places = [variant.service.source, *variant.service.include]
    last = proc.run(["git", "-C", root, "log", "-1", "--format=%H", "--", *places])
    if not last.ok or not last.stdout.strip():
        return None
    changed = proc.run(["git", "-C", root, "status", "--porcelain", "--", *places])
    return last.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")
