"""Bases out of a real registry with no daemon at all: digest locked, layers checked, platforms told apart."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import json
import random
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.image_tree import image_tree
from support.index_server import IndexServer
from support.project import make_project
from support.wheel_factory import make_wheel

from torchferry import lockfile, registry
from torchferry.blobs import BlobStore
from torchferry.errors import SourceError
from torchferry.layout import Layout
from torchferry.model import Base
from torchferry.pipeline import Road

pytestmark = [
    pytest.mark.xdist_group("registry without docker"),
    pytest.mark.skipif(
        not (shutil.which("docker-registry") and shutil.which("skopeo")),
        reason="docker-registry and skopeo are not both installed here",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry on localhost, and where it keeps its blobs."""

    host: str
    folder: Path

    def push(self, name: str, images: dict[str, Path]) -> None:
        """Put OCI layouts, by architecture, under one name: one alone, several as an index."""
        for architecture, layout in images.items():
            tag = name if len(images) == 1 else f"{name}-{architecture}"
            subprocess.run(
                ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{self.host}/{tag}"],
                check=True, capture_output=True,
            )
        if len(images) > 1:
            self._push_index(name, images)

    def _push_index(self, name: str, images: dict[str, Path]) -> None:
        rows = []
        for architecture, layout in images.items():
            row = json.loads((layout / "index.json").read_bytes())["manifests"][0]
            rows.append({"mediaType": row["mediaType"], "digest": row["digest"], "size": row["size"],
                         "platform": {"os": "linux", "architecture": architecture}})
        kind = "application/vnd.oci.image.index.v1+json"
        repository, _, tag = name.partition(":")
        answer = httpx.put(
            f"http://{self.host}/v2/{repository}/manifests/{tag}", headers={"Content-Type": kind},
            content=json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": rows}),
        )
        assert answer.status_code == 201, answer.text


@pytest.fixture
def own_registry(tmp_path: Path) -> Iterator[Registry]:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
              "http": {"addr": f"127.0.0.1:{port}"}, "log": {"level": "error"}}
    (tmp_path / "registry.yml").write_text(json.dumps(config), encoding="utf-8")
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "registry.yml")], stdout=log, stderr=log)
        try:
            for _ in range(200):
                with socket.socket() as door:
                    if door.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield Registry(host=f"127.0.0.1:{port}", folder=tmp_path / "registry")
        finally:
            process.terminate()
            process.wait()


