"""variants.yaml, the one file a person edits, parsed at the door into the nouns of model.py.

All problems of a file are told in one ConfigError, each with file:line, the field, what was expected and the cure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torchferry import grammar, running_grammar
from torchferry.errors import ConfigError
from torchferry.fields import Spot, choice, entries, integer, items, section, text, words
from torchferry.model import Base, Project, Release, Service, Variant
from torchferry.running import Health
from torchferry.yamlpos import MAX_CHARACTERS, Items, Problems, Table, read

DEFAULT_WITHIN = 60
ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
COMPRESSIONS = ("fast", "small")
ENGINES = ("auto", "direct", "docker")
CUDA_LIBRARIES = ("by_rpath", "on_path")


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What every service of a file shares, and how to ask for its paths."""

    release: Release
    python: str
    base: Base | None
    compression: str
    architectures: tuple[str, ...]
    exists: Callable[[str], bool]


def load(path: Path) -> Project:
    """Read a variants.yaml; its folder is the project. Raises ConfigError with all that is wrong in it."""
    root = path.absolute().parent
    return parse(_contents(path), file=str(path), root=root, exists=lambda asked: _exists(root, asked))


def parse(text: str, *, file: str, root: Path, exists: Callable[[str], bool]) -> Project:
    """The project that ``text`` describes; ``file`` is its name in messages.

    ``exists`` is asked for paths relative to ``root``: 'app/' asks for a folder, 'app' for a file.
    Raises ConfigError with every problem of the text.
    """
    problems = Problems(file=file)
    at = section(
        Spot(field="", line=1, node=read(text, problems), problems=problems),
        required={
            "release": "release: {name: stt, version: 1.0.0}",
            "python": 'python: "3.11"',
            "services": "services: with an entry for each service",
        },
        optional=("base", "compression", "platforms", "engine", "models", "split"),
    )
    shared = _Shared(
        release=_release(at["release"], at["split"]),
        python=grammar.python(at["python"]),
        base=None if at["base"].absent else _base(at["base"]),
        compression=choice(at["compression"], COMPRESSIONS) or "fast",
        architectures=_architectures(at["platforms"]) or ("x86_64",),
        exists=exists,
    )
    engine = choice(at["engine"], ENGINES) or "auto"
    services = _rows(at["services"], expected="a mapping of services by name", example="my-service: {source: app, ...}")
    variants = tuple(variant for name, spot in services for variant in _service(name, spot, shared))
    with_torch = dict.fromkeys(variant.service.name for variant in variants if variant.torch)
    models = running_grammar.models(at["models"], services=[name for name, _ in services], usual=tuple(with_torch))
    if problems.found:
        raise problems.error()
    return Project(root=root, release=shared.release, variants=variants, engine=engine, models=models)


def _release(spot: Spot, split: Spot) -> Release:
    at = section(spot, required={"name": "name: stt", "version": "version: 1.0.0"}, optional=("sequence",))
    version = grammar.version(at["version"])
    given = None if at["sequence"].absent else integer(at["sequence"], low=1, high=999_999_999)
    sequence = given or (grammar.sequence(version) if version else 0)
    if sequence is None:
        at["version"].refuse(f"{version} gives no sequence number by itself, expected up to three small ones",
                             cure="add sequence: 1 beside it, and count it up with every release")
    return Release(name=grammar.name(at["name"]), version=version, sequence=sequence or 0,
                   split=grammar.byte_count(split) or None)


def _base(spot: Spot) -> Base:
    at = section(spot, required={}, optional=("debian", "packages", "image"))
    if isinstance(spot.node, Table) and at["debian"].absent == at["image"].absent:
        has = "neither debian nor image" if at["image"].absent else "both debian and image"
        spot.refuse(f"has {has}, expected one of the two", cure="write {debian: bookworm} or {image: python:3.11-slim}")
    elif not at["image"].absent and not at["packages"].absent:
        at["packages"].refuse("goes with debian only, an image is taken as it is", cure="remove it")
    packages = items(at["packages"], expected="a list of Debian packages", example="[libsndfile1]")
    return Base(
        debian=grammar.suite(at["debian"]) or None,
        packages=tuple(grammar.deb(item) for item in packages),
        image=grammar.image(at["image"]) or None,
    )


