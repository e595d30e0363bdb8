"""A rendered Dockerfile executed with no daemon, because nothing of it has to be run.

It executes what only declares (FROM, ENV, LABEL, WORKDIR, COPY, USER, EXPOSE, VOLUME, HEALTHCHECK, CMD, ENTRYPOINT) and
knows what our own three RUN lines do: make the environment, fill it with wheels, add the user. Each becomes layers that
hold what `docker build` would leave; `tests/journeys/test_engines_agree.py` compares the trees.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from torchferry import dockerfile, files, small_layer, venv_tree
from torchferry.base_tree import BaseTree
from torchferry.blobs import BlobStore
from torchferry.dockerfile import Instruction
from torchferry.errors import BuildError, ConfigError
from torchferry.image_config import ImageConfig
from torchferry.inside import prepare
from torchferry.model import VENV, Image, Layer, Recipe, WheelSet, fingerprint
from torchferry.render import INSTALL, PREPARE, VENV_COMMAND
from torchferry.small_layer import Entry, file, folder, link, with_parents
from torchferry.wheel_layer import wheel_layers
from torchferry.wheel_layout import UV, Venv

CURE = "build it with the docker engine: inv build --engine docker"
_SPAN = re.compile(r"([0-9]+)(ms|s|m|h)")
_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


@dataclass(frozen=True, kw_only=True)
class StoredBase:
    """What an image stands on: its layers in the store, its config, and a look at its tree."""

    layers: tuple[Layer, ...]
    config: ImageConfig
    tree: BaseTree


class Bases(Protocol):
    """Where FROM comes from."""

    def stored(self, reference: str, store: BlobStore) -> StoredBase: ...


@dataclass(kw_only=True)
class _Build:
    """An image while its instructions are executed."""

    recipe: Recipe
    wheels: WheelSet
    store: BlobStore
    passed: Callable[[int], object]
    base: StoredBase
    config: ImageConfig
    layers: list[Layer]
    entries: dict[str, Entry] = field(default_factory=dict)
    installed: bool = False

    def add(self, made: tuple[Entry, ...], by: str) -> None:
        """One more layer on top, with every folder above its entries as it is below."""
        known = self.base.tree.folder_modes(entry.path for entry in made)
        known |= {entry.path: entry.mode for entry in self.entries.values() if entry.kind == "folder"}
        whole = with_parents(made, known)
        self.layers.append(small_layer.store_entries(whole, self.store))
        self.entries |= {entry.path: entry for entry in whole}
        self.config = self.config.done(by, layer=True)


def refusal(text: str) -> str | None:
    """Why a Dockerfile needs the docker engine, with its line; None where the direct engine can execute it."""
    try:
        for instruction in dockerfile.parse(text):
            _step(instruction)
    except (BuildError, ConfigError) as error:
        return error.message
    return None


def build(
    recipe: Recipe, wheels: WheelSet, bases: Bases, store: BlobStore, *, labels: Mapping[str, str],
    passed: Callable[[int], object] = files.ignore,
) -> Image:
    """The image of a recipe in the store; ``labels`` come on top of those of the Dockerfile.

    ``passed`` hears the bytes of wheels that became layers. Raises BuildError for what the engine does not execute,
    IntegrityError for wheels that are not certain, and DiskFull.
    """
    first, *rest = dockerfile.parse(recipe.text)
    if first.name != "FROM" or len(first.operands) != 1:
        raise _refused(first, "the first instruction is not FROM with one image")
    base = bases.stored(first.operands[0], store)
    if base.config.rest.get("OnBuild"):
        raise _refused(first, f"the base {first.operands[0]} has ONBUILD instructions")
    work = _Build(
        recipe=recipe, wheels=wheels, store=store, passed=passed, base=base, config=base.config,
        layers=list(base.layers),
    )
    for instruction in rest:
        _step(instruction)(work, instruction)
    work.config = work.config.done("LABEL", labels={**work.config.labels, **labels})
    config = work.config.document(work.layers)
    store.add_config(config)
    return Image(name=recipe.variant.image_name, config=config, layers=tuple(work.layers))


def _step(instruction: Instruction) -> Callable[[_Build, Instruction], None]:
    """What executes an instruction; BuildError where nothing does."""
    if instruction.name == "RUN":
        return _run_step(instruction)
    if instruction.name not in _STEPS:
        raise _refused(instruction, f"{instruction.name} is not executed by the direct engine")
    if instruction.name == "COPY" and (instruction.flags or len(instruction.operands) != 2):
        raise _refused(instruction, "COPY with flags or several sources")
    return _STEPS[instruction.name]


def _run_step(instruction: Instruction) -> Callable[[_Build, Instruction], None]:
    words = instruction.operands
    if words[:-3] == VENV_COMMAND and words[-3] == "--python" and words[-1] == str(VENV):
        return _make_venv
    if words == INSTALL and any(flag.startswith("--mount=type=bind,source=wheels/") for flag in instruction.flags):
        return _install
    if words[:len(PREPARE)] == PREPARE and words[len(PREPARE):][:1] and words[len(PREPARE)].isdecimal():
        return _prepare
    raise _refused(instruction, "the direct engine runs nothing, and this RUN is none of torchferry's own")


def _refused(instruction: Instruction, why: str) -> BuildError:
    return BuildError(f"Dockerfile:{instruction.line}: {why}: it needs the docker engine", cure=CURE)


def _make_venv(work: _Build, instruction: Instruction) -> None:
    python = work.base.tree.python(instruction.operands[-2], work.base.config.env.get("PATH", ""))
    modes = work.base.tree.folder_modes([str(VENV).lstrip("/")])
    key = fingerprint(["venv", UV, python.path, python.version, sorted(modes.items())])
    known = work.store.recall(key)
    if known is not None and work.store.has(known[0].diff_id):
        work.layers += known
        work.config = work.config.done("RUN uv venv", layer=True)
        return
    work.add(venv_tree.venv_entries(work.wheels.lock, python), "RUN uv venv")
    work.store.remember(key, work.layers[-1:])


def _install(work: _Build, instruction: Instruction) -> None:
    """All wheels at the first of the install lines: as layers of their own, they need not follow its groups."""
    if work.installed:
        work.config = work.config.done("RUN uv pip install")
        return
    made = wheel_layers(work.wheels, Venv(python=work.recipe.variant.python), work.store, passed=work.passed)
    work.installed = True
    work.layers += made
    for _ in made:
        work.config = work.config.done("RUN uv pip install", layer=True)


def _prepare(work: _Build, instruction: Instruction) -> None:
    """The service's user, and its folders with all that is in them, as inside/prepare.py would leave them."""
    uid, *folders = instruction.operands[len(PREPARE):]
    owner = int(uid)
    made: list[Entry] = []
    for path, line in prepare.tables(owner).items():
        below = path.lstrip("/")
        node = work.base.tree.nodes.get(below)
        text = work.base.tree.contents.get(below, b"").decode("utf-8")
        changed = prepare.with_line(text, owner, line)
        if changed != text:
            made.append(file(below, changed.encode(), mode=node.mode if node else 0o644))
    for place in (path.strip("/") for path in folders):
        if any(node == place or node.startswith(f"{place}/") for node in work.base.tree.nodes):
            raise _refused(instruction, f"the base has /{place} already, and what is in it would change hands")
        made.append(folder(place, owner=owner))
        made += [
            replace(entry, owner=owner) for path, entry in work.entries.items()
            if path == place or path.startswith(f"{place}/")
        ]
    work.add(tuple(made), "RUN prepare.py")


