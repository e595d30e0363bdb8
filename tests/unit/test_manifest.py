"""manifest.json and SHA256SUMS: plain data, the same for the same release, readable by sha256sum."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support import nouns

from torchferry import compat, manifest
from torchferry.errors import IntegrityError
from torchferry.model import Archive, Image, Layer, Part, Project
from torchferry.running import Head
from torchferry.smoke import Check

TABLE = compat.load()
HEAD = Head(name="engine.head", image_name="stt-engine:incoming-1", data=b"h", replaces=9)


def made(name: str, folder: Path) -> dict:
    variant = nouns.variant(name)
    layers = (Layer(diff_id="1" * 64, size=5), Layer(diff_id="2" * 64, size=7))
    image = Image(name=variant.image_name, config=b"{}", layers=layers)
    path = folder / f"{variant.service.name}-1.0.0-{name}.tar.gz"
    path.write_bytes(name.encode())
    whole = Part(name=path.name, size=len(name), sha256=hashlib.sha256(name.encode()).hexdigest())
    archive = Archive(path=path, size=whole.size, sha256=whole.sha256, image=image, parts=(whole,))
    checks = (Check(name="health", status="passed", seen="after 1.0 s"),)
    (folder / HEAD.name).write_bytes(HEAD.data)
    return manifest.entry(variant, nouns.lock(name), archive, HEAD, TABLE, checks, revision="c" * 40)


def project() -> Project:
    return Project(root=Path("/nowhere"), release=nouns.RELEASE, variants=(nouns.variant("cu121"),))


def test_chain_ids_follow_the_oci_rule() -> None:
    first, second = "1" * 64, "2" * 64
    expected = hashlib.sha256(f"sha256:{first} sha256:{second}".encode()).hexdigest()
    assert manifest.chain_ids([first, second]) == (first, expected)


def test_order_of_packing_does_not_change_the_bytes(tmp_path: Path) -> None:
    rows = [made(name, tmp_path) for name in ("cu121", "cpu", "cu118")]
    assert manifest.document(project(), rows) == manifest.document(project(), rows[::-1])


def test_what_a_server_needs(tmp_path: Path) -> None:
    needs = made("cu121", tmp_path)["needs"]
    assert needs["driver"]["floor"] == "525.60.13"
    assert needs["compute_capabilities"][0] == "50"
    assert made("cpu", tmp_path)["needs"] == {"torch": "2.1.2", "cuda": None}


def test_sha256sum_reads_the_sums(tmp_path: Path) -> None:
    rows = [made(name, tmp_path) for name in ("cu121", "cpu")]
    document = manifest.document(project(), rows)
    text = manifest.as_text(document)
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    (tmp_path / "SHA256SUMS").write_text(manifest.sums(document, {"manifest.json": text}), encoding="utf-8")
    assert str(tmp_path) not in (tmp_path / "SHA256SUMS").read_text(encoding="utf-8")
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum on this machine")
    check = ["sha256sum", "-c", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    (tmp_path / "stt-engine-1.0.0-cpu.tar.gz").write_bytes(b"cpU")
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 1


def test_a_manifest_comes_back_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    rows = [made("cpu", tmp_path)]
    text = manifest.as_text(manifest.document(project(), rows))
    assert manifest.entries(text, file="manifest.json") == tuple(json.loads(json.dumps(rows)))
    for foreign in ("", "[]", '{"images": []}', text.replace('"manifest": 2', '"manifest": 1')):
        with pytest.raises(IntegrityError, match=r"manifest\.json"):
            manifest.entries(foreign, file="manifest.json")


def test_an_untested_image_says_so(tmp_path: Path) -> None:
    variant, row = nouns.variant("cpu"), made("cpu", tmp_path)
    image = Image(name=variant.image_name, config=b"{}", layers=())
    archive = Archive(path=tmp_path / row["archive"]["name"], size=1, sha256="0" * 64, image=image)
    said = manifest.entry(variant, nouns.lock("cpu"), archive, HEAD, TABLE, (), revision=None)
    assert [check["status"] for check in said["smoke"]] == ["not tested"]
