"""The road from variants.yaml to dist/: each verb takes the noun before it, makes what is missing, and says which.

Nothing is remembered but the nouns themselves: a step asks whether its result lies where it belongs and was made
from the same things; then it is current and nothing is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from torchferry import (
    base,
    bounds,
    choice,
    compat,
    console,
    context,
    fetch,
    files,
    index,
    libraries,
    lockfile,
    models,
    packing,
    recipe,
    render,
    resolve,
    sdist,
    smoke,
    source,
    variants,
    wheels,
)
from torchferry.delta import Held
from torchferry.engines import Engine
from torchferry.engines.choose import Engines
from torchferry.errors import ConfigError, LockError, SmokeError
from torchferry.findings import Finding
from torchferry.layout import VARIANTS_FILE, Layout
from torchferry.model import BuiltImage, Bundle, Lock, Project, Recipe, Variant, WheelSet

Noun = TypeVar("Noun")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one step did for one variant: 'made' or 'current', where it lies, bytes, seconds."""

    step: str
    what: str
    state: str
    place: str
    size: int
    seconds: float


@dataclass(kw_only=True)
class Road:
    """One project under way: its doors, and the outcomes so far."""

    project: Project
    layout: Layout
    engine: str
    outcomes: list[Outcome] = field(default_factory=list)

    @classmethod
    def open(cls, file: Path, engine: str | None = None) -> Road:
        """Read a variants.yaml; its folder is where everything lies. ``engine`` goes before the file's own."""
        project = variants.load(file)
        if engine is not None and engine not in variants.ENGINES:
            raise ConfigError(f"--engine {engine}: no such engine", cure=f"take one of {', '.join(variants.ENGINES)}")
        return cls(project=project, layout=Layout(root=project.root), engine=engine or project.engine)

    @cached_property
    def compat(self) -> compat.Compat:
        return compat.load()

    @cached_property
    def engines(self) -> Engines:
        return Engines(wanted=self.engine, layout=self.layout, debian=self.debian)

    def named(self, names: Iterable[str], services: Iterable[str]) -> tuple[Variant, ...]:
        """The variants of these names and services, in file order; none given: all. ConfigError for an unknown name."""
        names, services = tuple(names), tuple(services)
        have = {variant.name for variant in self.project.variants}
        choice.refuse_unknown("--variant", names, have, where=VARIANTS_FILE)
        have = {variant.service.name for variant in self.project.variants}
        choice.refuse_unknown("--service", services, have, where=VARIANTS_FILE)
        chosen = self.project.select(variants=names, services=services)
        if not chosen:
            raise ConfigError(
                f"no image is both of variant {' or '.join(names)} and of service {' or '.join(services)}",
                cure="inv variants lists what there is",
            )
        return chosen

    def select(self, names: Iterable[str], services: Iterable[str]) -> tuple[Variant, ...]:
        """The variants that were asked for, all of them possible; CompatError tells every one that is not."""
        chosen = self.named(names, services)
        self.compat.require_all(chosen)
        return chosen

    def wanted(self, names: Iterable[str], services: Iterable[str], held: Held | None) -> tuple[Variant, ...]:
        """What `select` gives; where nothing was asked for, those images that a server said it lacks something of."""
        chosen = self.select(names, services)
        return chosen if held is None or [*names, *services] else held.chosen(chosen)

    def asked(self, variant: Variant) -> str:
        """The fingerprint of what a lock of this variant would be asked today."""
        return lockfile.asked(variant, self._requirements(variant), self.compat.constraints(variant))

    # Lock

    def lock(self, variant: Variant, *, renew: bool = False, upgrade: bool = False) -> Lock:
        """The lock of a variant. A missing one is made; a stale one is refused unless ``renew`` makes it anew."""
        place = self.layout.lock(variant)
        requirements = self._requirements(variant)
        asked = self.asked(variant)
        text = place.read_text(encoding="utf-8") if place.is_file() else None
        if text is not None and not upgrade:
            known = lockfile.parse(text, file=place.name)
            if known.fingerprint == asked:
                return self._tell("lock", variant, known, place, known.size)
            if not renew:
                raise LockError(
                    f"{place.name} is stale: requirements, variants.yaml or compat.yaml changed since it was made",
                    cure=f"inv lock --service {variant.service.name} --variant {variant.name}",
                )
        started = time.monotonic()
        sources = self.sources(variant)
        pinned = None
        if variant.service.base.image:
            pinned = self.engines.digest(variant.service.base.image)
        made = resolve.resolve(
            variant, sources=sources, compat=self.compat, requirements=requirements,
            asked=asked, previous=None if upgrade else text, base_digest=pinned,
            built=sdist.build_all(variant, requirements, self.layout, sources),
        )
        files.write_text(place, lockfile.dump(made, variant))
        for bound in bounds.binding(self.compat, variant, made):
            console.say(f"bound: {bound}")
        return self._tell("lock", variant, made, place, made.size, started)

    # WheelSet

    def fetch(self, variant: Variant, lock: Lock, *, audited: bool = True) -> WheelSet:
        """Every wheel of a lock on disk, hashes proven, torch looked into, and the libraries of all ``audited``."""
        started = time.monotonic()
        missing = fetch.missing(lock, variant, self.layout)
        if missing:
            sdist.restore(lock, variant, self.layout, self.sources(variant))
            wheel_set = fetch.fetch(lock, variant, self.layout, self.sources(variant))
        else:
            wheel_set = fetch.fetched(lock, variant, self.layout)
        for wheel in lock.wheels:
            wheels.check_tags(wheel, variant, glibc=resolve.glibc(variant))
        if variant.torch:
            libraries.look_into_torch(variant, wheel_set, self.compat)
        if audited:
            libraries.require(variant, wheel_set, self.compat, self.layout)
        return self._tell("fetch", variant, wheel_set, wheel_set.folder, lock.size, started if missing else None)

    def audit(self, chosen: tuple[Variant, ...]) -> dict[str, tuple[Finding, ...]]:
        """What the audit of each variant's libraries finds, by label; wheels that are missing are fetched."""
        sets = [(variant, self.fetch(variant, self.lock(variant), audited=False)) for variant in chosen]
        return {one.label: libraries.audit(one, got, self.compat, self.layout).findings for one, got in sets}

    # Recipe

    def render(self, variant: Variant, wheel_set: WheelSet) -> Recipe:
        """The build context of a variant; its Dockerfile names exactly what lies beside it."""
        started = time.monotonic()
        selection = context.select_files(self.project.root, variant)
        drafted = self.draft(variant, wheel_set.lock, selection)
        missing: tuple[str, ...] = ()
        if not recipe.is_current(drafted, self.layout):  # what was rendered from the same things was looked at then
            missing = context.check_imports(selection, variant, wheel_set)
        for warning in (*render.warnings(variant), *selection.warnings, *missing):
            console.say(f"warning: {warning}")
        made, fresh = recipe.make_recipe(drafted, wheel_set, selection, self.layout)
        console.say(f"{variant.label}: {len(selection.files)} files of yours go in, {console.size(selection.size)}")
        return self._tell("render", variant, made, made.folder, made.size, started if fresh else None)

    def draft(self, variant: Variant, lock: Lock, selection: context.Selection) -> recipe.Draft:
        """What the recipe of a variant says today, written nowhere."""
        return recipe.draft(
            variant, lock, selection, self.compat, self.layout,
            base=self._base_reference(variant, lock), revision=source.revision(self.project.root, variant),
        )

    # Image

    def build(self, made: Recipe, wheel_set: WheelSet) -> tuple[Engine, BuiltImage]:
        """The image of a recipe where its engine keeps images."""
        variant = made.variant
        engine = self.engines.choose(variant, wheel_set.lock, made.text)
        present = engine.present(variant)
        if present is not None and present.recipe == made.digest:
            return engine, self._tell("build", variant, present, present.name, present.size)
        started = time.monotonic()
        image = engine.build(made, wheel_set)
        return engine, self._tell("build", variant, image, image.name, image.size, started)

    def smoke(self, variant: Variant, lock: Lock, engine: Engine, image: BuiltImage) -> tuple[smoke.Check, ...]:
        """Run the image without network and judge it; SmokeError tells every promise that was not kept."""
        place = self.layout.smoke_result(variant)
        known = smoke.read_result(place, image.image_id)
        if known is not None and not smoke.failures(known):
            return self._tell("smoke", variant, known, place, 0)
        started = time.monotonic()
        with engine.runner(image, variant) as runner, console.progress(f"smoke {variant.image_name}"):
            checks = smoke.smoke(variant, lock, self.compat, runner)
        smoke.write_result(place, image.image_id, checks)
        for check in checks:
            console.say(f"  {check.status:10}  {check.name}: {check.seen}")
        failed = smoke.failures(checks)
        if failed:
            raise SmokeError(
                f"{variant.image_name}: " + "; ".join(f"{check.name}: {check.seen}" for check in failed),
                cure=f"mend it and build again; every check is in {place}",
            )
        return self._tell("smoke", variant, checks, place, 0, started)

    # Bundle

    def package(self, chosen: tuple[Variant, ...], *, smoked: bool, held: Held | None = None) -> Bundle:
        """The release folder with one archive a variant; ``smoked`` runs the smoke test of each image before.

        With what servers have ``held`` it becomes a delta, in a folder of its own."""
        project = held.project(self.project) if held else self.project
        models.require(self.project, self.layout)  # what is missing there is told before minutes of work
        packed = []
        for variant in chosen:
            lock, engine, image = self.image(variant)
            if smoked:
                self.smoke(variant, lock, engine, image)
            started = time.monotonic()
            placed = replace(variant, release=project.release)
            archive, fresh = packing.pack(placed, image, self.layout, engine.take, held)
            checks = smoke.read_result(self.layout.smoke_result(variant), image.image_id) or ()
            packed.append(packing.Packed(
                variant=placed, lock=lock, archive=archive, checks=checks,
                revision=source.revision(self.project.root, variant),
            ))
            self._tell("package", variant, archive, archive.path, archive.size, started if fresh else None)
        return packing.close(project, packed, self.compat, self.layout, held)

    def image(self, variant: Variant) -> tuple[Lock, Engine, BuiltImage]:
        """The image of a variant and its engine, with every earlier step done that is missing."""
        lock = self.lock(variant)
        wheel_set = self.fetch(variant, lock)
        return lock, *self.build(self.render(variant, wheel_set), wheel_set)

    def _tell(
        self, step: str, variant: Variant, noun: Noun, place: Path | str, size: int, started: float | None = None
    ) -> Noun:
        """Note an outcome and hand the noun on; without a start it was current."""
        if isinstance(place, Path):
            place = str(place.relative_to(self.project.root)) if place.is_relative_to(self.project.root) else str(place)
        seconds = time.monotonic() - started if started is not None else 0.0
        state = "current" if started is None else "made"
        self.outcomes.append(
            Outcome(step=step, what=variant.label, state=state, place=place, size=size, seconds=seconds)
        )
        if started is None:
            console.say(f"{step} {variant.label}: current")
        return noun

    def _requirements(self, variant: Variant) -> str:
        return resolve.expand_requirements(self.project.root / variant.service.requirements, self.project.root)

    def sources(self, variant: Variant) -> index.Sources:
        """Where this variant's wheels come from."""
        return index.sources_for(variant, os.environ, self._pip_config, index.uv_config(os.environ))

    @cached_property
    def _pip_config(self) -> Mapping[str, str]:
        return index.pip_config()

    def debian(self, variant: Variant) -> base.DebianBase:
        """The Debian base of a variant, made where it is missing."""
        return base.debian_base(variant.service.base, self.layout, architecture=variant.architecture)

    def _base_reference(self, variant: Variant, lock: Lock) -> str:
        wanted = variant.service.base
        if wanted.image:
            return f"{wanted.image.split('@')[0]}@{lock.base_digest}"
        return self.debian(variant).reference

    def remove_images(self) -> tuple[tuple[str, int], ...]:
        """Remove this project's images from the daemon; each name with the bytes that it showed."""
        names = [variant.image_name for variant in self.project.variants]
        return tuple((name, self.engines.docker.remove(name)) for name in names)
