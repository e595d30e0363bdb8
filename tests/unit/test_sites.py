"""`inv site`: the newest receipt of each server is kept and no other is lost; the table says what each needs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.held import diff_id, document, receipt, row

from torchferry import receipts, site_table, sites
from torchferry.blobs import BlobStore
from torchferry.errors import ConfigError, IntegrityError
from torchferry.layout import Layout
from torchferry.manifest import VERSION
from torchferry.pipeline import Road
from torchferry.proc import Finished
from torchferry.receipts import Receipt

ROOT = Path(__file__).parents[2]
LATER = "2026-12-01T00:00:00Z"
VARIANTS_YAML = """\
release: {name: duo, version: 1.1.0}
python: "3.11"
base: {debian: bookworm}
models:
  words: {source: words, version: "2", at: /app/words}
services:
  engine:
    source: engine
    requirements: engine/requirements.in
    command: [python, -m, engine]
    port: 8003
    health: {path: /health}
    variants: {cu121: {torch: 2.1.2}}
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project of which nothing was built."""
    for name, text in {"variants.yaml": VARIANTS_YAML, "engine/requirements.in": "", "engine/__init__.py": "",
                       "words/words.txt": "0123456789"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return Layout(root=tmp_path)


@pytest.fixture
def road(layout: Layout) -> Road:
    return Road.open(layout.root / "variants.yaml")


def pack(layout: Layout, words: str, **changes: Any) -> None:
    """A manifest in dist/ of a release with these layers."""
    image = row(words, **changes)
    image["archive"] |= {"sha256": "0" * 64, "compression": "fast"}
    models = [{"name": "words", "version": "2", "services": ["engine"], "files": [{"size": 10}]}]
    place = layout.dist / "duo-1.1.0" / "manifest.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"manifest": VERSION, **document(image, models=models)}), encoding="utf-8")


def build(layout: Layout, road: Road, words: str) -> int:
    """An image of these layers in the store, as a build leaves it; the compressed bytes of its last layer."""
    store = BlobStore(folder=layout.blobs)
    layers = [store.add(io.BytesIO(word.encode() * 1000)) for word in words]
    diff_ids = [f"sha256:{layer.diff_id}" for layer in layers]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    place = layout.image_record(road.project.variants[0], "direct")
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"image_id": "x", "config": store.add_config(config)}), encoding="utf-8")
    last = store.blob(layers[-1].diff_id)
    assert last is not None
    return last.gz_size


def inv(layout: Layout, *words: str | Path) -> Finished:
    """The task, as people run it."""
    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "site", *map(str, words),
               "--file", str(layout.root / "variants.yaml")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return Finished(argv=(), status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def keep(layout: Layout, made: Receipt, name: str | None = None) -> Path:
    return sites.keep(made, layout, file="receipt.txt", name=name)


# What is kept


def test_a_newer_receipt_takes_the_place_of_an_older_and_never_the_other_way(layout: Layout) -> None:
    place = keep(layout, receipt("a"))
    assert place == layout.root / "sites" / "gpu01.receipt"
    assert keep(layout, receipt("ab", made=LATER)) == place
    before = place.read_bytes()
    with pytest.raises(ConfigError, match="which is newer") as refused:
        keep(layout, receipt("a"))
    assert f"remove {place} first" in refused.value.cure
    assert place.read_bytes() == before
    assert [path.name for path in layout.sites.iterdir()] == ["gpu01.receipt"]
    assert receipts.read(place) == receipt("ab", made=LATER)


def test_instances_and_servers_of_one_name_do_not_take_each_others_place(layout: Layout) -> None:
    keep(layout, receipt("a"))
    assert keep(layout, receipt("ab", instance="second")).name == "gpu01+second.receipt"
    with pytest.raises(ConfigError, match=r"is of solo on gpu01, and .* is of duo on gpu01") as refused:
        keep(layout, receipt("abc", release="solo", instance="solo", made=LATER))
    assert "--name NAME" in refused.value.cure
    assert keep(layout, receipt("abc", made=LATER), name="gpu01 in Busan").name.startswith("gpu01_in_Busan-")
    assert [site.receipt.made == LATER for site in sites.known(layout).sites] == [False, False, True]
    with pytest.raises(ConfigError, match="is of duo on gpu02"):
        keep(layout, receipt("a", host="gpu02", made=LATER), name="gpu01")


def test_a_damaged_receipt_is_replaced(layout: Layout) -> None:
    place = keep(layout, receipt("a", made=LATER))
    place.write_text("torchferry receipt 1\nhost", encoding="utf-8")
    keep(layout, receipt("a"))
    assert receipts.read(place) == receipt("a")


@given(st.text(min_size=1, max_size=300))
def test_no_name_leaves_the_folder(name: str) -> None:
    place = Layout(root=Path("/project")).receipt(name)
    assert place.parent == Path("/project/sites")
    assert place.name.isascii() and place.name.isprintable() and len(place.name) < 130
    assert not place.name.startswith((".", "-"))


def test_names_that_look_alike_on_disk_are_kept_apart() -> None:
    names = ["a/b", "a_b", "a b", "a\0b", "..", ".", "../a_b", "서울", "부산", "-a_b", "x" * 101, "x" * 100, "a+b"]
    assert len({Layout(root=Path("/p")).receipt(name) for name in names}) == len(names)


def test_all_receipts_that_can_be_kept_are_and_all_others_are_told(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text(receipts.as_text(receipt("a")), encoding="utf-8")
    (tmp_path / "bad.txt").write_text("hello\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.txt: no receipt of ferry\.sh.*none\.txt: No such file"):
        sites.add([str(tmp_path / name) for name in ("bad.txt", "good.txt", "none.txt")], layout)
    assert [site.name for site in sites.known(layout).sites] == ["gpu01"]
    with pytest.raises(ConfigError, match="is for one receipt"):
        sites.add([str(tmp_path / "good.txt")] * 2, layout, name="north")


def test_what_cannot_be_written_is_told(layout: Layout) -> None:
    layout.sites.write_text("no folder", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be written"):
        keep(layout, receipt("a"))


# What is told


def test_of_a_packed_release_the_table_says_what_each_server_needs(layout: Layout, tmp_path: Path) -> None:
    pack(layout, "abcd")
    for made in (receipt("abx", models=["words-1"]), receipt("abcd", host="gpu02", models=["words-2"], made=LATER),
                 receipt(host="gpu03", runs="", store="podman", engine="podman", engine_version="")):
        (tmp_path / f"{made.host}.txt").write_text(receipts.as_text(made), encoding="utf-8")
    done = inv(layout, *(word for at in "123" for word in ("--add", tmp_path / f"gpu0{at}.txt")))
    assert done.ok, done.stderr
    assert done.stdout == (
        "duo 1.1.0, sequence 2: packed\n\n"
        "site   runs             sequence  engine               as of             needs    of       share\n"
        "gpu01  duo 1.0.0 cu121  1         docker 26.1 classic  2026-11-24 10:00  510 B    1.01 kB  50.5 %\n"
        "gpu02  duo 1.0.0 cu121  1         docker 26.1 classic  2026-12-01 00:00  0 B      1.01 kB  0 %\n"
        "gpu03  duo: nothing     1         podman               2026-11-24 10:00  1.01 kB  1.01 kB  100.0 %\n"
    )
    assert "gpu01.txt: gpu01 as of 2026-11-24T10:00:00Z, kept as sites/gpu01.receipt" in done.stderr


def test_the_same_as_json(layout: Layout) -> None:
    pack(layout, "abcd")
    keep(layout, receipt("abx", raw=True))
    keep(layout, receipt("abcd", raw=False, host="gpu02"))
    told = json.loads(inv(layout, "--json").stdout)
    assert (told["release"], told["state"]) == ({"name": "duo", "version": "1.1.0", "sequence": 2}, "packed")
    assert [(one["site"], one["needs"]["layers"], one["needs"]["models"]) for one in told["sites"]] == [
        ("gpu01", 500, 10), ("gpu02", 1000, 10)]
    assert told["sites"][0]["needs"] == {
        "images": ["engine-cu121"], "layers": 500, "models": 10, "bytes": 510, "full": 1010, "share": 0.50495}
    assert told["sites"][0]["services"] == [
        {"name": "engine", "version": "1.0.0", "variant": "cu121", "running": True}]


def test_of_a_release_that_was_only_built_the_last_build_counts(layout: Layout, road: Road) -> None:
    assert site_table.planned(road) == (None, "not built")
    last = build(layout, road, "abc")
    keep(layout, receipt())
    release, state = site_table.planned(road)
    assert release is not None
    assert (state, release.version, release.models[0].size) == ("built, not packed", "1.1.0", 10)
    held = BlobStore(folder=layout.blobs)
    assert release.images[0].sizes[-1] == last
    assert all(held.has(path.stem) for path in held.shelf.glob("*.gz"))
    assert "built, not packed" in inv(layout).stdout


def test_what_the_store_knows_of_a_layer_is_its_size(layout: Layout, road: Road) -> None:
    blob = BlobStore(folder=layout.blobs).add(io.BytesIO(b"d" * 5000))
    pack(layout, "abcd")
    place = layout.manifest(road.project.release)
    place.write_text(place.read_text(encoding="utf-8").replace(diff_id("d"), blob.diff_id), encoding="utf-8")
    release, _ = site_table.planned(road)
    assert release is not None
    assert release.images[0].sizes[:3] == (250, 250, 250)
    assert 0 < release.images[0].sizes[3] < 100


def test_without_receipts_or_a_release_the_next_step_is_told(layout: Layout) -> None:
    empty = inv(layout)
    assert empty.ok and empty.stdout == "" and "sh ferry.sh receipt > receipt.txt" in empty.stderr
    keep(layout, receipt("a"))
    told = inv(layout)
    assert told.ok
    assert "the release is not built; what each needs is told after inv build" in told.stdout
    assert "?      ?   ?" in told.stdout


def test_a_receipt_that_cannot_be_read_hides_no_other(layout: Layout) -> None:
    keep(layout, receipt("a"))
    (layout.sites / "odd.receipt").write_bytes(b"\x1b[2J\xff\n")
    (layout.sites / "README.txt").write_text("mine", encoding="utf-8")
    done = inv(layout)
    assert done.status == ConfigError.exit_code
    assert "gpu01" in done.stdout
    assert "odd.receipt: no receipt of ferry.sh" in done.stderr and "Traceback" not in done.stderr
    assert [one["file"] for one in json.loads(inv(layout, "--json").stdout)["broken"]] == [
        str(layout.sites / "odd.receipt")]


@pytest.mark.parametrize("changes", [{"layers": [{}]}, {"layers": None}, {"size": "x"}, {"platform": None}])
def test_a_damaged_manifest_is_told(layout: Layout, road: Road, changes: dict[str, Any]) -> None:
    pack(layout, "ab", **changes)
    if changes == {"platform": None}:
        layout.manifest(road.project.release).write_text("{", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"manifest\.json: "):
        site_table.planned(road)


@pytest.mark.parametrize(("runs", "expected"), [
    ("engine=cu121 page=any", "duo 1.0.0 cu121"), ("page=any", "duo 1.0.0 any"), ("", "duo: nothing"),
    ("engine=cu121 page=cpu", "engine 1.0.0 cu121, page 1.0.0 cpu"),
])
def test_what_runs_in_a_few_words(runs: str, expected: str) -> None:
    assert site_table._runs(receipt(runs=runs)) == expected


def test_what_stands_still_is_said() -> None:
    both = receipt(runs="engine=cu121 page=any")
    stopped = [replace(one, running=False) for one in both.services]
    assert site_table._runs(replace(both, services=tuple(stopped))) == "duo 1.0.0 cu121 (stopped)"
    assert site_table._runs(replace(both, services=(both.services[0], stopped[1]))) == "duo 1.0.0 cu121 (page stopped)"


def test_nothing_and_almost_nothing_are_told_apart() -> None:
    assert [site_table.share(part) for part in (0, 0.0000001, 0.001, 0.25, 1)] == [
        "0 %", "< 0.1 %", "0.1 %", "25.0 %", "100.0 %"]
