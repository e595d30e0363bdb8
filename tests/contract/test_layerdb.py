"""Layers out of a real daemon's own folder are those that it would save; all else is left to docker save."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon, unavailable
from support.far_side import docker

from torchferry import archive
from torchferry.blobs import BlobStore
from torchferry.engines import daemon as daemon_engine
from torchferry.engines.docker import DockerEngine
from torchferry.engines.layerdb import LayerDb, Unreadable
from torchferry.manifest import chain_ids
from torchferry.members import Readable
from torchferry.model import BuiltImage

reason = unavailable()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(reason is not None, reason=str(reason))]

DOCKERFILE = """\
FROM awkward:1
COPY two /folder/file
COPY empty /folder/
"""


def awkward_tar() -> bytes:
    """What tars of images hold: links of both kinds, names that are no UTF-8 or very long, empty and large files."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, size in (("folder/file", 700), ("folder/" + "long-" * 40, 1), ("no-utf8-\udce4", 5), ("empty", 0),
                           ("large", 3_000_001)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = size, 0o4755, 1_700_000_000
            tar.addfile(entry, io.BytesIO(b"\x01\xff" * (size // 2 + 1)))
        for name, kind in (("hard", tarfile.LNKTYPE), ("soft", tarfile.SYMTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "folder/file"
            tar.addfile(entry)
    return sink.getvalue()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateDaemon]:
    folder = tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "two").write_text("two", encoding="utf-8")
    (folder / "empty").touch()
    with PrivateDaemon() as started:
        env = {**os.environ, **started.env}
        subprocess.run(["docker", "import", "-", "awkward:1"], input=awkward_tar(), env=env, check=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", started.env["DOCKER_HOST"])
            client = DockerEngine.connect().client.path
        subprocess.run(
            [client, "build", "--quiet", "--network", "none", "--tag", "awkward:2", str(folder)],
            env={**env, "DOCKER_BUILDKIT": "1"}, check=True, capture_output=True,
        )
        yield started


@pytest.fixture
def engine(daemon: PrivateDaemon, monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    monkeypatch.setenv("DOCKER_HOST", daemon.env["DOCKER_HOST"])
    return DockerEngine.connect()


def built(engine: DockerEngine) -> BuiltImage:
    found = engine.find("awkward:2")
    assert found is not None
    return found


def sha256(source: Readable) -> str:
    digest = hashlib.sha256()
    while data := source.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def test_every_layer_has_the_sha256_that_it_is_named_by(engine: DockerEngine) -> None:
    database, image = engine.layer_db(), built(engine)
    assert database is not None
    assert len(image.diff_ids) == 3
    found = [sha256(database.layer(chain)) for chain in chain_ids(image.diff_ids)]
    assert found == list(image.diff_ids)
    assert f"sha256:{hashlib.sha256(database.config(image.image_id)).hexdigest()}" == image.image_id


def test_both_ways_out_of_the_daemon_give_one_image(engine: DockerEngine, tmp_path: Path) -> None:
    stores = [BlobStore(folder=tmp_path / name) for name in ("direct", "saved")]
    direct = daemon_engine.image_from_layer_db(built(engine), stores[0], engine.layer_db())
    assert direct == daemon_engine.image_from_docker_save(built(engine), stores[1], engine)
    files = [{path.name: path.read_bytes() for path in store.shelf.glob("*.gz")} for store in stores]
    assert files[0] == files[1]


def damage(root: Path, image: BuiltImage, how: str) -> None:
    top = root / "image/overlay2/layerdb/sha256" / chain_ids(image.diff_ids)[0]
    files = root / "overlay2" / (top / "cache-id").read_text(encoding="ascii") / "diff"
    match how:
        case "another byte":
            (files / "folder/file").write_bytes(b"\x02" * 700)
        case "another size":
            (files / "folder/file").write_bytes(b"\x01")
        case "no file":
            (files / "large").unlink()
        case "a pipe":
            (files / "large").unlink()
            os.mkfifo(files / "large")
        case "a cut record":
            record = top / "tar-split.json.gz"
            record.write_bytes(record.read_bytes()[:-20])
        case "no record":
            shutil.rmtree(top)


@pytest.mark.parametrize("how", ["another byte", "another size", "no file", "a pipe", "a cut record", "no record"])
def test_what_is_not_as_it_was_is_left_to_docker_save(
    engine: DockerEngine, daemon: PrivateDaemon, tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "root"  # the daemon's own folder stays as it is
    copy.mkdir()
    subprocess.run(["cp", "-a", *(str(daemon.root / part) for part in ("image", "overlay2")), str(copy)], check=True)
    database, image = LayerDb(root=copy), built(engine)
    store = BlobStore(folder=tmp_path / "store")
    damage(copy, image, how)
    assert daemon_engine.image_from_layer_db(image, store, database) is None
    assert "docker save" in capfd.readouterr().err
    assert daemon_engine.image_from_docker_save(image, store, engine).layers[0].diff_id == image.diff_ids[0]


def test_an_unknown_layer_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        LayerDb(root=tmp_path).layer("0" * 64)
    with pytest.raises(Unreadable):
        LayerDb(root=tmp_path).config("sha256:" + "0" * 64)


def test_docker_loads_the_archive_of_such_an_image(engine: DockerEngine, daemon: PrivateDaemon, tmp_path: Path) -> None:
    store = BlobStore(folder=tmp_path / "store")
    image = daemon_engine.image_from_layer_db(built(engine), store, engine.layer_db())
    assert image is not None
    made = archive.write_archive(image, store=store, target=tmp_path / "a.tar.gz")
    docker(daemon, "image", "rm", "awkward:2")
    docker(daemon, "load", "--input", str(made.path))
    assert built(engine).diff_ids == tuple(layer.diff_id for layer in image.layers)
