"""The bench: what its figures come to, and what it refuses. How fast anything is, is not a test."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import bench, figures, ways
from bench.figures import Measured, Ratio, Step
from bench.watch import below
from torchferry.errors import BuildError

ROOT = Path(__file__).parents[2]


def measured(way: str, image: int, archive: int, **seconds: float) -> Measured:
    names = {"build": figures.BUILD, "pack": figures.PACK, "cold": figures.PACK_COLD,
             "warm": figures.PACK_WARM, "unchanged": figures.PACK_UNCHANGED}
    steps = tuple(
        Step(name=names[key], seconds=value, cpu_seconds=value / 2, peak_bytes=1_000_000 * place)
        for place, (key, value) in enumerate(seconds.items(), start=1)
    )
    return Measured(way=way, image_bytes=image, archive_bytes=archive, steps=steps)


USUAL = measured("usual", 8_000_000_000, 5_000_000_000, build=100.0, pack=300.0)
OURS = measured("torchferry", 5_000_000_000, 2_500_000_000, build=50.0, cold=30.0, warm=12.0, unchanged=0.0)


def by_name(ratios: tuple[Ratio, ...]) -> dict[str, Ratio]:
    return {ratio.what: ratio for ratio in ratios}


def test_ratios_are_against_the_steps_of_the_usual_way() -> None:
    ratios = by_name(figures.ratios(USUAL, OURS))
    assert {what: ratio.value for what, ratio in ratios.items()} == {
        "build": 2.0, "pack, cold": 10.0, "pack, warm": 25.0, "pack, nothing changed": float("inf"),
        "wheels to archive": 5.0, "image": 0.625, "archive": 0.5, "peak memory": 2.0,
    }


def test_a_promise_is_kept_missed_or_not_made() -> None:
    ratios = by_name(figures.ratios(USUAL, OURS))
    assert [ratios[what].met for what in ("pack, cold", "pack, warm", "image", "build")] == [True, False, True, None]
    assert [ratios[what].promise for what in ("pack, cold", "image", "build")] == [">= 8x", "<= 0.66", ""]


@pytest.mark.parametrize("speed", [True, False])
def test_a_bound_that_is_just_reached_is_kept(speed: bool) -> None:
    assert Ratio(what="pack", way="ours", usual=8.0, ours=8.0, speed=speed, bound=1.0).met is True


def test_a_way_with_fewer_steps_is_compared_in_what_it_has() -> None:
    direct = measured("direct", 5_000_000_000, 2_500_000_000, build=10.0)
    assert list(by_name(figures.ratios(USUAL, direct))) == ["build", "image", "archive", "peak memory"]


def test_the_document_survives_json() -> None:
    made = figures.document({"wheels": {"count": 3}}, [USUAL, OURS], figures.ratios(USUAL, OURS)[:3])
    assert json.loads(json.dumps(made)) == made
    assert list(made) == ["version", "wheels", "ways", "ratios"]
    assert made["ways"][0] == {
        "way": "usual", "image_bytes": 8_000_000_000, "archive_bytes": 5_000_000_000,
        "steps": [{"step": "build", "seconds": 100.0, "cpu_seconds": 50.0, "peak_bytes": 1_000_000},
                  {"step": "pack", "seconds": 300.0, "cpu_seconds": 150.0, "peak_bytes": 2_000_000}],
    }
    assert made["ratios"][2] == {
        "what": "pack, warm", "way": "torchferry", "kind": "times faster", "usual": 300.0, "ours": 12.0,
        "value": 25.0, "bound": 30, "met": False,
    }


def test_the_report_is_three_tables_and_two_where_nothing_is_compared() -> None:
    text = figures.report([USUAL, OURS], figures.ratios(USUAL, OURS))
    assert len(text.split("\n\n")) == 3
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line]
    assert ["usual", "pack", "300.0", "150.0", "2 MB"] in rows
    assert ["torchferry", "5.00 GB", "2.50 GB"] in rows
    assert ["pack, warm", "torchferry", "25.0x faster", ">= 30x", "NO"] in rows
    assert ["image", "torchferry", "0.62 of it", "<= 0.66", "yes"] in rows
    assert len(figures.report([OURS], []).split("\n\n")) == 2


def test_every_row_of_a_table_is_as_wide_as_its_header() -> None:
    lines = figures.markdown(("a", "long header"), [("a long cell", "b")]).splitlines()
    assert lines[1] == "| ----------- | ----------- |"
    assert len({len(line) for line in lines}) == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_memory_counts_what_we_started_without_the_daemon() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            assert child.pid in below(os.getpid(), without=0)
            assert child.pid not in below(os.getpid(), without=child.pid)
        finally:
            child.communicate()


@pytest.mark.parametrize("script", ["exit 3", "echo image; exit 3"])
def test_a_failing_save_is_not_hidden_by_gzip(tmp_path: Path, script: str) -> None:
    client = tmp_path / "docker"
    client.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    client.chmod(0o755)
    with pytest.raises(BuildError, match="docker save ended with status 3"):
        ways.save_and_gzip(str(client), "image", tmp_path / "out.gz")


def test_everything_that_it_says_on_its_command_line_is_there() -> None:
    options = bench.arguments().parse_args(["--skip-usual"])
    assert options == argparse.Namespace(
        variant="cu121", service=None, file=ROOT / "variants.yaml", skip_usual=True, disk=None, out=None,
    )


def test_help(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "bench.py"), "--help"], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )
    assert {"--variant", "--skip-usual", "--out"} <= set(said.stdout.replace("[", " ").split())


def test_an_unknown_variant_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "bench.py"), "--variant", "cu999", "--disk", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )
    assert (said.returncode, said.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert "--variant cu999" in said.stderr
