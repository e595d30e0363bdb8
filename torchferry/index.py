"""Where wheels come from: indexes (PEP 503, PEP 691), find-links, and how the environment names them.

pip's extra-index-url is deliberately not taken: whoever can publish a higher version there wins (dependency confusion).
"""

from __future__ import annotations

import ast
import hashlib
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pypi_simple
import tomli

from torchferry import compat, files, listing, proc, remote, web
from torchferry.errors import ConfigError, IntegrityError, SourceError
from torchferry.listing import path_of
from torchferry.model import Variant

MIRRORS = (
    "check the network and HTTPS_PROXY, or name a mirror: UV_DEFAULT_INDEX=URL for the default index, "
    "TORCHFERRY_TORCH_INDEX=URL (may hold {variant}) for the torch index, UV_FIND_LINKS=FOLDER for wheels on a disk"
)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The places of one variant's wheels; ``torch_index_is_chosen``: a person named it, it is not the usual one."""

    default_index: str
    torch_index: str | None = None
    torch_index_is_chosen: bool = False
    find_links: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The find-links places that are folders on this machine."""
        return tuple(place for place in map(path_of, self.find_links) if place is not None)


@dataclass(frozen=True, kw_only=True)
class Link:
    """Where one exact file can be had; ``size`` is None where the source does not tell."""

    url: str
    size: int | None = None

    @property
    def path(self) -> Path | None:
        """The file, where it lies on this machine."""
        return path_of(self.url)


def sources_for(
    variant: Variant, environ: Mapping[str, str], pip_config: Mapping[str, str],
    uv_config: Mapping[str, str] | None = None,
) -> Sources:
    """What the variant, the environment, uv's and pip's configuration say, in this order.

    The torch index: the variant's own, TORCHFERRY_TORCH_INDEX_CU118, TORCHFERRY_TORCH_INDEX (with {variant}), or
    the public one. The default index: UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL, uv.toml, pip.conf, or PyPI.
    """
    configured = {**pip_config, **(uv_config or {})}
    default = _first(environ, "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL") or configured.get("index-url")
    names = (f"TORCHFERRY_TORCH_INDEX_{variant.name.upper()}", "TORCHFERRY_TORCH_INDEX")
    chosen = variant.index or _first(environ, *names)
    usual = compat.load().torch_index(variant.name) if variant.cuda or variant.name == "cpu" else None
    links = [*_split(environ.get("UV_FIND_LINKS", ""), ","), *_split(environ.get("PIP_FIND_LINKS", ""))]
    links += _split(configured.get("find-links", ""))
    return Sources(
        default_index=default or pypi_simple.PYPI_SIMPLE_ENDPOINT,
        torch_index=chosen.replace("{variant}", variant.name) if chosen and usual else usual,
        torch_index_is_chosen=bool(chosen and usual),
        find_links=tuple(dict.fromkeys(links)),
    )


def pip_config() -> Mapping[str, str]:
    """The values of pip's configuration files, [install] before [global]; empty where there is no pip."""
    answer = proc.run([sys.executable, "-m", "pip", "--no-input", "config", "list"])
    return parse_pip_config(answer.stdout) if answer.ok else {}


def parse_pip_config(text: str) -> Mapping[str, str]:
    """Read what `pip config list` prints: lines of SECTION.NAME='VALUE'."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in sections:
            sections[section][name] = str(ast.literal_eval(value))
    return {**sections["global"], **sections["install"]}


def uv_config(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The default index and find-links of uv.toml, the person's before the machine's."""
    if environ.get("UV_NO_CONFIG"):
        return {}
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '/')}/.config"
    places = [environ["UV_CONFIG_FILE"]] if environ.get("UV_CONFIG_FILE") else ["/etc/uv/uv.toml", f"{home}/uv/uv.toml"]
    found: dict[str, str] = {}
    for place in map(Path, places):
        if place.is_file():
            found |= parse_uv_config(place.read_text(encoding="utf-8"), file=str(place))
    return found


def parse_uv_config(text: str, *, file: str) -> Mapping[str, str]:
    """Read a uv.toml; ConfigError where it is not TOML."""
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}", cure=f"correct {file}, or set UV_NO_CONFIG=1") from error
    rows = data.get("index", [])
    index = next((str(row["url"]) for row in rows if row.get("default") and "url" in row), data.get("index-url"))
    found = {"index-url": str(index)} if index else {}
    return found | ({"find-links": "\n".join(map(str, data["find-links"]))} if data.get("find-links") else {})


