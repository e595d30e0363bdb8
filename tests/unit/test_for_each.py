"""Who gets the same delta, of which variants, and who the whole release."""

from __future__ import annotations

from typing import Any

from support.held import receipt

from torchferry import for_each
from torchferry.cargo import Wish
from torchferry.for_each import Group
from torchferry.receipts import Receipt

KNOWN = {"cu121", "cpu", "any"}


def grouped(told: dict[str, Receipt], **wish: Any) -> dict[tuple[str, ...], Group]:
    return {group.hosts: group for group in for_each.grouped(told, KNOWN, Wish(**wish))}


def test_servers_that_hold_and_run_the_same_share_a_delta() -> None:
    told = {
        "a": receipt("xy", host="1"), "b": receipt("xy", host="2"), "c": receipt("x"),
        "d": receipt("xy", runs="engine=cpu"),
        "e": receipt("xy", models=["words-1"]),
    }
    found = grouped(told)
    assert set(found) == {("a", "b"), ("c",), ("d",), ("e",)}
    assert found["a", "b"].variants == ("cu121",) and found[("d",)].variants == ("cpu",)
    held = found["a", "b"].held
    assert held is not None and held.chain_ids == told["a"].chain_ids and held.models == frozenset()


def test_no_two_deltas_share_a_folder_whatever_the_hosts_call_themselves() -> None:
    words = {"-": "x", "_": "xy", ".": "xyz"}
    told = {f"me@gpu{mark}1": receipt(layers, host="localhost") for mark, layers in words.items()}
    labels = [group.held.label for group in grouped(told).values() if group.held]
    assert len(set(labels)) == len(labels) == len(told)
    assert not any("localhost" in label for label in labels)


def test_where_nothing_can_be_left_out_or_nothing_runs_the_whole_release_goes() -> None:
    told = {"new": receipt(runs=""), "bare": receipt("xy", runs=""), "gone": receipt("xy", runs="engine=cu118"),
            "unknown": receipt("xy", raw=False)}
    found = grouped(told)
    assert {hosts: (group.held, group.variants) for hosts, group in found.items()} == {
        ("new",): (None, ()), ("bare", "gone"): (None, ()), ("unknown",): (None, ("cu121",))}
    wished = grouped(told, variants=("cpu",))
    assert {group.variants for group in wished.values()} == {("cpu",)}
    assert wished["bare", "gone"].held is not None


def test_a_server_with_nothing_but_the_page_gets_the_page() -> None:
    assert grouped({"a": receipt("x", runs="page=any")})[("a",)].variants == ("any",)
