"""What ferry.sh must know of its release, as shell: one `case` for images, services and models, every word quoted.

The shell reads no JSON, so the manifest comes to it as assignments. Lists are lines; a command is a text of quoted
words for `eval "set -- ..."`. Nothing gets in unquoted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torchferry.manifest import model_folder, omitted_models
from torchferry.render import health_command
from torchferry.running import Health

ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


def facts(document: Mapping[str, Any]) -> str:
    """The shell text for the manifest of a release."""
    images, services, models = document["images"], document["services"], document["models"]
    lines = [
        f"release_name={_word(document['release'])}",
        f"release_version={_word(document['version'])}",
        f"release_sequence={_word(document['sequence'])}",
        f"release_revision={_word(document['revision'] or '')}",
        f"release_rests_on={_word(', '.join((document['delta'] or {}).get('rests_on', ())))}",
        f"services={_lines(one['name'] for one in services)}",
        f"images={_lines(_image_key(one) for one in images)}",
        "", "# the facts of one image: SERVICE VARIANT ARCHITECTURE", "image() {", "  case $1 in",
        *(line for one in images for line in _case(_image_key(one), _image(one))),
        *_else("image"),
        "", "# the facts of one service", "service() {", "  case $1 in",
        *(line for one in services for line in _case(one["name"], _service(one, models))),
        *_else("service"),
        "", "# the facts of one model", "model() {", "  case $1 in",
        *(line for one in models for line in _case(model_folder(one), _model(one, omitted_models(document)))),
        *_else("model"),
    ]
    return "\n".join(lines) + "\n"


def _image_key(row: Mapping[str, Any]) -> str:
    return f"{row['service']} {row['variant']} {ARCHITECTURES[row['platform']]}"


def _image(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    archive, head = row["archive"], row["archive"]["head"]
    fresh = row["layers"][archive["omits"]:]
    yield "image_service", _word(row["service"])
    yield "image_variant", _word(row["variant"])
    yield "image_name", _word(row["image"])
    yield "image_incoming", _word(row["incoming"])
    yield "image_config", _word(row["config"])
    yield "image_manifest", _word(row["manifest"])
    yield "image_size", _word(sum(layer["size"] for layer in fresh))
    yield "image_omits", _word(archive["omits"])
    yield "image_gpu", _word("gpu" if row["needs"]["cuda"] else "")
    yield "image_archive", _word(archive["name"])
    yield "image_head", _word(head["name"])
    yield "image_replaces", _word(head["replaces"])
    yield "image_parts", _lines(f"{part['size']} {part['sha256']} {part['name']}" for part in archive["parts"])
    yield "image_platform", _word(row["platform"])
    yield "image_gzip", _lines(f"{layer['packed']['sha256']} {layer['packed']['size']}" for layer in _packed(row))
    yield "image_runs", _lines(_runs(row))
    yield "image_layers", _lines(f"{layer['diff_id']} {layer['size']}" for layer in row["layers"])


def _packed(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers of an image, if it is known of all of them where they lie."""
    return row["layers"] if all("packed" in layer for layer in row["layers"]) else []


def _runs(row: Mapping[str, Any]) -> Iterator[str]:
    """Where the layers lie in the files of an archive: SHA-256, first byte counted from 1, bytes, file."""
    seen: set[str] = set()
    for layer in (one["packed"] for one in _packed(row) if one["packed"]["at"] is not None):
        begin, end, start = layer["at"], layer["at"] + layer["size"], 0
        for part in row["archive"]["parts"] if layer["sha256"] not in seen else ():
            first, last = max(begin, start), min(end, start + part["size"])
            if first < last:
                yield f"{layer['sha256']} {first - start + 1} {last - first} {part['name']}"
            start += part["size"]
        seen.add(layer["sha256"])


def _service(row: Mapping[str, Any], models: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    health = row["health"]
    mounts = row["mounts"]
    folders = {mount["point"]: mount["folder"] for mount in mounts}
    mine = [model for model in models if row["name"] in model["services"]]
    hidden = {mount["point"] for mount in mounts for model in mine if _covers(mount["point"], model["at"])}
    before = row["before_update"] or {"copy": [], "command": []}
    yield "service_port", _word(row["port"] or "")
    yield "service_user", _word(row["user"])
    yield "service_within", _word(health["within"] if health else 0)
    yield "service_health", _word(shlex.join(health_command(Health(**health), row["port"])) if health else "")
    yield "service_reads", _lines(_mount(one) for one in mounts if one["read_only"] and one["point"] not in hidden)
    yield "service_writes", _lines(_mount(one) for one in mounts if not one["read_only"] and one["point"] not in hidden)
    yield "service_models", _lines(f"{model_folder(model)} {model['at']}" for model in mine)
    yield "service_proof", _word(_proof(row))
    yield "service_copies", _lines(f"{point} {folders[point]}" for point in before["copy"])
    yield "service_before", _word(shlex.join(before["command"]))


def _proof(row: Mapping[str, Any]) -> str:
    """What inside/prove.py takes."""
    return json.dumps({**row["prove"], "port": row["port"]}, sort_keys=True) if row["prove"] else ""


def _model(row: Mapping[str, Any], omitted: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield "model_omitted", _word("yes" if model_folder(row) in omitted else "")
    yield "model_files", _lines(f"{file['size']} {file['sha256']} {file['path']}" for file in row["files"])


def _mount(row: Mapping[str, Any]) -> str:
    return f"{row['point']} {row['folder']}"


def _covers(point: str, at: str) -> bool:
    """Whether a release's own model takes the place of a mount: at it, or inside it."""
    return at == point or at.startswith(f"{point}/")


def _case(key: str, pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield f"    {_word(key)})"
    yield from (f"      {name}={value}" for name, value in pairs)
    yield "      ;;"


def _else(what: str) -> tuple[str, ...]:
    return f"    *) bug \"{what} $1\" ;;", "  esac", "}"


def _word(value: object) -> str:
    """Always in quotes: without, shellcheck takes a name with hyphens for a sum."""
    return "'" + str(value).replace("'", "'\"'\"'") + "'"


def _lines(rows: Iterable[str]) -> str:
    return _word("\n".join(rows))
