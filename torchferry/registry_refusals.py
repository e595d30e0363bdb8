"""What a registry means when it refuses: each status that people meet, with its cure."""

from __future__ import annotations

import json
import re

from torchferry.errors import DiskFull, FerryError, ShipError
from torchferry.patience import Transient
from torchferry.web import Answer

_FULL = re.compile(r"no space left|disk quota|insufficient storage", re.IGNORECASE)


def refusal(answer: Answer, domain: str, repository: str) -> FerryError | Transient:
    """What to raise for an answer that is not the wanted one: Transient where another try may help."""
    status, said = answer.status, f"{domain}/{repository}: the registry answers {told(answer)}"
    if status == 507 or _FULL.search(answer.text):
        return DiskFull(
            f"{said}: its disk is full", cure="free room there (old images, garbage collection), then run this again; "
            "what arrived is not sent twice",
        )
    if status in (408, 425, 429) or status >= 500:
        return Transient(f"answered {told(answer)}", retry_after=answer.retry_after)
    return ShipError(said, cure=_cure(answer, domain, repository))


def told(answer: Answer) -> str:
    """Status and the registry's own words, on one line."""
    try:
        rows = json.loads(answer.body)["errors"]
        words = "; ".join(f"{row.get('code', '')} {row.get('message', '')}".strip() for row in rows)
    except (ValueError, TypeError, KeyError, AttributeError):
        words = ""
    return f"{answer.status} {answer.reason}" + (f" ({' '.join(words.split())[:300]})" if words else "")


def _cure(answer: Answer, domain: str, repository: str) -> str:
    if answer.status == 401:
        return f"log in as somebody who may push there: docker login {domain}, or skopeo login {domain}"
    if answer.status == 403:
        return f"let this log-in push to {repository}, or log in as another: docker login {domain}"
    if answer.status == 404:
        return f"some registries want a project made first: make the one for {repository}, or name one that is there"
    if answer.status == 405:
        return "this is a mirror, or read-only: name the registry behind it"
    if answer.status == 413:
        return "a proxy before the registry limits what it takes: nginx has client_max_body_size 0 for no limit"
    if "TLS" in answer.text or "HTTPS" in answer.text:
        return "it speaks TLS: leave --plain-http out"
    return "see the registry's log"
