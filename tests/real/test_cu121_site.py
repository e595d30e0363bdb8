"""The release of the shipped project's cu121 image on a server without a way out and without a GPU, by ferry.sh alone.

`inv bundle --variant cu121` makes it, from 2.7 GB of wheels; `inv test --real` runs this.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon, unavailable
from support.site import Site

from torchferry import receipts

pytestmark = pytest.mark.real

RELEASE = Path(__file__).parents[2] / "dist/stt-1.0.0"
SERVICE, PORT = "stt-engine", 8003
IMAGE = f"{SERVICE}:1.0.0-cu121"
UP = ("up", "--variant", "cu121", "--gpus", "none")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Site]:
    if reason := unavailable():
        pytest.skip(reason)
    assert (RELEASE / "SHA256SUMS").is_file(), f"{RELEASE} is not there: run `inv bundle --variant cu121` first"
    with PrivateDaemon() as daemon:
        site = Site(daemon=daemon, folder=tmp_path)
        (site.data / "models").mkdir()
        (site.data / "models" / "README").write_text("no model yet\n", encoding="utf-8")
        yield site


def promised() -> tuple[str, tuple[str, ...]]:
    """The ID of the image and its layers' ChainIDs, by the manifest."""
    document = json.loads((RELEASE / "manifest.json").read_text(encoding="utf-8"))
    (row,) = (row for row in document["images"] if row["image"] == IMAGE)
    return row["config"], tuple(layer["chain_id"] for layer in row["layers"])


def test_it_comes_up_on_the_cpu_stays_and_leaves(server: Site) -> None:
    said = server.ferry(RELEASE, *UP)
    assert said.ok, f"{said.stdout}\n{said.stderr}"
    assert f"{SERVICE}: --gpus none: cu121 runs on the CPU, its GPU is left out on purpose" in said.stdout
    assert f"{SERVICE}: stt 1.0.0 (cu121, CPU), well" in said.stdout
    assert server.containers() == {SERVICE: "running"}
    health = server.ask(PORT, "/health") or {}
    assert (health["status"], health["device"], health["cuda"]) == ("ok", "cpu", "12.1")

    before = server.ids()
    again = server.up(RELEASE, *UP[1:])
    assert f"load {IMAGE}: it is here already" in again.stdout
    assert f"{SERVICE}: runs already with these settings, and is well" in again.stdout
    assert server.ids() == before

    receipt = receipts.parse(server.ferry(RELEASE, "receipt").stdout, file="receipt")
    assert [(image.image_id, image.chain_ids) for image in receipt.images if image.name == IMAGE] == [promised()]
    assert [(one.name, one.variant, one.running) for one in receipt.services] == [(SERVICE, "cu121", True)]

    gone = server.ferry(RELEASE, "uninstall")
    assert gone.ok, gone.stderr
    assert (server.containers(), server.docker("image", "ls", "--all", "--quiet")) == ({}, "")
    assert (server.data / "models" / "README").exists()
