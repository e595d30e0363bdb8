"""What a server still needs: always what it does not hold, never more than all, and full = held + needed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.held import diff_id, document, receipt, row

from torchferry import planning
from torchferry.manifest import chain_ids
from torchferry.receipts import Receipt

MODEL = {"name": "words", "version": "2", "services": ["engine"], "files": [{"size": 30}, {"size": 12}]}


def need(made: dict[str, Any], there: Receipt) -> planning.Need:
    return planning.need(planning.of_manifest(made), there)


def test_the_lowest_layers_that_are_there_count_and_no_others() -> None:
    wanted = chain_ids(list(map(diff_id, "abcd")))
    for words, expected in [("", 0), ("abcd", 4), ("abcdef", 4), ("ab", 2), ("abxd", 2), ("bcd", 0), ("xbcd", 0)]:
        assert planning.held_prefix(wanted, [receipt(words)]) == expected, words
    assert planning.held_prefix(wanted, [receipt("x", "abx", "abc")]) == 3


def test_of_several_servers_the_one_that_holds_least_decides() -> None:
    wanted = chain_ids(list(map(diff_id, "abcd")))
    assert planning.held_prefix(wanted, [receipt("abc"), receipt("abcd"), receipt("abx")]) == 2
    assert planning.held_prefix(wanted, [receipt("abcd"), receipt()]) == 0
    assert planning.held_prefix(wanted, []) == 0


def test_layers_of_which_the_encoding_is_not_known_are_sent() -> None:
    assert planning.held_prefix(chain_ids([diff_id("a")]), [receipt("a", raw=False)]) == 0


def test_what_is_needed_is_what_lies_above_in_bytes_as_shipped() -> None:
    found = need(document(row("abcd")), receipt("abx"))
    assert (found.layers, found.bytes, found.full, found.share) == (500, 500, 1000, 0.5)
    exact = planning.of_manifest(document(row("abcd")), {diff_id("d"): 7})
    assert planning.need(exact, receipt("abc")).bytes == 7


def test_models_are_needed_where_the_server_has_another_version() -> None:
    made = document(row("a"), models=[MODEL])
    assert need(made, receipt("a", models=["words-1"])).models == 42
    assert need(made, receipt("a", models=["words-1", "words-2"])) == planning.Need(
        layers=0, models=0, full=292, images=("engine-cu121",))
    elsewhere = document(row("a"), models=[{**MODEL, "services": ["other"]}])
    assert need(elsewhere, receipt("a")).full == 250


def test_only_the_variants_that_run_there_count() -> None:
    made = document(row("ab"), row("ac", variant="cpu"), row("a", service="page", variant="any"))
    assert need(made, receipt(runs="engine=cpu page=any")).images == ("engine-cpu", "page-any")
    assert need(made, receipt(runs="page=any")).images == ("engine-cu121", "engine-cpu", "page-any")
    assert need(made, receipt(runs="")).images == ("engine-cu121", "engine-cpu", "page-any")
    assert need(made, receipt(runs="engine=cu118")).images == ("engine-cu121", "engine-cpu", "page-any")
    new = [row("ad", service="new", variant="cpu"), row("a", service="new")]
    two = document(row("ab"), row("ac", variant="cpu"), *new)
    assert need(two, receipt(runs="engine=cpu")).images == ("engine-cpu", "new-cpu")


def test_of_two_platforms_the_one_that_the_server_holds_counts() -> None:
    made = document(row("ab", variant="cpu"), row("xy", variant="cpu", platform="linux/arm64"))
    assert need(made, receipt("x", runs="engine=cpu")).bytes == 250


def test_a_release_of_nothing_needs_nothing() -> None:
    assert need(document(), receipt("a")) == planning.Need(layers=0, models=0, full=0, images=())
    assert need(document(), receipt("a")).share == 0


words = st.lists(st.sampled_from("abc"), max_size=6)


@given(words, st.lists(words, max_size=4), st.lists(words, max_size=4))
def test_what_is_held_and_what_is_needed_make_the_whole(image: list[str], held: list[str], more: list[str]) -> None:
    there, richer = receipt(*held), receipt(*held, *more)
    made = planning.of_manifest(document(row(image)))
    prefix = planning.held_prefix(made.images[0].chain_ids, [there])
    assert prefix == max(
        (sum(1 for end in range(1, len(image) + 1) if image[:end] == one[:end]) for one in held), default=0)
    assert 250 * prefix + planning.need(made, there).bytes == planning.need(made, there).full == 250 * len(image)
    assert planning.need(made, richer).bytes <= planning.need(made, there).bytes
    assert planning.held_prefix(made.images[0].chain_ids, [there, richer]) == prefix