def find(
    project: str, filename: str, sha256: str, sources: Sources, *, http: web.Client, patience: web.Patience
) -> Link:
    """Where this very file can be had: by name, and by hash where the source tells one.

    Raises SourceError, with what each source answered, when none has it.
    """
    answers = []
    for source in _in_order(sources, filename):
        answer = _look(source, sources, project, filename, sha256, http, patience)
        if isinstance(answer, Link):
            return answer
        answers.append(f"  {web.shown(source) if '://' in source else source}: {answer}")
    raise SourceError(f"{filename} (sha256 {sha256[:12]}...) was not found:\n" + "\n".join(answers), cure=MIRRORS)


def size_and_hash(url: str, hashes: Mapping[str, str], sources: Sources) -> dict[str, Any]:
    """Size and SHA-256 of a file for a lock, where the index page tells only one of them, or none.

    Without a known hash the whole file is read. Raises SourceError.
    """
    local = path_of(url)
    if local is not None:
        return {"size": local.stat().st_size, "hashes": {"sha256": hashes.get("sha256") or files.sha256(local)}}
    known = hashes.get("sha256")
    with _asking(url), web.client() as http:
        address = _with_credentials(url, sources)
        size, digest = web.patiently(lambda: _measure(http, address, known), web.Patience())
        return {"size": size, "hashes": {"sha256": digest}}


@contextmanager
def open_wheel(url: str, sources: Sources) -> Iterator[zipfile.ZipFile | None]:
    """A wheel where it lies, read in place; None where its server does not serve parts of files.

    Raises SourceError where it cannot be reached, also while it is read; IntegrityError where it is no zip file.
    """
    local = path_of(url)
    if local is not None:
        with _asking(url), zipfile.ZipFile(local) as wheel:
            yield wheel
        return
    with _asking(url), web.client() as http:
        try:
            content = remote.open_remote(http, _with_credentials(url, sources))
        except web.RangeIgnored:
            yield None
            return
        with content, zipfile.ZipFile(content) as wheel:
            yield wheel


@contextmanager
def _asking(url: str) -> Iterator[None]:
    try:
        yield
    except (web.Transient, web.Refused, web.RangeIgnored) as error:
        raise SourceError(f"{web.shown(url)}: {error}", cure=MIRRORS) from error
    except zipfile.BadZipFile as error:
        raise IntegrityError(f"{web.shown(url)}: not a wheel: {error}", cure=MIRRORS) from error


def _with_credentials(url: str, sources: Sources) -> str:
    for source in (sources.default_index, sources.torch_index, *sources.find_links):
        if source and path_of(source) is None:
            url = web.with_credentials(url, source)
    return url


def _measure(http: web.Client, url: str, known: str | None) -> tuple[int, str]:
    if known:
        try:
            with web.open_part(http, url, stop=1) as part:
                if part.total is not None:
                    return part.total, known
        except web.RangeIgnored:
            pass
    digest, size = hashlib.sha256(), 0
    with web.open_part(http, url) as part:
        for block in part.blocks:
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _in_order(sources: Sources, filename: str) -> tuple[str, ...]:
    # A local version (+cu118) lives on the torch index; everything else is there only as an old copy, if at all.
    indexes = [sources.default_index, sources.torch_index]
    indexes = indexes[::-1] if "+" in filename else indexes
    return tuple(dict.fromkeys([*sources.find_links, *(index for index in indexes if index)]))


def _look(
    source: str, sources: Sources, project: str, filename: str, sha256: str, http: web.Client, patience: web.Patience
) -> Link | str:
    """The file at one source, or why not, in words."""
    folder, flat = path_of(source), source in sources.find_links
    if flat and folder is not None:
        return _look_in_folder(folder / filename, sha256)
    url = source if flat else listing.project_url(source, project)
    try:
        packages = listing.packages(url, project, http=http, patience=patience)
    except (web.Transient, web.Refused, web.RangeIgnored, OSError, ValueError) as error:
        return str(error)
    named = [package for package in packages if unquote(urlsplit(package.url).path).rpartition("/")[2] == filename]
    for package in named:
        if package.digests.get("sha256", sha256) == sha256:
            return Link(url=_with_credentials(package.url, sources), size=package.size)
    if named:
        return f"has a file of this name with another hash (sha256 {named[0].digests['sha256'][:12]}...)"
    return f"lists {len(packages)} files, not this one"


def _look_in_folder(path: Path, sha256: str) -> Link | str:
    if not path.is_file():
        return "does not have the file"
    found = files.sha256(path)
    if found != sha256:
        return f"has a file of this name with another hash (sha256 {found[:12]}...)"
    return Link(url=path.absolute().as_uri(), size=path.stat().st_size)


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _split(text: str, separator: str | None = None) -> list[str]:
    return [word.strip() for word in text.split(separator) if word.strip()]
