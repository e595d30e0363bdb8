"""The archive of the shipped project's cu121 image on an empty daemon: real torch, no network, no GPU.

`inv bundle --variant cu121` makes it, from 2.7 GB of wheels; `inv test --real` runs this.
"""

from __future__ import annotations

import json
import site
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support.daemon import PrivateDaemon, unavailable
from support.far_side import answer, docker

from torchferry import sbom
from torchferry.archive import verify_archive

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "dist/stt-1.0.0/stt-engine-1.0.0-cu121.tar.gz"
IMAGE = "stt-engine:1.0.0-cu121"

INSTALLED = """
import importlib.metadata, json, re
found = importlib.metadata.distributions()
print(json.dumps([[re.sub(r"[-_.]+", "-", one.name).lower(), one.version] for one in found]))
"""

RUN_TESTS = """
import sys
sys.path.append("/site-packages")  # last: what the image has itself is used first
import pytest
sys.exit(pytest.main(["-q", "-ra", "-p", "no:cacheprovider", "--rootdir", "/tests", "/tests/app"]))
"""


@pytest.fixture(scope="module")
def far_side() -> Iterator[PrivateDaemon]:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    assert ARCHIVE.is_file(), f"{ARCHIVE} is not there: run `inv bundle --variant cu121` first"
    with PrivateDaemon() as daemon:
        docker(daemon, "load", "--input", str(ARCHIVE))
        yield daemon


def test_the_archive_holds_the_image_that_the_manifest_promises(far_side: PrivateDaemon) -> None:
    listed = json.loads((ARCHIVE.parent / "manifest.json").read_text(encoding="utf-8"))["images"]
    (row,) = (row for row in listed if row["image"] == IMAGE)
    found = verify_archive(ARCHIVE)
    assert (found.size, found.sha256) == (row["archive"]["size"], row["archive"]["sha256"])
    layers = [f"sha256:{layer['diff_id']}" for layer in row["layers"]]
    assert json.loads(docker(far_side, "image", "inspect", IMAGE))[0]["RootFS"]["Layers"] == layers


def test_the_sbom_lists_what_pip_and_dpkg_find_in_the_image(far_side: PrivateDaemon) -> None:
    text = (ARCHIVE.parent / "sbom/stt-engine-cu121.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    rows = sbom.rows(text, file="stt-engine-cu121.cdx.json")
    wheels = docker(far_side, "run", "--rm", "--network", "none", IMAGE, "python", "-c", INSTALLED)
    assert sorted([row.name, row.version] for row in rows if row.kind == "wheel") == sorted(json.loads(wheels))
    query = ("dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n")
    packages = docker(far_side, "run", "--rm", "--network", "none", IMAGE, *query)
    assert sorted(f"{row.name} {row.version}" for row in rows if row.kind == "package") == sorted(packages.splitlines())
    assert [row.name for row in rows if row.kind == "wheel" and not row.license] == []


def test_health_tells_the_truth_about_torch_and_the_missing_gpu(far_side: PrivateDaemon) -> None:
    said = answer(far_side, IMAGE, port=8003, path="/health")
    assert said["status"] == "ok"
    assert said["torch"].split("+")[0] == "2.1.2"
    assert said["cuda"] == "12.1"
    assert said["device"] == "cpu"
    assert "no usable GPU" in said["device_reason"]
    assert said["model"]["present"] is False


def test_cuda_is_asked_for_and_without_a_gpu_the_service_says_so_and_ends(far_side: PrivateDaemon) -> None:
    name = docker(far_side, "run", "--detach", "--network", "none", "--env", "STT_DEVICE=cuda", IMAGE)
    assert docker(far_side, "wait", name) == "1"
    docker(far_side, "rm", "--force", "--volumes", name)


def test_the_services_own_tests_pass_inside_its_image(far_side: PrivateDaemon) -> None:
    packages = next(path for path in site.getsitepackages() if (Path(path) / "pytest").is_dir())
    said = docker(
        far_side, "run", "--rm", "--network", "none", "--env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1",
        "--volume", f"{packages}:/site-packages:ro", "--volume", f"{ROOT / 'tests/app'}:/tests/app:ro",
        IMAGE, "python", "-c", RUN_TESTS,
    )
    last = said.splitlines()[-1]
    assert " passed" in last
    assert "failed" not in last
    assert "torch and torchaudio are not installed" not in said
