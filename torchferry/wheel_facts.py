"""The facts of wheels for the audit, remembered by the wheel's hash."""

from __future__ import annotations

import json
from collections.abc import Callable

from torchferry import files
from torchferry.layout import Layout
from torchferry.library_facts import WheelFacts, as_json, from_json
from torchferry.model import Wheel, WheelSet


def missing(wheel_set: WheelSet, layout: Layout) -> tuple[Wheel, ...]:
    """The wheels of a set of which no facts are remembered."""
    return tuple(wheel for wheel in wheel_set.lock.wheels if recall(wheel, layout) is None)


def read_facts(
    wheel_set: WheelSet, layout: Layout, *, passed: Callable[[int], object] = files.ignore
) -> tuple[WheelFacts, ...]:
    """The facts of every wheel of a set, in its order; what is remembered is not read again.

    ``passed`` hears the bytes of each library that was read. A wheel that cannot be understood raises nothing: that is
    a fact too, and the installer's to judge.
    """
    known = {wheel: recall(wheel, layout) for wheel in wheel_set.lock.wheels}
    unknown = [wheel for wheel, facts in known.items() if facts is None]
    if unknown:
        # pyelftools takes long to load, and most runs find everything remembered
        from torchferry.wheel_libraries import read_wheels

        made = read_wheels([(one, wheel_set.path(one)) for one in unknown], passed)
        for wheel, facts in zip(unknown, made, strict=True):
            text = json.dumps(as_json(facts), separators=(",", ":"))
            files.write_text(layout.wheel_facts(wheel.sha256), text)
            known[wheel] = facts
    return tuple(facts for facts in known.values() if facts is not None)


def recall(wheel: Wheel, layout: Layout) -> WheelFacts | None:
    """The remembered facts of a wheel, or None."""
    try:
        return from_json(json.loads(layout.wheel_facts(wheel.sha256).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
