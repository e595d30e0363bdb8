"""Does the image do what its variant promises? Run without network, as its user, before anybody ships it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from packaging.utils import canonicalize_name
from packaging.version import Version

from torchferry import files
from torchferry.compat import Compat, sm_names
from torchferry.model import UID, VENV, Lock, Variant
from torchferry.proc import Finished
from torchferry.render import health_command

STOP_WITHIN = 3
"""Seconds a service may take from SIGTERM to its end; Docker's own ten hide a service that never listens."""

PASSED, FAILED, NOT_TESTED = "passed", "failed", "not tested"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise: what, how it came out (passed, failed, not tested), and what was seen."""

    name: str
    status: str
    seen: str


class RunningService(Protocol):
    """A service that was started from an image."""

    def running(self) -> bool: ...
    def execute(self, words: Sequence[str]) -> Finished: ...
    def stop(self, patience: int) -> float: ...
    def log(self) -> str: ...


class Runner(Protocol):
    """Whatever can run an image without network: a Docker daemon today."""

    def run(self, image: str, words: Sequence[str]) -> Finished: ...
    def service(self, image: str) -> AbstractContextManager[RunningService]: ...


@dataclass(frozen=True, kw_only=True)
class Unrunnable:
    """An image that cannot be run here; ``look`` says of it what its files tell."""

    look: Callable[[Lock], tuple[Check, ...]]


def smoke(variant: Variant, lock: Lock, compat: Compat, runner: Runner | Unrunnable) -> tuple[Check, ...]:
    """Every check of one image, in order; a failed one never hides the others."""
    if isinstance(runner, Unrunnable):
        return runner.look(lock)
    asked = json.dumps({"torch": variant.torch is not None, "module": variant.service.entry_module})
    probe = resources.files("torchferry").joinpath("inside/probe.py").read_text(encoding="utf-8")
    answer = runner.run(variant.image_name, [f"{VENV}/bin/python", "-c", probe, asked])
    try:
        facts = json.loads(answer.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return (Check(name="probe", status=FAILED, seen=f"status {answer.status}: {answer.tail(8)}"),)
    checks = [*_platform(variant, facts), *_packages(lock, facts), *_torch(variant, lock, compat, facts)]
    checks.append(_entry(variant, facts))
    return (*checks, *_life(variant, runner))


def failures(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks that failed."""
    return tuple(check for check in checks if check.status == FAILED)


def _verdict(name: str, good: bool, seen: str) -> Check:
    return Check(name=name, status=PASSED if good else FAILED, seen=seen)


def _platform(variant: Variant, facts: dict[str, Any]) -> Iterator[Check]:
    yield _verdict("platform", facts["machine"] == variant.architecture, facts["machine"])
    good = ".".join(facts["python"].split(".")[:2]) == variant.python
    yield _verdict("python", good, f"{facts['python']}, wanted {variant.python}")
    yield _verdict("user", facts["uid"] == UID, f"UID {facts['uid']}")


def _packages(lock: Lock, facts: dict[str, Any]) -> Iterator[Check]:
    """The image holds the lock, nothing more and nothing less."""
    wanted: dict[str, str] = {wheel.name: wheel.version for wheel in lock.wheels}
    found: dict[str, str] = {canonicalize_name(name): version for name, version in facts["installed"].items()}
    wrong = [
        f"{name} {found.get(name, 'absent')} (lock: {wanted.get(name, 'absent')})"
        for name in sorted({*wanted, *found})
        if name not in wanted or name not in found or Version(wanted[name]) != Version(found[name])
    ]
    yield _verdict("installed set", not wrong, "; ".join(wrong) or f"{len(found)} packages, as locked")


