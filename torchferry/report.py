"""What a task shows when it is done: a short table of what was made, and the next command."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torchferry import checks, console, delta_report, drift, findings, remarks
from torchferry.blobs import BlobStore
from torchferry.cleaning import Freed
from torchferry.compat import refuse
from torchferry.delta import Held
from torchferry.findings import Finding
from torchferry.layout import FERRY, MANIFEST
from torchferry.model import Bundle, Variant
from torchferry.remarks import WARNING, Remark

if TYPE_CHECKING:
    from torchferry.pipeline import Road


def done(road: Road, *, then: str) -> None:
    """What each step made or found current."""
    rows = [
        [one.step, one.what, one.state, console.size(one.size) if one.size else "", f"{one.seconds:.1f} s", one.place]
        for one in road.outcomes
    ]
    console.show(console.table(rows, header=["step", "variant", "state", "size", "time", "where"]))
    console.show(f"\nnext: {then}")


def variants(road: Road, chosen: Sequence[Variant], *, as_json: bool) -> None:
    """One row an image."""
    if as_json:
        console.show_json([_variant(road, variant) for variant in chosen])
        return
    rows = [
        [variant.service.name, variant.name, variant.torch or "", variant.cuda or "", variant.python, variant.platform,
         variant.image_name]
        for variant in chosen
    ]
    console.show(console.table(rows, header=["service", "variant", "torch", "cuda", "python", "platform", "image"]))


def check(road: Road, chosen: Sequence[Variant], *, imports: bool, as_json: bool) -> None:
    """Every problem of every variant, and with ``imports`` what its source asks for in vain; an error for any."""
    found = {variant.label: road.compat.problems(variant) for variant in chosen}
    looked = {
        variant.label: checks.check_imports(road, variant)
        for variant in chosen if imports and not found[variant.label]
    }
    said = [*checks.remarks_on(road, chosen)]
    said += [
        Remark(about=label, level=WARNING, text=text) for label, one in looked.items() for text in one.warnings
    ]
    if as_json:
        wrong = {label: [*problems, *looked.get(label, checks.NOTHING).problems] for label, problems in found.items()}
        # No label lacks a hyphen, so none is "warnings"; a label's list holds what makes the status, and nothing else.
        console.show_json({
            **{
                label: [{"problem": one.message, "cure": one.cure} for one in problems]
                for label, problems in wrong.items()
            },
            "warnings": [dataclasses.asdict(remark) for remark in said],
        })
    else:
        for remark in remarks.grouped(said):
            console.say(f"{remark.level}: {remark.about}: {remark.text}")
        if not any(found.values()):
            for variant in chosen:
                console.show(f"{variant.label}: {_exists(road, variant)}")
    refuse(one for problems in found.values() for one in problems)
    checks.refuse_imports(looked)


def offers(road: Road, *, as_json: bool) -> None:
    """How the torch rows of the table differ from what the indexes offer today; SourceError where none answers."""
    looked = checks.offers(road)
    found = drift.compare(road.compat.table, looked.offers)
    if as_json:
        console.show_json({
            "differences": [dataclasses.asdict(one) for one in found], "silent": list(looked.silent),
        })
        return
    for line in looked.silent:
        console.say(f"warning: {line}")
    for one in found:
        console.show(f"torch {one.torch}: {one.said}")
    if not found:
        console.show("no difference in what was compared")


def libraries(found: Mapping[str, Sequence[Finding]], *, as_json: bool) -> None:
    """Every finding of every audit; IntegrityError when one is an error."""
    if as_json:
        console.show_json({label: [dataclasses.asdict(one) for one in rows] for label, rows in found.items()})
    else:
        for label, rows in found.items():
            wrong = len(findings.errors(rows))
            console.show(f"{label}: {wrong} errors, {len(rows) - wrong} warnings")
            for one in rows:
                console.show(f"  {one.severity:7}  {one.text}\n           cure: {one.cure}")
    findings.refuse(found)


def shipped(road: Road, bundle: Bundle, *, held: Held | None = None, as_json: bool) -> None:
    """The release folder, the exact lines that take it to a server, and of a delta where its bytes went."""
    if as_json:
        console.show_json(json.loads((bundle.folder / MANIFEST).read_text(encoding="utf-8")))
        return
    folder = bundle.folder.relative_to(road.project.root)
    script = shlex.quote(f"{bundle.folder.name}/{FERRY}")
    lines = [
        f"scp -r {shlex.quote(f'{folder}')} SERVER:", f"ssh SERVER sh {script} up",
        f"up takes the variant for that server's driver, checks, loads, starts and proves it; sh {script} help",
    ]
    if held:
        store = BlobStore(folder=road.layout.blobs, compression=road.project.variants[0].compression)
        console.show(delta_report.text(bundle, held, store) + "\n")
    origin = f" --from {shlex.quote(str(folder))}" if held else ""
    done(road, then=f"inv ship SERVER{origin} --up, or take {folder}/ there by hand:")
    console.show("\n".join(f"  {line}" for line in lines))


def cleaned(freed: Sequence[Freed], images: Sequence[tuple[str, int]]) -> None:
    """What was removed."""
    rows = [[one.place, console.size(one.size)] for one in freed]
    rows += [[name, console.size(size)] for name, size in images if size]
    console.show(console.table(rows, header=["removed", "freed"]) if rows else "nothing to remove")


def _variant(road: Road, variant: Variant) -> dict[str, Any]:
    return {
        "service": variant.service.name, "variant": variant.name, "torch": variant.torch, "cuda": variant.cuda,
        "python": variant.python, "platform": variant.platform, "image": variant.image_name,
        "archive": road.layout.archive_name(variant),
    }


def _exists(road: Road, variant: Variant) -> str:
    if variant.cuda is None:
        return f"torch {variant.torch}, CPU, any server" if variant.torch else "no torch, any server"
    row = road.compat.cuda(variant.cuda)
    return f"torch {variant.torch}, CUDA {variant.cuda}: runs on drivers >= {row.floor}, also on newer ones"
