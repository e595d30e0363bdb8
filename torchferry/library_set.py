"""Where the libraries of a set of wheels will find each other, by the rules of the loader (man 8 ld.so).

A library is looked for in the folders that the file which needs it names (RPATH or RUNPATH, where $ORIGIN is the
file's own folder), in LD_LIBRARY_PATH, and in the base. One that is loaded already is taken wherever it lies.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from torchferry.library_facts import Library, WheelFacts

# What `import torch` loads: its extension module, and before that a library which needs all of CUDA's.
_TORCH_STARTS = re.compile(r"torch/(?:_C\.[^/]*\.so|lib/libtorch_(?:global_deps|python)\.so)")


_SITE = re.compile(r"^\.\./\.\./\.\./lib/python3\.\d+/site-packages/")


class LibrarySet:
    """The libraries of some wheels beside each other.

    ``path`` are the folders of LD_LIBRARY_PATH, below site-packages; ``base`` the names of the base's libraries.
    """

    def __init__(self, wheels: Sequence[WheelFacts], *, path: Iterable[str] = (), base: Iterable[str] = ()) -> None:
        self.wheels = tuple(wheels)
        self._path = tuple(path)
        self._base = frozenset(base)
        self._places = {library.path: library for facts in wheels for library in facts.libraries}
        self._files = {path for facts in wheels for path in facts.files}
        self._holders: dict[str, list[tuple[WheelFacts, Library]]] = {}
        for facts in wheels:
            for library in facts.libraries:
                for name in {library.name, library.elf.soname or library.name}:
                    self._holders.setdefault(name, []).append((facts, library))

    def finds(self, library: Library, name: str) -> bool:
        """Whether the loader finds ``name`` for this file, whatever was loaded before."""
        return name in self._base or self._lookup(library, name) is not None

    def holders(self, name: str) -> list[tuple[WheelFacts, Library]]:
        """The wheels and libraries that have this file name or SONAME."""
        return self._holders.get(name, [])

    @property
    def names(self) -> Iterable[str]:
        """All file names and SONAMEs."""
        return self._holders

    @cached_property
    def loaded_by_torch(self) -> frozenset[str]:
        """Names of all that is in memory after `import torch`: with them, whoever asks later finds them."""
        waiting: list[tuple[Library, tuple[str, ...]]] = [
            (library, ()) for facts in self.wheels if facts.name == "torch" for library in facts.libraries
            if _TORCH_STARTS.fullmatch(library.path)
        ]
        seen = {library.path for library, _ in waiting}
        names: set[str] = set()
        while waiting:
            library, inherited = waiting.pop(0)
            names |= {library.name, library.elf.soname or library.name}
            folders = () if library.elf.is_runpath else tuple(_folders(library)) + inherited
            for name in library.elf.needed:
                found = self._lookup(library, name, inherited) or self._from_torch(name)
                if found is not None and found not in seen and found in self._places:
                    seen.add(found)
                    waiting.append((self._places[found], folders))
        return frozenset(names)

    def _from_torch(self, name: str) -> str | None:
        """torch/__init__.py searches the folders of NVIDIA's wheels itself for what the loader did not find."""
        return next((library.path for facts, library in self.holders(name) if facts.is_cuda), None)

    def _lookup(self, library: Library, name: str, inherited: tuple[str, ...] = ()) -> str | None:
        """The path at which the loader finds a name among the wheels."""
        if "/" in name:
            return None
        # DT_RPATH serves all that a file loads; DT_RUNPATH only its own needs, and puts an end to what was inherited.
        more = () if library.elf.is_runpath else inherited
        for folder in (*_folders(library), *more, *self._path):
            place = _below_site(posixpath.join(folder, name))
            if place in self._files:
                return place
        return None


def _folders(library: Library) -> Iterable[str]:
    """The folders that a file names itself, below site-packages; those of the base and of other machines left out."""
    own = posixpath.dirname(library.path)
    for folder in library.elf.search:
        relative = re.sub(r"^\$(?:ORIGIN|\{ORIGIN\})(?=/|$)", own or ".", folder)
        if relative != folder and "$" not in relative:
            yield relative


def _below_site(path: str) -> str:
    """A path in its shortest spelling, as wheels' files have it; programs in bin/ name site-packages in full."""
    return _SITE.sub("", posixpath.normpath(path))
