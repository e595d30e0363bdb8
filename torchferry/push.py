"""`inv push`: the images of a release into a registry, as the blobs that the store holds; nothing is packed anew.

What the registry has is not sent again, so the same command goes on after a failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchferry import console, files, manifest, oci, registry_login, web
from torchferry.blobs import Blob, BlobStore
from torchferry.distribution import Body, Registry
from torchferry.errors import ConfigError, IntegrityError, ShipError
from torchferry.layout import MANIFEST
from torchferry.model import Image, Variant
from torchferry.oci import Descriptor, Document
from torchferry.reference import Reference, parse_reference
from torchferry.registry_keys import Keys
from torchferry.registry_login import DOCKER_HUB

if TYPE_CHECKING:
    from torchferry.pipeline import Road

LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+)(:[0-9]+)?")
_PLACE = re.compile(r"(?:https://)?([^/\s]+)((?:/[^/\s]+)*)/?")
_SHAPE = "write it as HOST[:PORT][/PREFIX]: registry.corp:5000, or registry.corp/team"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where images go: a registry, and what stands before their names there."""

    domain: str
    prefix: str
    plain: bool

    def name(self, image: str) -> Reference:
        """The full name of an image there."""
        return parse_reference("/".join(part for part in (self.domain, self.prefix, image) if part))


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One image to be pushed: its platform, documents, and where its layers lie."""

    image: Image
    platform: str
    document: Document
    blobs: tuple[Blob, ...]
    store: BlobStore


@dataclass(kw_only=True)
class Pushed:
    """What became of one name: bytes that were sent and that were there, its digest, and new, moved or present."""

    name: str
    platforms: tuple[str, ...]
    digest: str = ""
    state: str = ""
    sent: int = 0
    present: int = 0


def place(text: str, *, plain_http: bool) -> Place:
    """Understand what a person typed as REGISTRY. Docker speaks plain HTTP with this machine, and so do we."""
    found = _PLACE.fullmatch(text)
    domain = found[1] if found else ""
    made = Place(
        domain=domain, prefix=found[2].strip("/") if found else "",
        plain=plain_http or bool(LOOPBACK.fullmatch(domain)),
    )
    if not found or not re.search(r"[.:]|^localhost$", domain):
        raise ConfigError(f"{text}: not a registry", cure=_SHAPE)
    try:
        made.name("image:1")
    except ConfigError as error:
        raise ConfigError(f"{text}: not a registry", cure=_SHAPE) from error
    return made


def push(road: Road, chosen: Sequence[Variant], where: Place, *, named: bool) -> tuple[Pushed, ...]:
    """Put the packed images of some variants there; ``named``: each of them has to be packed."""
    parcels = _parcels(road, chosen, named=named)
    http = web.client(proxied=not LOOPBACK.fullmatch(where.domain))
    with http:
        pushing = _Pushing(where=where, registry=_registry(where, parcels, http))
        done: list[Pushed] = []
        for _, group in groupby(parcels, key=lambda one: (one[0].service.name, one[0].name)):
            done += pushing.group(list(group))
        return tuple(done)


def show(done: Sequence[Pushed]) -> None:
    """The table, one row a name."""
    rows = [
        [one.name, ", ".join(one.platforms), console.size(one.sent), console.size(one.present), one.state, one.digest]
        for one in done
    ]
    console.show(console.table(rows, header=["image", "platform", "pushed", "present", "state", "digest"]))
    console.show(f"\nnext: docker pull {done[-1].name}")


def _parcels(road: Road, chosen: Sequence[Variant], *, named: bool) -> tuple[tuple[Variant, Parcel], ...]:
    file = road.layout.manifest(road.project.release)
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    if file.is_file():
        said = manifest.entries(file.read_text(encoding="utf-8"), file=MANIFEST)
        rows = {(row["service"], row["variant"], row["platform"]): row for row in said}
    missing = [variant.label for variant in chosen if variant.key not in rows]
    if missing and (named or len(missing) == len(chosen)):
        raise ConfigError(
            f"{', '.join(missing)}: not in the release {road.project.release.folder}", cure="inv bundle packs it first")
    there = sorted((variant for variant in chosen if variant.key in rows), key=lambda variant: variant.key)
    return tuple((variant, _parcel(variant, rows[variant.key], road.layout.blobs)) for variant in there)


def _parcel(variant: Variant, row: dict[str, Any], folder: Path) -> Parcel:
    store = BlobStore(folder=folder, compression=row["archive"]["compression"])
    image = store.image(variant.image_name, row["config"])
    blobs = [store.blob(layer.diff_id) for layer in image.layers] if image else []
    if image is None or None in blobs:
        raise IntegrityError(
            f"{variant.image_name}: the store {folder} does not hold all of its layers",
            cure="run inv bundle again: it takes them in anew",
        )
    found = tuple(blob for blob in blobs if blob)
    document = oci.manifest(
        oci.config_descriptor(image.config), [oci.layer_descriptor(blob.gz_sha256, blob.gz_size) for blob in found])
    return Parcel(image=image, platform=variant.platform, document=document, blobs=found, store=store)


def _registry(where: Place, parcels: Iterable[tuple[Variant, Parcel]], http: web.Client) -> Registry:
    path = next(where.name(parcel.image.name).path for _, parcel in parcels)
    host = "registry-1.docker.io" if where.domain == DOCKER_HUB else where.domain
    login = registry_login.find(where.domain, path, registry_login.places())
    return Registry(
        domain=where.domain, url=f"{'http' if where.plain else 'https'}://{host}", http=http,
        keys=Keys(domain=where.domain, login=login),
    )


@dataclass(frozen=True, kw_only=True)
class _Pushing:
    """One run: the registry, and in which repository each blob is known to be."""

    where: Place
    registry: Registry
    held: dict[str, str] = field(default_factory=dict)

    def group(self, parcels: Sequence[tuple[Variant, Parcel]]) -> list[Pushed]:
        """The images of one service and variant: one a platform, and for several of them the index."""
        several = len(parcels) > 1
        plain = f"{parcels[0][0].service.name}:{parcels[0][0].release.version}-{parcels[0][0].name}"
        done = []
        for variant, parcel in parcels:
            # The index has the name without a platform, also where one of its images would have had it.
            alone = not (several and variant.image_name == plain)
            done.append(self._image(parcel, tagged=alone))
        if several:
            index = oci.index({parcel.platform: parcel.document for _, parcel in parcels})
            made = Pushed(name=self.where.name(plain).familiar, platforms=tuple(one.platform for _, one in parcels))
            self._tag(self.where.name(plain), index, made)
            done.append(made)
        return done

    def _image(self, parcel: Parcel, *, tagged: bool) -> Pushed:
        name, digest = self.where.name(parcel.image.name), parcel.document.descriptor.digest
        done = Pushed(name=name.familiar, platforms=(parcel.platform,))
        total = len(parcel.image.config) + sum(blob.gz_size for blob in set(parcel.blobs))
        with console.progress(f"push {name.familiar}", total) as step:
            for blob in dict.fromkeys(parcel.blobs):
                self._layer(name.path, blob, parcel.store, done, step.advance)
            config = oci.config_descriptor(parcel.image.config)
            self._bring(name.path, config, _bytes(parcel.image.config, step.advance), done, step.advance)
            self._tag(name if tagged else replace(name, tag=digest), parcel.document, done)
        if not tagged:
            done.name = f"{name.domain}/{name.path}@{digest[:19]}"
        return done

    def _layer(
        self, repository: str, blob: Blob, store: BlobStore, done: Pushed, passed: Callable[[int], object],
    ) -> None:
        descriptor = oci.layer_descriptor(blob.gz_sha256, blob.gz_size)
        try:
            self._bring(repository, descriptor, _file(blob.path, passed), done, passed)
        except ShipError:
            # The registry hashes what comes: if it did not like the bytes, they may have been damaged here.
            store.verify(blob.layer.diff_id)
            raise

    def _bring(
        self, repository: str, blob: Descriptor, body: Body, done: Pushed, passed: Callable[[int], object],
    ) -> None:
        """A blob into a repository, if it is not there, or in another one that can share it."""
        source = self.held.get(blob.digest, repository)
        there = self.registry.has_blob(repository, blob)
        if there or (source != repository and self.registry.mount(repository, blob, source)):
            done.present += blob.size
            passed(blob.size)
        else:
            self.registry.upload(repository, blob, body)
            done.sent += blob.size
        self.held[blob.digest] = repository

    def _tag(self, name: Reference, document: Document, done: Pushed) -> None:
        """Give a manifest its name; one that stood for something else before is moved, and that is told."""
        done.digest, size = document.descriptor.digest, document.descriptor.size
        before = self.registry.digest_of(name.path, name.tag, document.media_type)
        done.state = {None: "new", done.digest: "present"}.get(before, "moved")
        if before == done.digest:
            done.present += size
            return
        self.registry.put_manifest(name.path, name.tag, document)
        done.sent += size
        if before:
            console.say(f"{name.familiar}: it was {before} before")


def _file(path: Path, passed: Callable[[int], object]) -> Body:
    """The bytes of a file from any byte on; ``passed`` hears of each byte once, and of those given up."""
    told = 0

    def tell(count: int) -> None:
        nonlocal told
        told += count
        passed(count)

    def body(start: int) -> Iterator[bytes]:
        tell(start - told)
        return files.blocks(path, start=start, passed=tell)

    return body


def _bytes(data: bytes, passed: Callable[[int], object]) -> Body:
    def body(start: int) -> Iterator[bytes]:
        yield data[start:]
        passed(len(data) - start)

    return body
