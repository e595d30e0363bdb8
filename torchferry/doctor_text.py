"""The answer of `inv doctor` in plain words, shortest first: what to run, why, what the others lack, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torchferry import remedies, runline, traps
from torchferry.compat import Compat
from torchferry.model import Variant
from torchferry.remedies import Remedy
from torchferry.server import GPU_LOST, NO_LIBNVML, NOT_INSTALLED, UNREADABLE, Server
from torchferry.symptoms import Symptom, first_with, of_failure
from torchferry.verdict import FITS, NO, ONLY_CPU, SOME, UNKNOWN, Judgement, Rule, Verdict

GOOD = {"no_gpu_needed", "driver_minor", "driver_full", "gpu_served", "gpu_whatever"}
"""Reasons that speak for a variant; all others say what it lacks."""

ASK = (
    "nvidia-smi > smi.txt; nvidia-smi -L >> smi.txt",
    "nvidia-smi --query-gpu=index,name,driver_version --format=csv >> smi.txt",
)
"""What settles nearly every question about a server."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """A server, the variants of a project, the judgement on them, and what it was judged by.

    ``here`` are sentences about this machine; ``also`` are messages in a text that tells nothing else.
    """

    server: Server
    variants: tuple[Variant, ...]
    rules: tuple[Rule, ...]
    judgement: Judgement
    compat: Compat
    symptoms: tuple[Symptom, ...]
    here: tuple[str, ...] = ()
    also: tuple[Symptom, ...] = ()

    @property
    def picked(self) -> Verdict | None:
        return self.judgement.verdicts[self.judgement.pick] if self.judgement.pick else None


def as_json(exam: Exam) -> dict[str, Any]:
    """The facts and the verdicts, for programs."""
    server, judgement = exam.server, exam.judgement
    return {
        "driver": server.driver, "driver_branch": server.branch, "cuda_limit": server.cuda_limit,
        "gpus": [
            {"index": gpu.index, "name": gpu.name, "compute_capability": gpu.capability,
             "generation": _generation(gpu.capability, exam.compat)}
            for gpu in server.gpus
        ],
        "mig": server.mig, "platform": server.platform, "arch": server.arch, "failure": server.failure,
        "pick": judgement.pick,
        "variants": {
            name: {"runs": one.runs, "full_support": one.full_support, "gpus": list(one.gpus),
                   "reasons": [reason.text for reason in one.reasons]}
            for name, one in judgement.verdicts.items()
        },
    }


def answer(exam: Exam) -> str:
    """Everything that a person needs to know of this server, most important first."""
    if exam.server.failure == UNREADABLE:
        parts = [_unreadable(exam), *([explained(exam.also, None)] if exam.also else []), _here(exam)]
        return "\n\n".join(part for part in parts if part)
    parts = [_headline(exam), _seen(exam), _others(exam), _notes(exam), _change(exam)]
    parts += [f"way {number}: {remedy_text(one)}" for number, one in enumerate(ways(exam), start=1)]
    parts.append(_here(exam))
    return "\n\n".join(part for part in parts if part)


def _here(exam: Exam) -> str:
    return "\n".join(["on this machine:", *(f"  {line}" for line in exam.here)]) if exam.here else ""


def ways(exam: Exam) -> tuple[Remedy, ...]:
    """The remedies that apply here, the quickest first."""
    server, judgement = exam.server, exam.judgement
    if judgement.status == FITS and judgement.pick and exam.picked:
        return (remedies.with_gpu(judgement.pick, exam.picked.gpus, exam.variants, server),)
    found = []
    if any(exam.judgement.verdicts[rule.name].runs != NO for rule in exam.rules if rule.cuda is None):
        found.append(remedies.cpu_now(exam.variants))
    if broken := of_failure(server.failure, exam.symptoms):
        return (*found, remedies.gpu_back(broken))
    if wanted := _missing_rows(exam):
        found.append(remedies.another_variant(wanted))
    if target := remedies.upgrade(server, judgement, exam.rules, exam.compat):
        found.append(remedies.newer_driver(server, *target))
    return tuple(found)


def _headline(exam: Exam) -> str:
    server, judgement, verdict = exam.server, exam.judgement, exam.picked
    if judgement.status == FITS and verdict:
        some = f" on GPU {', '.join(map(str, verdict.gpus))} only" if verdict.runs == SOME else ""
        lines = [f"run {judgement.pick}{some}", *(f"  {reason.text}" for reason in verdict.reasons)]
        flag = remedies.gpu_flag(verdict.gpus, server)
        lines += [f"  {runline.docker_run(one, gpus=flag)}" for one in exam.variants if one.name == judgement.pick]
        return "\n".join(lines)
    broken = of_failure(server.failure, exam.symptoms)
    if broken and server.failure != GPU_LOST:
        now = " The CPU works now, with any image." if judgement.pick else ""
        return f"no GPU can be used: {broken.cause}{now}"
    if judgement.status == ONLY_CPU:
        return f"run {judgement.pick}: no GPU variant runs here"
    if any(one.runs == UNKNOWN for one in judgement.verdicts.values()):
        return "\n".join(["not settled yet: the text does not tell enough. Run this on the server:", *_ask()])
    return "no variant of this project runs on this server"


def _unreadable(exam: Exam) -> str:
    lines = ["nothing can be said: the text holds none of what was looked for:"]
    lines += [f"  {line}" for line in exam.server.looked_for]
    return "\n".join([*lines, "run this on the server:", *_ask()])


def _ask() -> Iterator[str]:
    yield from (f"  {line}" for line in ASK)
    yield "  then here: inv doctor --smi smi.txt"


def _seen(exam: Exam) -> str:
    server = exam.server
    facts = [f"driver {server.driver}" if server.driver else "driver not known"]
    facts += [f"CUDA limit {server.cuda_limit}"] if server.cuda_limit else []
    groups: dict[tuple[str, str | None], list[str]] = {}
    for gpu in server.gpus:
        groups.setdefault((gpu.name, gpu.capability), []).append(str(gpu.index))
    for (name, capability), indexes in groups.items():
        known = f"{capability}, {_generation(capability, exam.compat)}" if capability else "not known which"
        facts.append(f"GPU {','.join(indexes)}: {name or 'no name shown'} ({known})")
    facts += ["no GPU shown"] if not server.gpus else []
    facts += [server.platform] if server.platform != "linux" else []
    facts += [f"CPU {server.arch}"] if server.arch else []
    return "seen: " + "; ".join(facts)


def _others(exam: Exam) -> str:
    """What each other variant lacks, or that it runs too."""
    lines = []
    for name, verdict in exam.judgement.verdicts.items():
        if name == exam.judgement.pick:
            continue
        lacks = [reason.text for reason in verdict.reasons if reason.code not in GOOD]
        said = {NO: "does not run", UNKNOWN: "not settled"}.get(verdict.runs, "runs too")
        said += f" on GPU {', '.join(map(str, verdict.gpus))} only" if verdict.runs == SOME else ""
        lines.append(f"  {name}: {said}: {'; '.join(lacks or [reason.text for reason in verdict.reasons[:1]])}")
    return "\n".join(["the others:" if exam.judgement.pick else "the variants:", *lines]) if lines else ""


def _notes(exam: Exam) -> str:
    switch: Mapping[str, str] = {}
    for one in exam.variants:
        switch = switch or runline.cpu_switch(one.service, exam.variants)
    found = traps.notes(exam.server, exam.judgement, exam.compat, switch)
    return "\n".join(["good to know:", *(f"  {line}" for line in found)]) if found else ""


def _change(exam: Exam) -> str:
    """Why no GPU variant fits and what would change that; nothing where one does."""
    server, judgement = exam.server, exam.judgement
    if judgement.status == FITS or (server.arch and server.arch != "x86_64"):
        return ""
    lines = []
    if server.failure in (NOT_INSTALLED, NO_LIBNVML):
        lines += [f"  a driver {floor} or newer: it runs {', '.join(names)}"
                  for floor, names in remedies.floors(exam.rules).items()]
    if wanted := _missing_rows(exam):
        lines.append(f"  a variant with code for this GPU: {' or '.join(wanted)}")
    if target := remedies.upgrade(server, judgement, exam.rules, exam.compat):
        lines.append(f"  a driver {target[0]} or newer: then {', '.join(target[1])} would run")
    for gpu in server.gpus:
        row = exam.compat.generation(gpu.capability) if gpu.capability else None
        if row and row.last_branch:
            lines.append(f"  GPU {gpu.index} is a {row.name} one; {row.last_branch} is the last driver branch for it")
        if gpu.capability and first_with(gpu.capability, exam.compat) is None:
            lines.append(f"  GPU {gpu.index}: no torch in the table has code for compute capability {gpu.capability}")
    return "\n".join(["what would change that:", *dict.fromkeys(lines)]) if lines else ""


def _missing_rows(exam: Exam) -> tuple[str, ...]:
    """The torch and build that first have code for GPUs which no variant of the project serves."""
    wanted = []
    for gpu in exam.server.gpus:
        if gpu.capability and not any(rule.serves(gpu.capability) for rule in exam.rules):
            found = first_with(gpu.capability, exam.compat)
            wanted += [f"torch {found[0]} with {found[1]}"] if found else []
    return tuple(dict.fromkeys(wanted))


def remedy_text(remedy: Remedy) -> str:
    """A remedy as numbered steps with their command lines."""
    lines = [f"{remedy.title}:"]
    for place, step in enumerate(remedy.steps, start=1):
        lines.append(f"  {place}. {step.what}" + (f" ({step.takes})" if step.takes else ""))
        lines += [f"       {line}" for line in step.run]
    return "\n".join(lines)


def _generation(capability: str | None, compat: Compat) -> str | None:
    row = compat.generation(capability) if capability else None
    return row.name if row else None


def explained(found: Sequence[Symptom], exam: Exam | None) -> str:
    """What an error message means; ``exam`` is what is known of the server, if anything."""
    if not found:
        return "\n".join([
            "this message is not in the catalogue, so nothing is said of its cause",
            "what usually settles it:", *(f"  {line}" for line in (*ASK, "docker logs CONTAINER", "docker info")),
        ])
    good = exam is not None and exam.judgement.status == FITS
    parts = []
    for one in found:
        lines = [f"{one.name}: {one.causes(good_driver=good)}", "what to do:"]
        lines += [f"  {place}. {what}" for place, what in enumerate(one.remedy, start=1)]
        lines += ["what settles it:", *(f"  {what}" for what in one.settle)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
