"""A list of servers becomes hosts, and hosts say which variants they need."""

from __future__ import annotations

import itertools
import random

import pytest
from support import nouns

from torchferry.compat import load
from torchferry.errors import ConfigError
from torchferry.fleet import Fleet, Host, fleet, parse, smallest
from torchferry.gpus import GpuNames
from torchferry.server import NOT_INSTALLED
from torchferry.verdict import rules

NAMES = GpuNames(table=load().table)


def hosts(text: str) -> tuple[Host, ...]:
    return parse(text, file="fleet.csv", names=NAMES)


def judged(text: str, *names: str) -> Fleet:
    return fleet(hosts(text), rules([nouns.variant(name) for name in names], load()), load())


def needs(found: Fleet) -> dict[str, tuple[int, int, tuple[str, ...], bool]]:
    return {one.variant: (one.runs, one.full, one.only_one_for, one.needed) for one in found.needs}


def short(found: Fleet) -> dict[str, tuple[str, str]]:
    return {one.host.name: (one.kind, one.why) for one in found.short}


# reading


@pytest.mark.parametrize("text", [
    "host,driver,gpu\na,535.104.05,Tesla T4\n",
    "\ufeffHost , DRIVER,GPU\r\n a , 535.104.05 , Tesla T4 \r\n\r\n",
    "a,535.104.05,Tesla T4\n",
    "name;rack;driver_version;hostname\nTesla T4;7;535.104.05;a\n",
    "hostname\tgpu name\tdriver version\na\tTesla T4\t535.104.05\n",
    '\n"host","driver","gpu"\n"a","535.104.05","Tesla T4"\n',
])
def test_lists_as_people_write_them(text: str) -> None:
    (host,) = hosts(text)
    (gpu,) = host.server.gpus
    assert (host.name, host.server.driver, gpu.name, gpu.capability) == ("a", "535.104.05", "Tesla T4", "7.5")


def test_rows_of_one_host_are_its_gpus() -> None:
    one, other = hosts("host,driver,gpu\na,535.1,Tesla T4\nb,470.1,Tesla K80\na,535.1,NVIDIA A10\na,,Tesla T4\n")
    assert [(gpu.index, gpu.name) for gpu in one.server.gpus] == [(0, "Tesla T4"), (1, "NVIDIA A10"), (2, "Tesla T4")]
    assert one.gpus == "2 x Tesla T4, NVIDIA A10"
    assert other.name == "b"


def test_a_server_without_gpu_and_driver() -> None:
    (host,) = hosts("host,driver,gpu\na,,\n")
    assert (host.server.gpus, host.server.driver, host.server.failure) == ((), None, NOT_INSTALLED)


def test_a_board_that_sits_beside_an_arm_cpu_says_so() -> None:
    (host,) = hosts("host,driver,gpu\na,575.57,NVIDIA GH200 480GB\n")
    assert host.server.arch == "aarch64"


