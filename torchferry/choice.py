"""What a person picked by name, held against what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from torchferry.errors import ConfigError


def refuse_unknown(flag: str, wanted: Iterable[str], have: Iterable[str], *, where: str) -> None:
    """Raise ConfigError for the first name that ``where`` does not have, with the nearest that it has."""
    known = sorted(set(have))
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{flag} {name}: {where} has no such one" + (f"; did you mean {near[0]}?" if near else ""),
                cure=f"it has: {', '.join(known)}",
            )
