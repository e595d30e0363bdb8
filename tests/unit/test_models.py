"""Models in a release folder: complete, whole, each byte hashed once; nothing of ours stays that is no longer one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import nouns

from torchferry import files, models
from torchferry.errors import DiskFull, ModelError
from torchferry.layout import Layout
from torchferry.memory import Memory
from torchferry.model import Project
from torchferry.model_files import ModelFile
from torchferry.running import Model

WHISPER = Model(
    name="whisper", version="1.0", source="build/models", at="/app/models/whisper", services=("stt-engine", "page"),
    expect=("config.json", "model.bin"),
)
WEIGHTS = bytes(range(256)) * 40
EMPTY = b"\2" + bytes(7) + b"{}"
"""A whole safetensors file without a tensor."""


def write(root: Path, contents: Mapping[str, bytes]) -> None:
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "build/models"
    write(folder, {"config.json": b"{}", "model.bin": WEIGHTS, "vocabulary/words.txt": b"a\nb\n"})
    return folder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(root=tmp_path)


def place(layout: Layout, *wanted: Model) -> tuple[dict[str, Any], ...]:
    project = Project(root=layout.root, release=nouns.RELEASE, variants=(), models=wanted or (WHISPER,))
    rows = models.place(project, layout)
    said = {"manifest": 2, "images": [], "models": list(rows)}
    files.write_text(layout.manifest(nouns.RELEASE), json.dumps(said))
    return rows


def problems(layout: Layout, *wanted: Model) -> list[str]:
    """What is told of models that are refused, without what each line begins with."""
    with pytest.raises(ModelError) as refused:
        place(layout, *wanted)
    return [line.partition("): ")[2] for line in refused.value.message.splitlines()]


def lying(layout: Layout) -> dict[str, bytes]:
    top = layout.models(nouns.RELEASE)
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


# What is placed


def test_every_file_lies_in_the_release_and_is_told_with_its_hash(layout: Layout, source: Path) -> None:
    rows = place(layout)
    assert lying(layout) == {
        "whisper-1.0/config.json": b"{}", "whisper-1.0/model.bin": WEIGHTS,
        "whisper-1.0/vocabulary/words.txt": b"a\nb\n",
    }
    assert rows == ({
        "name": "whisper", "version": "1.0", "at": "/app/models/whisper", "services": ["page", "stt-engine"],
        "files": [
            {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in (("config.json", b"{}"), ("model.bin", WEIGHTS), ("vocabulary/words.txt", b"a\nb\n"))
        ],
    },)
    assert sorted(path.name for path in source.iterdir()) == ["config.json", "model.bin", "vocabulary"]


@pytest.mark.usefixtures("source")
def test_rows_are_in_order_of_names_and_versions(layout: Layout) -> None:
    other = replace(WHISPER, version="0.9", at="/app/old")
    third = replace(WHISPER, name="alpha", at="/app/alpha")
    rows = place(layout, WHISPER, other, third)
    assert [(row["name"], row["version"]) for row in rows] == [("alpha", "1.0"), ("whisper", "0.9"), ("whisper", "1.0")]
    assert rows == place(layout, third, WHISPER, other)


def rewrite_unseen(path: Path, data: bytes) -> None:
    """Other bytes of the same length, in the same file, at the same time."""
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_lies_there_untouched_is_not_read_again(
    layout: Layout, source: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    rows = place(layout)
    rewrite_unseen(source / "model.bin", WEIGHTS[::-1])
    assert place(layout) == rows
    assert "model whisper-1.0: current" in capsys.readouterr().err
    os.utime(source / "model.bin")
    assert place(layout) != rows


@pytest.mark.usefixtures("source")
def test_a_damaged_copy_is_made_anew(layout: Layout) -> None:
    rows = place(layout)
    placed = layout.models(nouns.RELEASE) / "whisper-1.0/model.bin"
    placed.unlink()
    placed.write_bytes(WEIGHTS[:-1] + b"!")
    assert place(layout) == rows
    assert lying(layout)["whisper-1.0/model.bin"] == WEIGHTS


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk than the project's."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second filesystem here")
    with tempfile.TemporaryDirectory(dir=memory, prefix="ferry-models-") as folder:
        yield Path(folder)


def test_what_lies_on_another_disk_is_copied(layout: Layout, source: Path, elsewhere: Path) -> None:
    rows = place(layout)
    shutil.copytree(source, elsewhere / "models")
    shutil.rmtree(source)
    source.symlink_to(elsewhere / "models")
    assert place(layout) == rows
    placed = layout.models(nouns.RELEASE) / "whisper-1.0/model.bin"
    assert not placed.samefile(source / "model.bin")
    placed.write_bytes(b"damaged")
    assert place(layout) == rows
    assert lying(layout)["whisper-1.0/model.bin"] == WEIGHTS
    assert (source / "model.bin").read_bytes() == WEIGHTS


def test_a_disk_that_cannot_take_the_copy_is_told_before_anything_is_written(
    layout: Layout, source: Path, elsewhere: Path,
) -> None:
    source.rename(source.with_name("old"))
    source.symlink_to(elsewhere)
    write(elsewhere, {"config.json": b"{}"})
    with (elsewhere / "model.bin").open("wb") as sparse:
        sparse.truncate(1 << 50)
    with pytest.raises(DiskFull, match="models needs 1125899"):
        place(layout)
    assert not layout.models(nouns.RELEASE).exists()


def test_a_file_that_changes_while_it_is_read_is_refused(layout: Layout, source: Path, tmp_path: Path) -> None:
    file = ModelFile(path="model.bin", source=source / "model.bin", size=len(WEIGHTS))
    memory = Memory(layout.verified)
    with pytest.raises(ModelError, match="it changed while it was read"):
        models.bring(file, tmp_path / "dist/model.bin", memory, lambda _: os.utime(file.source, ns=(1, 1)))
    assert memory.recall(file.source) is None


def test_changed_files_of_the_same_version_are_taken_and_told(
    layout: Layout, source: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    place(layout)
    (source / "model.bin").unlink()
    write(source, {"model.bin": WEIGHTS[::-1]})
    capsys.readouterr()
    place(layout)
    assert lying(layout)["whisper-1.0/model.bin"] == WEIGHTS[::-1]
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert warned == ["warning: model whisper-1.0: its files changed, but its version is still 1.0"]
    place(layout, replace(WHISPER, version="1.1"))
    assert "warning" not in capsys.readouterr().err


# What vanishes, and what stays


def test_what_a_model_no_longer_has_vanishes_and_what_is_mine_stays(layout: Layout, source: Path) -> None:
    place(layout, WHISPER, replace(WHISPER, name="other", at="/app/other"))
    top = layout.models(nouns.RELEASE)
    write(top, {"whisper-1.0/notes/mine.txt": b"mine", "whisper-1.0/.model.bin.partial-4711": b"half"})
    (source / "vocabulary/words.txt").unlink()
    (source / "vocabulary").rmdir()
    place(layout)
    assert sorted(lying(layout)) == ["whisper-1.0/config.json", "whisper-1.0/model.bin", "whisper-1.0/notes/mine.txt"]
    assert sorted(path.name for path in top.iterdir()) == ["whisper-1.0"]
    assert not (top / "whisper-1.0/vocabulary").exists()


def test_a_file_may_become_a_folder(layout: Layout, source: Path) -> None:
    place(layout)
    shutil.rmtree(source / "vocabulary")
    write(source, {"vocabulary": b"now a file"})
    place(layout)
    assert lying(layout)["whisper-1.0/vocabulary"] == b"now a file"


@pytest.mark.usefixtures("source")
def test_something_of_mine_in_the_way_is_named(layout: Layout) -> None:
    write(layout.models(nouns.RELEASE), {"whisper-1.0/model.bin/mine.txt": b"mine"})
    with pytest.raises(ModelError, match=r"whisper-1\.0/model\.bin: something else lies in its place"):
        place(layout)


@pytest.mark.usefixtures("source")
def test_a_manifest_that_names_what_is_outside_removes_nothing(layout: Layout) -> None:
    write(layout.root, {"letter.txt": b"mine", "dist/stt-1.0.0/letter.txt": b"mine"})
    for path in ("../../../../letter.txt", "../../letter.txt", str(layout.root / "letter.txt")):
        row = {"name": "old", "version": "1", "files": [{"path": path}]}
        files.write_text(layout.manifest(nouns.RELEASE), json.dumps({"models": [row]}))
        assert models.listed(layout, nouns.RELEASE) == ()
        place(layout)
    assert (layout.root / "letter.txt").exists()
    assert (layout.root / "dist/stt-1.0.0/letter.txt").exists()


@pytest.mark.usefixtures("source")
def test_a_link_in_the_release_folder_leads_no_removal_outside(layout: Layout) -> None:
    write(layout.root, {"outside/a.bin": b"mine"})
    top = layout.models(nouns.RELEASE)
    top.mkdir(parents=True)
    (top / "old-1").symlink_to(layout.root / "outside")
    row = {"name": "old", "version": "1", "files": [{"path": "a.bin"}]}
    files.write_text(layout.manifest(nouns.RELEASE), json.dumps({"models": [row]}))
    place(layout)
    assert (layout.root / "outside/a.bin").exists()


# Links, names and kinds


def test_a_link_inside_the_folder_is_followed(layout: Layout, source: Path) -> None:
    (source / "model.bin").rename(source / "weights.bin")
    (source / "model.bin").symlink_to("weights.bin")
    place(layout)
    placed = layout.models(nouns.RELEASE) / "whisper-1.0/model.bin"
    assert not placed.is_symlink()
    assert placed.read_bytes() == WEIGHTS


@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_that_leaves_the_folder_is_refused(layout: Layout, source: Path, absolute: bool) -> None:
    write(layout.root, {"build/blobs/abc": WEIGHTS})
    target = str(layout.root / "build/blobs/abc") if absolute else "../blobs/abc"
    (source / "model.bin").unlink()
    (source / "model.bin").symlink_to(target)
    assert problems(layout) == [
        f"model.bin: is a link to {target}, outside the model's folder: put the file itself there (cp -L)",
        "model.bin: is missing, variants.yaml expects it",
    ]
    assert not layout.models(nouns.RELEASE).exists()


def test_links_that_lead_nowhere_in_a_ring_or_to_a_folder_are_refused(layout: Layout, source: Path) -> None:
    (source / "a").symlink_to("b")
    (source / "b").symlink_to("a")
    (source / "gone").symlink_to("nothing")
    (source / "words").symlink_to("vocabulary")
    assert problems(layout) == [
        "a: is a link to b, where nothing is: download it again, or remove it",
        "b: is a link to a, where nothing is: download it again, or remove it",
        "gone: is a link to nothing, where nothing is: download it again, or remove it",
        "words: is a link to vocabulary, a folder: put its files there (cp -rL), or remove it",
    ]


@pytest.mark.parametrize("name", [
    "two\nlines", "tab\there", "back\\slash", 'quo"te', " before", "after ",
    b"latin-\xe9".decode("utf-8", "surrogateescape"), "x" * 201, "model.bin.incomplete", "model.bin.crdownload",
])
def test_names_that_lists_cannot_hold_are_refused(layout: Layout, source: Path, name: str) -> None:
    (source / name).write_bytes(b"x")
    [problem] = problems(layout)
    assert problem.isprintable()


def test_names_with_spaces_and_korean_are_taken(layout: Layout, source: Path) -> None:
    write(source, {"한국어 모델/it's $HOME.bin": b"weights"})
    place(layout)
    assert lying(layout)["whisper-1.0/한국어 모델/it's $HOME.bin"] == b"weights"


def test_sockets_and_pipes_are_refused(layout: Layout, source: Path) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(source / "sock"))
    assert problems(layout) == [
        "pipe: is a socket, pipe or device, not a file: remove it",
        "sock: is a socket, pipe or device, not a file: remove it",
    ]


def test_what_a_clone_leaves_beside_a_model_stays_out_and_is_told(
    layout: Layout, source: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    write(source, {".git/lfs/objects/ab": WEIGHTS, ".cache/huggingface/x.incomplete": b"", "a/.DS_Store": b"x"})
    place(layout)
    assert "model whisper-1.0: left out .cache, .git, a/.DS_Store" in capsys.readouterr().err
    assert sorted(lying(layout)) == [
        "whisper-1.0/config.json", "whisper-1.0/model.bin", "whisper-1.0/vocabulary/words.txt",
    ]


@pytest.mark.usefixtures("source")
def test_two_models_of_one_folder_are_refused(layout: Layout) -> None:
    other = replace(WHISPER, name="a", version="b-1"), replace(WHISPER, name="a-b", version="1", at="/app/other")
    with pytest.raises(ModelError, match="models a and a-b: both would lie in a-b-1"):
        place(layout, *other)


# What is missing


def test_all_that_is_missing_is_told_at_once(layout: Layout, source: Path) -> None:
    for name in ("config.json", "model.bin"):
        (source / name).unlink()
    absent = replace(WHISPER, name="zeta", source="build/absent", at="/app/zeta")
    (layout.root / "build/empty").mkdir()
    empty = replace(WHISPER, name="empty", source="build/empty", at="/app/empty", expect=())
    with pytest.raises(ModelError) as refused:
        place(layout, WHISPER, absent, empty)
    assert refused.value.message.splitlines() == [
        "model empty (build/empty): there is no file in it",
        "model whisper (build/models): config.json: is missing, variants.yaml expects it",
        "model whisper (build/models): model.bin: is missing, variants.yaml expects it",
        "model zeta (build/absent): there is no such folder",
    ]
    assert refused.value.exit_code == 11


def test_the_shards_of_an_index_must_be_there(layout: Layout, source: Path) -> None:
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}
    write(source, {"deep/model.safetensors.index.json": json.dumps(index).encode()})
    write(source, {"deep/one.safetensors": EMPTY})
    assert problems(layout) == ["deep/two.safetensors: is missing, deep/model.safetensors.index.json names it"]
    write(source, {"deep/two.safetensors": EMPTY})
    place(layout)


# The door to the disk


def test_a_copy_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a": WEIGHTS, "out/b": b"as it was"})

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.copy(tmp_path / "a", tmp_path / "out/b", passed=interrupt)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"b": b"as it was"}


def test_who_writes_into_the_source_changes_no_release(layout: Layout, source: Path) -> None:
    place(layout)
    with (source / "model.bin").open("r+b") as known:
        known.write(b"another")
    assert lying(layout)["whisper-1.0/model.bin"] == WEIGHTS
    assert not (layout.models(nouns.RELEASE) / "whisper-1.0/model.bin").samefile(source / "model.bin")


def test_a_disk_without_reflinks_says_so_and_leaves_all_as_it_was(tmp_path: Path, elsewhere: Path) -> None:
    write(tmp_path, {"out/b": b"old"})
    (elsewhere / "c").write_bytes(b"other disk")  # no disk shares blocks with another
    assert not files.reflink(elsewhere / "c", tmp_path / "out/b")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"b": b"old"}
