"""What goes along: a release folder read, held against its SHA256SUMS, and the files that were asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torchferry import choice, files, manifest
from torchferry.carriers import Item
from torchferry.errors import ConfigError, IntegrityError, ShipError
from torchferry.layout import MANIFEST, SIGNATURE, SUMS
from torchferry.wording import in_words

LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
PARTIAL = re.compile(r"\..*\.partial(\..*)?")
"""Names of what is only on its way: a file of that name could not be told from one."""
DAMAGED = "bring the release folder here again, or pack it anew with inv bundle"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One image of a release: the parts of its archive, and the head with which a guarded load begins."""

    service: str
    variant: str
    platform: str
    parts: tuple[str, ...]
    head: str

    @property
    def files(self) -> tuple[str, ...]:
        return (self.head, *self.parts)


@dataclass(frozen=True, kw_only=True)
class Cargo:
    """A release folder whose files were all proven; archives that did not come this far are not in ``items``."""

    folder: Path
    title: str
    images: tuple[Packed, ...]
    items: tuple[Item, ...]
    last: tuple[Item, ...]

    @property
    def signed(self) -> bool:
        return any(item.name == SIGNATURE for item in self.last)

    @property
    def here(self) -> frozenset[str]:
        """The names of all files that can be sent."""
        return frozenset(item.name for item in self.items)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which images are wanted; nothing said means all."""

    variants: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    platform: str | None = None

    def wants(self, image: Packed) -> bool:
        """Whether an image is among them; one without variants always comes along, as it does when it is built."""
        return (
            (not self.services or image.service in self.services)
            and (not self.variants or image.variant in self.variants or image.variant == "any")
            and (self.platform is None or image.platform == self.platform)
        )


def read(folder: Path, *, known: Callable[[Path, str], bool], passed: Callable[[int], object] = files.ignore) -> Cargo:
    """Read a release folder and prove its files; ``known`` tells what was proven before, ``passed`` hears the bytes.

    Raises ConfigError where there is no release, IntegrityError for every file that is missing or other than listed.
    """
    listed = _listed(folder)
    images, title = _images(folder)
    archives = {name for image in images for name in image.files}
    absent = {name for name in listed if not (folder / name).is_file()}
    wrong = [f"{name} is missing" for name in sorted(absent - archives)]
    for image in images:
        if not absent.issuperset(image.parts):
            wrong += [f"{name} is missing" for name in image.files if name in absent]
    items = [_item(folder, name, sha256) for name, sha256 in sorted(listed.items()) if name not in absent]
    for item in items:
        if not known(item.path, item.sha256) and files.sha256(item.path, passed=passed) != item.sha256:
            wrong.append(f"{item.name} has other bytes than {SUMS} says")
    if wrong:
        raise IntegrityError(f"{folder}: " + "; ".join(wrong), cure=DAMAGED)
    last = [name for name in (SIGNATURE, SUMS) if (folder / name).is_file()]
    return Cargo(
        folder=folder, title=title, images=images, items=tuple(items),
        last=tuple(_item(folder, name, files.sha256(folder / name)) for name in last),
    )


def chosen(cargo: Cargo, wish: Wish) -> tuple[Item, ...]:
    """What a wish asks for, in the order in which it goes: archives last, then what says that all is there.

    Raises ConfigError for a name that the release does not have, ShipError for an archive that is not here.
    """
    choice.refuse_unknown("--variant", wish.variants, (image.variant for image in cargo.images), where=cargo.title)
    choice.refuse_unknown("--service", wish.services, (image.service for image in cargo.images), where=cargo.title)
    wanted = [image for image in cargo.images if wish.wants(image)]
    if not wanted:
        raise ConfigError(
            f"{cargo.title} has no image of variant {in_words(wish.variants, 'or')} and service "
            f"{in_words(wish.services, 'or') or 'any'}" + (f" for {wish.platform}" if wish.platform else ""),
            cure=_has(cargo.images),
        )
    missing = [image for image in wanted if not set(image.files) <= cargo.here]
    if missing and (wish.variants or wish.services or len(missing) == len(wanted)):
        raise ShipError(
            f"{cargo.folder}: {in_words([name for image in missing for name in image.parts])} did not come this far",
            cure="ship it here first, or name what is here with --variant",
        )
    archives = {name for image in cargo.images for name in image.files}
    sent = {name for image in wanted for name in image.files}
    order = sorted(cargo.items, key=lambda item: (item.name in archives, item.name))
    return (*(item for item in order if item.name in sent or item.name not in archives), *cargo.last)


def variants(cargo: Cargo, items: Sequence[Item]) -> tuple[str, ...]:
    """The variants of the images whose archives are among some files."""
    names = {item.name for item in items}
    return tuple(sorted({image.variant for image in cargo.images if names.issuperset(image.parts)}))


def _listed(folder: Path) -> dict[str, str]:
    """The files that SHA256SUMS lists, with their hashes."""
    try:
        text = (folder / SUMS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{folder}: no release folder: {SUMS} cannot be read", cure="inv bundle makes one; --from names another",
        ) from error
    found: dict[str, str] = {}
    for line in text.splitlines():
        row = LINE.fullmatch(line)
        if row is None or not _stays_inside(folder, row[2]) or found.setdefault(row[2], row[1]) != row[1]:
            raise IntegrityError(f"{folder / SUMS}: {line!r} is no hash of a file of this folder", cure=DAMAGED)
    if MANIFEST not in found:
        raise IntegrityError(f"{folder / SUMS}: {MANIFEST} is not listed", cure=DAMAGED)
    return found


def _stays_inside(folder: Path, name: str) -> bool:
    """Whether a listed name is a plain path below the folder, also when links are followed."""
    parts = name.split("/")
    plain = name.isprintable() and "\\" not in name and not {"", ".", ".."} & set(parts)
    reserved = name in (SUMS, SIGNATURE) or PARTIAL.fullmatch(parts[-1])
    inside = plain and (folder / name).resolve().is_relative_to(folder.resolve())
    return inside and not reserved


def _images(folder: Path) -> tuple[tuple[Packed, ...], str]:
    """The images that manifest.json names, and the release's folder name."""
    text = (folder / MANIFEST).read_text(encoding="utf-8") if (folder / MANIFEST).is_file() else ""
    rows = manifest.entries(text, file=MANIFEST)
    found = tuple(
        Packed(
            service=str(row["service"]), variant=str(row["variant"]), platform=str(row["platform"]),
            parts=tuple(str(part["name"]) for part in row["archive"]["parts"]),
            head=str(row["archive"]["head"]["name"]),
        )
        for row in rows
    )
    return found, manifest.release(text, file=MANIFEST).folder


def _item(folder: Path, name: str, sha256: str) -> Item:
    path = folder / PurePosixPath(name)
    return Item(name=name, path=path, size=path.stat().st_size, sha256=sha256, executable=os.access(path, os.X_OK))


def _has(images: Sequence[Packed]) -> str:
    return "it has: " + ", ".join(f"{image.service} {image.variant} ({image.platform})" for image in images)
