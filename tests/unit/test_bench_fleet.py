"""The simulation of many sites: what holds whatever is assumed, and that it can be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import fleet

ASSUMED: dict[str, Any] = {
    "sites": 8, "releases": 6, "wheel": 1, "torch": 1, "base": 1, "late": 0.2, "mbit": 20.0, "base_bytes": 75_000_000,
    "app_bytes": 50_000, "seed": 3,
}


def simulate(**changes: Any) -> fleet.Year:
    return fleet.simulate(fleet.Assumed(**{**ASSUMED, **changes}))


def test_the_same_assumptions_give_the_same_year() -> None:
    assert simulate() == simulate()
    assert simulate(seed=4) != simulate()


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_a_delta_is_never_more_than_one_for_all_and_that_never_more_than_the_whole(late: float) -> None:
    year = simulate(late=late)
    assert 0 < year.own <= year.shared <= year.whole < year.usual
    assert year.by_change is not None
    assert sum(total for total, _ in year.by_change.values()) == year.own
    assert sum(count for _, count in year.by_change.values()) == year.shipments


def test_where_every_site_takes_every_release_a_change_of_code_costs_the_service_alone() -> None:
    year = simulate(late=0.0, wheel=0, torch=0, base=0)
    assert year.own == year.shared == year.shipments * ASSUMED["app_bytes"] == 8 * 6 * 50_000


def test_a_changed_base_ships_everything() -> None:
    year = simulate(late=0.0, wheel=0, torch=0, base=6)
    assert year.own == year.whole


def test_the_tables_and_the_figures_come_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--sites", "4", "--releases", "4", "--receipts", "5", "--out", str(tmp_path / "out.json")]
    assert fleet.main(words) == 0
    told = capsys.readouterr().out
    assert "| a delta for each site" in told and "| reading and proving them" in told
    figures = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert figures["planning"]["receipts"] == 5 and figures["planning"]["peak_bytes"] > 0
    assert figures["year"]["own"] < figures["year"]["usual"]
