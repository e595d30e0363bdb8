"""Groups of wheels: below 40 layers whatever comes, what changes rarely lies low, and a small change stays small."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.nouns import wheel

from torchferry.model import Wheel
from torchferry.wheel_groups import LARGE, LAYERS_LIMIT, TINY, wheel_groups

SIZES = st.sampled_from([1, TINY - 1, TINY, LARGE - 1, LARGE, LARGE * 5, LARGE * 40])
NAMES = st.sampled_from([
    *(f"nvidia-lib{number}-cu12" for number in range(40)), "torch", "torchaudio", "torchvision", "triton",
    *(f"package{number}" for number in range(200)),
])
WHEELS = st.dictionaries(NAMES, SIZES, max_size=120).map(lambda sizes: [sized(*pair) for pair in sizes.items()])


def sized(name: str, size: int) -> Wheel:
    return replace(wheel(name, "1.0"), size=size)


@given(WHEELS, st.randoms(use_true_random=False))
def test_every_wheel_lies_in_one_layer_of_few(wheels: list[Wheel], chance: random.Random) -> None:
    groups = wheel_groups(wheels)
    assert sorted(one.name for group in groups for one in group.wheels) == sorted(one.name for one in wheels)
    assert len(groups) <= LAYERS_LIMIT <= 34
    assert len({group.name for group in groups}) == len(groups)
    chance.shuffle(wheels)
    assert wheel_groups(wheels) == groups


@given(WHEELS)
def test_what_changes_rarely_lies_low(wheels: list[Wheel]) -> None:
    def family(name: str) -> int:
        return 0 if name.startswith("nvidia-") else 1 if name.startswith(("torch", "triton")) else 2

    found = [family(group.wheels[0].name) for group in wheel_groups(wheels)]
    assert found == sorted(found)


@given(WHEELS, NAMES, st.integers(1, LARGE - 1))
def test_another_small_wheel_touches_one_layer(wheels: list[Wheel], name: str, size: int) -> None:
    others = [one for one in wheels if one.name != name]
    before = {group.name: group for group in wheel_groups(others)}
    after = {group.name: group for group in wheel_groups([*others, sized(name, size)])}
    assert sum(before.get(key) != group for key, group in after.items()) == 1
    assert before.keys() <= after.keys()


def test_a_large_wheel_is_a_layer_of_its_own() -> None:
    groups = wheel_groups([sized("torch", LARGE), sized("triton", LARGE + 1), sized("torchaudio", LARGE - 1)])
    assert [[one.name for one in group.wheels] for group in groups] == [["torch"], ["triton"], ["torchaudio"]]


def test_small_wheels_are_spread() -> None:
    groups = wheel_groups([sized(f"package{number}", 1000 * number) for number in range(1, 60)])
    assert max(len(group.wheels) for group in groups) < 25
