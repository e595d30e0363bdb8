"""Which wheels share a layer when an image is made of wheels directly, and in which order the layers lie.

An image may have 127 layers at most, some stores fewer; we stay below 40. A site that has all layers up to one needs
only those above, so what changes rarely lies low. A large wheel is a layer of its own; small ones share, by a hash of
their names, so that another wheel moves none of them and a new version of one touches only its own few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from torchferry.model import Wheel
from torchferry.wheels import TORCH_FAMILY, is_cuda_wheel

LARGE = 20 << 20
LARGE_LIMIT = 20
"""Layers for large wheels at most; where there are more, the bar is raised until it is so."""

TINY = 1 << 20
SHARED = {"cuda": (1, 1), "torch": (1, 1), "packages": (6, 4)}
"""Layers, by family, among which wheels are spread: those below LARGE, and those below TINY."""

LAYERS_LIMIT = LARGE_LIMIT + sum(map(sum, SHARED.values()))


@dataclass(frozen=True, kw_only=True)
class WheelGroup:
    """Wheels that become one layer, in order of their names."""

    name: str
    wheels: tuple[Wheel, ...]

    @property
    def size(self) -> int:
        """Bytes of the wheels."""
        return sum(wheel.size for wheel in self.wheels)


def wheel_groups(wheels: Iterable[Wheel]) -> tuple[WheelGroup, ...]:
    """The layers of these wheels, lowest first: CUDA libraries, torch and its family, all else."""
    known = sorted(wheels, key=lambda wheel: canonicalize_name(wheel.name))
    bar = LARGE
    while sum(wheel.size >= bar for wheel in known) > LARGE_LIMIT:
        bar *= 2
    found: dict[tuple[int, int, str], list[Wheel]] = {}
    for wheel in known:
        found.setdefault(_place(wheel, bar), []).append(wheel)
    return tuple(WheelGroup(name=key[2], wheels=tuple(found[key])) for key in sorted(found))


def _place(wheel: Wheel, bar: int) -> tuple[int, int, str]:
    """A group's family, its tier within the family, and its name: in this order the layers lie."""
    name = canonicalize_name(wheel.name)
    family = "cuda" if is_cuda_wheel(name) else "torch" if name in TORCH_FAMILY else "packages"
    rank = list(SHARED).index(family)
    if wheel.size >= bar:
        return rank, 0, name
    tier = 2 if wheel.size < TINY else 1
    number = int(hashlib.sha256(name.encode("ascii")).hexdigest(), 16) % SHARED[family][tier - 1]
    return rank, tier, f"{family}-{('small', 'tiny')[tier - 1]}-{number}"
