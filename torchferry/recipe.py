"""WheelSet to Recipe: the build context on disk, holding the Dockerfile and exactly the files it names.

Wheels are hard links, so a context of gigabytes is made in no time and takes no room.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from torchferry import context, files, libraries, render
from torchferry.compat import Compat
from torchferry.context import Selection
from torchferry.errors import IntegrityError
from torchferry.layout import DOCKERFILE, Layout
from torchferry.model import Lock, Recipe, Variant, WheelSet, fingerprint
from torchferry.templates import folder_of

TEMPLATE = "Dockerfile.j2"
INSIDE = ("prepare.py", "health.py")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a recipe will say, before anything is written: Dockerfile text, helper scripts, and the digest of it all."""

    variant: Variant
    text: str
    scripts: Mapping[str, bytes]
    digest: str


def draft(
    variant: Variant, lock: Lock, selection: Selection, compat: Compat, layout: Layout,
    *, base: str, revision: str | None,
) -> Draft:
    """Render the Dockerfile of a variant; equal inputs give equal digests on any machine."""
    said = render.labels(variant, lock, compat, base=base, revision=revision)
    text = render.dockerfile_text(
        variant, lock, compat, templates=folder_of(TEMPLATE, layout), base=base, said=said,
        cuda_folders=libraries.cuda_folders(variant, lock, layout),
    )
    scripts = {name: resources.files("torchferry").joinpath("inside", name).read_bytes() for name in INSIDE}
    digest = fingerprint([
        text, lock.digest, context.digest(selection), {name: data.hex() for name, data in scripts.items()},
    ])
    return Draft(variant=variant, text=text, scripts=scripts, digest=digest)


def is_current(made: Draft, layout: Layout) -> bool:
    """Whether a variant's folder holds the recipe of this draft."""
    stamp = layout.context(made.variant) / ".recipe"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == made.digest


def make_recipe(made: Draft, wheels: WheelSet, selection: Selection, layout: Layout) -> tuple[Recipe, bool]:
    """Lay out build/<service>-<variant>/ whole, in place of an older one; and whether that was needed."""
    folder = layout.context(made.variant)
    stale = not is_current(made, layout)
    if stale:
        fresh = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
        files.remove_tree(fresh)
        try:
            _fill(fresh, made, wheels, selection)
            files.write_text(fresh / ".recipe", made.digest)
            files.remove_tree(folder)
            fresh.replace(folder)
        finally:
            files.remove_tree(fresh)
    count = len(selection.files) + len(wheels.lock.wheels) + len(made.scripts) + 1
    size = wheels.lock.size + selection.size
    made_recipe = Recipe(
        variant=made.variant, folder=folder, text=made.text, digest=made.digest, files=count, size=size)
    return made_recipe, stale


def _fill(folder: Path, made: Draft, wheels: WheelSet, selection: Selection) -> None:
    files.write_text(folder / DOCKERFILE, made.text)
    # docker reads this before it sends anything; .recipe is our own mark
    files.write_text(folder / ".dockerignore", ".recipe\n")
    for name, data in made.scripts.items():
        files.write_bytes(folder / "tools" / name, data)
        (folder / "tools" / name).chmod(0o644)  # whatever umask the builder has
    _unpack_uv(wheels.installer, folder / "tools" / "uv")
    for group in render.groups(wheels.lock):
        files.write_text(folder / "wheels" / group.name / "requirements.txt", group.requirements)
        for wheel in group.wheels:
            files.link_or_copy(wheels.path(wheel), folder / "wheels" / group.name / wheel.filename)
    context.copy_into(selection, folder / "app")


def _unpack_uv(wheel: Path, target: Path) -> None:
    """Take the one program out of uv's wheel (a script in its .data folder)."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".data/scripts/uv")]
        if len(names) != 1:
            raise IntegrityError(f"{wheel.name}: holds no uv program", cure="fetch it again: inv fetch")
        with archive.open(names[0]) as source, files.whole_file(target) as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
