"""The whole way of a release: packaged, shipped over ssh to a server without a way out, up, updated, taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.site import Releases, Site
from support.sshd import Sshd, unavailable

from torchferry import planning, receipts, sites
from torchferry.layout import Layout
from torchferry.manifest import chain_ids
from torchferry.proc import Finished

reason = unavailable()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(reason is not None, reason=str(reason))]

ROOT = Path(__file__).parents[2]


def ship(far: Sshd, server: Site, *words: str) -> Finished:
    """The task, as a person runs it who reaches the server and nothing else."""
    invoke = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "ship", "far", *words]
    project = far.folder / "variants.yaml"  # none that exists: only sites/ beside it is written
    done = subprocess.run(
        [*server.daemon.inside(), *invoke, "--ssh-config", str(far.config), "--file", str(project)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=ROOT,
    )
    return Finished(argv=words, status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def over_there(far: Sshd, *words: str, said: bytes = b"") -> str:
    done = far.ssh(*words, said=said)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_release_is_shipped_comes_up_is_updated_and_taken_back(
    releases: Releases, server: Site, far: Sshd
) -> None:
    # The server has no way out: nothing but its own network is reachable from there.
    assert b"default" not in subprocess.run(server.daemon.inside("ip", "route"), capture_output=True, check=True).stdout

    first = ship(far, server, "--from", str(releases.folder("1.0.0")), "--auto", "--up")
    assert first.ok, f"{first.stdout}\n{first.stderr}"
    assert server.answers() == ["1.0.0"] * 3
    arrived = {path.name for path in (far.home / "duo-1.0.0").iterdir()}
    assert {"ferry.sh", "index.html", "SHA256SUMS", "engine-1.0.0-cpu.tar.gz", "page-1.0.0-any.tar.gz"} <= arrived
    assert "engine-1.0.0-cu121.tar.gz" not in arrived  # this server has no GPU: the doctor there picked cpu
    assert (server.data / "models/words-1/words.txt").read_text(encoding="utf-8") == "words of model 1\n"

    second = ship(far, server, "--from", str(releases.folder("1.1.0")), "--auto", "--up")
    assert second.ok, f"{second.stdout}\n{second.stderr}"
    assert server.answers() == ["1.1.0"] * 3
    engine = server.ask(8003, "/health") or {}
    assert (engine["words"], engine["migrated"]) == ("words of model 2", True)

    receipt = over_there(far, "sh", "duo-1.1.0/ferry.sh", "receipt").splitlines()
    manifest = json.loads((releases.folder("1.1.0") / "manifest.json").read_text(encoding="utf-8"))
    assert f"sequence {manifest['sequence']}" in receipt
    assert {"model words-1", "model words-2"} <= set(receipt)
    for row in manifest["images"]:
        if row["variant"] != "cu121":
            diff_ids = [layer["diff_id"] for layer in row["layers"]]
            held = [f"layer {chain} {diff_id}" for chain, diff_id in zip(chain_ids(diff_ids), diff_ids, strict=True)]
            [start] = [number for number, line in enumerate(receipt) if line.startswith(f"image {row['image']} ")]
            assert receipt[start + 1: start + 1 + len(held)] == held

    # what it holds was brought home when it was up, and is told again to who only asks
    [kept] = sites.known(Layout(root=far.folder)).sites
    assert {(one.name, one.version, one.variant) for one in kept.receipt.services} == {
        ("engine", "1.1.0", "cpu"), ("page", "1.1.0", "any")}
    assert planning.need(planning.of_manifest(manifest), kept.receipt).bytes == 0
    asked = receipts.parse(over_there(
        far, "sh", "-s", "receipt", said=(releases.folder("1.1.0") / "ferry.sh").read_bytes()), file="asked")
    assert set(asked.images) == set(kept.receipt.images)  # in whatever order the daemon lists them
    assert replace(asked, made=kept.receipt.made, images=kept.receipt.images) == kept.receipt

    assert "back to 1.0.0" in over_there(far, "sh", "duo-1.1.0/ferry.sh", "rollback")
    assert server.answers() == ["1.0.0"] * 3
    assert (server.ask(8003, "/health") or {})["words"] == "words of model 1"
