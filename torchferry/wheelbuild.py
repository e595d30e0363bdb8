"""A source distribution becomes a wheel: in a fresh environment, with exact tools, without network (PEP 517)."""

from __future__ import annotations

import re
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyproject_hooks
import tomli
import uv
from packaging.requirements import InvalidRequirement, Requirement

from torchferry import console, files, proc
from torchferry.errors import IntegrityError, LockError
from torchferry.model import Wheel

NAMESPACES = (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net"))
"""Ways into an empty network: as root, and as a person where the kernel allows that."""

CURE = "require a version that has a wheel, or build it yourself and put the wheel into a find-links folder"

REASONS = (
    (r"No module named '?pkg_resources", "it needs pkg_resources, which setuptools 82 removed and only setuptools has: "
     "its pyproject.toml must require setuptools, and an older one than that (compat.yaml bounds it)"),
    (r"(?i)urlopen|getaddrinfo|name resolution|network is unreachable|no index|connection(error| refused)",
     "it asks for the network, which a build does not have"),
    (r"(?i)command '\S*(cc|clang|\+\+)\S*' failed|error: [^\n]*compiler|unable to execute", "it compiles"),
)
"""What a build that failed says, and what that means."""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """One unpacked source and the environment it is built in; ``requires`` is what it says that it is built with."""

    name: str
    folder: Path
    source: Path
    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] | None
    offline: tuple[str, ...]

    @property
    def _python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def make_environment(self) -> None:
        """An environment with nothing but this very Python."""
        self._run([
            uv.find_uv_bin(), "venv", "--python", sys.executable, "--no-config", "--no-cache", "--quiet",
            self.folder / "venv",
        ])

    def install(self, wheels: Sequence[Wheel], links: Path) -> None:
        """Put exactly these wheels, found by hash in the folder ``links``, into the environment."""
        lines = (f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in wheels)
        files.write_text(self._pins, "\n".join([*lines, ""]))
        self._run([
            uv.find_uv_bin(), "pip", "install", "--python", self._python, "-r", self._pins, "--require-hashes",
            "--no-index", "--find-links", links.absolute(), "--only-binary", ":all:",
            "--no-cache", "--no-config", "--quiet",
        ])

    def further_requirements(self) -> tuple[str, ...]:
        """What the backend wants besides ``requires``, once it has had a look at the source."""
        with self._backend_failures():
            return tuple(str(Requirement(line)) for line in self._hooks.get_requires_for_build_wheel())

    def build(self) -> Path:
        """The wheel, as the backend writes it."""
        made = self.folder / "made"
        made.mkdir()
        with self._backend_failures():
            wheel = made / Path(self._hooks.build_wheel(str(made))).name
        if not zipfile.is_zipfile(wheel):
            raise self._failure(f"its build backend {self.backend} promised {wheel.name} and did not write it")
        return wheel

    @property
    def _hooks(self) -> pyproject_hooks.BuildBackendHookCaller:
        return pyproject_hooks.BuildBackendHookCaller(
            str(self.source), self.backend, self.backend_path, runner=self._run_hook,
            python_executable=str(self._python),
        )

    def _run_hook(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        self._run(cmd, cwd=Path(cwd) if cwd else None, extra=extra_environ or {})

    def _run(
        self, argv: Sequence[str | Path], *, cwd: Path | None = None, extra: Mapping[str, str] | None = None
    ) -> None:
        pairs = {**self._environ, **(extra or {})}
        # env -i: a variable of the person's own (CFLAGS, PYTHONPATH, an index) must not change what comes out.
        settings = ["env", "-i", *(f"{name}={value}" for name, value in pairs.items())]
        words = [*self.offline, *settings, "sh", "-c", 'umask 022; exec "$@"', "sh", *argv]
        done = proc.run(words, cwd=cwd or self.folder)
        if not done.ok:
            raise self._failure(done.tail())

    @property
    def _environ(self) -> Mapping[str, str]:
        home = str(self.folder)
        return {
            "PATH": f"{self._python.parent}:/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8",
            "TZ": "UTC", "SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1",
            "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_OFFLINE": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }

    @contextmanager
    def _backend_failures(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # advice for the authors of the package
                yield
        except pyproject_hooks.BackendUnavailable as error:
            raise self._failure(error.traceback) from error
        except pyproject_hooks.HookMissing as error:
            raise self._failure(f"its build backend {self.backend} has no {error.hook_name}") from error
        except InvalidRequirement as error:
            raise self._failure(f"its build backend {self.backend} asks for what is no requirement: {error}") from error

    @property
    def _pins(self) -> Path:
        return self.folder / "requirements.txt"

    @property
    def _tools(self) -> str:
        pins = self._pins.read_text(encoding="utf-8").split() if self._pins.is_file() else []
        return ", ".join(word.replace("==", " ") for word in pins if "==" in word) or "no tools"

    def _failure(self, said: str) -> LockError:
        reason = next((text for pattern, text in REASONS if re.search(pattern, said)), None)
        why = f" ({reason})" if reason else ""
        last = "\n".join(f"  {line}" for line in said.strip().splitlines()[-20:])
        return LockError(
            f"{self.name}: its source distribution cannot be built with {self._tools}{why}:\n{last}",
            cure=f"{CURE}; a build has no network and only the tools that its pyproject.toml requires",
        )


@contextmanager
def open_workshop(name: str, archive: Path) -> Iterator[Workshop]:
    """Unpack a source distribution beside an empty environment; both are gone when the block ends.

    Raises IntegrityError for an archive that is damaged or writes elsewhere, LockError for a pyproject.toml that
    cannot be understood.
    """
    with tempfile.TemporaryDirectory(prefix="torchferry-sdist-") as place:
        folder = Path(place).resolve()
        source = unpack(archive, folder / "source")
        requires, backend, backend_path = _build_system(name, source)
        workshop = Workshop(
            name=name, folder=folder, source=source, requires=requires, backend=backend, backend_path=backend_path,
            offline=no_network(),
        )
        workshop.make_environment()
        yield workshop


def no_network() -> tuple[str, ...]:
    """The words before a command that take the network from it; none where the machine has no such means."""
    for words in NAMESPACES:
        if proc.which(words[0]) and proc.run([*words, "true"]).ok:
            return words
    console.say("this machine gives no empty network to a build: it is kept off the network by settings alone")
    return ()


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a .tar.gz or .zip and return its one top folder.

    Raises IntegrityError for a damaged archive, for links and names that leave the folder, and for devices.
    """
    folder.mkdir(parents=True)
    try:
        if archive.name.endswith(".zip"):
            _unpack_zip(archive, folder)
        else:
            _unpack_tar(archive, folder)
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise IntegrityError(
            f"{archive.name}: cannot be unpacked safely: {error}", cure="do not use this file; require another version"
        ) from error
    tops = [path for path in folder.iterdir() if path.is_dir()]
    if len(tops) != 1:
        raise IntegrityError(
            f"{archive.name}: has {len(tops)} top folders, a source distribution has one",
            cure="require another version",
        )
    return tops[0]


def _unpack_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, "r:*") as source:
        if hasattr(tarfile, "data_filter"):
            source.extractall(folder, filter="data")
            return
        for member in source:  # a Python from before PEP 706
            if not (member.isreg() or member.isdir()):
                raise ValueError(f"{member.name} is neither a file nor a folder")
            _refuse_leaving(member.name)
            source.extract(member, folder, set_attrs=False)


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as source:
        for name in source.namelist():
            _refuse_leaving(name)
        source.extractall(folder)


def _refuse_leaving(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name} is outside the destination")


def _build_system(name: str, source: Path) -> tuple[tuple[str, ...], str, tuple[str, ...] | None]:
    """requires, build-backend and backend-path of a pyproject.toml, with the defaults of PEP 517 and PEP 518."""
    place = source / "pyproject.toml"
    try:
        data: dict[str, Any] = tomli.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
        table = data.get("build-system", {"requires": ["setuptools", "wheel"]})
        backend, path = table.get("build-backend", "setuptools.build_meta:__legacy__"), table.get("backend-path")
        requires = tuple(str(Requirement(line)) for line in table["requires"])
        return requires, str(backend), tuple(map(str, path)) if path else None
    except (InvalidRequirement, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LockError(f"{name}: its pyproject.toml cannot be understood: {error!r}", cure=CURE) from error
