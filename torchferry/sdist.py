"""Packages without a wheel: their source distributions, built once into pure wheels that a lock can name.

Which version, from where and with which tools is decided by uv like every other pin; the lock keeps the sdist and
the tools by hash (`BuiltWheel`), so that another machine can make the same bytes again.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from torchferry import compat, console, files, index, lockfile, web
from torchferry.download import Wanted, claimed, download
from torchferry.errors import IntegrityError, LockError, SourceError
from torchferry.index import Sources
from torchferry.layout import Layout
from torchferry.model import BuiltWheel, Lock, Variant, Wheel
from torchferry.purewheel import write_pure
from torchferry.resolve import ask_uv, uv_target
from torchferry.wheelbuild import Workshop, open_workshop

PUBLISHED = "a version with a wheel, or put its wheel into a find-links folder (UV_FIND_LINKS=FOLDER)"


def build_all(
    variant: Variant, requirements: str, layout: Layout, sources: Sources
) -> tuple[tuple[BuiltWheel, Path], ...]:
    """A wheel for each package of the service's ``sdists``, made from the newest source that ``requirements`` let in.

    A package whose fitting version has a wheel for the target is left to the resolver. Each wheel lies alone in its
    folder, and in the variant's wheel folder too. Raises LockError (no such source, a build that fails, a wheel
    that is not pure), SourceError (no answer) and IntegrityError (other bytes than promised).
    """
    # The torch index has old copies of a few packages; their sources come from where everything else does.
    sources = replace(sources, torch_index=None)
    found = (_choose(name, variant, requirements, sources) for name in dict.fromkeys(variant.service.sdists))
    made = tuple(_build(row, layout, sources) for row in found if row is not None)
    for _, path in made:
        files.link_or_copy(path, layout.wheel_folder(variant) / path.name)
    return made


def restore(lock: Lock, variant: Variant, layout: Layout, sources: Sources) -> None:
    """Make every built wheel of a lock again that is not in the variant's folder, with the sdist and tools of the lock.

    Raises LockError where this machine makes other bytes, and what `build_all` raises.
    """
    sources = replace(sources, torch_index=None)
    for built in lock.built:
        wheel = _locked_wheel(built, lock)
        target = layout.wheel_folder(variant) / wheel.filename if wheel else None
        if wheel is None or target is None or _is_good(target, wheel.sha256):
            continue
        kept = layout.built_folder(built) / wheel.filename
        path = kept if _is_good(kept, wheel.sha256) else _make_again(built, layout, sources)
        found = files.sha256(path)
        if found != wheel.sha256:
            raise LockError(
                f"{wheel.filename}: this machine builds other bytes (sha256 {found[:12]}...) than the lock says "
                f"({wheel.sha256[:12]}...)",
                cure=f"copy the wheel from the machine that made the lock into {target.parent}, or make the lock anew: "
                f"inv lock --upgrade --service {variant.service.name} --variant {variant.name}",
            )
        files.link_or_copy(path, target)


def _choose(name: str, variant: Variant, requirements: str, sources: Sources) -> BuiltWheel | None:
    """The source distribution to build, its tools not known yet; None where there is a wheel for the target."""
    words = ["--no-deps", *uv_target(variant)]
    packages = _ask_uv(name, [name, *_lines_for(name, requirements)], words, sources)
    package = next(row for row in packages if canonicalize_name(row["name"]) == canonicalize_name(name))
    if package.get("wheels"):
        console.say(f"{name} {package['version']} has a wheel for {variant.label}: its source is not built")
        return None
    return _sdist(name, package["sdist"], sources)


def _sdist(name: str, row: dict[str, Any], sources: Sources) -> BuiltWheel:
    filename, digest = unquote(str(row["url"])).rsplit("/", 1)[-1], str(row["hashes"]["sha256"])
    try:
        parse_sdist_filename(filename)
    except InvalidSdistFilename as error:
        raise LockError(f"{name}: {error}", cure=f"require {PUBLISHED}") from error
    _require_promise(name, filename, sources)
    size = row.get("size") or index.size_and_hash(row["url"], {"sha256": digest}, sources)["size"]
    return BuiltWheel(
        name=canonicalize_name(name), sdist=filename, sdist_sha256=digest, sdist_size=int(size), requires=(),
    )


def _require_promise(name: str, filename: str, sources: Sources) -> None:
    """Refuse a source whose page tells no SHA-256: the resolver would take whatever bytes come."""
    try:
        with web.client() as http:
            # No file has this hash: only a page that promises nothing has a link for it.
            link = index.find(name, filename, "0" * 64, sources, http=http, patience=web.Patience())
    except SourceError:
        return
    raise IntegrityError(
        f"{filename}: {web.shown(link.url)}: the index page gives no SHA-256 for it, and its code would run here",
        cure=f"name an index that gives hashes (UV_DEFAULT_INDEX=URL), or require {PUBLISHED}",
    )


def _build(chosen: BuiltWheel, layout: Layout, sources: Sources) -> tuple[BuiltWheel, Path]:
    archive = _obtain(chosen.name, _wanted_sdist(chosen, layout), sources)
    with open_workshop(chosen.name, archive) as workshop:
        built = replace(chosen, requires=_tools(chosen.name, workshop.requires, sources))
        kept = _kept(built, layout)
        if kept is not None:
            return built, kept
        _equip(workshop, built, layout, sources)
        further = workshop.further_requirements()
        if further:
            built = replace(chosen, requires=_tools(chosen.name, (*workshop.requires, *further), sources))
            _equip(workshop, built, layout, sources)
        return built, _kept(built, layout) or _finish(workshop, built, layout)


def _make_again(built: BuiltWheel, layout: Layout, sources: Sources) -> Path:
    archive = _obtain(built.name, _wanted_sdist(built, layout), sources)
    with open_workshop(built.name, archive) as workshop:
        _equip(workshop, built, layout, sources)
        return _finish(workshop, built, layout)


def _equip(workshop: Workshop, built: BuiltWheel, layout: Layout, sources: Sources) -> None:
    for wheel in built.requires:
        target = layout.sdists_folder / wheel.filename
        _obtain(wheel.name, Wanted(target=target, size=wheel.size, sha256=wheel.sha256), sources)
    workshop.install(built.requires, layout.sdists_folder)


def _finish(workshop: Workshop, built: BuiltWheel, layout: Layout) -> Path:
    with console.progress(f"build {built.sdist} into a wheel"):
        made = workshop.build()
    _, version = parse_sdist_filename(built.sdist)
    return write_pure(made, layout.built_folder(built), name=built.name, version=str(version))


def _kept(built: BuiltWheel, layout: Layout) -> Path | None:
    return next(iter(sorted(layout.built_folder(built).glob("*.whl"))), None)


def _tools(name: str, requires: Sequence[str], sources: Sources) -> tuple[Wheel, ...]:
    """Exact wheels, for this machine, of what a source is built with; bounded by compat.yaml."""
    if not requires:  # a backend that lies in the source itself
        return ()
    # Two lines of one package that exclude each other would be no answer; the source's own word is the better one.
    bounds = [bound for bound in compat.load().build_constraints if not _says_better(requires, Requirement(bound))]
    packages = _ask_uv(name, requires, ["--only-binary", ":all:"], sources, bounds)
    return tuple(sorted((_tool(package, sources) for package in packages), key=lambda wheel: wheel.name))


def _tool(package: dict[str, Any], sources: Sources) -> Wheel:
    rows = package["wheels"]
    # A pure wheel serves every machine on which the lock is used.
    row = next((row for row in rows if str(row["url"]).endswith("-none-any.whl")), rows[0])
    if not row.get("size"):
        row = {**row, **index.size_and_hash(row["url"], row.get("hashes", {}), sources)}
    return lockfile.parse_wheel(package, row)


def _says_better(requires: Iterable[str], bound: Requirement) -> bool:
    """Whether a requirement asks for a release that the bound would forbid, as setuptools>=82 does under <81."""
    name = canonicalize_name(bound.name)
    return any(
        clause.operator in (">=", ">", "==", "~=") and not bound.specifier.contains(clause.version.removesuffix(".*"))
        for line in requires if canonicalize_name((asked := Requirement(line)).name) == name
        for clause in asked.specifier
    )


def _lines_for(name: str, requirements: str) -> Iterator[str]:
    """The requirement lines for one package, without options and hashes; what is no requirement is the resolver's."""
    for line in requirements.replace("\\\n", " ").splitlines():
        text = re.split(r"(?:^|\s)(?:#|--)", line, maxsplit=1)[0].strip()
        try:
            asked = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(asked.name) == canonicalize_name(name) and asked.url is None:
            yield text


