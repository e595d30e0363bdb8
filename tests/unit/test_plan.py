"""What would be done is told before it is: of a small project, without Docker, or with a daemon of a few words."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.saved_images import stored_image
from support.wheel_factory import locked, make_pure, make_torch, make_wheel

from torchferry import context, fetch, files, lockfile, models, packing
from torchferry.blobs import BlobStore
from torchferry.engines.daemon import IMAGE_PER_WHEEL_BYTE
from torchferry.index import Sources
from torchferry.model import BuiltImage, Lock, Variant, Wheel
from torchferry.pipeline import Road
from torchferry.plan import ARCHIVE_PER_WHEEL_BYTE, BASE_PACKED, BASE_SIZE, Place, Plan, VariantPlan, as_text, make_plan

VARIANTS_YAML = """\
release: {name: tiny, version: 1.0.0}
python: "3.11"
base: {image: "python:3.11-slim-bookworm"}
services:
  engine:
    source: engine
    requirements: engine/requirements.in
    command: [python, -m, engine]
    variants:
      cu118: {torch: 2.1.2}
      cpu: {torch: 2.1.2}
  page:
    source: page
    requirements: page/requirements.in
    command: [python, -m, page]
"""


class Site:
    """A project on disk, and the road through it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.stock = root / "stock"
        self.write("variants.yaml", VARIANTS_YAML)
        for name in ("engine", "page"):
            self.write(f"{name}/requirements.in", "ferrypure\n")
            self.write(f"{name}/{name}/__init__.py", "")
            self.write(f"{name}/{name}/__main__.py", "print('hello')\n")
        self.road = Road.open(self.root / "variants.yaml", "docker")
        self.layout = self.road.layout

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.road.project.variants if variant.name == name)

    def lock(self, name: str, *, fingerprint: str | None = None) -> Lock:
        """Write the lock of a variant, over wheels that lie in ``stock``."""
        variant = self.variant(name)
        paths = [make_pure(self.stock)]
        if variant.torch:
            paths.append(make_torch(self.stock, "2.1.2", name, variant.cuda))
        lock = Lock(
            fingerprint=fingerprint or self.road.asked(variant), wheels=tuple(map(locked, paths)),
            installer=locked(make_wheel(self.stock, "uv", "0.9.0")), base_digest="sha256:" + "b" * 64,
        )
        files.write_text(self.layout.lock(variant), lockfile.dump(lock, variant))
        return lockfile.parse(lockfile.dump(lock, variant), file="pylock.toml")

    def fetch(self, lock: Lock, name: str) -> None:
        sources = Sources(default_index="http://index.example/simple/", find_links=(str(self.stock),))
        fetch.fetch(lock, self.variant(name), self.layout, sources)

    def plan(self) -> Plan:
        return make_plan(self.road, self.road.project.variants)

    def row(self, label: str) -> VariantPlan:
        return next(row for row in self.plan().variants if row.variant == label)