def _service(name: str, spot: Spot, shared: _Shared) -> tuple[Variant, ...]:
    grammar.service_name(spot, name)
    at = section(
        spot,
        required={
            "source": "source: app",
            "requirements": "requirements: app/requirements.in",
            "command": "command: [python, -m, my_service]",
        },
        optional=("port", "health", "env", "mounts", "base", "include", "sdists", "smoke", "variants",
                  "cuda_libraries", "prove", "before_update"),
    )
    base = shared.base if at["base"].absent else _base(at["base"])
    if base is None:
        at["base"].refuse("is missing, here and at the top of the file", cure="add base: {debian: bookworm} at the top")
    if at["port"].absent and not at["health"].absent:
        at["health"].refuse("needs the port that answers it", cure="add port: 8000, or remove health")
    mounts = running_grammar.mounts(at["mounts"])
    service = Service(
        name=name,
        source=grammar.path(at["source"], shared.exists, kind="folder"),
        requirements=grammar.path(at["requirements"], shared.exists, kind="file"),
        command=words(at["command"]),
        base=base or Base(),
        port=None if at["port"].absent else integer(at["port"], low=1, high=65535),
        health=None if at["health"].absent else _health(at["health"]),
        env=_env(at["env"]),
        mounts=mounts,
        include=tuple(grammar.path(item, shared.exists) for item in _list(at["include"], "paths", "[app/assets]")),
        sdists=tuple(grammar.package(item) for item in _list(at["sdists"], "package names", "[openai-whisper]")),
        smoke=tuple(words(item) for item in _list(at["smoke"], "commands", "[[python, -c, 'import json']]")),
        prove=running_grammar.proof(at["prove"], port=not at["port"].absent),
        before_update=running_grammar.before_update(at["before_update"], mounts),
    )
    found = choice(at["cuda_libraries"], CUDA_LIBRARIES) or CUDA_LIBRARIES[0]
    return _variants(at["variants"], service, found, shared)


def _rows(spot: Spot, *, expected: str, example: str) -> tuple[tuple[str, Spot], ...]:
    if isinstance(spot.node, Table) and not spot.node.entries:
        spot.refuse(f"has no entry, expected {expected}", cure=f"add one, such as {example}")
    return entries(spot, expected=expected, as_spelled=True)


def _list(spot: Spot, what: str, example: str) -> tuple[Spot, ...]:
    return items(spot, expected=f"a list of {what}", example=example)


def _variants(spot: Spot, service: Service, cuda_libraries: str, shared: _Shared) -> tuple[Variant, ...]:
    plain = Variant(
        release=shared.release, service=service, name="any", python=shared.python, env=service.env,
        compression=shared.compression, cuda_libraries=cuda_libraries,
    )
    if spot.absent:
        return _on(shared.architectures, plain)
    rows = _rows(spot, expected="a mapping of variants", example="cu121: {torch: 2.1.2}, or remove the line")
    return tuple(made for name, row in rows for made in _row(name, row, plain, shared))


def _on(architectures: tuple[str, ...], variant: Variant) -> tuple[Variant, ...]:
    return tuple(replace(variant, architecture=architecture) for architecture in architectures)


def _architectures(spot: Spot) -> tuple[str, ...]:
    found = [choice(item, ARCHITECTURES) for item in _list(spot, "platforms", "[linux/amd64, linux/arm64]")]
    if isinstance(spot.node, Items) and not found:
        spot.refuse("is empty, expected linux/amd64 or linux/arm64", cure="name one, or remove the line")
    return tuple(dict.fromkeys(ARCHITECTURES[one] for one in found if one))


def _row(name: str, spot: Spot, plain: Variant, shared: _Shared) -> tuple[Variant, ...]:
    grammar.row_name(spot, name)
    at = section(spot, required={"torch": "torch: 2.1.2; a variant without an exact torch cannot be repeated"},
                 optional=("env", "index", "platforms", "cuda_libraries"))
    env = {**plain.env, **_env(at["env"])}
    found = choice(at["cuda_libraries"], CUDA_LIBRARIES) or plain.cuda_libraries
    if found == "on_path" and "LD_LIBRARY_PATH" in env:
        at["cuda_libraries"].refuse("on_path sets LD_LIBRARY_PATH, and so does env", cure="remove one of the two")
    return _on(_architectures(at["platforms"]) or shared.architectures, replace(
        plain,
        name=name,
        torch=grammar.torch(at["torch"]),
        env=env,
        cuda_libraries=found,
        index=grammar.index(at["index"]) or None,
    ))


def _health(spot: Spot) -> Health:
    at = section(spot, required={"path": "path: /health"}, optional=("expect", "within"))
    answers = entries(at["expect"], expected="a mapping of JSON values")
    return Health(
        path=grammar.url_path(at["path"]),
        expect={key: grammar.json_scalar(value) for key, value in answers},
        within=DEFAULT_WITHIN if at["within"].absent else grammar.span(at["within"]),
    )


def _env(spot: Spot) -> Mapping[str, str]:
    return {
        name: text(value, whole_numbers=True, empty=True)
        for name, value in entries(spot, expected="a mapping of environment variables")
        if grammar.env_name(value, name)
    }


def _contents(path: Path) -> str:
    cure = "run this beside a variants.yaml, or name one with --file"
    try:
        with path.open("rb") as source:
            data = source.read(4 * MAX_CHARACTERS + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file", cure=cure) from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", cure=cure) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: the byte 0x{data[error.start]:02X} is not UTF-8, expected a UTF-8 text",
                          cure="save the file as UTF-8") from error


def _exists(root: Path, asked: str) -> bool:
    place = root / asked
    try:
        return place.is_dir() if asked.endswith("/") else place.is_file()
    except OSError:  # a folder that may not be entered, a name that is too long
        return False
