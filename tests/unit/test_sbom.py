"""SBOMs: valid and complete, the same bytes for the same image, made once, and honest about what is not known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support import nouns
from support.saved_images import Entries, config_of, file, sha, special
from support.sbom_site import DEBIAN, STATUS, VARIANT, Site
from support.wheel_factory import locked, make_nvidia, make_torch, make_wheel

from torchferry import compat, files, image_config, packing, sbom, signing, wheel_metadata
from torchferry.components import Component
from torchferry.errors import IntegrityError
from torchferry.layout import Layout
from torchferry.model import Archive, BuiltWheel, Project, Variant

TABLE = compat.load()
PROGRAM = b"\x7fELF\x003.11.9\x00"
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)

@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(layout=Layout(root=tmp_path))
    mit = ["License-Expression: MIT"]
    make_torch(made.folder, "2.1.2", None, "12.1", requires=[
        "nvidia-cublas-cu12 ; platform_system == 'Linux'", "Typing_Extensions", "winonly ; sys_platform == 'win32'"])
    make_nvidia(made.folder, "nvidia-cublas-cu12", "12.1.3.1", "libcublas.so.12")
    make_wheel(made.folder, "typing-extensions", "4.0", said=["License-Expression: MIT OR LicenseRef-x"])
    make_wheel(made.folder, "local-build", "1.0+cu121", requires=["torch"], said=mit)
    make_wheel(made.folder, "dual", "1.0", said=[
        "Classifier: License :: OSI Approved :: BSD License", "Classifier: License :: OSI Approved :: MIT License"])
    return made


def document_of(site: Site, *layers: Entries, **config: Any) -> dict[str, Any]:
    """The valid SBOM of an image of these layers."""
    text = site.text(site.image(*layers, **config))
    assert VALIDATOR.validate_str(text) is None
    said: dict[str, Any] = json.loads(text)
    return said


def found(document: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (row for row in document["components"] if row["name"] == name)
    return dict(one)


def needs(document: dict[str, Any], ref: str) -> list[str]:
    (row,) = (row for row in document["dependencies"] if row["ref"] == ref)
    return list(row.get("dependsOn", []))


def properties(one: dict[str, Any]) -> dict[str, str]:
    return {row["name"].removeprefix("torchferry:"): row["value"] for row in one.get("properties", [])}


def test_wheels_are_listed_by_name_version_hash_and_license(site: Site) -> None:
    document = document_of(site, DEBIAN)
    wheels = {wheel.name: wheel for wheel in site.lock.wheels}
    for name, wheel in wheels.items():
        one = found(document, name)
        assert (one["type"], one["version"]) == ("library", wheel.version)
        assert one["hashes"] == [{"alg": "SHA-256", "content": wheel.sha256}]
        assert properties(one) == {"wheel": wheel.filename}
    assert found(document, "local-build")["purl"] == "pkg:pypi/local-build@1.0%2Bcu121"
    said = {name: found(document, name).get("licenses", []) for name in wheels}
    assert said["local-build"] == [{"license": {"id": "MIT", "acknowledgement": "declared"}}]
    assert said["typing-extensions"] == [{"expression": "MIT OR LicenseRef-x", "acknowledgement": "declared"}]
    assert [row["license"].get("id") or row["license"]["name"] for row in said["dual"]] == ["MIT", "BSD License"]
    assert said["torch"] == []
    assert "METADATA" in properties(document["metadata"])["licenses:wheels"]
    assert "/usr/share/doc" in properties(document["metadata"])["licenses:packages"]


def test_packages_of_debian_are_listed_with_what_scanners_ask_for(site: Site) -> None:
    document = document_of(site, DEBIAN)
    purls = {one["name"]: one["purl"] for one in document["components"] if one.get("purl", "").startswith("pkg:deb")}
    assert purls == {
        "libc6": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12&upstream=glibc",
        "libgcc-s1": "pkg:deb/debian/libgcc-s1@12.2.0-14%2Bb1?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14",
        "python3.11": "pkg:deb/debian/python3.11@3.11.2-6?arch=amd64&distro=debian-12",
    }
    system = found(document, "debian")
    assert (system["type"], system["version"]) == ("operating-system", "12")
    assert properties(system) == {}


def test_the_root_is_the_image(site: Site) -> None:
    image = site.image(DEBIAN)
    lock = replace(site.lock, base_digest="sha256:" + "b" * 64)
    root = json.loads(site.text(image, lock))["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == ("container", "stt-engine", "1.0.0-cu121")
    assert properties(root) == {
        "image:id": f"sha256:{image.config_digest}", "platform": "linux/amd64", "lock:digest": lock.digest,
        "base": "debian bookworm", "base:digest": "sha256:" + "b" * 64,
    }


def test_who_requires_whom(site: Site) -> None:
    document = document_of(site, DEBIAN)
    ref = {one["name"]: one["bom-ref"] for one in document["components"]}
    assert needs(document, VARIANT.image_name) == sorted([ref["debian"], ref["dual"], ref["local-build"]])
    assert needs(document, ref["local-build"]) == [ref["torch"]]
    assert needs(document, ref["torch"]) == sorted([ref["nvidia-cublas-cu12"], ref["typing-extensions"]])
    assert needs(document, ref["debian"]) == [ref["python3.11"]]
    assert needs(document, ref["libc6"]) == [ref["libgcc-s1"]]
    assert {row["ref"] for row in document["dependencies"]} == {VARIANT.image_name, *ref.values()}


def test_a_wheel_that_was_built_names_its_source(site: Site) -> None:
    built = BuiltWheel(name="Local_Build", sdist="local-build-1.0.tar.gz", sdist_sha256="5" * 64, sdist_size=1,
                       requires=())
    text = site.text(site.image(DEBIAN), replace(site.lock, built=(built,)))
    assert VALIDATOR.validate_str(text) is None
    said = properties(found(json.loads(text), "local-build"))
    assert (said["sdist"], said["sdist:sha256"]) == ("local-build-1.0.tar.gz", "5" * 64)


def test_a_wheel_that_cannot_be_read_is_listed_all_the_same(site: Site) -> None:
    torn = site.folder / "torn-1.0-py3-none-any.whl"
    torn.write_bytes(b"no zip")
    document = document_of(site, DEBIAN)
    assert properties(found(document, "torn"))["licenses"] == "not known: METADATA cannot be read"
    assert "licenses" not in found(document, "torn")
    assert found(document, "torn")["hashes"][0]["content"] == locked(torn).sha256


def test_a_metadata_of_such_a_length_is_not_read(site: Site) -> None:
    make_wheel(site.folder, "long", "1.0", said=["License: MIT", f"Summary: {'x' * wheel_metadata.LIMIT}"])
    assert properties(found(document_of(site, DEBIAN), "long"))["licenses"] == "not known: METADATA cannot be read"


def test_a_python_that_no_package_brought_is_a_component(site: Site) -> None:
    env = {"config": {"Env": ["HOME=/", "PATH=/opt/venv/bin:/usr/local/bin:/usr/bin"]}}
    assert "python" not in {one["name"] for one in document_of(site, DEBIAN, **env)["components"]}
    link = special("opt/venv/bin/python3.11", tarfile.SYMTYPE, "/usr/bin/python3.11")
    document = document_of(site, [*DEBIAN, file("usr/local/bin/python3.11", PROGRAM), link], **env)
    python = found(document, "python")
    assert (python["version"], python["purl"]) == ("3.11.9", "pkg:generic/python@3.11.9")
    assert python["bom-ref"] in needs(document, VARIANT.image_name)


def test_a_base_without_dpkg_says_that_its_packages_are_not_listed(site: Site) -> None:
    rhel = [file("etc/os-release", b'ID="rhel"\nVERSION_ID="9.4"\n'), file("usr/bin/python3.11", PROGRAM)]
    document = document_of(site, rhel, config={"Env": ["PATH=/usr/bin"]})
    assert properties(found(document, "rhel")) == {"packages": "not listed: the base has no dpkg status"}
    assert found(document, "python")["version"] == "3.11.9"


def test_a_base_that_names_no_distribution_is_what_its_files_say(site: Site) -> None:
    bare = document_of(site, [file("hello", b"")])
    assert {one["purl"].partition("/")[0] for one in bare["components"]} == {"pkg:pypi"}
    nameless = document_of(site, DEBIAN[2:])
    python = found(nameless, "python3.11")["purl"]
    assert python == "pkg:deb/debian/python3.11@3.11.2-6?arch=amd64"
    assert python in needs(nameless, VARIANT.image_name)


def test_a_base_with_a_file_a_package_is_read_too(site: Site) -> None:
    first, *_, last = STATUS.replace("Status: install ok installed\n", "").split("\n\n")
    folder = "var/lib/dpkg/status.d"
    base = [DEBIAN[0], file(f"{folder}/libc6", first.encode()), file(f"{folder}/python3", last.encode()),
            file(f"{folder}/libc6.md5sums", b"Package: no\nVersion: 1\n")]
    names = {one["name"] for one in document_of(site, base)["components"] if one.get("purl", "").startswith("pkg:deb")}
    assert names == {"libc6", "python3.11"}


def test_the_uppermost_list_of_packages_counts(site: Site) -> None:
    more = STATUS + "\nPackage: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 8\n"
    run = {"created_by": "RUN /bin/sh -c apt-get install curl # buildkit"}
    venv = {"created_by": "RUN /mnt/uv venv --quiet /opt/venv # buildkit"}
    above = [file("var/lib/dpkg/status", more.encode())]
    for history in ([{"created_by": "FROM"}, run, venv], [{"created_by": "FROM"}, venv, run]):
        layers = [DEBIAN, *(above if made is run else [file("opt/x", b"")] for made in history[1:])]
        assert found(document_of(site, *layers, history=history), "curl")["version"] == "8"


@pytest.mark.parametrize("history, places", [
    (["FROM x", "-USER 0", "RUN uv venv", "RUN uv pip install", "-ENV A", "COPY app/ /app/", "RUN prepare.py"], [0]),
    (["ADD rootfs /", "RUN apt-get", "-CMD x", "RUN /mnt/uv venv /opt/venv # buildkit", "WORKDIR /app",
      "RUN /opt/venv/bin/python -I /mnt/prepare.py 10001 # buildkit"], [0, 1]),
    (["FROM x", "RUN uv venv", "RUN apt-get", "COPY x /"], [0, 2]),
    (["RUN uv venv of the base", "FROM x", "RUN uv venv", "RUN uv pip install"], [0, 1]),
    (["FROM x", "COPY x /"], [0, 1]), ([], [0, 1, 2]), (["RUN uv venv", "RUN uv venv", "-x"], [0, 1, 2]),
])
def test_layers_that_may_hold_packages_are_told_by_the_history(history: list[str], places: list[int]) -> None:
    lines = [{"created_by": line.lstrip("-"), **({"empty_layer": True} if line[0] == "-" else {})} for line in history]
    count = sum(line[0] != "-" for line in history) if history and history[-1] != "-x" else 3
    config = config_of([bytes([number]) for number in range(count)], history=lines)
    assert image_config.system_layers(config) == tuple(places)


def test_nothing_is_read_again_for_the_same_image(site: Site) -> None:
    image, lock = site.image(DEBIAN), site.lock
    first = site.text(image)
    shutil.rmtree(site.folder)
    shutil.rmtree(site.layout.blobs)
    assert site.text(image, lock) == first


def test_of_another_image_only_what_is_new_is_read(site: Site) -> None:
    first, lock = site.text(site.image(DEBIAN)), site.lock
    for path in site.folder.glob("*.whl"):
        path.write_bytes(b"")
    second = site.text(site.image(DEBIAN, [file("app/new", b"1")]), lock)
    assert json.loads(first)["components"] == json.loads(second)["components"]
    assert json.loads(first)["serialNumber"] != json.loads(second)["serialNumber"]


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"version": 0}', "null"])
def test_what_is_remembered_and_damaged_counts_as_absent(site: Site, damage: str) -> None:
    image = site.image(DEBIAN)
    first = site.text(image)
    for path in site.layout.sboms.iterdir():
        path.write_text(damage, encoding="utf-8")
    assert site.text(image) == first
    record = site.layout.sbom_record(VARIANT)
    record.unlink()
    for path in site.layout.sboms.iterdir():
        older = {"version": wheel_metadata.VERSION - 1, "requires": [], "licenses": ["of before"]}
        path.write_text(json.dumps(older), encoding="utf-8")
    assert site.text(image) == first
    record.write_text(record.read_text(encoding="utf-8").replace("2.1.2", "2.1.3"), encoding="utf-8")
    assert site.text(image) == first


def test_another_lock_or_name_makes_another_document(site: Site) -> None:
    image = site.image(DEBIAN)
    first = site.text(image)
    shorter = site.text(image, replace(site.lock, wheels=site.lock.wheels[1:]))
    renamed = site.text(replace(image, name="stt-engine:2"), replace(site.lock, wheels=site.lock.wheels[1:]))
    assert len({first, shorter, renamed, site.text(image)}) == 3


PRINT = """\
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from support.sbom_site import DEBIAN, Layout, Site
from torchferry import packing
site = Site(layout=Layout(root=Path(sys.argv[1])))
print(site.text(site.image(DEBIAN)) + str("cyclonedx" in sys.modules), end="")
"""


def printed(site: Site, **env: str) -> str:
    """The SBOM as another process makes it, and whether that loaded cyclonedx."""
    return subprocess.run(
        [sys.executable, "-c", PRINT, str(site.layout.root)], cwd=Path(__file__).parents[2], check=True,
        env={**os.environ, **env}, capture_output=True, text=True,
    ).stdout


def test_the_same_bytes_whatever_the_seed_of_hashes_and_the_time_zone(site: Site) -> None:
    expected = site.text(site.image(DEBIAN))
    for seed in ("1", "2"):
        shutil.rmtree(site.layout.sboms)
        shutil.rmtree(site.layout.blobs / "bases")
        assert printed(site, PYTHONHASHSEED=seed, TZ="Pacific/Auckland") == f"{expected}True"


def test_cyclonedx_is_not_loaded_when_nothing_changed(site: Site) -> None:
    expected = site.text(site.image(DEBIAN))
    assert printed(site) == f"{expected}False"


def test_it_is_written_and_stands_while_it_is_of_the_image(site: Site) -> None:
    image = site.image(DEBIAN)
    text = sbom.write(VARIANT, site.lock, image, site.layout)
    place = site.layout.sbom(VARIANT)
    assert place.relative_to(site.layout.dist).as_posix() == "stt-1.0.0/sbom/stt-engine-cu121.cdx.json"
    assert place.read_text(encoding="utf-8") == text
    assert sbom.standing(VARIANT, image.config_digest, site.layout) == text
    assert sbom.standing(VARIANT, sha(b"another"), site.layout) is None
    for damaged in (text.replace("2.1.2", "2.1.3"), text[:-9], "[]", f'"sha256:{image.config_digest}"'):
        place.write_text(damaged, encoding="utf-8")
        assert sbom.standing(VARIANT, image.config_digest, site.layout) is None
        assert sbom.write(VARIANT, site.lock, image, site.layout) == place.read_text(encoding="utf-8") == text
    place.unlink()
    assert sbom.standing(VARIANT, image.config_digest, site.layout) is None


def test_a_release_lists_the_sboms_of_the_images_in_it_and_no_others(site: Site) -> None:
    cpu = nouns.variant("cpu")
    shutil.copytree(site.folder, site.layout.wheel_folder(cpu))
    project = Project(root=site.layout.root, release=VARIANT.release, variants=(VARIANT, cpu))
    both = [packed(site, variant) for variant in project.variants]
    names = ["sbom/stt-engine-cpu.cdx.json", "sbom/stt-engine-cu121.cdx.json"]
    place = site.layout.sums(project.release)

    def listed(*made: packing.Packed) -> list[str]:
        packing.close(project, made, TABLE, site.layout)
        found = {name: digest for digest, name in map(str.split, place.read_text("utf-8").splitlines())}
        there = sorted(path.relative_to(place.parent).as_posix() for path in place.parent.rglob("*.cdx.json"))
        assert there == [name for name in found if name.startswith("sbom/")]
        assert [sha((place.parent / name).read_bytes()) for name in there] == [found[name] for name in there]
        return there

    assert listed(*both) == names
    assert listed(both[0]) == names
    site.layout.sbom(cpu).write_text("damaged", encoding="utf-8")
    assert listed(both[0]) == names[1:]
    assert listed(*both) == names


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_a_release_is_signed_when_it_is_closed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    project = Project(root=site.layout.root, release=VARIANT.release, variants=(VARIANT,))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    packing.close(project, [packed(site, VARIANT)], TABLE, site.layout)
    assert "not signed" in capsys.readouterr().err
    assert not site.layout.signature(VARIANT.release).exists()
    key, trusted = tmp_path / "key", tmp_path / "allowed_signers"
    signing.make(key)
    trusted.write_text(signing.signer(key, "release@stt"), encoding="utf-8")
    monkeypatch.setenv("TORCHFERRY_SIGNING_KEY", str(key))
    packing.close(project, [packed(site, VARIANT)], TABLE, site.layout)
    assert signing.verify(site.layout.sums(VARIANT.release), trusted) == "release@stt"


def packed(site: Site, variant: Variant) -> packing.Packed:
    """As if an archive had been written; what is in it is nobody's matter here."""
    image = replace(site.image(DEBIAN, [file(variant.name, b"")]), name=variant.image_name)
    path = site.layout.archive(variant)
    files.write_bytes(path, b"archive")
    archive = Archive(path=path, size=7, sha256=sha(b"archive"), image=image)
    return packing.Packed(variant=variant, lock=site.lock, archive=archive, checks=(), revision=None)


def test_rows_for_a_table(site: Site) -> None:
    rows = sbom.rows(site.text(site.image(DEBIAN)), file="x.cdx.json")
    by_name = {row.name: row for row in rows}
    assert [row.kind for row in rows] == ["wheel"] * 5 + ["operating-system"] + ["package"] * 3
    assert by_name["dual"].license == "MIT, BSD License"
    assert by_name["typing-extensions"].license == "MIT OR LicenseRef-x"
    assert by_name["torch"] == Component(
        name="torch", version="2.1.2", license="", kind="wheel",
        sha256=next(wheel.sha256 for wheel in site.lock.wheels if wheel.name == "torch"))
    assert (by_name["libc6"].version, by_name["libc6"].sha256) == ("2.36-9+deb12u14", "")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"components": [{}]}', '{"components": 1}'])
def test_rows_of_something_else_are_refused_by_name(text: str) -> None:
    with pytest.raises(IntegrityError, match=r"x\.cdx\.json: not an SBOM"):
        sbom.rows(text, file="x.cdx.json")
