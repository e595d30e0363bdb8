"""How services run on a server, parsed: mounts, models, proofs, updates. Each problem goes on the list of its Spot."""

from __future__ import annotations

from collections.abc import Sequence

from torchferry import grammar
from torchferry.fields import Spot, choice, entries, items, section, text, words
from torchferry.model import APP
from torchferry.running import BeforeUpdate, Model, Mount, Proof

METHODS = ("GET", "POST", "PUT")
READ_ONLY = ":ro"


def mounts(spot: Spot) -> tuple[Mount, ...]:
    """Folders of the server by their place in the container; `:ro` behind one that is only read."""
    found: dict[str, Mount] = {}
    for name, value in entries(spot, expected="a mapping of folders in the image to folders on the server"):
        point = grammar.mount_point(value, name)
        if point and point in found:
            value.refuse(f"{point} is mounted twice, expected once", cure="remove one of them")
        folder, read_only = grammar.mounted_folder(value, READ_ONLY)
        found[point] = Mount(point=point, folder=folder, read_only=read_only)
    return tuple(found.values())


def models(spot: Spot, *, services: Sequence[str], usual: tuple[str, ...]) -> tuple[Model, ...]:
    """The models of a release; ``usual`` are the services that get one unless it names others."""
    found = tuple(
        _model(name, value, services, usual)
        for name, value in entries(spot, expected="a mapping of models by name", as_spelled=True)
    )
    for number, model in enumerate(found):
        for other in found[:number]:
            if model.at == other.at and set(model.services) & set(other.services):
                spot.refuse(f"{other.name} and {model.name} are both mounted at {model.at}",
                            cure="give one of them another at:")
    return found


def _model(name: str, spot: Spot, services: Sequence[str], usual: tuple[str, ...]) -> Model:
    grammar.service_name(spot, name)
    at = section(
        spot, required={"source": "source: build/models", "version": 'version: "1.0"'},
        optional=("at", "for", "expect"),
    )
    wanted = tuple(
        choice(item, services) for item in items(at["for"], expected="a list of services", example="[stt-engine]")
    )
    place = text(at["at"], expected="a folder in the container")
    return Model(
        name=name, version=grammar.label(at["version"]),
        source=grammar.path(at["source"], kind="folder"),
        at=grammar.mount_point(at["at"], place) if place else f"{APP}/models/{name}",
        services=wanted or usual,
        expect=tuple(grammar.path(item, kind="file") for item in
                     items(at["expect"], expected="a list of paths in the model", example="[model.bin]")),
    )


def proof(spot: Spot, *, port: bool) -> Proof | None:
    """A command, or an HTTP request; which of the two is told by what is written."""
    if spot.absent:
        return None
    at = section(spot, required={}, optional=("command", "path", "method", "body", "file", "type", "expect", "within"))
    within = 60 if at["within"].absent else grammar.span(at["within"])
    if not at["command"].absent:
        for other in ("path", "method", "body", "file", "type", "expect"):
            if not at[other].absent:
                at[other].refuse("goes with path, not with a command", cure="remove it, or the command")
        return Proof(command=words(at["command"]), within=within)
    if at["path"].absent:
        spot.refuse("has neither command nor path, expected one of the two", cure="write {path: /transcribe, ...}")
    if not port:
        spot.refuse("needs the port that answers it", cure="add port: 8000")
    if not at["body"].absent and not at["file"].absent:
        at["file"].refuse("stands beside body, expected one of the two", cure="remove one of them")
    sends = not (at["body"].absent and at["file"].absent)
    file = text(at["file"], expected="a file in the image")
    return Proof(
        path=grammar.url_path(at["path"]), method=choice(at["method"], METHODS) or ("POST" if sends else "GET"),
        body=None if at["body"].absent else text(at["body"]),
        file=grammar.mount_point(at["file"], file) if file else None,
        content_type=text(at["type"], expected="a media type") or "application/json",
        expect={key: grammar.json_scalar(value)
                for key, value in entries(at["expect"], expected="a mapping of JSON values")},
        within=within,
    )


def before_update(spot: Spot, have: Sequence[Mount]) -> BeforeUpdate | None:
    """Folders to copy, by their place in the container, and a command; at least one of the two."""
    if spot.absent:
        return None
    at = section(spot, required={}, optional=("copy", "command"))
    if at["copy"].absent and at["command"].absent:
        spot.refuse("has neither copy nor command, expected at least one", cure="write {command: [...]}")
    points = [mount.point for mount in have]
    copy = items(at["copy"], expected="a list of mounts", example="[/app/data]")
    return BeforeUpdate(
        copy=tuple(choice(item, points) for item in copy),
        command=() if at["command"].absent else words(at["command"]),
    )
