"""What an audit has to say: findings, each with the wheel, the file, the cause and the cure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torchferry.errors import IntegrityError
from torchferry.wording import in_words

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong in a set of wheels (``severity`` error), or may be (warning)."""

    severity: str
    wheel: str
    file: str
    cause: str
    cure: str

    @property
    def text(self) -> str:
        return f"{self.wheel}: {self.file}: {self.cause}" if self.file else f"{self.wheel}: {self.cause}"


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those of severity error."""
    return tuple(one for one in findings if one.severity == ERROR)


def refuse(found: Mapping[str, Iterable[Finding]]) -> None:
    """Raise one IntegrityError that tells all errors among the findings of each variant; none: do nothing."""
    wrong = [(label, one) for label, rows in found.items() for one in errors(rows)]
    if wrong:
        raise IntegrityError(
            "\n".join(f"{label}: {one.text}" for label, one in wrong),
            cure="\n      ".join(dict.fromkeys(one.cure for _, one in wrong)),
        )


def listed(names: Iterable[str], *, most: int = 6) -> str:
    """Names for people: "a, b and c", the end of a long list as a count."""
    found: Sequence[str] = sorted(set(names))
    if len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most} more"
    return in_words(found)
