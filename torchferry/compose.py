"""compose.yaml of a release: the services that ferry.sh starts, for people who start theirs with `docker compose`.

A service with variants stands there once for each, under a profile of the variant's name; one without is always meant.
It proves nothing and rolls nothing back: that is ferry.sh's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from torchferry import manifest
from torchferry.runline import SERVER_FOLDER

Row = Mapping[str, Any]

ANY = "any"
USUAL_PLATFORM = "linux/amd64"
LOG_OPTIONS = {"max-size": "20m", "max-file": "3"}

HEADER = """\
# {title}, for docker compose 2.20 or newer, started in this folder. First load the images: sh ferry.sh load
#   {start}
# Folders of the server lie below FERRY_DATA ({data} unless it is set); those that a service writes are UID {users}'s.
# Models lie in FERRY_MODELS (models, beside this file). A file .env beside this one may set both.
# sh ferry.sh run starts the same, and proves each service before it takes over.
"""


def text(document: Row) -> str:
    """The file for what a manifest holds: the same in, the same out."""
    images, services = document["images"], document["services"]
    places = {row["name"]: number for number, row in enumerate(services)}
    ordered = sorted(images, key=lambda image: (places[image["service"]], full_name(image)))
    made = {
        "name": document["release"],
        "services": {
            _name(image): _service(image, services[places[image["service"]]], document) for image in ordered
        },
        "networks": {"default": {"name": document["release"]}},
    }
    users = sorted({str(row["user"]) for row in services})
    header = HEADER.format(
        title=manifest.title(document), start=_start(images), data=SERVER_FOLDER,
        users=" or ".join(users),
    )
    return header + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)


def full_name(image: Row) -> str:
    """The variant of an image, and its platform where that is not the usual one: cu121, cpu-arm64."""
    variant, platform = str(image["variant"]), str(image["platform"])
    return variant if platform == USUAL_PLATFORM else f"{variant}-{_architecture(platform)}"


def _architecture(platform: str) -> str:
    return platform.partition("/")[2]


def _name(image: Row) -> str:
    ending = full_name(image).removeprefix(ANY).removeprefix("-")
    return f"{image['service']}-{ending}" if ending else str(image["service"])


def _profiles(image: Row, images: Sequence[Row]) -> list[str]:
    """What asks for an image; one for all variants is always meant, unless there are several platforms."""
    if image["variant"] != ANY:
        return [full_name(image)]
    platforms = {other["platform"] for other in images}
    if len(platforms) == 1:
        return []
    along = {full_name(other) for other in images if other["platform"] == image["platform"] and other["variant"] != ANY}
    return sorted(along | {_architecture(image["platform"])})


def _start(images: Sequence[Row]) -> str:
    """The line that starts a release, and for whom else it has something."""
    profiles = sorted({profile for image in images for profile in _profiles(image, images)})
    if not profiles:
        return "docker compose up -d"
    first = next((name for name in profiles if name.startswith("cu")), profiles[0])
    others = [name for name in profiles if name != first]
    more = f"     # or --profile {', '.join(others)}; sh ferry.sh doctor tells which" if others else ""
    return f"docker compose --profile {first} up -d{more}"


def _service(image: Row, service: Row, document: Row) -> dict[str, Any]:
    profiles = _profiles(image, document["images"])
    made: dict[str, Any] = {"image": image["image"], "pull_policy": "never"}
    if profiles:
        made["profiles"] = profiles
    made |= {"init": True, "restart": "unless-stopped"}
    made["logging"] = {"driver": "json-file", "options": dict(LOG_OPTIONS)}  # a copy: else YAML would make it an alias
    if service["port"]:
        made["ports"] = [f"{service['port']}:{service['port']}"]
    volumes = list(_volumes(service, document["models"]))
    if volumes:
        made["volumes"] = volumes
    if image["needs"]["cuda"]:
        made["deploy"] = {"resources": {"reservations": {"devices": [{"count": "all", "capabilities": ["gpu"]}]}}}
    made["networks"] = {"default": {"aliases": [service["name"]]}}
    made["labels"] = {f"io.torchferry.{name}": str(value) for name, value in (
        ("release", document["release"]), ("version", document["version"]), ("sequence", document["sequence"]),
        ("service", service["name"]), ("variant", image["variant"]),
    )}
    return made


def _volumes(service: Row, models: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Mounts that are written, mounts that are read, models. A mount in which a model has its place gives way to it."""
    mine = [model for model in models if service["name"] in model["services"]]
    mounts = [
        mount for mount in service["mounts"]
        if not any(f"{model['at']}/".startswith(f"{mount['point']}/") for model in mine)
    ]
    for mount in sorted(mounts, key=lambda mount: bool(mount["read_only"])):
        source = f"${{FERRY_DATA:-{SERVER_FOLDER}}}/{mount['folder']}"
        yield _bind(source, mount["point"], read_only=mount["read_only"])
    for model in mine:
        yield _bind(f"${{FERRY_MODELS:-./models}}/{manifest.model_folder(model)}", model["at"], read_only=True)


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    """What is only read must be there: Docker would make an empty folder of it. SELinux is told to let us in."""
    bind = {"create_host_path": not read_only, "selinux": "z"}
    return {"type": "bind", "source": source, "target": target, "read_only": bool(read_only), "bind": bind}
