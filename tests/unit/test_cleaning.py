"""clean takes back what was made and nothing else: a person's files in the same folders stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import nouns

from torchferry import cleaning, manifest
from torchferry.layout import Layout
from torchferry.model import Project

MINE = ("build/models/model.bin", "build/notes.txt", "dist/stt-1.0.0/letter.txt", "dist/stt-0.9.0/manifest.json",
        "wheels/cu121/README", "wheels/pylock.stt-engine-cu121.toml", "build/page-any/index.html",
        "dist/stt-1.0.0/models/whisper-1/mine.txt", "dist/stt-1.0.0/sbom/mine.txt", "dist/stt-1.0.0/load/mine.txt",
        "dist/stt-1.0.0/summed.txt", "dist/stt-1.0.0/stt-engine-1.0.0-cu121.tar.gz.part001.txt",
        "dist/stt-1.0.0/folder/mine.txt", "outside/mine.bin")

OURS = ("stt-engine-1.0.0-cu117.tar.gz.part001", "stt-engine-1.0.0-cu117.tar.gz.part002", "load/cu117.head",
        "load/summed.head", "sbom/stt-engine-cu121.cdx.json", "stt-engine-1.0.0-cu121.tar.gz.part002",
        "models/whisper-1/model.bin", "models/whisper-1/words/한 국.txt", "models/old-2/.model.bin.partial-12",
        "ferry.sh", "compose.yaml", "index.html", "INSTALL.txt", "SHA256SUMS.sig", ".a.tar.gz.part001.partial-7")

OTHERS = ("dist/x.tar.gz", "y")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found, cu121 = Layout(root=tmp_path), nouns.variant("cu121")
    made = (
        found.context(cu121) / "Dockerfile", found.context(cu121) / "app/main.py", found.blobs / "fast/x.gz",
        found.build_log(cu121), found.smoke_result(cu121), found.image_record(cu121, "direct"), found.verified,
        found.bake_file,
        found.base_tar(cu121.service.base, "x86_64"), found.archive(cu121), found.manifest(nouns.RELEASE),
        found.sums(nouns.RELEASE), *(found.release(nouns.RELEASE) / name for name in OURS),
        found.sbom(cu121), found.sbom_record(cu121), found.wheel_metadata("0" * 64),
        found.wheel_folder(cu121) / "torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl",
        found.wheel_folder(cu121) / ".torch.whl.partial", found.tools_folder / "uv-0.9.0-py3-none-any.whl",
    )
    for path in (*made, *(tmp_path / name for name in MINE)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345", encoding="utf-8")
    release = found.release(nouns.RELEASE)
    parts = [{"name": name, "size": 5, "sha256": "0"} for name in OURS[:2]]
    rows = [
        {"archive": {"name": "a", "size": 10, "sha256": "0", "parts": parts, "head": {"name": OURS[2]}}},
        *({"archive": {"name": name, "size": 5, "sha256": "0"}} for name in ("../x.tar.gz", "folder", f"{tmp_path}/y")),
    ]
    models = [{"name": "whisper", "version": "1", "files": [{"path": "model.bin"}]}]
    said = {"manifest": manifest.VERSION, "images": rows, "models": models}
    found.manifest(nouns.RELEASE).write_text(json.dumps(said), encoding="utf-8")
    (release / "models/link-1").symlink_to(tmp_path / "outside")
    summed = ("load/summed.head", "sbom/stt-engine-cu121.cdx.json", "summed.txt", "models/link-1/mine.bin",
              "models/../letter.txt", "models/whisper-1/words/한 국.txt")
    found.sums(nouns.RELEASE).write_text("".join(f"{'0' * 64}  {name}\n" for name in summed), encoding="utf-8")
    for name in ("dist/x.tar.gz", "y"):
        (tmp_path / name).write_text("not of this release", encoding="utf-8")
    return found


def clean(layout: Layout, *, wheels: bool) -> set[str]:
    """What is left after a clean."""
    project = Project(root=layout.root, release=nouns.RELEASE, variants=(nouns.variant("cu121"), nouns.variant("any")))
    cleaning.clean(project, layout, wheels=wheels)
    return {path.relative_to(layout.root).as_posix() for path in layout.root.rglob("*") if path.is_file()}


def test_what_is_mine_stays_and_what_was_made_goes(layout: Layout) -> None:
    left = clean(layout, wheels=True)
    assert left == {*MINE, *OTHERS}


def test_wheels_stay_unless_they_are_named(layout: Layout) -> None:
    left = clean(layout, wheels=False)
    assert left - {*MINE, *OTHERS} == {
        "wheels/cu121/torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl", "wheels/cu121/.torch.whl.partial",
        "wheels/tools/uv-0.9.0-py3-none-any.whl",
    }


def test_folders_that_hold_nothing_more_go_too(layout: Layout) -> None:
    for name in MINE:
        (layout.root / name).unlink()
    (layout.root / "build/models").rmdir()
    (layout.root / "build/page-any").rmdir()
    (layout.release(nouns.RELEASE) / "folder").rmdir()
    (layout.release(nouns.RELEASE) / "models/link-1").unlink()
    clean(layout, wheels=True)
    assert not layout.build.exists()
    assert not layout.release(nouns.RELEASE).exists()


def test_a_damaged_manifest_is_removed_and_believed_in_nothing(layout: Layout) -> None:
    layout.manifest(nouns.RELEASE).write_text("{", encoding="utf-8")
    left = clean(layout, wheels=False)
    assert {f"dist/stt-1.0.0/{name}" for name in OURS[:3]} <= left
    assert "dist/stt-1.0.0/manifest.json" not in left


def test_nothing_made_is_nothing_to_remove(tmp_path: Path) -> None:
    project = Project(root=tmp_path, release=nouns.RELEASE, variants=(nouns.variant("cu121"),))
    assert cleaning.clean(project, Layout(root=tmp_path), wheels=True) == ()


def test_deltas_of_this_release_go_and_those_of_others_stay(layout: Layout) -> None:
    for folder, version, label in (
        ("stt-1.0.0-since-0.9.0", "1.0.0", "since-0.9.0"), ("stt-0.9.0-since-0.8.0", "0.9.0", "since-0.8.0"),
        ("stt-1.0.0-copy", "1.0.0", "since-0.9.0"), ("stt-1.0.0-lies", "1.0.0", "lies/../stt-0.9.0"),
    ):
        place = layout.dist / folder
        place.mkdir()
        said = {"manifest": manifest.VERSION, "release": "stt", "version": version, "delta": {"label": label},
                "images": [{"archive": {"name": "a.tar.gz", "size": 5, "sha256": "0"}}]}
        (place / "manifest.json").write_text(json.dumps(said), encoding="utf-8")
        (place / "a.tar.gz").write_text("12345", encoding="utf-8")
    (layout.dist / "stt-1.0.0-since-0.9.0" / "letter.txt").touch()
    left = clean(layout, wheels=False)
    assert {*MINE} <= left
    assert {name for name in left if "stt-1.0.0-since" in name} == {"dist/stt-1.0.0-since-0.9.0/letter.txt"}
    for folder in ("stt-0.9.0-since-0.8.0", "stt-1.0.0-copy", "stt-1.0.0-lies"):
        assert {f"dist/{folder}/manifest.json", f"dist/{folder}/a.tar.gz"} <= left