def _torch(variant: Variant, lock: Lock, compat: Compat, facts: dict[str, Any]) -> Iterator[Check]:
    """torch is the variant's build: its version, its CUDA, the GPUs it has code for, one CUDA runtime."""
    copies = facts["cuda_runtimes"]
    allowed = 1 if variant.cuda else 0
    yield _verdict("one CUDA", len(copies) <= allowed, ", ".join(copies) or "no CUDA runtime")
    torch = facts["torch"]
    if variant.torch is None or torch is None:
        return
    if "error" in torch:
        yield Check(name="import torch", status=FAILED, seen=torch["error"])
        return
    locked = str(lock.version("torch"))
    same = torch["version"] in (locked, f"{locked}+{variant.name}")  # PyPI's wheels have the local part only inside
    yield _verdict("torch.__version__", same, f"{torch['version']} (lock: {locked})")
    yield _verdict("torch.version.cuda", torch["cuda"] == variant.cuda, f"{torch['cuda']}, wanted {variant.cuda}")
    real = sm_names(compat.capabilities(variant.torch, variant.name))
    found = tuple(name for name in torch["architectures"] if name.startswith("sm_"))
    said = f"{' '.join(found) or 'none'} (table: {' '.join(real) or 'none'})"
    yield _verdict("GPU architectures", found == real, said)


def _entry(variant: Variant, facts: dict[str, Any]) -> Check:
    module = variant.service.entry_module
    if module is None:
        return Check(name="import of the service", status=NOT_TESTED, seen="command is not python -m MODULE")
    problem = facts["import_error"]
    return _verdict(f"import {module}", problem is None, problem or "imports without network")


def _life(variant: Variant, runner: Runner) -> Iterator[Check]:
    """It starts, says that it is well, does its own smoke lines, and ends when told to."""
    with runner.service(variant.image_name) as service:
        started = time.monotonic()
        problem = _wait(variant, service)
        seconds = time.monotonic() - started
        name = "health" if variant.service.health else "start"
        yield _verdict(name, problem is None, problem or f"after {seconds:.1f} s")
        for words in variant.service.smoke:
            if problem is None:
                done = service.execute(words)
                yield _verdict(f"smoke: {' '.join(words)}", done.ok, done.tail(4) if not done.ok else "exit 0")
            else:
                yield Check(name=f"smoke: {' '.join(words)}", status=NOT_TESTED, seen="the service did not start")
        if service.running():
            took = service.stop(STOP_WITHIN + 2)
            yield _verdict("stop on SIGTERM", took <= STOP_WITHIN, f"{took:.1f} s, allowed {STOP_WITHIN} s")
        else:
            yield Check(name="stop on SIGTERM", status=NOT_TESTED, seen="the service had ended before")
    yield Check(name="computation on a GPU", status=NOT_TESTED, seen="needs the server's GPU")


def _wait(variant: Variant, service: RunningService) -> str | None:
    """Wait until the service is well; what is wrong when it is not in time."""
    rule, port = variant.service.health, variant.service.port
    if rule is None or port is None:
        time.sleep(2)
        return None if service.running() else f"it ended at once:\n{service.log()}"
    command = health_command(rule, port)
    deadline = time.monotonic() + rule.within
    while True:
        asked = service.execute(command)
        if asked.ok:
            return None
        if not service.running():
            return f"it ended:\n{service.log()}"
        if time.monotonic() > deadline:
            return f"not well after {rule.within} s: {asked.tail(2)}"
        time.sleep(0.3)


def write_result(place: Path, image_id: str, checks: Sequence[Check]) -> None:
    """Keep what was found, for this very image."""
    rows = [dataclasses.asdict(check) for check in checks]
    files.write_text(place, json.dumps({"image": image_id, "checks": rows}, indent=2, ensure_ascii=False) + "\n")


def read_result(place: Path, image_id: str) -> tuple[Check, ...] | None:
    """What was found for this very image, if it was tested."""
    try:
        said = json.loads(place.read_text(encoding="utf-8"))
        if said["image"] != image_id:
            return None
        return tuple(Check(**row) for row in said["checks"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