def oci_layout(folder: Path, tar: bytes, architecture: str, **config: object) -> Path:
    """An OCI layout of one gzip layer, as a build writes it."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layer = blob(gzip.compress(tar, 1, mtime=0), "layer.v1.tar+gzip")
    said = {"architecture": architecture, "os": "linux", "config": config, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(said).encode(), "config.v1+json"), "layers": [layer]}
    row = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [row]}), encoding="utf-8")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    return folder


def python_base(machine: str) -> bytes:
    """The least that an image with Python 3.11 has: the folders, user tables, and a program that tells its version."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for folder in ("etc", "opt", "usr", "usr/local", "usr/local/bin", "usr/local/lib", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, data in (
            ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nsomebody:x:10001:10001::/:/bin/sh\n"),
            ("etc/group", b"root:x:0:\n"),
            ("usr/local/bin/python3.11", b"\x7fELF " + machine.encode()),
            ("usr/local/lib/libpython3.11.so.1.0", b"\x7fELF\0" + b"3.11.9\0"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if "bin/" in name else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return sink.getvalue()


@pytest.fixture
def index(index: IndexServer) -> IndexServer:
    """The index of a test, with a uv for arm64 too; nobody runs it."""
    version = importlib.metadata.version("uv")
    make_wheel(index.root / "pypi", "uv", version, data={"scripts/uv": b"\x7fELF arm"},
               tag="py3-none-manylinux_2_17_aarch64")
    return index


@pytest.fixture
def both(tmp_path: Path) -> dict[str, Path]:
    """The layouts of one base for two platforms."""
    path = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"], "Cmd": ["python3"], "StopSignal": "SIGINT"}
    return {name: oci_layout(tmp_path / name, python_base(name), name, **path) for name in ("amd64", "arm64")}


def test_two_platforms_of_one_service_are_made_here_and_each_stands_on_its_own_base(
    own_registry: Registry, both: dict[str, Path], index: IndexServer, tmp_path: Path
) -> None:
    own_registry.push("team/python:3.11", both)
    project = make_project(
        tmp_path / "p", index, engine="direct", env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    text = text.replace("base: {debian: bookworm}", f"base: {{image: '{own_registry.host}/team/python:3.11'}}\n"
                        "platforms: [linux/amd64, linux/arm64]")
    project.write("variants.yaml", text)
    project.made("package", "--service", "page")
    rows = {row["platform"]: row for row in project.manifest["images"]}
    assert {name: row["archive"]["name"] for name, row in rows.items()} == {
        "linux/amd64": "page-1.0.0-any.tar.gz", "linux/arm64": "page-1.0.0-any-arm64.tar.gz"}
    road = Road.open(project.folder / "variants.yaml")
    store = BlobStore(folder=road.layout.blobs)
    for variant in road.select((), ["page"]):
        lock = lockfile.parse(road.layout.lock(variant).read_text(encoding="utf-8"), file="pylock.toml")
        assert lock.base_digest == registry.digest(str(variant.service.base.image))
        image = store.image(variant.image_name, rows[variant.platform]["config"])
        assert image is not None
        cpu = variant.platform.partition("/")[2]
        said = json.loads(image.config)
        assert (said["architecture"], said["config"]["StopSignal"]) == (cpu, "SIGINT")
        assert "LANG=C.UTF-8" in said["config"]["Env"]
        tree = image_tree(image, store)
        wanted = hashlib.sha256(b"\x7fELF " + cpu.encode()).hexdigest()
        assert tree["usr/local/bin/python3.11"].content == wanted
        assert tree["opt/venv/bin/python"].content == "/usr/local/bin/python3.11"
        assert tree["app/page/__main__.py"].mode == 0o644
        assert tree["etc/passwd"].content == hashlib.sha256(  # the UID is somebody's already: the table stays
            b"root:x:0:0:root:/root:/bin/sh\nsomebody:x:10001:10001::/:/bin/sh\n").hexdigest()
    # A second time nothing is pulled: the registry may be gone.
    shutil.rmtree(own_registry.folder)
    project.made("package", "--service", "page")


def test_a_base_without_the_platform_or_the_python_is_refused_by_name(
    own_registry: Registry, both: dict[str, Path], index: IndexServer, tmp_path: Path
) -> None:
    own_registry.push("team/python:amd", {"amd64": both["amd64"]})
    project = make_project(
        tmp_path / "p", index, engine="direct", env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    base = f"base: {{image: '{own_registry.host}/team/python:amd'}}"
    project.write("variants.yaml", text.replace("base: {debian: bookworm}", f"{base}\nplatforms: [linux/arm64]"))
    done = project.inv("package", "--service", "page")
    assert done.status == 9
    assert "is for linux/amd64, not for linux/arm64" in done.stderr
    project.write("variants.yaml", text.replace("base: {debian: bookworm}", base).replace('"3.11"', '"3.12"'))
    done = project.inv("package", "--service", "page")
    assert done.status == 9
    assert "no python3.12" in done.stderr


def test_cuda_rows_stay_where_they_exist(index: IndexServer, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", index)
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    text = text.replace("base: {debian", "platforms: [linux/amd64, linux/arm64]\nbase: {debian")
    project.write("variants.yaml", text)
    done = project.inv("check")
    assert done.status == 3
    assert "write platforms: [linux/amd64] into this row" in done.stderr
    for name in ("cu118: {", "cu121: {", "cu124: {"):
        text = text.replace(name, f"{name}platforms: [linux/amd64], ")
    project.write("variants.yaml", text)
    listed = json.loads(project.made("variants", "--json").stdout)
    assert [row["image"] for row in listed if row["platform"] == "linux/arm64"] == [
        "engine:1.0.0-cpu-arm64", "page:1.0.0-any-arm64"]


def test_damaged_layers_and_absent_names_are_refused(
    own_registry: Registry, both: dict[str, Path], tmp_path: Path
) -> None:
    own_registry.push("team/python:amd", {"amd64": both["amd64"]})
    with pytest.raises(SourceError, match="team/nobody"):
        registry.digest(f"{own_registry.host}/team/nobody:1")
    digest = registry.digest(f"{own_registry.host}/team/python:amd")
    for blob in (own_registry.folder / "docker/registry/v2/blobs").rglob("data"):
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(blob.read_bytes()[:-30] + bytes(30))
    layout = Layout(root=tmp_path)
    with pytest.raises(SourceError):  # skopeo itself sees that the bytes are not those of the digest
        registry.pull(f"{own_registry.host}/team/python:amd@{digest}", "x86_64", BlobStore(folder=layout.blobs))
    assert not [*layout.blobs.rglob("*.gz")]


def test_a_base_in_debian_has_a_name_of_its_own_for_each_architecture() -> None:
    layout, base = Layout(root=Path("/p")), Base(debian="bookworm")
    assert layout.base_tar(base, "x86_64") != layout.base_tar(base, "aarch64")


def test_several_platforms_are_pushed_under_one_name_from_here_and_from_the_release_folder(
    own_registry: Registry, both: dict[str, Path], index: IndexServer, tmp_path: Path
) -> None:
    own_registry.push("team/python:3.11", both)
    project = make_project(
        tmp_path / "p", index, engine="direct", env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    text = (project.folder / "variants.yaml").read_text(encoding="utf-8")
    base = f"base: {{image: '{own_registry.host}/team/python:3.11'}}"
    project.write("page/page/words.txt", random.Random(7).randbytes(200_000).hex())  # so that there are parts
    project.write("variants.yaml", "split: 64KiB\n" + text.replace(
        "base: {debian: bookworm}", f"{base}\nplatforms: [linux/amd64, linux/arm64]"))
    project.made("package", "--service", "page")
    assert len([*project.release.glob("page-*-arm64.tar.gz.part*")]) > 2
    printed = project.made("push", f"{own_registry.host}/here", "--service", "page").stdout
    for again in ("", ", there already"):
        done = subprocess.run(
            ["sh", str(project.release / "ferry.sh"), "push", f"{own_registry.host}/there", "--plain-http"],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        assert again in done.stdout
    for name, platform in (("page:1.0.0-any", "linux/amd64, linux/arm64"), ("page:1.0.0-any-arm64", "linux/arm64")):
        here, there = (inspected(f"{own_registry.host}/{place}/{name}") for place in ("here", "there"))
        assert here == there
        [row] = [line for line in printed.splitlines() if f"/here/{name} " in line]
        assert f" {platform} " in row
        assert f"sha256:{hashlib.sha256(here.encode()).hexdigest()}" in row
    listed = json.loads(inspected(f"{own_registry.host}/here/page:1.0.0-any"))
    assert [one["platform"] for one in listed["manifests"]] == [
        {"architecture": "amd64", "os": "linux"}, {"architecture": "arm64", "os": "linux"}]
    for cpu in both:
        said = json.loads(inspected(f"{own_registry.host}/there/page:1.0.0-any", "--config", "--override-arch", cpu))
        assert said["architecture"] == cpu
    blobs = own_registry.folder / "docker/registry/v2/repositories"
    links = {place: {path.parent.name for path in (blobs / place / "page/_layers").rglob("link")}
             for place in ("here", "there")}
    assert links["here"] == links["there"]
    assert "pushed" in printed and project.made("push", f"{own_registry.host}/here", "--service", "page").stdout.count(
        " present ") == 4  # the header's, and three names


def inspected(name: str, *words: str) -> str:
    """What skopeo reads of a name: its very manifest or index, or with --config the config of one platform."""
    override = [word for word in words if word != "--config"]
    form = ["--config", "--raw"] if "--config" in words else ["--raw"]
    return subprocess.run(
        ["skopeo", *override, "inspect", "--tls-verify=false", *form, f"docker://{name}"],
        check=True, capture_output=True, text=True,
    ).stdout
