"""The judgement: the samples' answers, generated hosts reckoned in another way, the pick, and the closed sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from string import Formatter

import pytest
from hypothesis import given, settings
from support.nouns import variant
from support.smi import CAPABILITIES, EXPECTED, HOSTS, NAMES, SAMPLES, host

from torchferry import smi
from torchferry.compat import load
from torchferry.model import Variant
from torchferry.server import FAILURES, Server, version
from torchferry.verdict import Branches, Judgement, Rule, judge, rules
from torchferry.verdict_text import REASONS

COMPAT = load()
VARIANTS = [
    variant("cu118"), variant("cu121"), variant("cu124", torch="2.5.1"),
    replace(variant("cu121"), name="cu128", torch="2.7.1"), variant("cpu"),
]
RULES = rules(VARIANTS, COMPAT)


def judged(server: Server, chosen: tuple[Rule, ...] = RULES) -> Judgement:
    return judge(server, chosen, COMPAT)


def runs(server: Server) -> dict[str, str]:
    return {name: one.runs for name, one in judged(server).verdicts.items()}


# the samples


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_samples_run_what_they_should(name: str) -> None:
    expected = EXPECTED[name]
    found = runs(smi.read((SAMPLES / name).read_bytes(), NAMES))
    assert [one for one, said in found.items() if said == "yes"] == expected["expected_variants"]
    possible = set(expected.get("expected_variants_any", expected["expected_variants"]))
    doubtful = {"cu121", "cu124", "cu128"} if "528.24" in name else set()  # between NVIDIA's two floors
    assert {one for one, said in found.items() if said != "no"} == possible | doubtful


@pytest.mark.parametrize(
    ("name", "pick", "status"),
    [
        ("002_a100-sxm4-40gb-550.txt", "cu124", 0), ("058_a100-mig-devices-535.txt", "cu121", 0),
        ("110_mixed-rtx3060-gtx1080-545.txt", "cu121", 0), ("017_r610-kmd-umd-header-rtx5090.txt", "cu128", 0),
        ("066_wsl2-truncated-geforce-528.24.txt", "cu118", 0), ("101_cuda-na-kubectl-exec-p100-410.txt", "cpu", 3),
        ("023_nvml-mismatch-with-library-version-580.txt", "cpu", 3), ("015_header-only-470.txt", None, 4),
        ("130_list-mig-a100-x8-mixed.txt", None, 4), ("050_jetson-thor-580.00.txt", None, 4),
    ],
)
def test_pick_and_exit_status(name: str, pick: str | None, status: int) -> None:
    found = judged(smi.read((SAMPLES / name).read_bytes(), NAMES))
    assert (found.pick, found.status) == (pick, status)


def test_the_case_of_the_user() -> None:
    """Driver 575.57.08, "CUDA Version: 12.9", torch 2.1.2: cu121 runs in full, nothing has to be upgraded."""
    server = host("575.57.08", "8.0", cuda_limit="12.9")
    found = judged(server, rules([variant("cu118"), variant("cu121"), variant("cpu")], COMPAT))
    assert (found.pick, found.status) == ("cu121", 0)
    assert found.verdicts["cu121"].full_support


# drivers, at every edge


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("450.51.06", "no no no no"), ("450.80.02", "yes no no no"), ("450.80.2", "yes no no no"),
        ("470.256.02", "yes no no no"), ("525.60.11", "yes no no no"), ("525.60.13", "yes yes yes yes"),
        ("535.104.05", "yes yes yes yes"), ("610.43.02", "yes yes yes yes"), (None, "unknown unknown unknown unknown"),
    ],
)
def test_drivers(driver: str | None, expected: str) -> None:
    assert " ".join(list(runs(host(driver, "8.6")).values())[:4]) == expected


@pytest.mark.parametrize(
    ("driver", "full"), [("525.60.13", "cu118"), ("530.30.02", "cu118 cu121"), ("570.26", "cu118 cu121 cu124 cu128")]
)
def test_full_support_begins_with_the_driver_of_the_toolkit(driver: str, full: str) -> None:
    found = judged(host(driver, "8.6")).verdicts
    assert " ".join(name for name, one in found.items() if one.full_support and name != "cpu") == full


@pytest.mark.parametrize(
    ("driver", "cu118", "cu121"),
    [("452.38", "no", "no"), ("452.39", "yes", "no"), ("527.40", "yes", "no"), ("527.41", "yes", "unknown"),
     ("528.32", "yes", "unknown"), ("528.33", "yes", "yes")],
)
@pytest.mark.parametrize("platform", ["wsl", "windows"])
def test_drivers_of_windows(platform: str, driver: str, cu118: str, cu121: str) -> None:
    found = runs(host(driver, "8.6", platform=platform))
    assert (found["cu118"], found["cu121"]) == (cu118, cu121)


def test_versions_compare_number_by_number() -> None:
    assert version("450.80.02") == version("450.80.2")
    assert version("535.104") > version("535.86")
    assert version("580") == version("580.00") < version("580.65.06")


# GPUs


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("3.5", ""), ("3.7", "cu118"), ("5.2", "cu118 cu121 cu124"), ("6.1", "cu118 cu121 cu124"),
        ("7.0", "cu118 cu121 cu124"), ("7.5", "cu118 cu121 cu124 cu128"), ("8.9", "cu118 cu121 cu124 cu128"),
        ("9.0", "cu118 cu121 cu124 cu128"), ("10.3", "cu128"), ("11.0", ""), ("12.1", "cu128"), ("13.0", ""),
    ],
)
def test_code_runs_on_its_major_and_no_older_minor(capability: str, expected: str) -> None:
    assert " ".join(rule.name for rule in RULES if rule.serves(capability)) == expected


def test_some_gpus_are_named_and_the_rest_has_a_reason() -> None:
    verdict = judged(host("545.29.06", "8.6", "6.1", "8.6")).verdicts["cu128"]
    assert (verdict.runs, verdict.gpus) == ("some_gpus", (0, 2))
    assert [reason.code for reason in verdict.reasons] == ["driver_minor", "gpu_served", "gpu_not_served"]
    assert verdict.reasons[1].values["gpus"] == "0,2"


def test_a_variant_for_all_goes_before_one_for_more_support() -> None:
    mixed = judged(host("580.95.05", "12.0", "6.1", "6.1"))
    assert (mixed.verdicts["cu118"].gpus, mixed.verdicts["cu128"].gpus) == ((1, 2), (0,))
    assert mixed.pick == "cu124"  # two GPUs rather than one; of the three that serve two, the highest CUDA
    assert judged(host("525.60.13", "8.6")).pick == "cu118"  # the only one in full


@pytest.mark.parametrize(
    ("driver", "cu118", "cu128"),
    [("470.57.02", "unknown", "no"), ("528.33", "yes", "unknown"), ("535.54.03", "yes", "unknown"),
     ("575.57.08", "unknown", "unknown"), ("590.44.01", "unknown", "unknown"), (None, "unknown", "unknown")],
)
def test_a_gpu_whose_name_is_cut_is_any_that_the_driver_serves(driver: str | None, cu118: str, cu128: str) -> None:
    found = runs(host(driver, None))
    assert (found["cu118"], found["cu128"]) == (cu118, cu128)


def test_a_branch_that_dropped_a_generation_serves_none_of_its_gpus() -> None:
    assert runs(host("590.44.01", "7.0"))["cu118"] == "no"
    assert runs(host("580.95.05", "7.0"))["cu118"] == "yes"
    assert runs(host("582.10", "7.0", platform="wsl"))["cu118"] == "yes"  # Windows' number of branch 580
    assert "3.7" not in Branches.of(495, COMPAT, windows=False).served
    assert "3.7" in Branches.of(474, COMPAT, windows=True).served


# failures and architectures


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_never_hide_behind_cpu(failure: str) -> None:
    found = judged(Server(failure=failure))
    settled = failure in ("unreadable", "nvml_permission", "gpu_lost")
    assert (found.pick, found.status) == ((None, 4) if settled else ("cpu", 3))
    assert found.verdicts["cpu"].runs == "yes"
    assert {one.runs for name, one in found.verdicts.items() if name != "cpu"} == {"unknown" if settled else "no"}
    reasons = {reason.code for name, one in found.verdicts.items() if name != "cpu" for reason in one.reasons}
    assert failure in reasons or failure == "gpu_lost"


def test_gpus_beside_a_lost_one_are_used() -> None:
    assert judged(host("535.104.05", "8.6", failure="gpu_lost")).pick == "cu121"


def test_an_arm_server_runs_what_is_built_for_it_alone() -> None:
    arm = variant("cpu", architecture="aarch64")
    grace = host("580.95.05", "9.0", arch="aarch64")
    assert judged(grace).status == 4
    found = judged(grace, rules([*VARIANTS, arm], COMPAT))
    assert (found.pick, found.status) == ("cpu", 3)
    assert judged(host("580.95.05", "9.0"), rules([arm], COMPAT)).verdicts["cpu"].runs == "unknown"


def test_a_variant_of_two_services_runs_where_it_runs_for_both() -> None:
    (old,) = rules([variant("cu118", torch="2.1.2")], COMPAT)
    other = replace(variant("cu118", torch="2.7.1"), service=replace(variant().service, name="other"))
    (both,) = rules([variant("cu118", torch="2.1.2"), other], COMPAT)
    assert both.code == old.code
    mixed = Rule(name="x", architectures=("x86_64",), code=((8, 0), (8, 6), (9, 0)))
    assert mixed.serves("8.9")


def test_services_without_torch_have_no_part() -> None:
    assert rules([variant("any")], COMPAT) == ()


# generated hosts, reckoned anew


def reckoned(server: Server, one: Variant) -> str:
    """The same question asked of the table in another way: without groups, sets of answers or early ends."""
    if server.arch not in (None, "x86_64"):
        return "no"
    if one.cuda is None:
        return "yes"
    if server.failure not in (None, "gpu_lost"):
        return "unknown" if server.failure in ("unreadable", "nvml_permission") else "no"
    row = COMPAT.cuda(one.cuda)
    floors = row.windows if server.platform in ("windows", "wsl") else row.linux
    assert one.torch
    code = {int(re.sub(r"\D", "", listed.split("+")[0])) for listed in COMPAT.capabilities(one.torch, one.name)}

    def able(capability: str) -> bool:
        wanted = int(capability.replace(".", ""))
        return any(have // 10 == wanted // 10 and have <= wanted for have in code)

    driver = [int(part) for part in server.driver.split(".")] if server.driver else None
    answers = []
    for gpu in server.gpus or (None,):
        if gpu is None:
            answers.append("unknown")
            continue
        candidates = [gpu.capability] if gpu.capability else CAPABILITIES if driver else []
        if driver:
            spread = 9 if server.platform in ("windows", "wsl") else 0
            alive = {
                each for generation in COMPAT.table.generations for each in generation.capabilities
                if driver[0] <= (generation.last_branch or 10_000) + spread
                and (gpu.capability or (generation.first_branch or 0) <= driver[0])
            }
            if gpu.capability and gpu.capability in CAPABILITIES and gpu.capability not in alive:
                answers.append("no")
                continue
            candidates = candidates if gpu.capability else sorted(alive)
        good = [able(each) for each in candidates]
        answers.append("unknown" if not good or len(set(good)) == 2 else "yes" if good[0] else "no")
    low = driver is not None and driver < [int(part) for part in floors.floor.split(".")]
    doubtful = bool(low and floors.doubtful_from and driver >= [int(part) for part in floors.doubtful_from.split(".")])
    if (low and not doubtful) or set(answers) == {"no"}:
        return "no"
    if driver is None or doubtful or "yes" not in answers:
        return "unknown"
    return "yes" if set(answers) == {"yes"} else "some_gpus"


@settings(max_examples=1200, deadline=None)
@given(HOSTS)
def test_generated_hosts_are_judged_as_reckoned(server: Server) -> None:
    found = judged(server)
    assert {name: one.runs for name, one in found.verdicts.items()} == {
        one.name: reckoned(server, one) for one in VARIANTS
    }
    for one in found.verdicts.values():
        assert bool(one.gpus) == (one.runs in ("yes", "some_gpus") and one is not found.verdicts["cpu"])
        assert not one.full_support or one.runs in ("yes", "some_gpus")
        assert one.reasons
        assert all(reason.text for reason in one.reasons)
    fitting = [name for name, one in found.verdicts.items() if name != "cpu" and one.runs in ("yes", "some_gpus")]
    assert (found.status == 0) == bool(fitting) == (found.pick in fitting)
    assert found.status in (0, 3, 4)
    assert (found.pick is None) == (found.status == 4)


# sentences


def codes() -> Iterator[str]:
    for driver in (None, "410.79", "525.60.13", "590.44.01", "610.43.02"):
        for capabilities in ((), ("8.6",), ("12.0", "6.1"), (None,), ("7.0",)):
            for platform in ("linux", "wsl"):
                for arch in (None, "aarch64"):
                    for failure in (None, *FAILURES):
                        server = host(driver, *capabilities, platform=platform, arch=arch, failure=failure)
                        for one in judged(server).verdicts.values():
                            yield from (reason.code for reason in one.reasons)
    for server in (host("528.24", "8.6", platform="wsl"), host("535.54.03", None), host("391.35", None)):
        for one in judged(server).verdicts.values():
            yield from (reason.code for reason in one.reasons)
    yield judged(host("470.57.02", "8.6"), rules([variant("cpu", architecture="aarch64")], COMPAT)).verdicts[
        "cpu"].reasons[0].code


def test_the_reason_codes_are_all_in_use_and_all_have_a_sentence() -> None:
    seen = set(codes())
    assert seen == set(REASONS)


def test_a_shell_can_fill_in_every_sentence() -> None:
    for code, text in REASONS.items():
        assert re.fullmatch(r"[ -~]+", text), code
        assert not re.search(r"[\\&\"'`$]", text), code
        fields = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        assert fields <= {"built", "arch", "floor", "driver", "cuda", "toolkit", "doubtful", "gpus", "name",
                          "capability", "serves"}
