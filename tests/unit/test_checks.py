"""`inv check --imports`: from the lock and the wheels that lie here, every variant at once; and bounds in a lock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from support import nouns
from support.wheel_factory import locked, make_pure, make_torch, make_wheel

from torchferry import bounds, checks, compat, fetch, files, lockfile, report
from torchferry.errors import CompatError, ConfigError, LockError
from torchferry.index import Sources
from torchferry.model import Lock, Variant
from torchferry.pipeline import Road

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
      cu121: {torch: 2.1.2}
      cpu: {torch: 2.1.2}
"""


class Site:
    """A service with two variants; ``fetched`` puts a current lock and its wheels where they belong."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.stock = root / "stock"
        make_pure(self.stock)
        self.write({
            "variants.yaml": VARIANTS_YAML, "engine/requirements.in": "ferrypure\n", "engine/engine/__init__.py": "",
            "engine/engine/__main__.py": "import json, torch\nimport ferrypure\n",
        })

    @property
    def road(self) -> Road:
        return Road.open(self.root / "variants.yaml", "docker")

    def write(self, texts: Mapping[str, str]) -> None:
        for path, text in texts.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text, encoding="utf-8")

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.road.project.variants if variant.name == name)

    def lock(self, name: str) -> Lock:
        variant = self.variant(name)
        paths = [*self.stock.glob("ferrypure-*.whl"), make_torch(self.stock, "2.1.2", name, variant.cuda)]
        lock = Lock(
            fingerprint=self.road.asked(variant), wheels=tuple(map(locked, paths)),
            installer=locked(make_wheel(self.stock, "uv", "0.9.0")), base_digest="sha256:" + "b" * 64,
        )
        files.write_text(self.road.layout.lock(variant), lockfile.dump(lock, variant))
        return lock

    def fetched(self, *names: str) -> None:
        for name in names:
            sources = Sources(default_index="http://index.example/simple/", find_links=(str(self.stock),))
            fetch.fetch(self.lock(name), self.variant(name), self.road.layout, sources)

    def check(self, *, as_json: bool = False) -> None:
        road = self.road
        report.check(road, road.project.variants, imports=True, as_json=as_json)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return Site(tmp_path)


def test_all_imports_are_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.fetched("cu121", "cpu")
    site.check()
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "engine-cpu: torch 2.1.2, CPU, any server"
    assert "is imported" not in said.err


def test_every_missing_package_is_told_by_name_once_for_all_variants(site: Site) -> None:
    site.write({"engine/engine/web.py": (
        "def late():\n    import psutil\n    from pkg_resources import parse_version\n    import python_multipart\n"
        "try:\n    import aiohttp\nexcept ImportError:\n    aiohttp = None\n"
    )})
    site.fetched("cu121", "cpu")
    with pytest.raises(ConfigError) as caught:
        site.check()
    lines = caught.value.message.splitlines()
    assert [line.split(" is imported")[0] for line in lines] == [
        f"engine-cu121, engine-cpu: {name}" for name in ("pkg_resources", "psutil", "python_multipart")
    ]
    assert "engine/engine/web.py:2" in lines[1]
    assert "setuptools<82" in lines[0]
    assert "python-multipart" in lines[2]


def test_what_may_fail_is_a_warning_and_stops_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write({"engine/engine/web.py": "try:\n    import aiohttp\nexcept ImportError:\n    aiohttp = None\n"})
    site.fetched("cu121", "cpu")
    site.check()
    assert "warning: engine-cu121, engine-cpu: aiohttp is imported by engine/engine/web.py:2" in capsys.readouterr().err


def test_files_that_an_ignore_rule_leaves_out_are_told_without_any_wheel(site: Site) -> None:
    site.write({
        "engine/.dockerignore": "engine/models\n", "engine/engine/models/__init__.py": "",
        "engine/engine/web.py": "from engine import models\n",
    })
    with pytest.raises(ConfigError, match=r"engine-cu121, engine-cpu: engine/engine/models.* left out by .*:1"):
        site.check()


def test_without_a_lock_it_says_what_to_run(site: Site) -> None:
    with pytest.raises(LockError, match="without a lock") as caught:
        site.check()
    assert "inv lock --service engine --variant cu121" in caught.value.cure
    assert "inv lock --service engine --variant cpu" in caught.value.cure


def test_a_stale_lock_is_no_lock(site: Site) -> None:
    site.fetched("cu121", "cpu")
    site.write({"engine/requirements.in": "ferrypure>=1\n"})
    with pytest.raises(LockError, match=r"pylock\.engine-cu121\.toml is stale") as caught:
        site.check()
    assert "inv lock --service engine --variant cu121" in caught.value.cure


def test_without_wheels_it_says_which_to_fetch_and_asks_nobody(site: Site) -> None:
    site.fetched("cpu")
    site.lock("cu121")
    with pytest.raises(LockError) as caught:
        site.check()
    assert caught.value.message.startswith(
        "engine-cu121: its imports cannot be checked, 2 of 2 wheels are not here: ferrypure-1.0.0-py3-none-any.whl, ")
    assert caught.value.cure == "inv fetch --service engine --variant cu121"


def test_a_long_list_of_wheels_is_shortened(site: Site) -> None:
    site.lock("cpu")
    lock = site.lock("cu121")
    more = replace(lock, wheels=(*lock.wheels, *(nouns.wheel(f"part{number}", "1.0") for number in range(4))))
    files.write_text(site.road.layout.lock(site.variant("cu121")), lockfile.dump(more, site.variant("cu121")))
    with pytest.raises(LockError, match=r"6 of 6 wheels are not here: [^,]+, [^,]+, [^,]+ and 3 more"):
        site.check()


def test_missing_packages_of_one_variant_go_before_the_wheels_that_another_lacks(site: Site) -> None:
    site.write({"engine/engine/web.py": "import psutil\n"})
    site.fetched("cu121")
    with pytest.raises(ConfigError) as caught:
        site.check()
    assert [line.split(":")[0] for line in caught.value.message.splitlines()] == ["engine-cu121", "engine-cpu"]


def test_json_has_problems_by_label_and_warnings_apart(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write({"engine/engine/web.py": "import psutil\n"})
    site.fetched("cu121", "cpu")
    with pytest.raises(ConfigError):
        site.check(as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert [list(one) for one in said["engine-cpu"]] == [["problem", "cure"]]
    assert "psutil" in said["engine-cpu"][0]["problem"]
    site.write({"engine/engine/web.py": "try:\n    import psutil\nexcept ImportError:\n    pass\n"})
    site.check(as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["engine-cpu"] == []
    assert [(one["about"], one["level"]) for one in said["warnings"] if "psutil" in one["text"]] == [
        ("engine-cu121", "warning"), ("engine-cpu", "warning")]


def test_a_variant_that_cannot_exist_is_not_asked_for_its_lock(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write({"variants.yaml": VARIANTS_YAML.replace("cu121: {torch: 2.1.2}", "cu124: {torch: 2.1.2}")})
    with pytest.raises(CompatError, match="no cu124 build"):
        site.check(as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert ["cu124 build" in one["problem"] for one in said["engine-cu124"]] == [True]
    assert ["without a lock" in one["problem"] for one in said["engine-cpu"]] == [True]


def test_a_file_that_cannot_be_read_is_said(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write({"engine/engine/web.py": "def broken(:\n"})
    site.fetched("cu121", "cpu")
    site.check()
    assert "warning: engine-cu121, engine-cpu: engine/engine/web.py:1 is not Python" in capsys.readouterr().err


# remarks


def told(site: Site, *names: str) -> list[str]:
    road = site.road
    return [one.about for one in checks.remarks_on(road, road.named(names, ()))]


def test_remarks_are_of_the_chosen_rows_seen_beside_all_of_their_service(site: Site) -> None:
    rows = "      cu121: {torch: 2.1.2}\n      cu124: {torch: 2.6.0}\n"
    site.write({"variants.yaml": VARIANTS_YAML.replace("      cu121: {torch: 2.1.2}\n", rows)})
    assert "engine-cu124" in told(site)
    assert "engine-cu124" in told(site, "cu124")
    assert "engine-cu124" not in told(site, "cu121")
    assert "engine" in told(site, "cu121")


def test_a_service_with_a_row_that_cannot_exist_gets_no_remarks(site: Site) -> None:
    assert told(site)
    site.write({"variants.yaml": VARIANTS_YAML.replace("cu121: {torch: 2.1.2}", "cu124: {torch: 2.1.2}")})
    assert told(site) == []
    assert told(site, "cpu") == []


def test_remarks_are_talk_and_change_no_status(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    road = site.road
    report.check(road, road.project.variants, imports=False, as_json=False)
    said = capsys.readouterr()
    assert said.err.startswith("warning: engine: no variant runs on Blackwell: add torch >= 2.7 with cu128")
    assert "Blackwell" not in said.out
    report.check(road, road.project.variants, imports=False, as_json=True)
    said = capsys.readouterr()
    assert said.err == ""
    first = json.loads(said.out)["warnings"][0]
    assert (first["about"], first["level"]) == ("engine", "warning")


# bounds


def bound(torch: str, *packages: tuple[str, str]) -> tuple[str, ...]:
    lock = replace(nouns.lock("any"), wheels=tuple(nouns.wheel(*package) for package in packages))
    return bounds.binding(compat.load(), nouns.variant("cu121", torch=torch), lock)


def test_a_bound_that_nobody_declares_is_told_with_its_source() -> None:
    lines = bound("2.1.2", ("transformers", "4.56.2"), ("fastapi", "0.115.0"))
    (source,) = [said for name, said in compat.load().table.sources.items() if name == "experiment"]
    assert lines == (f"transformers <4.57 for torch 2.1.2: {source}",)


def test_numpy_is_bound_by_a_torch_row_and_told_with_its_own_source() -> None:
    assert bound("2.1.2", ("numpy", "1.26.4")) == (
        f"numpy <2 for torch 2.1.2: {compat.load().table.sources['numpy']}",)
    assert bound("2.3.0", ("numpy", "2.0.0")) == ()


def test_bounds_of_packages_that_are_not_in_the_lock_bind_nothing() -> None:
    assert bound("2.1.2", ("fastapi", "0.115.0")) == ()
    assert bound("2.14.1", ("transformers", "5.0.0")) == ()


def test_without_torch_nothing_is_bound() -> None:
    assert bounds.binding(compat.load(), nouns.variant("any"), nouns.lock("any")) == ()
