"""Where a release goes: HOST as ssh and scp take it, or a folder; and the door to each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from torchferry import ssh
from torchferry.carriers import Carrier
from torchferry.errors import ConfigError
from torchferry.folder import Folder, Place
from torchferry.openssh import OpenSsh, Server

P = TypeVar("P", bound=PurePath)
HOST = re.compile(r"(?P<user>[^\s:/]+@)?(?:\[(?P<address>[^\s\[\]/]+)\]|(?P<name>[^\s:/\[\]@]+))(?::(?P<folder>.*))?")
SHAPES = "write [user@]host, [user@]host:folder, or a folder with a slash in it: /media/usb, ./out"


def parse(text: str, title: str) -> Server | Place:
    """A destination for the release ``title``; it goes into a folder of that name, unless that is the one named.

    What has a slash before any colon is a folder of this machine. Raises ConfigError for what is neither.
    """
    if not text.isprintable() or text.startswith("-") or "://" in text or not text.strip():
        raise ConfigError(f"{text!r}: no destination", cure=SHAPES)
    if "/" in text.partition(":")[0] or text in (".", ".."):
        return Place(folder=_inside(Path(text).expanduser(), title))
    found = HOST.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r}: no destination", cure=SHAPES)
    folder = found["folder"] or ""
    if re.match(r"~[^/]", folder):
        raise ConfigError(f"{text}: whose home is meant, only the host knows", cure="write the full path of the folder")
    below = PurePosixPath(re.sub(r"^~/*", "", folder))
    return Server(host=(found["user"] or "") + (found["address"] or found["name"]), folder=str(_inside(below, title)))


@contextmanager
def door(place: Server | Place, *, config: Path | None, stopped: Callable[[], bool]) -> Iterator[Carrier]:
    """The carrier to a destination; ``config`` is for ssh in place of the person's own."""
    if isinstance(place, Place):
        yield Folder(place)
        return
    with ssh.connection(place.host, config=config, stopped=stopped) as connection:
        yield OpenSsh(place, connection)


def _inside(folder: P, title: str) -> P:
    return folder if folder.name == title else folder / title
