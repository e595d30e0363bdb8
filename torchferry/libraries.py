"""The audit of a locked set of wheels on this disk: facts of its libraries, what its base has, and the judgement."""

from __future__ import annotations

import json
import posixpath
import re
import tarfile
import zipfile
from dataclasses import dataclass

from torchferry import base, console, cuda_names, files, findings, resolve, wheel_facts, wheels
from torchferry.audit import Case, judge
from torchferry.compat import Compat
from torchferry.findings import Finding
from torchferry.layout import Layout
from torchferry.model import Lock, Variant, WheelSet

_LIBRARY = re.compile(r"(?:usr/)?(?:local/)?lib(?:64)?/(?:[a-z0-9_]+-linux-gnu/)?lib[^/]+\.so(?:\.[^/]*)?")


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found in a set, and whether any of its wheels was read anew for that."""

    findings: tuple[Finding, ...]
    fresh: bool


def audit(variant: Variant, wheel_set: WheelSet, compat: Compat, layout: Layout) -> Audit:
    """Judge the libraries of a set; wheels that were read before are not read again."""
    missing = wheel_facts.missing(wheel_set, layout)
    if missing:
        with console.progress(f"audit {variant.label}") as step:
            facts = wheel_facts.read_facts(wheel_set, layout, passed=step.advance)
    else:
        facts = wheel_facts.read_facts(wheel_set, layout)
    case = Case(
        variant=variant, wheels=facts, glibc=resolve.glibc(variant),
        capabilities=compat.capabilities(variant.torch, variant.name) if variant.torch and variant.cuda else (),
        base=_base(variant, layout),
    )
    return Audit(findings=judge(case), fresh=bool(missing))


def require(variant: Variant, wheel_set: WheelSet, compat: Compat, layout: Layout) -> None:
    """Raise IntegrityError with all errors of an audit; warnings are said when the set is seen for the first time."""
    found = audit(variant, wheel_set, compat, layout)
    if found.fresh:
        for one in found.findings:
            if one.severity == findings.WARNING:
                console.say(f"warning: {variant.label}: {one.text}; {one.cure}")
    findings.refuse({variant.label: found.findings})


def look_into_torch(variant: Variant, wheel_set: WheelSet, compat: Compat) -> None:
    """Raise IntegrityError unless the torch wheel of a set says that it is the variant's build."""
    assert variant.torch is not None
    torch = next(wheel for wheel in wheel_set.lock.wheels if wheel.name == "torch")
    with zipfile.ZipFile(wheel_set.path(torch)) as opened:
        built = wheels.inspect_torch(opened)
    wheels.check_torch(built, variant, compat.pypi_build(variant.torch, variant.architecture))


def cuda_folders(variant: Variant, lock: Lock, layout: Layout) -> tuple[str, ...]:
    """The folders that cuda_libraries: on_path puts on LD_LIBRARY_PATH, below site-packages; none without it.

    They are read from the wheels: names of packages do not tell. Wheels that are not here yet bring none.
    """
    if variant.cuda_libraries != "on_path" or variant.cuda is None:
        return ()
    names: list[str] = []
    for wheel in lock.wheels:
        path = layout.wheel_folder(variant) / wheel.filename
        if (wheels.is_cuda_wheel(wheel.name) or wheel.name == "torch") and path.is_file():
            with zipfile.ZipFile(path) as opened:
                names += opened.namelist()
    return cuda_names.folders(names)


def _base(variant: Variant, layout: Layout) -> frozenset[str] | None:
    """The names of the libraries in a Debian base that lies here already; None where it is not known."""
    wanted = variant.service.base
    found = base.read_base(wanted, layout, variant.architecture) if wanted.debian else None
    if found is None:
        return None
    place = layout.base_names(found.sha256)
    try:
        return frozenset(json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        pass
    with tarfile.open(found.tar) as tar:
        paths = [posixpath.normpath(entry.name).lstrip("/") for entry in tar if not entry.isdir()]
    names = sorted({posixpath.basename(path) for path in paths if _LIBRARY.fullmatch(path)})
    files.write_text(place, json.dumps(names))
    return frozenset(names)
