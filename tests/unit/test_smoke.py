"""Each promise of an image is judged by itself; the image and its service are a few facts that a test changes."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support import nouns

from torchferry import compat, smoke
from torchferry.model import Lock, Variant
from torchferry.proc import Finished
from torchferry.running import Health
from torchferry.smoke import FAILED, NOT_TESTED, PASSED, Check, Runner, RunningService

WORDS = (("python", "-c", "import stt_engine"), ("true",))
CUDART = "/opt/venv/lib/python3.11/site-packages/nvidia/cuda_runtime/lib/libcudart.so.12"
ENTRY = "import stt_engine"
GPU = "computation on a GPU"


def finished(status: int = 0, stdout: str = "", stderr: str = "") -> Finished:
    return Finished(argv=(), status=status, stdout=stdout, stderr=stderr)


@dataclass(kw_only=True)
class FakeService:
    """A service that is well at once, unless told otherwise; ``answers`` come one for each command."""

    answers: Mapping[str, Finished] = field(default_factory=dict)
    alive: bool = True
    stops_in: float = 0.1
    executed: list[tuple[str, ...]] = field(default_factory=list)
    stopped_with: list[int] = field(default_factory=list)

    def running(self) -> bool:
        return self.alive

    def execute(self, words: Sequence[str]) -> Finished:
        self.executed.append(tuple(words))
        return self.answers.get(shlex.join(words), self.answers.get("*", finished()))

    def stop(self, patience: int) -> float:
        self.stopped_with.append(patience)
        return self.stops_in

    def log(self) -> str:
        return "ValueError: no model"


@dataclass(kw_only=True)
class FakeRunner:
    """An image whose probe tells ``facts`` (or prints ``said``), and whose service is ``life``."""

    facts: dict[str, Any]
    life: FakeService = field(default_factory=FakeService)
    said: Finished | None = None
    ran: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    open: int = 0

    def run(self, image: str, words: Sequence[str]) -> Finished:
        self.ran.append((image, tuple(words)))
        return self.said or finished(stdout=f"a library talks\n{json.dumps(self.facts)}\n")

    @contextmanager
    def service(self, image: str) -> Iterator[RunningService]:
        self.started.append(image)
        self.open += 1
        try:
            yield self.life
        finally:
            self.open -= 1


def variant(name: str = "cu121", **changes: Any) -> Variant:
    plain = nouns.variant(name)
    if name == "any":
        return replace(plain, **changes)
    service = replace(plain.service, smoke=WORDS, health=Health(path="/health", expect={"status": "ok"}, within=0))
    return replace(plain, **{"service": service, **changes})


def facts_of(wanted: Variant, lock: Lock) -> dict[str, Any]:
    """What the probe tells of a good image."""
    torch = None
    if wanted.torch:
        real = compat.sm_names(compat.load().capabilities(wanted.torch, wanted.name))
        torch = {"version": f"{wanted.torch}+{wanted.name}", "cuda": wanted.cuda, "architectures": list(real)}
    return {
        "python": "3.11.2", "machine": "x86_64", "uid": 10001, "torch": torch, "import_error": None,
        "installed": {wheel.name: wheel.version for wheel in lock.wheels},
        "cuda_runtimes": [CUDART] if wanted.cuda else [],
    }


def judged(runner: Runner, wanted: Variant | None = None) -> dict[str, Check]:
    wanted = wanted or variant()
    checks = smoke.smoke(wanted, nouns.lock(wanted.name), compat.load(), runner)
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def runner(name: str = "cu121", *, life: FakeService | None = None, **changes: Any) -> FakeRunner:
    facts = facts_of(variant(name), nouns.lock(name))
    return FakeRunner(facts={**facts, **changes}, life=life or FakeService())


def torch_facts(**changes: Any) -> dict[str, Any]:
    return {**facts_of(variant(), nouns.lock())["torch"], **changes}


GOOD = [
    "platform", "python", "user", "installed set", "one CUDA", "torch.__version__", "torch.version.cuda",
    "GPU architectures", ENTRY, "health", "smoke: python -c import stt_engine", "smoke: true", "stop on SIGTERM",
]


# Good images


@pytest.mark.parametrize("name", ["cu118", "cu121", "cu124", "cpu"])
def test_a_good_image_passes_every_check_but_the_one_that_needs_a_gpu(name: str) -> None:
    checks = judged(runner(name), variant(name))
    assert {check: found.status for check, found in checks.items()} == {**dict.fromkeys(GOOD, PASSED), GPU: NOT_TESTED}
    assert list(checks) == [*GOOD, GPU]
    assert smoke.failures(tuple(checks.values())) == ()


def test_an_image_without_torch_has_no_checks_of_torch() -> None:
    wanted = variant("any")
    checks = judged(runner("any"), wanted)
    assert not [name for name in checks if "torch" in name or "architectures" in name]
    assert {found.status for name, found in checks.items() if name != GPU} == {PASSED}


def test_the_image_is_asked_by_name_with_its_own_python_and_closed_again() -> None:
    fake = runner()
    judged(fake)
    ((image, words),) = fake.ran
    assert image == fake.started[0] == "stt-engine:1.0.0-cu121"
    assert words[:2] == ("/opt/venv/bin/python", "-c")
    assert "importlib.metadata" in words[2]
    assert json.loads(words[3]) == {"torch": True, "module": "stt_engine"}
    assert fake.open == 0
    assert fake.life.stopped_with == [smoke.STOP_WITHIN + 2]


def test_what_was_seen_is_told_of_good_checks_too() -> None:
    checks = judged(runner())
    assert checks["installed set"].seen == "5 packages, as locked"
    assert checks["one CUDA"].seen == CUDART
    assert checks["torch.__version__"].seen == "2.1.2+cu121 (lock: 2.1.2)"
    sm = "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"
    assert checks["GPU architectures"].seen == f"{sm} (table: {sm})"
    assert checks["user"].seen == "UID 10001"


# One deviation, one failed check


def _installed(**changes: str | None) -> dict[str, str]:
    installed = facts_of(variant(), nouns.lock())["installed"] | changes
    return {name: version for name, version in installed.items() if version is not None}


@pytest.mark.parametrize(
    ("check", "changes", "seen"),
    [
        ("platform", {"machine": "aarch64"}, "aarch64"),
        ("python", {"python": "3.12.1"}, "3.12.1, wanted 3.11"),
        ("python", {"python": "3.1.1"}, "3.1.1, wanted 3.11"),
        ("user", {"uid": 0}, "UID 0"),
        ("installed set", {"installed": _installed(numpy=None)}, "numpy absent (lock: 1.26.4)"),
        ("installed set", {"installed": _installed(pip="23.0.1")}, "pip 23.0.1 (lock: absent)"),
        ("installed set", {"installed": _installed(numpy="2.0.1")}, "numpy 2.0.1 (lock: 1.26.4)"),
        ("installed set", {"installed": _installed(numpy="2.0.1", pip="1", fastapi=None)},
         "fastapi absent (lock: 0.115.0); numpy 2.0.1 (lock: 1.26.4); pip 1 (lock: absent)"),
        ("one CUDA", {"cuda_runtimes": [CUDART, "/usr/local/cuda/lib64/libcudart.so.11.8.89"]},
         f"{CUDART}, /usr/local/cuda/lib64/libcudart.so.11.8.89"),
        ("torch.__version__", {"torch": torch_facts(version="2.6.0+cu121")}, "2.6.0+cu121 (lock: 2.1.2)"),
        ("torch.version.cuda", {"torch": torch_facts(cuda="11.8")}, "11.8, wanted 12.1"),
        ("torch.version.cuda", {"torch": torch_facts(cuda=None)}, "None, wanted 12.1"),
        ("GPU architectures", {"torch": torch_facts(architectures=["sm_80", "sm_90"])},
         "sm_80 sm_90 (table: sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90)"),
        ("GPU architectures", {"torch": torch_facts(architectures=[])},
         "none (table: sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90)"),
        (ENTRY, {"import_error": "ModuleNotFoundError: No module named 'ferry'"}, "No module named 'ferry'"),
    ],
)
def test_one_deviation_fails_exactly_its_check(check: str, changes: dict[str, Any], seen: str) -> None:
    checks = judged(runner(**changes))
    assert [name for name, found in checks.items() if found.status == FAILED] == [check]
    assert list(checks) == [*GOOD, GPU]
    assert seen in checks[check].seen


def test_a_cpu_image_with_a_cuda_runtime_fails() -> None:
    checks = judged(runner("cpu", cuda_runtimes=[CUDART]), variant("cpu"))
    assert [name for name, found in checks.items() if found.status == FAILED] == ["one CUDA"]


def test_a_cuda_build_in_a_cpu_image_fails() -> None:
    torch = {"version": "2.1.2+cu121", "cuda": "12.1", "architectures": ["sm_80"]}
    checks = judged(runner("cpu", torch=torch), variant("cpu"))
    assert [name for name, found in checks.items() if found.status == FAILED] == [
        "torch.__version__", "torch.version.cuda", "GPU architectures",
    ]


def test_another_local_version_beside_a_plain_lock_fails() -> None:
    checks = judged(runner(torch=torch_facts(version="2.1.2+cu118")))
    assert checks["torch.__version__"].status == FAILED


def test_ptx_is_no_architecture_of_its_own() -> None:
    real = torch_facts()["architectures"]
    assert judged(runner(torch=torch_facts(architectures=[*real, "compute_90"])))["GPU architectures"].status == PASSED


@pytest.mark.parametrize("spelled", [{"Numpy": "1.26.4"}, {"numpy": "1.26.4.0"}])
def test_names_and_versions_are_compared_by_meaning(spelled: dict[str, str]) -> None:
    checks = judged(runner(installed={**_installed(numpy=None), **spelled}))
    assert checks["installed set"].status == PASSED


def test_a_torch_that_does_not_import_fails_and_hides_no_other_check() -> None:
    checks = judged(runner(torch={"error": "ImportError: libcudart.so.12: cannot open shared object file"}))
    assert [name for name, found in checks.items() if found.status == FAILED] == ["import torch"]
    assert "libcudart.so.12" in checks["import torch"].seen
    assert list(checks) == [*GOOD[:5], "import torch", *GOOD[8:], GPU]


def test_several_deviations_fail_each_its_own_check() -> None:
    life = FakeService(stops_in=9.0)
    checks = judged(runner(uid=0, machine="aarch64", import_error="no", life=life))
    assert [name for name, found in checks.items() if found.status == FAILED] == [
        "platform", "user", ENTRY, "stop on SIGTERM",
    ]


# The probe itself


@pytest.mark.parametrize(
    "said", [finished(127, "", "/opt/venv/bin/python: no such file"), finished(1, "not JSON\n", "boom"), finished()]
)
def test_a_probe_that_tells_nothing_fails_with_its_last_words(said: Finished) -> None:
    fake = replace(runner(), said=said)
    (check,) = smoke.smoke(variant(), nouns.lock(), compat.load(), fake)
    assert (check.name, check.status) == ("probe", FAILED)
    assert check.seen == f"status {said.status}: {said.tail()}"


def test_only_the_last_line_of_the_probe_counts() -> None:
    fake = runner()
    fake.said = finished(stdout='{"a log line": "in JSON"}\n' + json.dumps(fake.facts) + "\n\n", stderr="warning")
    assert judged(fake)["platform"].status == PASSED


# The service


def test_a_command_that_is_no_module_is_not_tested() -> None:
    wanted = variant(service=replace(variant().service, command=("gunicorn", "stt_engine:app")))
    fake = runner()
    checks = judged(fake, wanted)
    assert checks["import of the service"].status == NOT_TESTED
    assert ENTRY not in checks
    assert json.loads(fake.ran[0][1][3])["module"] is None


def test_a_service_that_is_never_well_fails_and_its_smoke_lines_are_not_tested() -> None:
    health = shlex.join(smoke.health_command(Health(path="/health", expect={"status": "ok"}, within=0), 8003))
    life = FakeService(answers={health: finished(1, "", "status 503\nloading")})
    checks = judged(runner(life=life))
    assert checks["health"] == Check(name="health", status=FAILED, seen="not well after 0 s: status 503\nloading")
    assert [name for name, found in checks.items() if found.status == FAILED] == ["health"]
    assert [checks[f"smoke: {' '.join(words)}"].status for words in WORDS] == [NOT_TESTED, NOT_TESTED]
    assert checks["stop on SIGTERM"].status == PASSED
    assert life.executed and all(words == life.executed[0] for words in life.executed)


def test_a_service_that_ends_is_told_with_its_log_and_not_stopped() -> None:
    wanted = variant(service=replace(
        variant().service, health=Health(path="/health", expect={"status": "ok"}, within=3600)
    ))
    life = FakeService(answers={"*": finished(1, "", "connection refused")}, alive=False)
    started = time.monotonic()
    checks = judged(runner(life=life), wanted)
    assert time.monotonic() - started < 60
    assert checks["health"].seen == "it ended:\nValueError: no model"
    assert [name for name, found in checks.items() if found.status == FAILED] == ["health"]
    assert checks["stop on SIGTERM"].status == NOT_TESTED
    assert life.stopped_with == []


def test_a_service_that_needs_a_while_is_waited_for() -> None:
    wanted = variant(service=replace(
        variant().service, health=Health(path="/health", expect={"status": "ok"}, within=3600), smoke=(),
    ))

    class Slow(FakeService):
        def execute(self, words: Sequence[str]) -> Finished:
            super().execute(words)
            return finished(0 if len(self.executed) > 2 else 1)

    life = Slow()
    assert judged(runner(life=life), wanted)["health"].status == PASSED
    assert len(life.executed) == 3


@pytest.mark.parametrize("alive", [True, False])
def test_a_service_without_health_must_only_stay(alive: bool) -> None:
    life = FakeService(alive=alive)
    checks = judged(runner("any", life=life), variant("any"))
    assert "health" not in checks
    assert checks["start"].status == (PASSED if alive else FAILED)
    assert ("it ended at once:\nValueError: no model" in checks["start"].seen) == (not alive)
    assert life.executed == []


def test_a_slow_stop_fails() -> None:
    checks = judged(runner(life=FakeService(stops_in=5.04)))
    assert [name for name, found in checks.items() if found.status == FAILED] == ["stop on SIGTERM"]
    assert checks["stop on SIGTERM"].seen == "5.0 s, allowed 3 s"


def test_an_own_smoke_line_that_fails_is_told_and_the_next_one_runs() -> None:
    life = FakeService(answers={shlex.join(WORDS[0]): finished(1, "one\n", "two\nthree\nfour\nfive\n")})
    checks = judged(runner(life=life))
    assert [name for name, found in checks.items() if found.status == FAILED] == ["smoke: python -c import stt_engine"]
    assert checks["smoke: python -c import stt_engine"].seen == "two\nthree\nfour\nfive"
    assert checks["smoke: true"].seen == "exit 0"
    assert life.executed[1:] == list(WORDS)


# What is kept


def test_a_result_is_read_back_for_the_very_image_only(tmp_path: Path) -> None:
    place = tmp_path / "smoke" / "stt-engine-cu121.json"
    checks = (
        Check(name="platform", status=PASSED, seen="x86_64"), Check(name="smoke: é", status=FAILED, seen="a\nb \"c\""),
    )
    assert smoke.read_result(place, "sha256:one") is None
    smoke.write_result(place, "sha256:one", checks)
    assert smoke.read_result(place, "sha256:one") == checks
    assert smoke.read_result(place, "sha256:two") is None
    assert smoke.failures(checks) == checks[1:]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"image": "sha256:one"}', '{"image": "sha256:one", "checks": 5}',
             '{"image": "sha256:one", "checks": [{"name": "x"}]}', '{"image": "sha256:one", "checks": ["x"]}']
)
def test_a_damaged_result_is_none(tmp_path: Path, text: str) -> None:
    place = tmp_path / "result.json"
    place.write_text(text, encoding="utf-8")
    assert smoke.read_result(place, "sha256:one") is None
