"""What lies in a base, as far as an image on top, or a list of what is in it, has to know.

Folders and links, user tables, its Python, and what it says of its distribution and packages.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

from torchferry.errors import BuildError
from torchferry.image_config import DEFAULT_PATH
from torchferry.members import Readable

USER_TABLES = ("etc/passwd", "etc/group")
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
DPKG_STATUS = "var/lib/dpkg/status"
DPKG_FOLDER = "var/lib/dpkg/status.d"
"""dpkg's list of packages, in one file; or in a folder with a file a package, where somebody left dpkg out."""

_KEPT = (*USER_TABLES, *OS_RELEASE, DPKG_STATUS)
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_LIBRARY = re.compile(r"(?:usr/)?(?:local/)?lib(?:64)?/(?:[a-z0-9_]+-linux-gnu/)?libpython3\.\d+\.so\.1\.0")
_PROGRAM = re.compile(r".*bin/python3\.\d+")
_CURE = "build it with the docker engine: inv build --engine docker"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One entry of a base: tar type, permission bits, owner and group, and where a link points."""

    kind: bytes
    mode: int
    uid: int
    gid: int
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class Python:
    """A base's interpreter: the program's absolute path, and its full version ("3.11.2")."""

    path: str
    version: str


@dataclass(kw_only=True)
class BaseTree:
    """The entries of a base, its layers laid over each other, and the contents of a few files."""

    nodes: dict[str, Node] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes an equal tree."""
        return {
            "nodes": {path: [node.kind.decode("ascii"), node.mode, node.uid, node.gid, node.target]
                      for path, node in self.nodes.items()},
            "contents": {path: data.decode("utf-8", "surrogateescape") for path, data in self.contents.items()},
            "versions": self.versions,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> BaseTree:
        """The tree of such data; raises KeyError, TypeError or ValueError for other data."""
        return cls(
            nodes={path: Node(kind=kind.encode("ascii"), mode=mode, uid=uid, gid=gid, target=target)
                   for path, (kind, mode, uid, gid, target) in said["nodes"].items()},
            contents={path: text.encode("utf-8", "surrogateescape") for path, text in said["contents"].items()},
            versions=dict(said["versions"]),
        )

    def mode(self, path: str) -> int | None:
        """The permission bits of a folder; None where nothing is there. Raises BuildError for anything else.

        A layer that names the folder again gives it to root, so a folder of somebody else is refused as well.
        """
        node = self.nodes.get(path)
        if node is None:
            return None
        if node.kind != tarfile.DIRTYPE or node.uid or node.gid:
            what = f"a link to {node.target}" if node.kind == tarfile.SYMTYPE else "no folder of root's"
            raise BuildError(
                f"the base has /{path} as {what}; the direct engine writes below folders of root", cure=_CURE)
        return node.mode

    def folder_modes(self, paths: Iterable[str]) -> dict[str, int]:
        """The modes of all folders above these paths that the base has."""
        found: dict[str, int] = {}
        for path in paths:
            while path := posixpath.dirname(path):
                mode = self.mode(path)
                if mode is not None:
                    found[path] = mode
        return found

    def python(self, wanted: str, path: str) -> Python:
        """The Python ("3.11") that uv finds on PATH; BuildError where the base has none, or hides its version."""
        for place in (path or DEFAULT_PATH).split(":"):
            program = self._real(f"{place.strip('/')}/python{wanted}")
            if program is None:
                continue
            library = f"libpython{wanted}.so.1.0"
            version = self.versions.get(program) or next(
                (version for name, version in self.versions.items() if name.endswith(library)), None)
            if version is None:
                raise BuildError(f"/{program} in the base does not tell its full version", cure=_CURE)
            return Python(path=f"/{place.strip('/')}/python{wanted}", version=version)
        raise BuildError(
            f"the base has no python{wanted} on PATH",
            cure="take a base with this Python, or set python: in variants.yaml to the one it has",
        )

    def text(self, path: str) -> str | None:
        """What one of the files says whose contents are kept; None where it is none, or a link."""
        content = self.contents.get(path)
        return None if content is None else content.decode("utf-8", "replace")

    def _real(self, path: str) -> str | None:
        """The file a path leads to, following links of folders and of the file itself; None where it leads nowhere."""
        for _ in range(40):
            head, _, tail = path.partition("/")
            here = ""
            while True:
                here = posixpath.join(here, head)
                node = self.nodes.get(here)
                if node is None:
                    return None
                if node.kind == tarfile.SYMTYPE:
                    target = posixpath.normpath(posixpath.join("/", posixpath.dirname(here), node.target)).lstrip("/")
                    path = posixpath.join(target, tail) if tail else target
                    break
                if not tail:
                    return here if node.kind in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE) else None
                head, _, tail = tail.partition("/")
        return None

    def lay(self, layer: Readable) -> None:
        """Lay one more layer (its uncompressed tar) over what is there; raises BuildError for a damaged one."""
        with _damage_told(), tarfile.open(fileobj=cast("IO[bytes]", layer), mode="r|") as tar:
            for entry in tar:
                path = posixpath.normpath(entry.name).lstrip("/")
                if path == ".":
                    continue
                if not self._whiteout(path):
                    self._take(tar, entry, path)

    def _take(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        before = self.nodes.get(path)
        if before is not None and not (entry.isdir() and before.kind == tarfile.DIRTYPE):
            self._remove(path)
        above = posixpath.dirname(path)
        while above and above not in self.nodes:  # a layer need not name the folders above
            self.nodes[above] = Node(kind=tarfile.DIRTYPE, mode=0o755, uid=0, gid=0)
            above = posixpath.dirname(above)
        self.nodes[path] = Node(
            kind=entry.type, mode=entry.mode & 0o7777, uid=entry.uid, gid=entry.gid, target=entry.linkname)
        if entry.isreg() and (path in _KEPT or posixpath.dirname(path) == DPKG_FOLDER):
            self.contents[path] = _read(tar, entry)
        elif entry.isreg() and (_PROGRAM.fullmatch(path) or _LIBRARY.fullmatch(path)):
            version = _version(path, _read(tar, entry))
            self.versions |= {path: version} if version else {}

    def _whiteout(self, path: str) -> bool:
        where, name = posixpath.split(path)
        if not name.startswith(_WHITEOUT):
            return False
        if name == _OPAQUE:
            for below in [node for node in self.nodes if node.startswith(f"{where}/")]:
                self._forget(below)
        else:
            self._remove(posixpath.join(where, name.removeprefix(_WHITEOUT)))
        return True

    def _remove(self, path: str) -> None:
        for below in [node for node in self.nodes if node == path or node.startswith(f"{path}/")]:
            self._forget(below)

    def _forget(self, path: str) -> None:
        for table in (self.nodes, self.contents, self.versions):
            table.pop(path, None)


def _version(path: str, program: bytes) -> str | None:
    """The full version that an interpreter, or its library, holds as a text of its own."""
    minor = re.search(r"python(3\.\d+)", path)
    said = re.search(rb"\0(" + re.escape(minor[1]).encode() + rb"\.\d+)\+?\0", program) if minor else None
    return said[1].decode("ascii") if said else None


def _read(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    source = tar.extractfile(entry)
    return source.read() if source else b""


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise BuildError(f"the base's layer cannot be read: {error}", cure="make or pull the base anew") from error
