"""manifest.json keeps to its published form, whatever a project asks for; the form has no room for more or for less."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import nouns

from torchferry import compat, manifest
from torchferry.model import Archive, Image, Layer, Part, Project, Variant
from torchferry.running import BeforeUpdate, Head, Mount, Proof
from torchferry.smoke import Check

SCHEMA = json.loads(resources.files("torchferry").joinpath("manifest.schema.json").read_text(encoding="utf-8"))
CHECKER = jsonschema.Draft202012Validator(SCHEMA)
TABLE = compat.load()

BY_COMMAND = Proof(command=("python", "-m", "stt_engine.prove", "--all"), within=90)
BY_REQUEST = Proof(path="/transcribe?x=1", method="POST", file="/app/a.wav", content_type="audio/wav",
                   expect={"ok": True, "text": "hello", "seconds": 1.5, "error": None})
ENGINE = replace(
    nouns.SERVICE, prove=BY_COMMAND, before_update=BeforeUpdate(copy=("/app/logs",), command=("python", "-m", "up")),
    mounts=(*nouns.SERVICE.mounts, Mount(point="/app/words", folder="words/of-mine", read_only=True)),
)
PAGE = replace(nouns.PAGE, port=8100, prove=BY_REQUEST)
MODEL = {
    "name": "whisper", "version": "2024-05-01", "at": "/app/models/whisper", "services": ["page", "stt-engine"],
    "files": [{"path": path, "size": 3, "sha256": "c" * 64} for path in ("config.json", "a b/한국어 it's $HOME.bin")],
}


DELTA = {"label": "for-gpu01-and-2-more", "rests_on": ["gpu01, 2026-11-24T10:00:00Z"], "models": ["whisper-2024-05-01"]}


def row(variant: Variant, *, parts: int = 1, checks: tuple[Check, ...] = ()) -> dict[str, Any]:
    image = Image(name=variant.image_name, config=b"{}", layers=(Layer(diff_id="1" * 64, size=5),) * 2)
    name = f"{variant.service.name}-1.0.0-{variant.full_name}.tar.gz"
    names = [f"{name}.part{number + 1:03}" for number in range(parts)] if parts > 1 else [name]
    archive = Archive(
        path=Path("/nowhere", name), size=9, sha256="a" * 64, image=image,
        parts=tuple(Part(name=one, size=9 // parts, sha256="b" * 64) for one in names),
    )
    head = Head(name=f"load/{name}.head", image_name=f"{variant.service.name}:incoming-0a1b2c", data=b"h", replaces=900)
    return manifest.entry(variant, nouns.lock(variant.name), archive, head, TABLE, checks, revision=None)


def document(*, models: bool = True, delta: dict[str, Any] | None = DELTA) -> dict[str, Any]:
    """A release with all that a variants.yaml can ask for, as it comes out of its file."""
    page = replace(nouns.variant("any"), service=PAGE)
    made = [
        replace(nouns.variant("cu121"), service=ENGINE), replace(nouns.variant("cpu"), service=ENGINE),
        page, replace(page, architecture="aarch64"),
    ]
    checks = tuple(Check(name=f"c {status}", status=status, seen="") for status in ("passed", "failed", "not tested"))
    rows = [row(made[0], parts=3, checks=checks), *(row(variant) for variant in made[1:])]
    rows[0]["revision"] = "c" * 40
    project = Project(root=Path("/nowhere"), release=nouns.RELEASE, variants=tuple(made))
    said = manifest.as_text(manifest.document(project, rows, [MODEL] if models else [], delta))
    found: dict[str, Any] = json.loads(said)
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["manifest"] == {"description": "The version of this form.", "const": manifest.VERSION}


@pytest.mark.parametrize("said", [
    document(), document(models=False), document(delta=None),
    {**document(), "services": [], "images": [], "revision": None},
])
def test_what_is_written_keeps_to_it(said: dict[str, Any]) -> None:
    CHECKER.validate(said)


def test_every_cuda_variant_keeps_to_it() -> None:
    for name in ("cu118", "cu121", "cu124"):
        project = Project(root=Path("/nowhere"), release=nouns.RELEASE, variants=(nouns.variant(name),))
        said = manifest.document(project, [row(nouns.variant(name))])
        CHECKER.validate(json.loads(manifest.as_text(said)))


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Every object of a document with the way to it."""
    if isinstance(value, dict):
        yield path, value
        for name, child in value.items():
            yield from objects(child, (*path, name))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from objects(child, (*path, number))


def changed(path: tuple[str | int, ...], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    said: Any = document()
    at = said
    for step in path:
        at = at[step]
    change(at)
    return said  # type: ignore[no-any-return]


def test_no_field_may_be_missing_and_none_may_be_more() -> None:
    tried = 0
    for path, value in objects(document()):
        if "expect" in path:  # its members are the service's own
            continue
        assert not CHECKER.is_valid(changed(path, lambda at: at.update(surplus=1))), path
        for name in value:
            assert not CHECKER.is_valid(changed(path, lambda at, name=name: at.pop(name))), (path, name)
            tried += 1
    assert tried > 150


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "version 1": lambda said: said.update(manifest=1),
    "hash of 63": lambda said: said["images"][0].update(config="a" * 63),
    "hash in capitals": lambda said: said["images"][0]["archive"].update(sha256="A" * 64),
    "no parts": lambda said: said["images"][0]["archive"].update(parts=[]),
    "part elsewhere": lambda said: said["images"][0]["archive"]["parts"][0].update(name="../x.tar.gz"),
    "absolute part": lambda said: said["images"][0]["archive"]["parts"][0].update(name="/x.tar.gz"),
    "model file elsewhere": lambda said: said["models"][0]["files"][0].update(path="a/../../b"),
    "model file of two lines": lambda said: said["models"][0]["files"][0].update(path="a\nb"),
    "model file with a quote": lambda said: said["models"][0]["files"][0].update(path='a"b'),
    "empty model": lambda said: said["models"][0].update(files=[]),
    "negative size": lambda said: said["images"][0].update(size=-1),
    "port 0": lambda said: said["services"][0].update(port=0),
    "mount of a relative folder": lambda said: said["services"][0]["mounts"][0].update(point="app"),
    "mount from elsewhere": lambda said: said["services"][0]["mounts"][0].update(folder="/etc"),
    "proof by both": lambda said: said["services"][0]["prove"].update(path="/"),
    "proof by none": lambda said: said["services"][0]["prove"].update(command=[]),
    "proof by DELETE": lambda said: said["services"][0]["prove"].update(method="DELETE"),
    "CUDA without a driver": lambda said: said["images"][-1]["needs"].pop("driver"),
    "a driver without CUDA": lambda said: said["images"][-1]["needs"].update(cuda=None),
    "another platform": lambda said: said["images"][0].update(platform="windows/amd64"),
    "another status": lambda said: said["images"][0]["smoke"][0].update(status="ok"),
    "image without a tag": lambda said: said["images"][0].update(image="page"),
    "a delta of nothing": lambda said: said["delta"].update(rests_on=[]),
    "a delta whose label is a path": lambda said: said["delta"].update(label="../x"),
    "a delta of everything": lambda said: said.update(delta=True),
    "less than nothing left out": lambda said: said["images"][0]["archive"].update(omits=-1),
    "sequence too large for a shell": lambda said: said.update(sequence=2**31),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused(what: str) -> None:
    said = copy.deepcopy(document())
    WRONG[what](said)
    assert not CHECKER.is_valid(said)