def _from(work: _Build, instruction: Instruction) -> None:
    raise _refused(instruction, "a second FROM")


def _copy(work: _Build, instruction: Instruction) -> None:
    source, target = instruction.operands
    place = work.recipe.folder / source
    if not place.exists() or work.recipe.folder not in place.resolve().parents:
        raise _refused(instruction, f"{source} is no file or folder of the build context")
    below = posixpath.normpath(posixpath.join("/", work.config.workdir, target)).lstrip("/")
    if place.is_dir():
        made = [folder(below), *_tree(place, below)]
    else:
        made = [_copied(place, posixpath.join(below, place.name) if target.endswith("/") else below)]
    work.add(tuple(made), f"COPY {source} {target}")


def _tree(place: Path, below: str) -> list[Entry]:
    found = []
    for here in sorted(place.rglob("*")):
        path = f"{below}/{here.relative_to(place).as_posix()}"
        found.append(folder(path) if here.is_dir() and not here.is_symlink() else _copied(here, path))
    return found


def _copied(here: Path, path: str) -> Entry:
    if here.is_symlink():
        return link(path, str(here.readlink()))
    return file(path, here, mode=0o755 if here.stat().st_mode & 0o100 else 0o644)


def _workdir(work: _Build, instruction: Instruction) -> None:
    (path,) = instruction.operands
    place = posixpath.join(work.config.workdir or "/", path)
    below = place.lstrip("/")
    if below and work.base.tree.mode(below) is None and below not in work.entries:
        work.add((folder(below),), f"WORKDIR {place}")
    work.config = work.config.done(f"WORKDIR {place}", workdir=place)


