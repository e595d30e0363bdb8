"""The audit on a disk: what was read is remembered by hash, the base is known, and paths come from the wheels."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support import nouns
from support.elf_factory import make_elf
from support.wheel_factory import locked, make_nvidia, make_pure, make_torch, make_wheel

from torchferry import base, compat, files, libraries, wheel_libraries
from torchferry.errors import IntegrityError
from torchferry.layout import Layout
from torchferry.model import Lock, Variant, WheelSet

TABLE = compat.load()
VARIANT = nouns.variant("cu121")


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A project's wheels folder, filled."""

    layout: Layout

    @property
    def folder(self) -> Path:
        return self.layout.wheel_folder(VARIANT)

    @property
    def lock(self) -> Lock:
        wheels = tuple(locked(path) for path in sorted(self.folder.glob("*.whl")))
        return Lock(fingerprint="f", wheels=wheels, installer=nouns.wheel("uv", "1.0"))

    @property
    def wheel_set(self) -> WheelSet:
        return WheelSet(lock=self.lock, folder=self.folder, installer=self.folder / "uv.whl")

    def audit(self, variant: Variant = VARIANT) -> libraries.Audit:
        return libraries.audit(variant, self.wheel_set, TABLE, self.layout)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    made = Disk(layout=Layout(root=tmp_path))
    make_torch(made.folder, "2.1.2", None, "12.1")
    make_nvidia(made.folder, "nvidia-cublas-cu12", "12.1.3.1", "libcublas.so.12")
    make_pure(made.folder)
    return made


def add(disk: Disk, name: str, **elf: object) -> None:
    make_wheel(disk.folder, name, "1.0", files={f"{name}/x.so": make_elf(**elf)})  # type: ignore[arg-type]


def test_a_wheel_is_read_once_and_then_known_by_its_hash(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    add(disk, "wrong", needed=["libcublas.so.11"])
    first = disk.audit()
    assert first.fresh
    read: list[str] = []
    original = wheel_libraries.open_wheel
    monkeypatch.setattr(wheel_libraries, "open_wheel", lambda path: (read.append(path.name), original(path))[1])
    again = disk.audit()
    assert (again.findings, again.fresh, read) == (first.findings, False, [])
    add(disk, "other")
    assert disk.audit().fresh
    assert read == ["other-1.0-py3-none-any.whl"]


def test_what_is_remembered_does_not_hide_a_fault_when_the_set_changes(disk: Disk) -> None:
    """Facts are remembered, never the judgement."""
    add(disk, "needs", needed=["libcudnn.so.9"])
    assert [one.severity for one in disk.audit().findings] == ["error"]
    make_nvidia(disk.folder, "nvidia-cudnn-cu12", "9.1", "libcudnn.so.9")
    assert [one.cause for one in disk.audit(replace(VARIANT, cuda_libraries="on_path")).findings] == []


def test_facts_of_another_form_or_damaged_are_read_anew(disk: Disk) -> None:
    disk.audit()
    for place in disk.layout.wheel_facts("x").parent.glob("*.json"):
        place.write_text(place.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    assert disk.audit().findings == ()


def test_errors_refuse_every_time_and_warnings_are_said_once(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    add(disk, "wrong", needed=["libcublas.so.11", "libsndfile.so.1"])
    for said in (1, 0):
        with pytest.raises(IntegrityError) as caught:
            libraries.require(VARIANT, disk.wheel_set, TABLE, disk.layout)
        assert "stt-engine-cu121: wrong 1.0: wrong/x.so: needs libcublas.so.11" in caught.value.message
        assert capsys.readouterr().err.count("warning: stt-engine-cu121: wrong 1.0: wrong/x.so: needs libsnd") == said


def test_the_libraries_of_a_base_that_lies_here_are_known(disk: Disk) -> None:
    add(disk, "audio", needed=["libsndfile.so.1", "libmissing.so.1"])
    assert "libmissing.so.1 and libsndfile.so.1, which no wheel has" in disk.audit().findings[0].cause
    wanted = VARIANT.service.base
    tar = disk.layout.base_tar(wanted, "x86_64")
    tar.parent.mkdir(parents=True)
    with tarfile.open(tar, "w") as archive:
        for name in ("./usr/lib/x86_64-linux-gnu/libsndfile.so.1", "./usr/share/doc/libmissing.so.1"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    made = base.DebianBase(tar=tar, sha256=files.sha256(tar), packages=("libsndfile1=1",))
    files.write_text(disk.layout.base_lock(wanted, "x86_64"), base._record(wanted, made))
    for _ in ("read", "remembered"):
        assert "needs libmissing.so.1, which neither the wheels nor the base have" in disk.audit().findings[0].cause
    assert json.loads(disk.layout.base_names(made.sha256).read_text(encoding="utf-8")) == ["libsndfile.so.1"]


def test_folders_for_the_path_are_read_from_the_wheels(disk: Disk) -> None:
    make_wheel(disk.folder, "nvidia-cusparselt-cu12", "0.6.2", files={"cusparselt/lib/libcusparseLt.so.0": b""})
    make_wheel(disk.folder, "other", "1.0", files={"other.libs/libcudnn.so.8": b"", "other.libs/libx.so": b""})
    on_path = replace(VARIANT, cuda_libraries="on_path")
    lock = disk.lock
    assert libraries.cuda_folders(on_path, lock, disk.layout) == ("cusparselt/lib", "nvidia/cublas/lib")
    assert libraries.cuda_folders(VARIANT, lock, disk.layout) == ()
    assert libraries.cuda_folders(replace(on_path, name="cpu"), lock, disk.layout) == ()
    for path in disk.folder.glob("*.whl"):
        path.unlink()
    assert libraries.cuda_folders(on_path, lock, disk.layout) == ()


def test_a_torch_with_cuda_inside_has_its_own_folder_on_the_path(tmp_path: Path) -> None:
    """The PyTorch index's wheels of 2.1 carry CUDA in torch/lib."""
    disk = Disk(layout=Layout(root=tmp_path))
    make_wheel(disk.folder, "torch", "2.1.2", files={
        "torch/lib/libcublas.so.11": b"", "torch/lib/libcudart-d0da41ae.so.11.0": b"", "torch/bin/x": b""})
    on_path = replace(VARIANT, cuda_libraries="on_path")
    assert libraries.cuda_folders(on_path, disk.lock, disk.layout) == ("torch/lib",)
