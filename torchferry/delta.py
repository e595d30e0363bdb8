"""What servers hold already, and what of a release therefore need not travel: the lowest layers of images, and models.

A layer is left out by its ChainID, which says what lies below it too: so the classic store, which looks layers up by
it, and the containerd store both find what is missing. What is said here of a server is believed for that only: it
proves for itself, before it loads anything, that all is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torchferry import manifest
from torchferry.errors import ConfigError, IntegrityError
from torchferry.layout import MANIFEST
from torchferry.model import Image, Project, Release, Variant
from torchferry.planning import prefix
from torchferry.receipts import Receipt, read, text_of

_LABEL = re.compile(r"[^A-Za-z0-9.]+")
_DOTS = re.compile(r"\.{2,}")
_MISSING = re.compile(r"^torchferry missing 1\n", re.MULTILINE)
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Held:
    """What every server of a delta holds: layers by ChainID, models by NAME-VERSION.

    ``label`` ends the name of the release folder, ``rests_on`` says to people what it was made of. ``images`` are those
    (service, variant) that are asked for; nothing: all.
    """

    label: str
    rests_on: tuple[str, ...]
    chain_ids: frozenset[str]
    models: frozenset[str]
    images: frozenset[tuple[str, str]] = frozenset()

    def omits(self, image: Image) -> int:
        """How many of the lowest layers of an image need not travel."""
        return prefix(manifest.chain_ids([layer.diff_id for layer in image.layers]), self.chain_ids)

    def chosen(self, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        """Of some variants those that are asked for."""
        return tuple(
            one for one in variants if not self.images or (one.service.name, one.name) in self.images
        ) or variants

    def project(self, project: Project) -> Project:
        """The same project, whose release is this delta of it."""
        return labelled(project, self.label)

    def as_json(self, models: Iterable[str]) -> dict[str, Any]:
        """What the manifest says of it; ``models`` are those that the release has."""
        return {
            "label": self.label, "rests_on": list(self.rests_on), "models": sorted(self.models.intersection(models)),
        }


def labelled(project: Project, label: str) -> Project:
    """The same project, whose release is the delta of this label."""
    release = replace(project.release, delta=label)
    return replace(project, release=release, variants=tuple(replace(one, release=release) for one in project.variants))


def packed(project: Project, dist: Path) -> Iterator[Project]:
    """For each delta of a project's release that lies in dist/: the project whose release it is."""
    for place in sorted(dist.glob(f"*/{MANIFEST}")):
        try:
            said = manifest.release(place.read_text(encoding="utf-8"), file=str(place))
        except (OSError, ValueError, AttributeError, IntegrityError):
            continue  # somebody else's
        found = labelled(project, said.delta)
        if said.delta and place.parent.name == found.release.folder == said.folder:
            yield found


def held(
    release: Release, *, receipts: Sequence[str] = (), since: str | None = None, missing: str | None = None,
) -> Held | None:
    """What a person named for a delta of a release; None where nothing: the release is whole then.

    Raises ConfigError where more than one kind is named, or what is named cannot be read.
    """
    if sum(map(bool, (receipts, since, missing))) > 1:
        raise ConfigError("--for, --since and --missing: only one of them tells what the servers hold", cure="take one")
    if receipts:
        return of_receipts([read(Path(place)) for place in receipts])
    if since:
        return of_release(Path(since))
    return of_missing(Path(missing), release) if missing else None


def of_release(folder: Path) -> Held:
    """What a server holds that took a release, from its folder. Raises ConfigError where there is none."""
    place = folder / MANIFEST
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--since {folder}: no release folder: {MANIFEST} cannot be read",
            cure="name the folder of the release that the servers have, as it lies in dist/",
        ) from error
    rows, base = manifest.entries(text, file=str(place)), manifest.release(text, file=str(place))
    try:
        chains = frozenset(layer["chain_id"] for row in rows for layer in row["layers"])
        models = frozenset(map(manifest.model_folder, json.loads(text)["models"]))
    except (KeyError, TypeError) as error:
        raise IntegrityError(
            f"{place}: it does not say what the release holds: {error!r}", cure="inv package writes it anew"
        ) from error
    return Held(
        label=f"since-{_label(base.version)}", rests_on=(f"{base.name} {base.version}",), chain_ids=chains,
        models=models,
    )


def of_receipts(receipts: Sequence[Receipt]) -> Held:
    """What all servers hold that wrote these receipts; layers of unknown encoding do not count."""
    first, *others = receipts
    more = f"-and-{len(others)}-more" if others else ""
    return Held(
        label=f"for-{_label(first.host)}{more}",
        rests_on=tuple(f"{one.host}, {one.made}" for one in receipts),
        chain_ids=frozenset.intersection(*(one.raw_chain_ids for one in receipts)),
        models=frozenset.intersection(*(one.models for one in receipts)),
    )


def of_missing(path: Path, release: Release) -> Held:
    """What a server holds that had to refuse a delta of this release: what `sh ferry.sh missing` wrote there."""
    text = text_of(path, what="missing").replace("\r\n", "\n")
    first = _MISSING.search(text)
    if first is None or not text.endswith("\nend\n"):
        raise ConfigError(
            f"--missing {path}: not what sh ferry.sh missing writes, or cut", cure="sh ferry.sh missing writes it anew"
        )
    said: dict[str, list[str]] = {}
    for line in text[first.end():].split("\n"):
        kind, _, rest = line.partition(" ")
        said.setdefault(kind, []).append(rest)
    wanted = [f"{release.name} {release.version}"]
    if said.get("release") != wanted:
        raise ConfigError(
            f"--missing {path}: it is of {', '.join(said.get('release', ['nothing']))}, and this is {wanted[0]}",
            cure="make it in the project, and of the version, that the server refused",
        )
    host = (said.get("host") or ["a-server"])[0]
    if not host.isprintable():  # it goes into texts that terminals show
        raise ConfigError(f"--missing {path}: {host!r} is no name of a host", cure="sh ferry.sh missing writes it anew")
    return Held(
        label=f"for-{_label(host)}", rests_on=(f"what {host} lacked",),
        chain_ids=frozenset(filter(_HEX.fullmatch, said.get("holds", ()))), models=frozenset(said.get("model", ())),
        images=frozenset((words[0], words[1]) for words in map(str.split, said.get("image", ())) if len(words) >= 2),
    )


def _label(text: str) -> str:
    """A text as a part of a folder's name."""
    return _DOTS.sub(".", _LABEL.sub("-", text)).strip("-.")[:40].rstrip("-.") or "x"
