"""What `sh ferry.sh receipt` wrote on a server, read at home: what it holds and runs, one fact a line.

A receipt is carried by people and may lie, be old, or be damaged: it says what need not be sent, never what is right.
The server proves for itself that what was left out is there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torchferry.errors import ConfigError, IntegrityError
from torchferry.manifest import chain_ids
from torchferry.smi_text import decoded

VERSION = 1
MOST_BYTES = 32 << 20
"""More than any server has to say: some 200,000 layers."""
ANEW = "sh ferry.sh receipt writes a new one"

_FIRST = re.compile(r"^torchferry receipt ([0-9]{1,9})$", re.MULTILINE)
_HOST = re.compile(r"[^\s/\\]{1,255}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SEQUENCE = re.compile(r"[0-9]{1,10}")
_ENGINE = re.compile(r"([a-z]{1,20}) ([0-9A-Za-z.+~-]{0,40}) ([a-z]{1,20})")
_SERVICE = re.compile(r"([a-z0-9._-]{1,128}) ([A-Za-z0-9._-]{0,128}) ([a-z0-9]{0,20}) (running|stopped)")
_IMAGE = re.compile(r"([\x21-\x7e]{1,512}) ([0-9a-f]{64})(?: ([a-z]{1,20}))?")
_LAYER = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64})")

HEAD: Mapping[str, re.Pattern[str]] = {
    "host": _HOST, "made": _TIME, "engine": _ENGINE, "release": _WORD, "instance": _WORD, "sequence": _SEQUENCE,
}
"""What every receipt says once, and how it may say it."""


@dataclass(frozen=True, kw_only=True)
class HeldService:
    """A service as it was found: its release's version, its variant, and whether it ran."""

    name: str
    version: str
    variant: str
    running: bool


@dataclass(frozen=True, kw_only=True)
class HeldImage:
    """An image in the server's engine, lowest layer first.

    ``raw`` says that the engine keeps its layers such that an archive may leave them out; of others that is not known.
    """

    name: str
    image_id: str
    raw: bool
    chain_ids: tuple[str, ...]
    diff_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What one server held and ran when it was ``made`` (its own clock, UTC); models by NAME-VERSION."""

    host: str
    made: str
    engine: str
    engine_version: str
    store: str
    release: str
    instance: str
    sequence: int
    services: tuple[HeldService, ...]
    images: tuple[HeldImage, ...]
    models: frozenset[str]

    @cached_property
    def chain_ids(self) -> frozenset[str]:
        """Every layer that is there, by its ChainID: which says what lies below it, too."""
        return frozenset(chain for image in self.images for chain in image.chain_ids)

    @cached_property
    def raw_chain_ids(self) -> frozenset[str]:
        """Those of them that an archive may leave out."""
        return frozenset(chain for image in self.images if image.raw for chain in image.chain_ids)


def parse(text: str, *, file: str) -> Receipt:
    """Read a receipt; ``file`` is its name for messages.

    Raises ConfigError for what is none, is cut, or of another version; IntegrityError where it contradicts itself.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = _FIRST.search(text)
    if first is None:
        raise ConfigError(
            f"{file}: no receipt of ferry.sh; its first line would be 'torchferry receipt {VERSION}'",
            cure="make one on the server with: sh ferry.sh receipt > receipt.txt",
        )
    if int(first[1]) != VERSION:
        raise ConfigError(
            f"{file}: a receipt of version {first[1]}, and this torchferry reads version {VERSION}",
            cure="read it with the torchferry that made the release, or a newer one",
        )
    if not text.endswith("\n"):  # half a line may say something else: model words-1 of words-12
        raise ConfigError(f"{file}: the receipt is cut: its last line has no end", cure=ANEW)
    reading = _Reading(file=file)
    for line in text[first.end() + 1:].split("\n"):
        reading.take(line)
    return reading.receipt()


def read(path: Path) -> Receipt:
    """Read the receipt in a file, in whatever encoding a person's system saved it."""
    return parse(text_of(path, what="receipt"), file=str(path))


def text_of(path: Path, *, what: str) -> str:
    """What a command of ferry.sh wrote and people carried home; ConfigError where there is no such file."""
    try:
        with path.open("rb") as source:
            content = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}", cure=f"name a file that sh ferry.sh {what} wrote",
        ) from error
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"{path}: not what sh ferry.sh {what} writes: it is larger than {MOST_BYTES >> 20} MiB",
            cure=f"sh ferry.sh {what} writes a new one",
        )
    return decoded(content)


