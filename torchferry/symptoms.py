"""What error messages mean: asks symptoms.yaml about a text, and fills in what compat.yaml knows of versions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources

from packaging.version import Version

from torchferry.compat import Compat
from torchferry.compat_rows import Row
from torchferry.server import FAILURES
from torchferry.smi_text import cleaned
from torchferry.table_fields import Fields
from torchferry.table_fields import load as load_fields

WORD = r"[a-z0-9-]+"


@dataclass(frozen=True, kw_only=True)
class Symptom(Row):
    """One message: how to know it, its cause, ordered remedies, and what on the server would settle the question.

    ``good_driver`` is the cause where the server's driver and GPU are known to be good. ``failure`` is the server's
    failure that has the same remedies. ``over`` are symptoms that this one explains better.
    """

    name: str
    says: tuple[re.Pattern[str], ...]
    cause: str
    good_driver: str | None
    remedy: tuple[str, ...]
    settle: tuple[str, ...]
    over: tuple[str, ...]
    failure: str | None

    def causes(self, *, good_driver: bool) -> str:
        """The cause, seeing whether the driver is known to be good."""
        return self.good_driver if good_driver and self.good_driver else self.cause


def load(compat: Compat) -> tuple[Symptom, ...]:
    """The catalogue that comes with torchferry, its versions those of ``compat``."""
    return parse(resources.files("torchferry").joinpath("symptoms.yaml").read_text("utf-8"), known(compat))


def recognised(text: str, symptoms: Sequence[Symptom]) -> tuple[Symptom, ...]:
    """Every symptom whose message is in a text, in the catalogue's order; what another explains better is left out."""
    flat = re.sub(r"\s+", " ", cleaned(text))
    found = [one for one in symptoms if any(pattern.search(flat) for pattern in one.says)]
    covered = {name for one in found for name in one.over}
    return tuple(one for one in found if one.name not in covered)


def of_failure(failure: str | None, symptoms: Sequence[Symptom]) -> Symptom | None:
    """The symptom of a server's failure."""
    return next((one for one in symptoms if failure is not None and one.failure == failure), None)


def known(compat: Compat) -> Mapping[str, str]:
    """What the catalogue has in braces: driver floors by CUDA major, the first torch for Blackwell and for cuDNN 9."""
    table = compat.table
    said = {f"floor{row.release.split('.')[0]}": row.floor for row in table.cuda}
    torch, build = first_with("12.0", compat) or ("a newer torch", "a newer CUDA")
    ct2 = [row for row in table.runtimes if row.package == "ctranslate2" and row.cudnn == "9"]
    nine = [row.version for row in table.torch if compat.cudnn(row.version) == "9"]
    said |= {"blackwell": f"torch {torch} with {build}", "torch_cudnn9": min(nine, key=Version)}
    return said | {"ct2_cudnn9": min(one.version for row in ct2 for one in row.versions if one.operator == ">=")}


def first_with(capability: str, compat: Compat) -> tuple[str, str] | None:
    """The first torch and its build that have GPU code for a compute capability; None where the table has none."""
    major, minor = (int(part) for part in capability.split("."))
    for row in compat.table.torch:
        for build in row.builds:
            listed = (re.sub(r"\D", "", one.partition("+")[0]) for one in compat.capabilities(row.version, build))
            if any(int(one[:-1]) == major and int(one[-1]) <= minor for one in listed):
                return row.version, build
    return None


def parse(text: str, values: Mapping[str, str]) -> tuple[Symptom, ...]:
    """Read symptoms.yaml; ValueError where an entry is malformed, unsourced, or names what is not there."""
    document = load_fields("symptoms.yaml", text)
    sources = document.mapping("sources", r".+")
    found = []
    for fields in document.rows("symptoms"):
        source = fields.texts("source", "|".join(map(re.escape, sources)))
        found.append(_symptom(fields, source, fields.day("checked"), values))
        fields.end()
    document.end()
    names = [one.name for one in found]
    if len(set(names)) != len(names) or not {name for one in found for name in one.over} <= set(names):
        raise ValueError("symptoms.yaml: a name stands twice, or `over` names no entry")
    return tuple(found)


def _symptom(fields: Fields, source: tuple[str, ...], checked: date, values: Mapping[str, str]) -> Symptom:
    def filled(text: str) -> str:
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    good = fields.optional("good_driver", "(?s).+")
    return Symptom(
        name=fields.text("id", WORD), failure=fields.optional("failure", "|".join(FAILURES)),
        says=tuple(re.compile(one, re.IGNORECASE | re.ASCII) for one in fields.texts("says", ".+")),
        over=fields.texts("over", WORD) if "over" in fields.left else (),
        cause=filled(fields.text("cause")), good_driver=filled(good) if good else None,
        remedy=tuple(map(filled, fields.texts("remedy", ".+"))),
        settle=tuple(map(filled, fields.texts("settle", ".+"))),
        source=source, checked=checked,
    )