def _ask_uv(
    name: str, lines: Iterable[str], words: Sequence[str], sources: Sources, bounds: Iterable[str] = ()
) -> tuple[dict[str, Any], ...]:
    """What uv resolves these lines to; LockError or SourceError in its own words."""
    with tempfile.TemporaryDirectory(prefix="torchferry-sdist-") as folder:
        work = Path(folder)
        files.write_text(work / "wanted.in", "\n".join([*lines, ""]))
        files.write_text(work / "bounds.txt", "\n".join([*bounds, ""]))
        answer = ask_uv(["wanted.in", "--constraints", "bounds.txt", *words], sources, work)
        if not answer.ok:
            raise _refusal(name, answer.stderr.strip())
        return lockfile.parse_resolution((work / "pylock.toml").read_text(encoding="utf-8"))


def _refusal(name: str, said: str) -> LockError | SourceError:
    if re.search(r"(?i)failed to fetch|request failed|error sending request|client error", said):
        return SourceError(f"{name}, allowed under sdists: a source did not answer:\n{said}", cure=index.MIRRORS)
    return LockError(
        f"{name}, allowed under sdists: neither it nor what builds it could be found as asked:\n{said}",
        cure=f"correct the requirement named above, or require {PUBLISHED}",
    )


def _wanted_sdist(built: BuiltWheel, layout: Layout) -> Wanted:
    return Wanted(target=layout.sdists_folder / built.sdist, size=built.sdist_size, sha256=built.sdist_sha256)


