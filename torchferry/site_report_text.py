"""What a report from a server comes to, in words and as JSON: the verdict, services, disks, and what logs mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torchferry import doctor_text
from torchferry.doctor_text import Exam
from torchferry.site_report import Container, Disk, Engine, SiteReport
from torchferry.symptoms import Symptom, recognised
from torchferry.verdict import FITS
from torchferry.wording import size

SCARCE_BYTES, SCARCE_PER_CENT = 2_000_000_000, 95
"""A disk with less room than this, or fuller than that, is pointed out."""

FULL_BY_NATURE = ("/dev", "/run", "/sys", "/proc", "/snap", "/media")
"""Where file systems are mounted that are in memory, packed images, or somebody's stick."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A symptom and the place in the report where its message stands."""

    where: str
    symptom: Symptom


def findings(report: SiteReport, catalogue: Sequence[Symptom]) -> tuple[Finding, ...]:
    """Every symptom that the logs of containers and the engine's own words hold."""
    texts = [(f"the log of {one.name}", one.log) for one in report.containers]
    texts += [("what the container engine says", report.engine.said)] if report.engine else []
    return tuple(
        Finding(where=where, symptom=symptom) for where, text in texts for symptom in recognised(text, catalogue)
    )


def answer(report: SiteReport, exam: Exam, found: Sequence[Finding]) -> str:
    """Everything that the report tells, the verdict first."""
    parts = [
        f"report of {report.release}, made {report.made}" + (f" on {report.system}" if report.system else ""),
        doctor_text.answer(exam), _services(report.containers), _room(report), _explained(found, exam),
    ]
    return "\n\n".join(part for part in parts if part)


def as_json(report: SiteReport, exam: Exam, found: Sequence[Finding]) -> dict[str, Any]:
    """The same for programs; ``server`` is what `inv doctor --json` says of one."""
    good = exam.judgement.status == FITS
    return {
        "release": report.release, "made": report.made, "system": report.system,
        "server": doctor_text.as_json(exam),
        "engine": _engine_json(report.engine),
        "disks": [{"mount": one.mount, "size": one.size, "free": one.free, "used_per_cent": one.used}
                  for one in report.disks],
        "containers": [
            {"name": one.name, "service": one.service, "version": one.version, "variant": one.variant,
             "image": one.image, "state": one.state, "exit_status": one.exit_status,
             "out_of_memory": one.out_of_memory, "restarts": one.restarts, "started": one.started}
            for one in report.containers
        ],
        "symptoms": [
            {"where": one.where, "symptom": one.symptom.name, "cause": one.symptom.causes(good_driver=good),
             "remedy": list(one.symptom.remedy), "settle": list(one.symptom.settle)}
            for one in found
        ],
    }


def _engine_json(engine: Engine | None) -> dict[str, str | None] | None:
    if engine is None:
        return None
    return {"engine": engine.word, "version": engine.version, "store": engine.store, "root": engine.root}


def _services(containers: Sequence[Container]) -> str:
    lines = [f"  {one.name}: {_state(one)}" for one in containers]
    return "\n".join(["containers of this release:", *lines]) if lines else "containers of this release: none"


def _state(one: Container) -> str:
    if one.state is None:
        return "the engine could not tell its state"
    said = one.state
    if one.state != "running":
        said += f" with status {one.exit_status}"
    said += ", killed for want of memory" if one.out_of_memory else ""
    said += f", restarted {one.restarts} times" if one.restarts else ""
    said += f", since {one.started[:19]} UTC" if one.started and one.state == "running" else ""
    what = " ".join(part for part in (one.version, one.variant) if part) or one.image
    return f"{said} ({what})"


def _room(report: SiteReport) -> str:
    lines = [f"  {line}" for line in report.here or _of_engine(report)]
    lines += [f"  nearly full: {one.mount} ({one.used} %, {size(one.free)} free)" for one in _scarce(report.disks)]
    return "\n".join(["on the server:", *lines]) if lines else ""


def _of_engine(report: SiteReport) -> Iterator[str]:
    """What its own words tell of an engine, where ferry.sh doctor told nothing on the spot."""
    engine = report.engine
    if engine is None or engine.word is None:
        yield "no container engine answers there"
        return
    yield f"{engine.word}: {', '.join(part for part in (engine.version, engine.store) if part) or 'of unknown version'}"
    if engine.root and (disk := report.disk_of(engine.root)):
        yield f"disk: {size(disk.free)} free where {engine.root} lies"


def _scarce(disks: Sequence[Disk]) -> Iterator[Disk]:
    for one in disks:
        real = one.size > SCARCE_BYTES and not f"{one.mount}/".startswith(tuple(f"{top}/" for top in FULL_BY_NATURE))
        if real and (one.used >= SCARCE_PER_CENT or one.free < SCARCE_BYTES):
            yield one


def _explained(found: Sequence[Finding], exam: Exam) -> str:
    parts = []
    for where in dict.fromkeys(one.where for one in found):
        known = [one.symptom for one in found if one.where == where]
        parts.append(f"{where} holds known messages:\n\n{doctor_text.explained(known, exam)}")
    return "\n\n".join(parts)
