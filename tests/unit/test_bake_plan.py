"""The docker-bake file: names that clash, the same bytes each time; and the base's layout on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support import nouns

from torchferry import bake, bake_plan
from torchferry.bake_plan import Target
from torchferry.base import DebianBase
from torchferry.errors import ConfigError
from torchferry.model import Recipe, Variant


def target(variant: Variant) -> Target:
    recipe = Recipe(variant=variant, folder=Path("/f"), text="", digest="e" * 64, files=1, size=1)
    return Target(recipe=recipe, context=f"build/{variant.label}")


def named(service: str, variant: str) -> Target:
    return target(nouns.variant(variant, service=replace(nouns.SERVICE, name=service)))


def test_a_service_with_the_name_of_a_variant_a_target_or_all_gets_no_group() -> None:
    targets = [named("cpu", "cu121"), named("stt", "cpu"), named("stt-cpu", "cu124"), named("default", "cu118")]
    assert bake_plan.groups(targets) == {
        "default": ["cpu-cu121", "stt-cpu", "stt-cpu-cu124", "default-cu118"],
        "cu121": ["cpu-cu121"], "cpu": ["stt-cpu"], "cu124": ["stt-cpu-cu124"], "cu118": ["default-cu118"],
        "stt": ["stt-cpu"],
    }


def test_two_names_that_buildx_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        bake_plan.text([named("a.b", "cpu"), named("a_b", "cpu")])
    assert "a.b-cpu and a_b-cpu are one name" in caught.value.message


def test_the_same_recipes_give_the_same_bytes() -> None:
    targets = [named("stt", "cpu"), named("page", "cpu")]
    assert bake_plan.text(targets) == bake_plan.text(list(targets))
    assert json.loads(bake_plan.text(targets))["target"]["stt-cpu"]["network"] == "none"


def debian(folder: Path, data: bytes) -> DebianBase:
    tar = folder / "bookworm.tar"
    tar.write_bytes(data)
    return DebianBase(tar=tar, sha256=hashlib.sha256(data).hexdigest(), packages=())


def test_the_layout_holds_the_base_as_its_only_layer(tmp_path: Path) -> None:
    base, folder = debian(tmp_path, b"a tar"), tmp_path / "bookworm.oci"
    digest = bake.write_layout(base, folder, architecture="arm64")
    blobs = {place.name: place.read_bytes() for place in (folder / "blobs/sha256").iterdir()}
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    said = json.loads(blobs[digest])
    assert [layer["digest"] for layer in said["layers"]] == [f"sha256:{base.sha256}"]
    config = json.loads(blobs[said["config"]["digest"].removeprefix("sha256:")])
    assert (config["architecture"], config["rootfs"]["diff_ids"]) == ("arm64", [f"sha256:{base.sha256}"])
    assert (folder / "blobs/sha256" / base.sha256).samefile(base.tar)


def test_a_layout_that_is_there_stays_and_a_stale_or_damaged_one_is_replaced(tmp_path: Path) -> None:
    base, folder = debian(tmp_path, b"a tar"), tmp_path / "bookworm.oci"
    digest = bake.write_layout(base, folder, architecture="amd64")
    before = (folder / "index.json").stat().st_ino
    assert bake.write_layout(base, folder, architecture="amd64") == digest
    assert (folder / "index.json").stat().st_ino == before

    (folder / "blobs/sha256" / base.sha256).unlink()
    bake.write_layout(base, folder, architecture="amd64")
    assert (folder / "blobs/sha256" / base.sha256).read_bytes() == b"a tar"

    base.tar.unlink()
    newer = debian(tmp_path, b"another tar")
    assert bake.write_layout(newer, folder, architecture="amd64") != digest
    assert not (folder / "blobs/sha256" / base.sha256).exists()
    assert [place.name for place in tmp_path.iterdir() if "partial" in place.name] == []
