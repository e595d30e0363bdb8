"""Releases that leave out what the server has: loaded, proven, saved again, taken back, by the engines of sites."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from support.delta_site import STEPS, Deltas, layers_saved, manifest_of, rows, saved
from support.engines import Engine, start, unavailable
from support.site import SERVICES, Site

from torchferry.blobs import BlobStore
from torchferry.savestream import read_save

pytestmark = [pytest.mark.docker]

KINDS = ("docker-20.10-classic", "docker-26-containerd", "docker-28-containerd", "podman-4", "podman-5")


def test_a_delta_holds_what_is_new_and_says_what_it_rests_on(deltas: Deltas) -> None:
    schema = json.loads(resources.files("torchferry").joinpath("manifest.schema.json").read_text(encoding="utf-8"))
    for version, base in STEPS.items():
        release = deltas.delta(version)
        said = manifest_of(release)
        jsonschema.Draft202012Validator(schema).validate(said)
        assert (said["delta"]["label"], said["delta"]["rests_on"]) == (f"since-{base}", [f"duo {base}"])
        assert sum(path.stat().st_size for path in release.glob("*.tar.gz")) < 200_000
    kept = {version: sorted(manifest_of(deltas.delta(version))["delta"]["models"]) for version in STEPS}
    assert kept == {"1.1.0": ["words-1"], "1.2.0": [], "1.3.0": ["words-2"], "1.3.1": ["words-2"]}
    assert {version for version in STEPS if any((deltas.delta(version) / "models").rglob("*.txt"))} == {"1.2.0"}
    fresh = {version: len(row["layers"]) - row["archive"]["omits"]
             for version in STEPS for row in [rows(deltas.delta(version))["engine"]]}
    assert fresh["1.1.0"] == fresh["1.2.0"] == 2 < fresh["1.3.0"]  # the code, and what lies on it
    assert fresh["1.3.1"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_deltas_come_up_one_on_the_other_and_are_taken_back(kind: str, deltas: Deltas, tmp_path: Path) -> None:
    if reason := unavailable(kind):
        pytest.skip(reason)
    with start(kind) as engine:
        site = site_of(engine, tmp_path)
        site.up(deltas.whole)
        assert site.answers() == ["1.0.0"] * 3
        for version in ("1.1.0", "1.2.0", "1.3.0"):
            site.up(deltas.delta(version))
            assert site.answers() == [version] * 3
            assert words(site) == f"words of model {1 if version == '1.1.0' else 2}"
        is_saved_whole(site, deltas.delta("1.3.0"), tmp_path)

        for version in ("1.2.0", "1.1.0"):
            back = site.ferry(deltas.delta("1.3.0"), "rollback")
            assert back.ok, f"{back.stdout}\n{back.stderr}"
            assert site.answers() == [version] * 3
        assert words(site) == "words of model 1"

        # From there on as if nothing had been: 1.3.0 is here already, and 1.3.1 brings not a single layer.
        site.up(deltas.delta("1.3.1"))
        assert "duo 1.3.1 (cpu, CPU), well" in site.ferry(deltas.delta("1.3.1"), "status").stdout
        assert site.answers() == ["1.3.0"] * 3
        is_saved_whole(site, deltas.delta("1.3.1"), tmp_path)


def site_of(engine: Engine, folder: Path) -> Site:
    return Site(daemon=engine, folder=folder, env={"FERRY_ENGINE": engine.command})


def words(site: Site) -> object:
    """What the model says that the service reads."""
    return (site.ask(SERVICES["engine"], "/health") or {})["words"]


def is_saved_whole(site: Site, release: Path, folder: Path) -> None:
    """The engine can give away again what came to it in pieces, and it is what was made at home."""
    for name, row in rows(release).items():
        tar = saved(site, row["image"], folder / "saved.tar")
        wanted = tuple(layer["diff_id"] for layer in row["layers"])
        assert layers_saved(tar) == wanted
        if not site.env["FERRY_ENGINE"].endswith("podman"):
            fresh = BlobStore(folder=folder / f"blobs of {name} {release.name}")  # another could lend what is not saved
            with tar.open("rb") as stream:
                [image] = read_save(stream, store=fresh, names=[row["image"]])
            assert tuple(layer.diff_id for layer in image.layers) == wanted
            assert image.config_digest == row["config"]