def as_text(receipt: Receipt) -> str:
    """The receipt as ferry.sh would write it, without what nobody here could read."""
    lines = [
        f"torchferry receipt {VERSION}", f"host {receipt.host}", f"made {receipt.made}",
        f"engine {receipt.engine} {receipt.engine_version} {receipt.store}", f"release {receipt.release}",
        f"instance {receipt.instance}", f"sequence {receipt.sequence}",
    ]
    lines += [
        f"service {one.name} {one.version} {one.variant} {'running' if one.running else 'stopped'}"
        for one in receipt.services
    ]
    for image in receipt.images:
        lines.append(f"image {image.name} {image.image_id} {'raw' if image.raw else 'unknown'}")
        lines += [f"layer {chain} {diff}" for chain, diff in zip(image.chain_ids, image.diff_ids, strict=True)]
    lines += [f"model {label}" for label in sorted(receipt.models)]
    return "".join(f"{line}\n" for line in lines)


@dataclass(kw_only=True)
class _Image:
    """An image of which layers may still follow."""

    name: str
    image_id: str
    raw: bool
    chains: list[str] = field(default_factory=list)
    diffs: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class _Reading:
    """What was read so far, line by line; lines of a kind that is not known say nothing to us."""

    file: str
    said: dict[str, str] = field(default_factory=dict)
    services: list[HeldService] = field(default_factory=list)
    images: list[_Image] = field(default_factory=list)
    models: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        if kind in HEAD:
            if self.said.setdefault(kind, rest) != rest:
                raise IntegrityError(f"{self.file}: says two things of its {kind}", cure=ANEW)
        elif kind == "service":
            name, version, variant, state = self._match(_SERVICE, line, rest).groups()
            self.services.append(HeldService(name=name, version=version, variant=variant, running=state == "running"))
        elif kind == "image":
            name, image_id, encoding = self._match(_IMAGE, line, rest).groups()
            self.images.append(_Image(name=name, image_id=image_id, raw=encoding == "raw"))
        elif kind == "layer":
            self._layer(self._match(_LAYER, line, rest))
        elif kind == "model" and _WORD.fullmatch(rest):  # any folder that somebody put there is listed, too
            self.models.add(rest)

    def receipt(self) -> Receipt:
        absent = [kind for kind in HEAD if kind not in self.said]
        if absent:
            raise ConfigError(f"{self.file}: the receipt is cut: it does not say its {absent[0]}", cure=ANEW)
        for kind, pattern in HEAD.items():
            self._match(pattern, f"{kind} {self.said[kind]}", self.said[kind])
        if not self.said["host"].isprintable():
            raise ConfigError(f"{self.file}: {self.said['host']!r} is no name of a host", cure=ANEW)
        engine, version, store = self._match(_ENGINE, "", self.said["engine"]).groups()
        return Receipt(
            host=self.said["host"], made=self.said["made"], engine=engine, engine_version=version, store=store,
            release=self.said["release"], instance=self.said["instance"], sequence=int(self.said["sequence"]),
            services=tuple(self.services), images=tuple(self._proven()), models=frozenset(self.models),
        )

    def _layer(self, found: re.Match[str]) -> None:
        if not self.images:
            raise IntegrityError(f"{self.file}: names a layer before any image", cure=ANEW)
        # most servers hold the same layers: one string for all
        self.images[-1].chains.append(sys.intern(found[1]))
        self.images[-1].diffs.append(sys.intern(found[2]))

    def _proven(self) -> Iterator[HeldImage]:
        """The images; IntegrityError where a ChainID does not follow from the layers that stand before it."""
        for image in self.images:
            if chain_ids(image.diffs) != tuple(image.chains):
                raise IntegrityError(
                    f"{self.file}: the layers of {image.name} contradict each other: their ChainIDs do not follow "
                    "from their diff_ids", cure=ANEW,
                )
            yield HeldImage(name=image.name, image_id=image.image_id, raw=image.raw,
                            chain_ids=tuple(image.chains), diff_ids=tuple(image.diffs))

    def _match(self, pattern: re.Pattern[str], line: str, rest: str) -> re.Match[str]:
        found = pattern.fullmatch(rest)
        if found is None:
            raise ConfigError(f"{self.file}: cannot be understood: {line[:120]!r}", cure=ANEW)
        return found

