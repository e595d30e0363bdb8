"""Reads what a Debian system says of itself: dpkg's status file, and os-release."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DebianPackage:
    """One installed package; ``source`` and ``source_version`` name the source package it was made of.

    ``depends`` has one tuple a dependency, with the names of its alternatives; ``provides`` are virtual names.
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    depends: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What os-release says: ID ("debian"), VERSION_ID ("12"; "" for a suite without one), PRETTY_NAME."""

    id: str
    version: str
    title: str


def parse_status(text: str) -> tuple[DebianPackage, ...]:
    """The installed packages of a status file, by name; a paragraph without Status is of one that is installed."""
    found = [_package(fields) for fields in _paragraphs(text) if _is_installed(fields)]
    return tuple(sorted(found, key=lambda one: (one.name, one.architecture)))


def parse_os_release(text: str) -> Distribution | None:
    """The distribution that an os-release file names; None where it names none."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition("=")
        if re.fullmatch(r"[A-Z0-9_]+", key):
            said[key] = _unquoted(value)
    if not said.get("ID"):
        return None
    version = said.get("VERSION_ID", "")
    return Distribution(id=said["ID"].lower(), version=version, title=said.get("PRETTY_NAME") or said["ID"])


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value.strip("\"'")


def _paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    fields: dict[str, str] = {}
    for line in (*text.splitlines(), ""):
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        else:  # a line that goes on begins with a space, so it is no field of a name that is asked for
            key, _, value = line.partition(":")
            fields[key.lower()] = value.strip()


def _is_installed(fields: Mapping[str, str]) -> bool:
    complete = {"package", "version"} <= fields.keys()
    return complete and fields.get("status", "install ok installed").split()[-1:] == ["installed"]


def _package(fields: Mapping[str, str]) -> DebianPackage:
    name, version = fields["package"], fields["version"]
    source = re.fullmatch(r"(\S+)(?:\s+\((\S+)\))?", fields.get("source", name))
    return DebianPackage(
        name=name, version=version, architecture=fields.get("architecture", "all"),
        source=source[1] if source else name, source_version=source[2] or version if source else version,
        depends=(*_relations(fields.get("pre-depends", "")), *_relations(fields.get("depends", ""))),
        provides=tuple(names[0] for names in _relations(fields.get("provides", ""))),
    )


def _relations(text: str) -> Iterator[tuple[str, ...]]:
    """The package names in a relation field: commas between relations, bars between alternatives."""
    for relation in text.split(","):
        words = (alternative.split() for alternative in relation.split("|"))
        # NAME:any and NAME:native are of another architecture's sake
        names = tuple(re.split(r"[:(]", word[0])[0] for word in words if word)
        if names:
            yield names
