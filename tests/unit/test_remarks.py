"""Pointless rows, gaps and sole carriers: warned of or noted, from the table, and never an error."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import nouns

from torchferry.compat import load
from torchferry.model import Variant
from torchferry.remarks import Remark, grouped, remarks


def rows(*pairs: tuple[str, str]) -> list[Variant]:
    return [nouns.variant(name, torch=torch) for name, torch in pairs]


def told(variants: list[Variant], level: str) -> list[str]:
    return [f"{one.about}: {one.text}" for one in remarks(variants, load()) if one.level == level]


SHIPPED = [nouns.variant(name) for name in ("cu118", "cu121", "cu124", "cpu")]


def test_the_shipped_variants() -> None:
    assert told(SHIPPED, "warning") == [
        "stt-engine-cu124: cu124 adds no driver and no GPU over cu121 here",
        "stt-engine: no variant runs on Blackwell: add torch >= 2.7 with cu128 (which ends at 2.11.0)",
    ]
    assert told(SHIPPED, "note") == [
        "stt-engine: cu118 is the only one for drivers 450-524",
        "stt-engine: cu118 is the only one for Kepler GPUs",
        "stt-engine: cu118 alone runs wherever cu121 and cu124 run; what speaks for cu121 and cu124 is a package that "
        "looks for libraries of CUDA 12, or a newer torch",
    ]


@pytest.mark.parametrize(("pairs", "pointless"), [
    ((("cu121", "2.5.1"), ("cu124", "2.5.1"), ("cu126", "2.14.1")), ["cu124 over cu121", "cu126 over cu121"]),
    ((("cu126", "2.14.1"), ("cu121", "2.1.2")), ["cu126 over cu121"]),
    ((("cu128", "2.8.0"), ("cu129", "2.8.0")), ["cu129 over cu128"]),
    ((("cu130", "2.14.1"), ("cu132", "2.14.1")), ["cu132 over cu130"]),
    ((("cu128", "2.7.1"), ("cu129", "2.8.0")), []),  # cu129 also has Volta
    ((("cu126", "2.8.0"), ("cu128", "2.8.0")), []),  # Maxwell on one side, Blackwell on the other
    ((("cu118", "2.1.2"), ("cu121", "2.1.2")), []),  # another CUDA major: other libraries
    ((("cu121", "2.1.2"),), []),
])
def test_pointless_rows(pairs: tuple[tuple[str, str], ...], pointless: list[str]) -> None:
    found = [line for line in told(rows(*pairs), "warning") if "adds no" in line]
    assert found == [
        f"stt-engine-{name}: {name} adds no driver and no GPU over {other} here"
        for name, _, other in (one.partition(" over ") for one in pointless)
    ]


def test_a_row_with_less_code_but_full_support_on_older_drivers_is_not_pointless() -> None:
    table = load().table
    fewer = replace(load(), table=replace(table, capabilities=tuple(
        replace(row, capabilities=("80", "90")) if row.build == "cu121" else row for row in table.capabilities
    )))
    found = [one.text for one in remarks(rows(("cu121", "2.5.1"), ("cu124", "2.5.1")), fewer)]
    assert not [text for text in found if "adds no" in text]


def test_a_row_with_less_code_and_a_newer_toolkit_is_pointless() -> None:
    table = load().table
    fewer = replace(load(), table=replace(table, capabilities=tuple(
        replace(row, capabilities=("80", "90")) if row.build == "cu124" else row for row in table.capabilities
    )))
    found = [one.text for one in remarks(rows(("cu121", "2.5.1"), ("cu124", "2.5.1")), fewer)]
    assert "cu124 adds no driver and no GPU over cu121 here" in found


@pytest.mark.parametrize(("pairs", "warnings", "notes"), [
    ((("cu128", "2.8.0"),), [], [
        "no variant runs on Kepler: add torch >= 2.0 with cu118 (which ends at 2.7.1)",
        "no variant runs on Maxwell and Pascal: add torch >= 2.6 with cu126",
    ]),
    ((("cu118", "2.1.2"),),
     ["no variant runs on Blackwell: add torch >= 2.7 with cu128 (which ends at 2.11.0)"], []),
])
def test_gaps(pairs: tuple[tuple[str, str], ...], warnings: list[str], notes: list[str]) -> None:
    variants = rows(*pairs)
    assert [line.removeprefix("stt-engine: ") for line in told(variants, "warning")] == warnings
    assert [line.removeprefix("stt-engine: ") for line in told(variants, "note")] == notes


def test_a_cure_has_wheels_for_the_services_own_python() -> None:
    def cure(python: str) -> str:
        (line,) = told([nouns.variant("cu118", python=python)], "warning")
        return line.partition("Blackwell: ")[2]

    assert cure("3.14") == "add torch >= 2.9 with cu128 (which ends at 2.11.0)"
    assert cure("3.9") == "add torch >= 2.7 with cu128 (which ends at 2.8.0)"
    assert cure("3.8") == "no torch in the table does with Python 3.8"


def test_the_cure_itself_runs_there() -> None:
    cured = [*SHIPPED, nouns.variant("cu128", torch="2.7.0")]
    assert not [line for line in told(cured, "warning") if "runs on" in line]


def test_sole_carriers() -> None:
    found = told(rows(("cu118", "2.7.1"), ("cu126", "2.7.1"), ("cu128", "2.7.1")), "note")
    assert "stt-engine: cu118 is the only one for drivers 450-524" in found
    assert "stt-engine: cu128 is the only one for Blackwell GPUs" in found
    found = told(rows(("cu126", "2.14.1"), ("cu130", "2.14.1")), "note")
    assert "stt-engine: cu126 is the only one for drivers 525-579" in found
    assert "stt-engine: cu126 is the only one for Maxwell, Pascal and Volta GPUs" in found
    assert not [line for line in told(rows(("cu126", "2.8.0"), ("cu128", "2.8.0")), "note") if "drivers" in line]


def test_one_cuda_variant_is_not_called_the_only_one() -> None:
    assert not [line for line in told(rows(("cu121", "2.1.2")), "note") if "only one" in line]


def test_an_older_major_that_does_it_all_is_a_note_not_a_warning() -> None:
    both = rows(("cu118", "2.1.2"), ("cu121", "2.1.2"))
    assert any("cu118 alone runs wherever cu121 runs; what speaks for cu121" in line for line in told(both, "note"))
    apart = rows(("cu118", "2.7.1"), ("cu128", "2.7.1"))
    assert not [line for line in told(apart, "note") if "alone runs" in line]


def test_services_without_cuda_are_left_alone() -> None:
    assert remarks([nouns.variant("cpu"), nouns.variant("any")], load()) == ()


def test_each_service_is_told_of_its_own_rows() -> None:
    other = replace(nouns.SERVICE, name="other")
    variants = [*SHIPPED, nouns.variant("cu118", service=other)]
    assert {one.about for one in remarks(variants, load())} == {"stt-engine", "stt-engine-cu124", "other"}


def test_equal_remarks_are_one() -> None:
    made = [Remark(about=about, level="note", text=text) for about, text in (("a", "x"), ("b", "x"), ("a", "y"))]
    assert grouped([*made, made[0]]) == (
        Remark(about="a, b", level="note", text="x"), Remark(about="a", level="note", text="y"))
