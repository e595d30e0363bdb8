"""clean takes back what was made and nothing else: a person's files in the same folders stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import nouns

from torchferry import cleaning
from torchferry.layout import Layout
from torchferry.model import Project

MINE = ("build/models/model.bin", "build/notes.txt", "dist/stt-1.0.0/letter.txt", "dist/stt-0.9.0/manifest.json",
        "wheels/cu121/README", "wheels/pylock.stt-engine-cu121.toml", "build/page-any/index.html")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found, cu121 = Layout(root=tmp_path), nouns.variant("cu121")
    made = (
        found.context(cu121) / "Dockerfile", found.context(cu121) / "app/main.py", found.blobs / "fast/x.gz",
        found.build_log(cu121), found.smoke_result(cu121), found.image_record(cu121, "direct"), found.verified,
        found.base_tar(cu121.service.base, "x86_64"), found.archive(cu121), found.manifest(nouns.RELEASE),
        found.sums(nouns.RELEASE), found.release(nouns.RELEASE) / "stt-engine-1.0.0-cu117.tar.gz",
        found.release(nouns.RELEASE) / "ferry.sh",
        found.sbom(cu121), found.sbom_record(cu121), found.wheel_metadata("0" * 64),
        found.wheel_folder(cu121) / "torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl",
        found.wheel_folder(cu121) / ".torch.whl.partial", found.tools_folder / "uv-0.9.0-py3-none-any.whl",
    )
    for path in (*made, *(tmp_path / name for name in MINE)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345", encoding="utf-8")
    rows = [{"archive": {"name": name, "sha256": "0"}} for name in ("stt-engine-1.0.0-cu117.tar.gz", "../x.tar.gz")]
    found.manifest(nouns.RELEASE).write_text(json.dumps({"manifest": 1, "images": rows}), encoding="utf-8")
    (tmp_path / "dist/x.tar.gz").write_text("not of this release", encoding="utf-8")
    return found


def clean(layout: Layout, *, wheels: bool) -> set[str]:
    """What is left after a clean."""
    project = Project(root=layout.root, release=nouns.RELEASE, variants=(nouns.variant("cu121"), nouns.variant("any")))
    cleaning.clean(project, layout, wheels=wheels)
    return {path.relative_to(layout.root).as_posix() for path in layout.root.rglob("*") if path.is_file()}


def test_what_is_mine_stays_and_what_was_made_goes(layout: Layout) -> None:
    left = clean(layout, wheels=True)
    assert left == {*MINE, "dist/x.tar.gz"}


def test_wheels_stay_unless_they_are_named(layout: Layout) -> None:
    left = clean(layout, wheels=False)
    assert left - {*MINE, "dist/x.tar.gz"} == {
        "wheels/cu121/torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl", "wheels/cu121/.torch.whl.partial",
        "wheels/tools/uv-0.9.0-py3-none-any.whl",
    }


def test_folders_that_hold_nothing_more_go_too(layout: Layout) -> None:
    for name in MINE:
        (layout.root / name).unlink()
    (layout.root / "build/models").rmdir()
    (layout.root / "build/page-any").rmdir()
    clean(layout, wheels=True)
    assert not layout.build.exists()
    assert not layout.release(nouns.RELEASE).exists()


def test_a_damaged_manifest_is_removed_and_believed_in_nothing(layout: Layout) -> None:
    layout.manifest(nouns.RELEASE).write_text("{", encoding="utf-8")
    assert "dist/stt-1.0.0/stt-engine-1.0.0-cu117.tar.gz" in clean(layout, wheels=False)


def test_nothing_made_is_nothing_to_remove(tmp_path: Path) -> None:
    project = Project(root=tmp_path, release=nouns.RELEASE, variants=(nouns.variant("cu121"),))
    assert cleaning.clean(project, Layout(root=tmp_path), wheels=True) == ()
