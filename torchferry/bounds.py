"""The bounds that no package declares and compat.yaml does, said where they bind: at lock time."""

from __future__ import annotations

from torchferry.compat import Compat
from torchferry.model import Lock, Variant


def binding(compat: Compat, variant: Variant, lock: Lock) -> tuple[str, ...]:
    """One line for each package of the lock that the table bounds: 'transformers <4.57 for torch 2.1.2: SOURCE'."""
    row = compat.torch(variant.torch) if variant.torch else None
    if row is None:
        return ()
    bounds = [
        (bound.package, bound.constraint, bound.source)
        for bound in compat.table.companions if row.version in bound.torch
    ]
    if row.numpy:
        # A torch row has several sources; the one of its bound on numpy bears that name.
        bounds.append(("numpy", row.numpy, tuple(name for name in row.source if name == "numpy") or row.source))
    return tuple(
        f"{package} {constraint} for torch {row.version}: {'; '.join(compat.table.sources[name] for name in source)}"
        for package, constraint, source in bounds if lock.version(package) is not None
    )
