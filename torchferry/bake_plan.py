"""Recipes as a docker-bake file: what `inv build --engine docker` does, said to a buildx builder that is anywhere.

Paths are relative to the project's folder, where buildx has to be called. JSON, since buildx takes it as it takes HCL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchferry.errors import ConfigError
from torchferry.layout import DOCKERFILE, RECIPE_LABEL
from torchferry.model import Recipe

REGISTRY = "REGISTRY"
"""The variable that goes before every tag: a remote builder has no store of its own, it pushes to a registry."""

ALL = "default"
"""The group that buildx builds when none is named."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One image to bake: its recipe, the context by its path, and what stands in for images that nobody can pull."""

    recipe: Recipe
    context: str
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its variant, as buildx takes it."""
        return word(self.recipe.variant.label)


def word(name: str) -> str:
    """A name of ours as buildx takes names: without dots."""
    return name.replace(".", "_")


def text(targets: Sequence[Target]) -> str:
    """The file: the same recipes give the same bytes. ConfigError where buildx could not tell two names apart."""
    document = {
        "//": "written by `inv bake`; edit variants.yaml and run it again",
        "variable": {REGISTRY: {"default": ""}},
        "group": {name: {"targets": members} for name, members in groups(targets).items()},
        "target": {target.name: _target(target) for target in targets},
    }
    return json.dumps(document, indent=2) + "\n"


def groups(targets: Sequence[Target]) -> dict[str, list[str]]:
    """Names for more than one target: all, those of each variant, those of each service; a taken name is not given."""
    _refuse_twins(target.recipe.variant.label for target in targets)
    found: dict[str, list[str]] = {ALL: [target.name for target in targets]}
    taken = {target.name for target in targets}
    for names in (
        [(target.recipe.variant.name, target.name) for target in targets],
        [(word(target.recipe.variant.service.name), target.name) for target in targets],
    ):
        taken |= found.keys()
        for group, member in names:
            if group not in taken:
                found.setdefault(group, []).append(member)
    return found


def _refuse_twins(labels: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        twin = seen.setdefault(word(label), label)
        if twin != label:
            raise ConfigError(
                f"{twin} and {label} are one name to buildx, which takes no dots: {word(label)}",
                cure="rename one of the services, or bake one of them: --service",
            )


def _target(target: Target) -> dict[str, Any]:
    """What `docker build` is told by the docker engine, in buildx's words; nothing here holds a `${` but the tag."""
    variant = target.recipe.variant
    return {
        "context": target.context,
        "dockerfile": DOCKERFILE,
        "platforms": [variant.platform],
        "tags": [f"${{{REGISTRY}}}{variant.image_name}"],
        "labels": {RECIPE_LABEL: target.recipe.digest},
        **({"contexts": dict(target.stand_ins)} if target.stand_ins else {}),
        "network": "none",
        # A provenance makes an index of the image, and another image of every build.
        "attest": ["type=provenance,disabled=true", "type=sbom,disabled=true"],
    }