def _env(work: _Build, instruction: Instruction) -> None:
    key, value = instruction.operands
    work.config = work.config.done(f"ENV {key}", env={**work.config.env, key: value})


def _label(work: _Build, instruction: Instruction) -> None:
    key, value = instruction.operands
    work.config = work.config.done(f"LABEL {key}", labels={**work.config.labels, key: value})


def _user(work: _Build, instruction: Instruction) -> None:
    work.config = work.config.done(f"USER {instruction.operands[0]}", user=instruction.operands[0])


def _expose(work: _Build, instruction: Instruction) -> None:
    ports = tuple(word if "/" in word else f"{word}/tcp" for word in instruction.operands)
    work.config = work.config.done("EXPOSE", ports=(*work.config.ports, *ports))


def _volume(work: _Build, instruction: Instruction) -> None:
    work.config = work.config.done("VOLUME", volumes=(*work.config.volumes, *instruction.operands))


def _health(work: _Build, instruction: Instruction) -> None:
    if instruction.operands == ("NONE",):
        work.config = work.config.done("HEALTHCHECK", health={"Test": ["NONE"]})
        return
    said: dict[str, Any] = {"Test": ["CMD", *instruction.operands]}
    names = {"--interval": "Interval", "--timeout": "Timeout", "--start-period": "StartPeriod", "--retries": "Retries"}
    for flag in instruction.flags:
        name, _, value = flag.partition("=")
        if name not in names:
            raise _refused(instruction, f"HEALTHCHECK {name}")
        span = _SPAN.fullmatch(value)
        said[names[name]] = int(span[1]) * _NANOSECONDS[span[2]] if span else int(value)
    work.config = work.config.done("HEALTHCHECK", health=said)


def _command(work: _Build, instruction: Instruction) -> None:
    work.config = work.config.done("CMD", command=instruction.operands)


def _shell(work: _Build, instruction: Instruction) -> None:
    work.config = work.config.done("SHELL", rest={**work.config.rest, "Shell": list(instruction.operands)})


def _arg(work: _Build, instruction: Instruction) -> None:
    """Nothing of ours reads one: whatever would expand it is refused."""
    work.config = work.config.done("ARG")


def _entrypoint(work: _Build, instruction: Instruction) -> None:
    # A base's CMD belongs to its ENTRYPOINT: Docker forgets it with that.
    work.config = work.config.done("ENTRYPOINT", entrypoint=instruction.operands or None, command=None)


_STEPS: Mapping[str, Callable[[_Build, Instruction], None]] = {
    "ENV": _env, "LABEL": _label, "WORKDIR": _workdir, "COPY": _copy, "USER": _user, "EXPOSE": _expose,
    "VOLUME": _volume, "HEALTHCHECK": _health, "CMD": _command, "ENTRYPOINT": _entrypoint,
    "FROM": _from, "SHELL": _shell, "ARG": _arg,
}