@pytest.mark.parametrize(("text", "said"), [
    ("", "no rows"),
    ("\n \n", "no rows"),
    ("host,driver\na,535.1\n", r"fleet\.csv:1: the first row names no columns"),
    ("machine,version,card\na,535.1,Tesla T4\n", r"fleet\.csv:1: the first row names no columns"),
    ("host,driver,gpu\na,535.1,Tesla T4\nb,latest,Tesla T4\n", r"fleet\.csv:3: 'latest' is no driver version"),
    ("host,driver,gpu\n,535.1,Tesla T4\n", r"fleet\.csv:2: no host"),
    ("host,driver,gpu\na,535.1,Tesla T4\na,470.1,Tesla T4\n", r"fleet\.csv:3: a has two drivers, 470\.1 and 535\.1"),
    ("host,driver,gpu\na,535.1\u0661,Tesla T4\n", "is no driver version"),
    ("host,driver,gpu\na,9999999999999999999999.1,Tesla T4\n", "is no driver version"),
])
def test_lists_that_cannot_be_understood(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        hosts(text)


def test_no_text_makes_it_fail_in_another_way() -> None:
    dice = random.Random(7)
    pieces = ["host", "driver", "gpu", ",", ";", "\t", '"', "\n", "\r", "\x00", "535.1", "a", "Tesla T4", "\u2028", " "]
    read = 0
    for _ in range(3000):
        try:
            read += len(hosts("".join(dice.choices(pieces, k=dice.randrange(1, 30)))))
        except ConfigError:
            continue
    assert read > 5


# judging


def test_a_variant_that_serves_all_makes_the_others_needless() -> None:
    found = needs(judged("a,470.82.01,Tesla T4\nb,535.1,NVIDIA A10\n", "cu118", "cu121", "cu124", "cpu"))
    assert found == {
        "cu118": (2, 1, ("a",), True), "cu121": (1, 1, (), False), "cu124": (1, 0, (), False), "cpu": (2, 2, (), False),
    }


def test_of_variants_that_do_equally_well_full_support_decides_and_then_the_newest() -> None:
    found = needs(judged("a,535.1,Tesla T4\n", "cu124", "cu121"))
    assert (found["cu121"][3], found["cu124"][3]) == (True, False)
    found = needs(judged("a,550.54.14,Tesla T4\n", "cu124", "cu121"))
    assert (found["cu121"][3], found["cu124"][3]) == (False, True)


def test_two_are_needed_where_neither_does() -> None:
    blackwell = nouns.variant("cu128", torch="2.8.0")
    made = rules([nouns.variant("cu118"), nouns.variant("cu121"), blackwell], load())
    found = fleet(hosts("a,580.1,NVIDIA B200\nb,470.82,Tesla T4\nc,580.1,Tesla P100\n"), made, load())
    assert {name: need[3] for name, need in needs(found).items()} == {"cu118": True, "cu121": False, "cu128": True}


def test_hosts_that_no_cuda_variant_serves_need_the_cpu() -> None:
    found = judged("a,440.33,Tesla V100\nb,,\nc,535.1,Tesla T4\nd,580.65,NVIDIA B200\n", "cu118", "cu121", "cpu")
    assert needs(found)["cpu"] == (4, 4, ("a", "b", "d"), True)
    assert needs(found)["cu118"][:2] == (1, 1)
    assert {name: kind for name, (kind, _) in short(found).items()} == {"a": "none", "b": "none", "d": "none"}


def test_the_reason_is_that_of_the_variant_that_comes_nearest() -> None:
    told = short(judged("a,440.33,Tesla V100\nb,,\nd,580.65,NVIDIA B200\n", "cu118", "cu124"))
    assert told["a"][1] == "cu118: driver 440.33 is older than 450.80.02, the oldest that runs CUDA 11.8"
    assert told["b"][1] == "no GPU, no driver"
    assert told["d"][1].startswith("cu124: GPU 0 (NVIDIA B200) has compute capability 10.0; it has code for 5.0, ")
    assert "in full" not in told["d"][1]


def test_a_host_of_which_only_some_gpus_are_served() -> None:
    found = judged("a,580.65,NVIDIA B200\na,580.65,Tesla T4\n", "cu121", "cpu")
    kind, why = short(found)["a"]
    assert (kind, why.startswith("cu121: GPU 0 (NVIDIA B200)"), "Tesla T4" in why) == (
        "only cu121, on some GPUs", True, False)
    assert needs(found) == {"cu121": (1, 1, ("a",), True), "cpu": (1, 1, (), False)}


def test_what_is_not_known_is_said_so() -> None:
    found = judged("a,,Tesla T4\nb,575.57,Wonder GPU 9\nc,535.1,Wonder GPU 9\n", "cu121")
    told = short(found)
    assert {name: kind for name, (kind, _) in told.items()} == {"a": "not known", "b": "not known"}  # c: any will do
    assert "the driver is not known" in told["a"][1]
    assert "Wonder GPU 9" in told["b"][1]


def test_an_arm_host_is_served_by_no_x86_image() -> None:
    found = judged("a,575.57,NVIDIA GH200 480GB\n", "cu121", "cpu")
    assert short(found)["a"][0] == "none"
    assert "aarch64" in short(found)["a"][1]


# the smallest set


@pytest.mark.parametrize(("demands", "names", "kept"), [
    ([], ["x", "y"], ()),
    ([{"x": True}], ["x", "y"], ("x",)),
    ([{"x": True, "y": True}], ["x", "y"], ("y",)),
    ([{"x": True, "y": False}], ["x", "y"], ("x",)),
    ([{"x": True, "y": True}, {"y": False, "z": False}, {"z": True, "x": True}], ["x", "y", "z"], ("y", "z")),
])
def test_the_smallest_set(demands: list[dict[str, bool]], names: list[str], kept: tuple[str, ...]) -> None:
    assert smallest(demands, names) == kept


def test_no_smaller_set_would_do() -> None:
    dice = random.Random(3)
    names = ["p", "q", "r", "s", "t"]
    for _ in range(200):
        demands = [dict.fromkeys(dice.sample(names, dice.randint(1, 3)), True) for _ in range(dice.randint(1, 8))]
        kept = smallest(demands, names)
        assert all(set(demand) & set(kept) for demand in demands)
        smaller = itertools.combinations(names, len(kept) - 1)
        assert not [one for one in smaller if all(set(demand) & set(one) for demand in demands)]