def _obtain(name: str, wanted: Wanted, sources: Sources) -> Path:
    """The file at its place with the right hash: found there, linked from a folder, or downloaded."""
    patience = web.Patience()
    with claimed(wanted, waiting=lambda: time.sleep(0.1)) as partial:
        if _is_good(wanted.target, wanted.sha256):
            return wanted.target
        with console.progress(f"fetch {wanted.target.name}", wanted.size) as step, web.client() as http:
            link = index.find(name, wanted.target.name, wanted.sha256, sources, http=http, patience=patience)
            if link.path is None:
                download(wanted, link.url, partial, http=http, patience=patience, passed=step.advance)
            elif _is_good(link.path, wanted.sha256):
                files.link_or_copy(link.path, wanted.target)
            else:
                raise IntegrityError(
                    f"{link.path}: not the promised file (sha256 {wanted.sha256[:12]}...)", cure="name another source"
                )
    return wanted.target


def _is_good(path: Path, sha256: str) -> bool:
    return path.is_file() and files.sha256(path) == sha256


def _locked_wheel(built: BuiltWheel, lock: Lock) -> Wheel | None:
    """The lock's wheel that was built from this source; None where the resolver took another version."""
    _, version = parse_sdist_filename(built.sdist)
    return next((row for row in lock.wheels if (row.name, row.version) == (built.name, str(version))), None)
