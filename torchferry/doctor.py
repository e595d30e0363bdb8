"""`inv doctor`: whatever a person has of a server in, one answer out."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torchferry import console, decision, doctor_text, live, site_report, site_report_text, smi, symptoms
from torchferry.compat import Compat
from torchferry.doctor_text import Exam
from torchferry.errors import ConfigError
from torchferry.gpus import GpuNames
from torchferry.model import Variant
from torchferry.server import TEGRA, UNREADABLE, Gpu, Server
from torchferry.smi_table import DRIVER
from torchferry.smi_text import decoded
from torchferry.verdict import NOTHING, judge, rules

STDIN = "-"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person brought: a pasted text, facts by hand, an error message, a report; nothing means this machine."""

    smi: str | None = None
    driver: str | None = None
    gpus: tuple[str, ...] = ()
    error: str | None = None
    report: str | None = None
    scenarios: bool = False

    @property
    def anything(self) -> bool:
        return self.smi is not None or self.driver is not None or bool(self.gpus)


def consult(asked: Asked, variants: Sequence[Variant], compat: Compat, *, as_json: bool) -> int:
    """Answer on stdout; the exit status is 0 when a GPU variant fits, 3 when only cpu does, 4 when nothing can be said.

    Raises ConfigError when a file is not there, a report is none, or what was typed is no driver.
    """
    catalogue = symptoms.load(compat)
    if asked.report is not None:
        return _report(asked.report, variants, compat, catalogue, as_json=as_json)
    if asked.error is not None:
        return _explain(asked, variants, compat, catalogue, as_json=as_json)
    exam = _exam(asked, variants, compat, catalogue)
    if as_json:
        console.show_json(doctor_text.as_json(exam))
    elif asked.scenarios:
        console.show(decision.scenarios(exam))
        return 0
    else:
        console.show(doctor_text.answer(exam))
    return exam.judgement.status


def _exam(
    asked: Asked, variants: Sequence[Variant], compat: Compat, catalogue: Sequence[symptoms.Symptom]
) -> Exam:
    names = GpuNames(table=compat.table)
    here: tuple[str, ...] = ()
    also: tuple[symptoms.Symptom, ...] = ()
    if asked.anything:
        text = content(asked.smi) if asked.smi else b""
        server = by_hand(asked, smi.read(text, names) if asked.smi else Server(), names)
        also = symptoms.recognised(decoded(text), catalogue) if server.failure == UNREADABLE else ()
    elif asked.scenarios:
        server = Server(failure=UNREADABLE)
    else:
        found = live.examine(names)
        server, here = found.server, found.notes
    return replace(_judged(server, variants, compat, catalogue), here=here, also=also)


def _judged(
    server: Server, variants: Sequence[Variant], compat: Compat, catalogue: Sequence[symptoms.Symptom]
) -> Exam:
    ours = rules(variants, compat)
    return Exam(
        server=server, variants=tuple(one for one in variants if one.torch is not None), rules=ours,
        judgement=judge(server, ours, compat), compat=compat, symptoms=tuple(catalogue),
    )


def by_hand(asked: Asked, server: Server, names: GpuNames) -> Server:
    """The facts of a text with what was typed put over them; ConfigError when that is no driver version."""
    if asked.driver is not None:
        if not re.fullmatch(DRIVER, asked.driver):
            raise ConfigError(
                f"--driver {asked.driver}: not a driver version",
                cure="write it as nvidia-smi prints it after Driver Version, all its parts",
            )
        server = replace(server, driver=asked.driver)
    if asked.gpus:
        rows = [names.by_hand(name) for name in asked.gpus]
        gpus = tuple(
            Gpu(index=index, name=name, capability=row.capability if row else None)
            for index, (name, row) in enumerate(zip(asked.gpus, rows, strict=True))
        )
        arch = next((row.arch for row in rows if row and row.arch), server.arch)
        tegra = any(row.tegra for row in rows if row)
        server = replace(server, gpus=gpus, arch=arch, platform=TEGRA if tegra else server.platform)
    known = server.driver is not None or bool(server.gpus)
    return replace(server, failure=None, looked_for=()) if server.failure == UNREADABLE and known else server


def content(place: str) -> bytes:
    """The bytes of a file, or of stdin for '-'; ConfigError when the file cannot be read."""
    if place == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(place).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{place}: {error.strerror or error}", cure="name a file that holds the text, or - to paste it on stdin",
        ) from error


def _report(
    place: str, variants: Sequence[Variant], compat: Compat, catalogue: Sequence[symptoms.Symptom], *, as_json: bool
) -> int:
    """What a report from a server comes to; the exit status is that of its verdict."""
    report = site_report.parse(decoded(content(place)), GpuNames(table=compat.table), place=place)
    exam = _judged(report.server, variants, compat, catalogue)
    found = site_report_text.findings(report, catalogue)
    if as_json:
        console.show_json(site_report_text.as_json(report, exam, found))
    else:
        console.show(site_report_text.answer(report, exam, found))
    return exam.judgement.status


def _explain(
    asked: Asked, variants: Sequence[Variant], compat: Compat, catalogue: Sequence[symptoms.Symptom], *, as_json: bool
) -> int:
    """What an error message means, seeing what else is known of the server."""
    exam = _exam(asked, variants, compat, catalogue) if asked.anything else None
    found = symptoms.recognised(decoded(content(asked.error or STDIN)), catalogue)
    if as_json:
        good = exam is not None and exam.judgement.status == 0
        console.show_json([
            {"symptom": one.name, "cause": one.causes(good_driver=good), "remedy": list(one.remedy),
             "settle": list(one.settle)}
            for one in found
        ])
    else:
        console.show(doctor_text.explained(found, exam))
    return 0 if found else NOTHING
