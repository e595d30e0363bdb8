"""What the indexes offer today beside the torch rows of compat.yaml, and where the two differ.

A comparison says nothing about a place that did not answer: what is unknown is no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from torchferry.compat_rows import Table, TorchRow

COMPANIONS = ("torchvision", "torchaudio")
"""Packages that are released with torch and name the one release of it that they run beside."""

Releases = Mapping[str, frozenset[str]]
"""Versions without their local part, each with the Pythons it has wheels for."""


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What was found. None, or no entry: nobody answered.

    ``default``: torch on the default index; ``builds``: torch on the index of each CUDA build, only wheels of that
    build counted; ``pins``: for each companion, its releases with what they ask of torch (None: not told).
    """

    default: Releases | None = None
    builds: Mapping[str, Releases] = field(default_factory=dict)
    pins: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing in which table and indexes differ, and of which torch release."""

    torch: str
    said: str


def releases(filenames: Iterable[str], build: str | None = None) -> Releases:
    """The final releases among these wheels for x86_64 Linux; of a ``build`` those with its local version (+cu121)."""
    found: dict[str, set[str]] = {}
    for version, tags in _wheels(filenames):
        pythons = {
            f"{tag.interpreter[2]}.{tag.interpreter[3:]}" for tag in tags if _is_plain(tag.interpreter, tag.abi)
        }
        if pythons and version.local == build:
            found.setdefault(version.public, set()).update(pythons)
    return {version: frozenset(pythons) for version, pythons in found.items()}


def versions(filenames: Iterable[str]) -> frozenset[str]:
    """The final releases among these wheels for x86_64 Linux, whatever Python they are for."""
    return frozenset(version.public for version, _ in _wheels(filenames))


def _wheels(filenames: Iterable[str]) -> Iterator[tuple[Version, list[Tag]]]:
    for filename in filenames:
        try:
            _, version, _, tags = parse_wheel_filename(filename)
        except (InvalidWheelFilename, ValueError):  # an index also lists sdists and what older rules allowed
            continue
        here = [tag for tag in tags if "linux" in tag.platform and tag.platform.endswith("x86_64")]
        if here and not (version.is_prerelease or version.is_postrelease):
            yield version, here


def _is_plain(interpreter: str, abi: str) -> bool:
    """A wheel for one CPython with the lock: cp313, not cp313t; cp27-cp27m and cp37-cp37m are older than any row."""
    return interpreter.startswith("cp") and abi == interpreter and len(interpreter) > 3


def required_torch(metadata: bytes) -> str:
    """Which releases of torch a METADATA file asks for: '==2.1.2', '>=2.14.0'; '' where any will do."""
    for line in BytesParser().parsebytes(metadata, headersonly=True).get_all("Requires-Dist", []):
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.name == "torch" and wanted.marker is None:
            return str(wanted.specifier)
    return ""


def compare(table: Table, offers: Offers) -> tuple[Difference, ...]:
    """Every difference, by release: new and vanished releases, builds, Pythons, and pairs with the companions."""
    first = Version(table.torch[0].version)
    known = {Version(row.version): row for row in table.torch}
    seen = {version for found in (offers.default or {}, *offers.builds.values()) for version in found}
    said: list[Difference] = []
    for version in sorted(map(Version, {*seen, *(row.version for row in table.torch)})):
        row = known.get(version)
        if row is not None:
            texts = [*_default(row, offers), *_builds(row, offers), *_pairs(row, offers)]
        elif version > first:
            texts = [_new(str(version), offers)]
        else:
            texts = []
        said += [Difference(torch=row.version if row else str(version), said=text) for text in texts]
    return tuple(said)


def _new(version: str, offers: Offers) -> str:
    places = [*(["the default index"] if version in (offers.default or {}) else [])]
    places += [build for build, found in offers.builds.items() if version in found]
    pythons = {python for found in (offers.default or {}, *offers.builds.values()) for python in found.get(version, ())}
    text = f"has no row: on {', '.join(places)}, for Python {_listed(pythons)}"
    return "; ".join([text, *(_beside(name, pins, version) for name, pins in offers.pins.items())])


def _beside(name: str, pins: Mapping[str, str | None], version: str) -> str:
    # Releases that ask for nothing say nothing: torchaudio 2.11.0 would be named beside every later torch.
    fitting = [(release, torch) for release, torch in _ascending(pins) if torch and version in SpecifierSet(torch)]
    return f"{name} {fitting[-1][0]} asks for torch {fitting[-1][1]}" if fitting else f"no {name} asks for it"


def _default(row: TorchRow, offers: Offers) -> list[str]:
    if offers.default is None:
        return []
    if row.version not in offers.default:
        return ["the default index no longer has it"]
    have, told = offers.default[row.version], set(row.pythons)
    texts = [f"the default index also has it for Python {_listed(have - told)}"] if have - told else []
    return texts + ([f"the default index lacks it for Python {_listed(told - have)}"] if told - have else [])


def _builds(row: TorchRow, offers: Offers) -> list[str]:
    texts = []
    for build, found in offers.builds.items():
        if row.version in found and build not in row.builds:
            texts.append(f"{build} is new: its index has it for Python {_listed(found[row.version])}")
        elif build in row.builds and row.version not in found:
            texts.append(f"{build} is gone from its index")
        elif build in row.builds and (lacking := set(row.pythons) - found[row.version]):
            texts.append(f"the index of {build} lacks it for Python {_listed(lacking)}")
    return texts


def _pairs(row: TorchRow, offers: Offers) -> list[str]:
    texts = []
    for name, told in (("torchvision", row.torchvision), ("torchaudio", row.torchaudio)):
        pins = offers.pins.get(name)
        if pins is None:
            continue
        made = [release for release, torch in _ascending(pins) if torch == f"=={row.version}"]
        if told is not None and told not in pins:
            texts.append(f"{name} {told} is not on the default index")
        elif told is not None and row.version not in SpecifierSet(pins[told] or ""):
            texts.append(f"{name} {told} asks for torch {pins[told]}")
        if made and made[-1] != told:
            texts.append(f"{name} {made[-1]} is made for it, the table has {told or 'none'}")
    return texts


def _ascending(pins: Mapping[str, str | None]) -> list[tuple[str, str | None]]:
    return sorted(pins.items(), key=lambda item: Version(item[0]))


def _listed(pythons: Iterable[str]) -> str:
    return ", ".join(sorted(pythons, key=Version))
