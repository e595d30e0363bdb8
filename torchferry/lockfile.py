"""The lock on disk: a PEP 751 file, wheels by `path`, never by URL, so that it holds behind any mirror.

What torchferry must know beyond PEP 751 stands in [tool.torchferry]: the fingerprint of what was asked, the
installer (uv) for the image, the base's digest, and how wheels were made from source distributions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import tomli
from packaging.utils import canonicalize_name, parse_wheel_filename

from torchferry.errors import LockError
from torchferry.model import BuiltWheel, Lock, Variant, Wheel, fingerprint

VERSION = 1
"""Grows when what a lock says changes its meaning; older locks are then refused by name."""


def asked(variant: Variant, requirements: str, constraints: Sequence[str]) -> str:
    """The fingerprint of a resolution's inputs: equal inputs need no new resolution, whatever mirror answers."""
    return fingerprint({
        "lock-version": VERSION,
        "variant": variant.name,
        "torch": variant.torch,
        "python": variant.python,
        "architecture": variant.architecture,
        "base": [variant.service.base.image, variant.service.base.debian],
        "sdists": sorted(variant.service.sdists),
        "requirements": requirements,
        "constraints": sorted(constraints),
    })


def dump(lock: Lock, variant: Variant) -> str:
    """A lock as TOML text: sorted, one line a wheel, so that a diff shows what moved."""
    command = f"inv lock --service {variant.service.name} --variant {variant.name}"
    lines = [
        f"# {variant.service.name}, {variant.full_name}: made by `{command}`; do not edit. --upgrade moves the pins.",
        'lock-version = "1.0"',
        'created-by = "torchferry"',
        f"requires-python = {_text('==' + variant.python + '.*')}",
        "",
        "[tool.torchferry]",
        f"version = {VERSION}",
        f"fingerprint = {_text(lock.fingerprint)}",
        f"installer = {_inline(_named_row(lock.installer, 'tools'))}",
    ]
    if lock.base_digest:
        lines.append(f"base-digest = {_text(lock.base_digest)}")
    for built in lock.built:
        sdist = {"path": f"sdists/{built.sdist}", "size": built.sdist_size, "sha256": built.sdist_sha256}
        lines += [
            "", "[[tool.torchferry.built]]",
            f"name = {_text(built.name)}",
            f"sdist = {_inline(sdist)}",
            "requires = [", *(f"  {_inline(_named_row(wheel, 'sdists'))}," for wheel in built.requires), "]",
        ]
    for wheel in sorted(lock.wheels, key=lambda wheel: wheel.name):
        lines += [
            "", "[[packages]]",
            f"name = {_text(wheel.name)}",
            f"version = {_text(wheel.version)}",
            f"wheels = [{_inline(_row(wheel, variant.full_name))}]",
        ]
    return "\n".join(lines) + "\n"


def parse(text: str, *, file: str) -> Lock:
    """A lock from its text; LockError names what is wrong with it."""
    cure = "make it anew: inv lock"
    try:
        data = tomli.loads(text)
        ours = data["tool"]["torchferry"]
        if ours["version"] != VERSION:
            raise LockError(f"{file}: version {ours['version']}, this torchferry reads version {VERSION}", cure=cure)
        return Lock(
            fingerprint=str(ours["fingerprint"]),
            installer=_wheel(ours["installer"], ours["installer"]),
            base_digest=ours.get("base-digest"),
            built=tuple(_built(row) for row in ours.get("built", ())),
            wheels=tuple(_wheel(package, package["wheels"][0]) for package in data["packages"]),
        )
    except (tomli.TOMLDecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise LockError(f"{file}: not a lock that torchferry wrote: {error!r}", cure=cure) from error


def parse_resolution(text: str) -> tuple[dict[str, Any], ...]:
    """The packages of a pylock.toml as a resolver printed it."""
    return tuple(tomli.loads(text).get("packages", ()))


def parse_wheel(package: Mapping[str, Any], row: Mapping[str, Any]) -> Wheel:
    """One wheel of a resolver's answer; its file name is the last part of its URL or path."""
    filename = str(row.get("name") or row.get("url") or row.get("path")).rsplit("/", 1)[-1].replace("%2B", "+")
    _, version, _, _ = parse_wheel_filename(filename)
    return Wheel(
        name=canonicalize_name(package["name"]), version=str(version), filename=filename,
        size=int(row.get("size") or 0), sha256=str(row["hashes"]["sha256"]),
    )


def _wheel(package: Mapping[str, Any], row: Mapping[str, Any]) -> Wheel:
    filename = str(row["path"]).rsplit("/", 1)[-1]
    name, version, _, _ = parse_wheel_filename(filename)
    digest = str(row["hashes"]["sha256"])
    if name != canonicalize_name(package["name"]) or str(version) != package["version"]:
        raise ValueError(f"{filename} is not {package['name']} {package['version']}")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"{filename}: {digest!r} is no SHA-256")
    return Wheel(name=name, version=str(version), filename=filename, size=int(row["size"]), sha256=digest)


def _built(row: Mapping[str, Any]) -> BuiltWheel:
    sdist = row["sdist"]
    return BuiltWheel(
        name=str(row["name"]), sdist=str(sdist["path"]).rsplit("/", 1)[-1], sdist_sha256=str(sdist["sha256"]),
        sdist_size=int(sdist["size"]), requires=tuple(_wheel(wheel, wheel) for wheel in row["requires"]),
    )


def _row(wheel: Wheel, folder: str) -> dict[str, Any]:
    return {"path": f"{folder}/{wheel.filename}", "size": wheel.size, "hashes": {"sha256": wheel.sha256}}


def _named_row(wheel: Wheel, folder: str) -> dict[str, Any]:
    return {"name": wheel.name, "version": wheel.version, **_row(wheel, folder)}


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=True)  # a JSON string of ASCII is a TOML basic string


def _inline(row: Mapping[str, Any]) -> str:
    cells = (
        f"{key} = {_inline(value) if isinstance(value, Mapping) else value if isinstance(value, int) else _text(value)}"
        for key, value in row.items()
    )
    return "{ " + ", ".join(cells) + " }"
