"""The decision table of `inv doctor --scenarios`: computed from the project's variants, so it cannot go out of date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torchferry import console, remedies
from torchferry.compat import Compat
from torchferry.doctor_text import Exam, remedy_text
from torchferry.server import NVML_PERMISSION, UNREADABLE, Gpu, Server, version
from torchferry.symptoms import Symptom
from torchferry.verdict import FITS, Judgement, Rule, judge


def scenarios(exam: Exam) -> str:
    """The tables by driver and by GPU, what to do in a failure, and the two scenarios as steps."""
    parts = [
        "1. What does the driver run? nvidia-smi --query-gpu=driver_version --format=csv,noheader says which it is.",
        console.table(list(_by_driver(exam.rules)), header=["driver from", "in full", "but not what compiles"]),
        "2. Is there code for the GPU? nvidia-smi -L says which it is.",
        console.table(list(_by_generation(exam.rules, exam.compat)), header=["GPUs", "code in", "last branch"]),
        "3. Does nvidia-smi fail? Then no variant is wrong: use the CPU now and mend the driver.",
        "\n".join(f"  {line}" for line in _by_failure(exam.symptoms)),
        *_two(exam),
        f"this server: {_here(exam)}" if exam.server.failure != UNREADABLE else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _by_driver(rules: Sequence[Rule]) -> Iterator[list[str]]:
    floors = [rule.linux for rule in rules if rule.linux]
    steps = sorted({one.floor for one in floors} | {one.toolkit_driver for one in floors}, key=version)
    yield ["older", "cpu", "-"]
    for step in steps:
        able = [rule for rule in rules if rule.linux and version(step) >= version(rule.linux.floor)]
        full = [rule.name for rule in able if rule.linux and version(step) >= version(rule.linux.toolkit_driver)]
        yield [step, ", ".join([*full, "cpu"]), ", ".join(one.name for one in able if one.name not in full) or "-"]


def _by_generation(rules: Sequence[Rule], compat: Compat) -> Iterator[list[str]]:
    """One row for the compute capabilities of a generation that the same variants serve."""
    for row in compat.table.generations:
        groups: dict[str, list[str]] = {}
        for capability in row.capabilities:
            served = ", ".join(rule.name for rule in rules if rule.serves(capability)) or "none: cpu"
            groups.setdefault(served, []).append(capability)
        for served, capabilities in groups.items():
            yield [f"{row.name} {', '.join(capabilities)}", served, str(row.last_branch or "still served")]


def _by_failure(symptoms: Sequence[Symptom]) -> Iterator[str]:
    for one in symptoms:
        if one.failure and one.failure != NVML_PERMISSION:
            yield f"{one.failure}: {one.remedy[0]}"


def _two(exam: Exam) -> Iterator[str]:
    """Scenario A, where the driver serves a variant, and B, where it does not."""
    cuda = [rule for rule in exam.rules if rule.cuda]
    if not cuda:
        return
    server, judgement, name = _fitting(exam, cuda)
    verdict = judgement.verdicts[name]
    yield f"A. The driver and the GPU serve {name} or another variant: nothing to upgrade, nothing to rebuild."
    yield remedy_text(remedies.with_gpu(name, verdict.gpus, exam.variants, server))
    yield "B. They serve none: the CPU now, then a newer driver or another variant, whichever is less work."
    yield remedy_text(remedies.cpu_now(exam.variants))
    lowest = min((rule.linux.floor for rule in cuda if rule.linux), key=version)
    unlocked = [rule.name for rule in cuda if rule.linux and rule.linux.floor == lowest]
    yield remedy_text(remedies.newer_driver(exam.server, lowest, unlocked))


def _fitting(exam: Exam, cuda: Sequence[Rule]) -> tuple[Server, Judgement, str]:
    """This server where a variant fits, else one with the GPU that most variants serve and a driver for all of them."""
    if exam.judgement.status == FITS and exam.judgement.pick:
        return exam.server, exam.judgement, exam.judgement.pick
    known = [one for row in exam.compat.table.generations for one in row.capabilities]
    usual = max(known, key=lambda one: (sum(rule.serves(one) for rule in cuda), version(one)))
    driver = max((rule.linux.toolkit_driver for rule in cuda if rule.linux), key=version)
    server = Server(driver=driver, gpus=(Gpu(index=0, name="", capability=usual),))
    judgement = judge(server, cuda, exam.compat)
    return server, judgement, judgement.pick or cuda[0].name


def _here(exam: Exam) -> str:
    if exam.judgement.status == FITS:
        return f"A, with {exam.judgement.pick}"
    return "B" if exam.judgement.pick else "not settled; inv doctor without --scenarios says what is missing"