@dataclass(kw_only=True)
class FakeEngine:
    """A daemon that answers: where it keeps its images, and which it has."""

    place: Path | None = None
    images: dict[str, BuiltImage] = field(default_factory=dict)

    def root(self) -> Path | None:
        return self.place

    def find(self, name: str) -> BuiltImage | None:
        return self.images.get(name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Site(tmp_path)


def snapshot(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def size_of(*wheels: Wheel) -> int:
    return sum(wheel.size for wheel in wheels)


# States


def test_before_anything_is_done_all_is_to_do_and_no_size_is_known(site: Site) -> None:
    made = site.plan()
    assert made.variants == tuple(
        VariantPlan(
            variant=label, engine="docker", lock="to do", wheels="to do", image="to do", archive="to do",
            download=None, image_size=None, archive_size=None,
        )
        for label in ("engine-cu118", "engine-cpu", "page-any")
    )
    assert made.docker == "docker: no such program on PATH"
    assert made.ship == {10: 0, 100: 0, 1000: 0}


def test_a_plan_changes_nothing(site: Site) -> None:
    site.lock("cpu")
    before = snapshot(site.root)
    site.plan()
    assert snapshot(site.root) == before


def test_only_what_was_chosen_is_planned(site: Site) -> None:
    made = make_plan(site.road, site.road.select(["cpu"], ["engine"]))
    assert [row.variant for row in made.variants] == ["engine-cpu"]


def test_a_lock_tells_what_is_to_be_downloaded_and_how_big_it_becomes(site: Site) -> None:
    lock = site.lock("cpu")
    row = site.row("engine-cpu")
    assert (row.lock, row.wheels, row.image, row.archive) == ("current", "to do", "unknown", "to do")
    assert row.download == size_of(*lock.wheels, lock.installer)
    assert row.image_size == int(lock.size * IMAGE_PER_WHEEL_BYTE) + BASE_SIZE
    assert row.archive_size == int(lock.size * ARCHIVE_PER_WHEEL_BYTE) + BASE_PACKED
    assert site.row("engine-cu118").download is None


def test_wheels_that_were_fetched_are_current_and_not_downloaded_again(site: Site) -> None:
    site.fetch(site.lock("cpu"), "cpu")
    assert (site.row("engine-cpu").wheels, site.row("engine-cpu").download) == ("current", 0)
    next(site.layout.wheel_folder(site.variant("cpu")).glob("ferrypure*.whl")).unlink()
    pure = site.stock / "ferrypure-1.0.0-py3-none-any.whl"
    assert (site.row("engine-cpu").wheels, site.row("engine-cpu").download) == ("to do", pure.stat().st_size)


def test_the_installer_is_downloaded_once_for_all_variants_but_each_tells_it(site: Site) -> None:
    cpu, page = site.lock("cpu"), site.lock("any")
    site.fetch(cpu, "cpu")
    assert site.row("page-any").download == size_of(*page.wheels)


@pytest.mark.parametrize("change", ["requirements", "variants.yaml", "lock"])
def test_a_lock_of_another_question_is_stale_and_still_tells_sizes(site: Site, change: str) -> None:
    site.lock("cpu", fingerprint="0" * 64 if change == "lock" else None)
    if change == "requirements":
        site.write("engine/requirements.in", "ferrypure>=1\n")
    if change == "variants.yaml":
        site.write("variants.yaml", VARIANTS_YAML.replace("slim-bookworm", "slim-trixie"))
        site.road = Road.open(site.root / "variants.yaml")
    row = site.row("engine-cpu")
    assert row.lock == "stale"
    assert row.download is not None


@pytest.mark.parametrize("text", ["", "nonsense", '[tool.torchferry]\nversion = 99\n'])
def test_a_damaged_lock_is_told_and_no_end_of_the_plan(site: Site, text: str) -> None:
    site.lock("cpu")
    files.write_text(site.layout.lock(site.variant("cpu")), text)
    row = site.row("engine-cpu")
    assert (row.lock, row.wheels, row.download, row.image_size) == ("damaged", "to do", None, None)


# Places and shipping


def test_places_need_what_is_still_to_come(site: Site) -> None:
    cpu, page = site.lock("cpu"), site.lock("any")
    site.fetch(page, "any")
    build, dist = site.plan().places
    archives = sum(int(lock.size * ARCHIVE_PER_WHEEL_BYTE) + BASE_PACKED for lock in (cpu, page))
    assert (build.name, build.path) == ("build folder (wheels, layers)", str(site.root / "build"))
    assert (dist.name, dist.path, dist.needed) == ("dist", str(site.root / "dist"), archives)
    assert build.needed == archives + size_of(*cpu.wheels)  # the installer is there
    status = os.statvfs(site.root)
    for place in (build, dist):
        assert abs(place.free - status.f_bavail * status.f_frsize) < 2e9  # others write there, too
        assert place.enough == (place.free >= place.needed)


@pytest.mark.parametrize(("needed", "free", "enough"), [(10, 11, True), (10, 10, True), (10, 9, False), (0, 0, True)])
def test_a_place_is_enough_or_not(needed: int, free: int, enough: bool) -> None:
    assert Place(name="dist", path="/dist", needed=needed, free=free).enough == enough


def row_of(**changes: int | None) -> VariantPlan:
    plain = VariantPlan(
        variant="engine-cpu", engine="docker", lock="current", wheels="current", image="unknown", archive="to do",
        download=0, image_size=0, archive_size=0,
    )
    return replace(plain, **changes)


def test_models_are_shipped_and_take_room_once(site: Site) -> None:
    site.write("models/words/model.bin", "x" * 2000)
    named = f"models:\n  words: {{source: models/words, version: '1', for: [page]}}\n{VARIANTS_YAML}"
    site.write("variants.yaml", named)
    site.road = Road.open(site.root / "variants.yaml", "docker")
    made = site.plan()
    assert (made.models, made.as_json()["models"]) == (2000, 2000)
    assert made.ship[10] == 2000 * 8 / 10_000_000 / 60
    assert next(place.needed for place in made.places if place.name == "dist") == 2000
    assert "1000 Mbit/s; 2.00 kB of it are models" in as_text(made)
    models.place(site.road.project, site.layout)
    made = site.plan()
    assert made.models == 2000
    assert next(place.needed for place in made.places if place.name == "dist") == 0


def test_minutes_to_ship_are_bits_over_the_rate() -> None:
    rows = (row_of(archive_size=2_250_000_000), row_of(archive_size=1_500_000_000), row_of(archive_size=None))
    made = Plan(variants=rows, places=(), docker="answers")
    assert made.ship == {10: 50.0, 100: 5.0, 1000: 0.5}
    assert made.as_json()["ship_minutes"] == {"10": 50.0, "100": 5.0, "1000": 0.5}
    assert "to ship: 50.0 min at 10 Mbit/s, 5.0 min at 100 Mbit/s, 0.5 min at 1000 Mbit/s" in as_text(made)


# As JSON and as text


def test_the_json_has_every_number_and_plain_types(site: Site) -> None:
    site.lock("cpu")
    made = site.plan()
    said = json.loads(json.dumps(made.as_json()))
    assert list(said) == ["variants", "places", "models", "ship_minutes", "docker"]
    assert [list(row) for row in said["variants"]] == [
        ["variant", "engine", "lock", "wheels", "image", "archive", "download", "image_size", "archive_size"]
    ] * 3
    assert [list(place) for place in said["places"]] == [["name", "path", "needed", "free", "enough"]] * 2
    assert said["variants"][0]["download"] is None
    assert said["variants"][1]["download"] == made.variants[1].download
    assert said["docker"] == "docker: no such program on PATH"
    assert list(said["ship_minutes"]) == ["10", "100", "1000"]


def test_the_text_shows_a_question_mark_where_no_lock_tells_and_how_it_becomes_a_number(site: Site) -> None:
    site.lock("cpu")
    table, _, _, *notes = as_text(site.plan()).split("\n\n")
    header, first, second, third = table.splitlines()
    assert header.split()[:6] == ["variant", "engine", "lock", "wheels", "image", "archive"]
    assert first.split() == ["engine-cu118", "docker", *["to", "do"] * 4, "?", "?", "?"]
    assert second.split()[:3] == ["engine-cpu", "docker", "current"]
    assert "?" not in second
    assert third.split()[-3:] == ["?", "?", "?"]
    assert notes == ["Docker: docker: no such program on PATH", "? becomes a number after: inv lock"]


def test_the_text_says_no_aloud_where_room_is_short() -> None:
    places = (
        Place(name="dist", path="/srv/dist", needed=2_700_000_000, free=1_000_000),
        Place(name="Docker's root", path="/var/lib/docker", needed=0, free=1),
    )
    _, text, ship = as_text(Plan(variants=(row_of(),), places=places, docker="answers")).split("\n\n")
    header, dist, docker = text.splitlines()
    assert header.split() == ["place", "path", "needed", "free", "enough"]
    assert dist.split() == ["dist", "/srv/dist", "2.70", "GB", "1.00", "MB", "NO"]
    assert docker.split()[-1] == "yes"
    assert ship.startswith("to ship: ")  # and no note


# With a daemon


def test_a_daemon_without_the_image_makes_it_to_do_and_its_root_a_place(site: Site, tmp_path: Path) -> None:
    lock = site.lock("any")
    site.fetch(lock, "any")
    site.road.engines.docker = FakeEngine(place=tmp_path)
    made = site.plan()
    assert (made.docker, made.variants[2].image) == ("answers", "to do")
    image = int(lock.size * IMAGE_PER_WHEEL_BYTE) + BASE_SIZE
    assert (made.places[2].name, made.places[2].path, made.places[2].needed) == (
        "Docker's root", str(tmp_path), int(image * 1.5) + image,
    )


def test_a_daemon_elsewhere_is_no_place_of_this_machine(site: Site) -> None:
    site.road.engines.docker = FakeEngine()
    assert [place.name for place in site.plan().places] == ["build folder (wheels, layers)", "dist"]


def _built(site: Site, lock: Lock, *, recipe: str | None = None) -> BuiltImage:
    variant = site.variant("any")
    drafted = site.road.draft(variant, lock, context.select_files(site.root, variant))
    return BuiltImage(
        engine="docker", name=variant.image_name, image_id="sha256:1", recipe=recipe or drafted.digest, diff_ids=(),
        size=123_000_000,
    )


def test_an_image_of_the_same_recipe_is_current_and_tells_its_own_size(site: Site, tmp_path: Path) -> None:
    lock = site.lock("any")
    site.fetch(lock, "any")
    built = _built(site, lock)
    site.road.engines.docker = FakeEngine(place=tmp_path, images={built.name: built})
    row = site.row("page-any")
    assert (row.image, row.image_size, row.archive) == ("current", 123_000_000, "to do")
    assert site.plan().places[2].needed == 123_000_000  # the copy that `docker save` makes
    site.write("page/page/__main__.py", "print('changed')\n")
    assert site.row("page-any").image == "to do"


def _packed(site: Site, lock: Lock) -> tuple[BuiltImage, int]:
    """An image of the recipe whose archive is in dist/ and in the manifest; the archive's bytes."""
    variant = site.variant("any")
    image = stored_image(BlobStore(folder=site.layout.blobs), [bytes(1024)], name=variant.image_name)
    built = replace(
        _built(site, lock), image_id=f"sha256:{image.config_digest}",
        diff_ids=tuple(layer.diff_id for layer in image.layers),
    )
    BlobStore(folder=site.layout.blobs).add_config(image.config)
    made, fresh = packing.pack(variant, built, site.layout, lambda *_: image)
    assert fresh
    packed = packing.Packed(variant=variant, lock=lock, archive=made, checks=(), revision=None)
    packing.close(site.road.project, [packed], site.road.compat, site.layout)
    listed = site.layout.sums(variant.release).read_text(encoding="utf-8").split()[1::2]
    head = f"load/{made.path.name.removesuffix('.tar.gz')}.head"
    others = ["INSTALL.txt", "compose.yaml", "ferry.sh", "index.html", "manifest.json", "sbom/page-any.cdx.json"]
    assert listed == sorted([made.path.name, head, *others])
    return built, made.size


def test_an_archive_is_current_only_with_its_image(site: Site, tmp_path: Path) -> None:
    lock = site.lock("any")
    site.fetch(lock, "any")
    built, size = _packed(site, lock)
    site.road.engines.docker = FakeEngine(place=tmp_path, images={built.name: built})
    made = site.plan()
    assert (made.variants[2].archive, made.variants[2].archive_size) == ("current", size)
    assert [place.needed for place in made.places] == [0, 0, 0]
    files.write_bytes(site.layout.archive(site.variant("any")), bytes(size + 1))
    assert site.row("page-any").archive == "to do"
    other = _built(site, lock, recipe="0" * 64)
    site.road.engines.docker = FakeEngine(place=tmp_path, images={other.name: other})
    row = site.row("page-any")
    assert (row.image, row.archive) == ("to do", "to do")
    assert row.archive_size == int(lock.size * ARCHIVE_PER_WHEEL_BYTE) + BASE_PACKED
