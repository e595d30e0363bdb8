"""What of a service's source belongs into its image: an explicit list of files, never a whole folder unseen.

The contents of ``source`` go to /app; each entry of ``include`` keeps its path in the project below /app.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from torchferry import files, ignore, imports, tree
from torchferry.errors import ConfigError
from torchferry.imports import Import, Scan, Source
from torchferry.model import APP, Service, Variant, WheelSet, fingerprint
from torchferry.tree import ContextFile, LeftOut

_SERVERS = frozenset({"uvicorn", "gunicorn", "hypercorn", "granian"})
_APPLICATION = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(?:\(\))?")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The files of one service's image below /app, sorted by target, and what is to be said about them."""

    root: Path
    files: tuple[ContextFile, ...]
    left_out: tuple[LeftOut, ...]
    scan: Scan
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def select_files(root: Path, variant: Variant) -> Selection:
    """Walk the service's source and its include entries; raise ConfigError for what an image cannot or must not hold.

    Links are kept as links, so they must be relative and lead to something that is in the image as well.
    """
    source = "/".join(PurePosixPath(variant.service.source).parts)
    found = list(tree.walk_part(root, source, "", source, what="source"))
    for entry in variant.service.include:
        path = str(PurePosixPath(entry))
        found += tree.walk_part(root, path, path, source, what="include")
    chosen = tree.without_doubles(each for each in found if isinstance(each, ContextFile))
    left_out = tuple(each for each in found if isinstance(each, LeftOut))
    tree.refuse_too_much(chosen)
    tree.refuse_bad_links(chosen)
    scan = imports.scan(
        Source(path=file.path, target=file.target, text=(root / file.path).read_bytes())
        for file in chosen if file.link is None and file.target.endswith(".py")
    )
    scan = dataclasses.replace(scan, imports=(*_started(variant.service), *scan.imports))
    warnings = (
        *scan.warnings,
        *_left_out_imports(scan, chosen, left_out, variant.service, _roots(variant)),
        *_git_ignored_imports(root, scan, chosen, _roots(variant)),
    )
    return Selection(root=root, files=chosen, left_out=left_out, scan=scan, warnings=warnings)


def check_imports(selection: Selection, variant: Variant, wheels: WheelSet) -> tuple[str, ...]:
    """Raise ConfigError for imports that neither the service nor a wheel provides; return those that may fail."""
    targets = [file.target for file in selection.files]
    links = {file.target for file in selection.files if file.link is not None}
    local = links.union(*(imports.top_modules(targets, root) for root in _roots(variant)))
    wanted = selection.scan.imports
    provided = frozenset().union(*(imports.provided(wheels.path(wheel)) for wheel in wheels.lock.wheels))
    hints = _hints(selection.root, variant.service)
    required = imports.missing(
        (each for each in wanted if not each.optional), local, provided, variant.python, hints=hints
    )
    optional = imports.missing(
        (each for each in wanted if each.optional and each.top not in required), local, provided, variant.python
    )
    # Where code changes sys.path, any folder may be on it: such a module may well be found.
    elsewhere = {part.partition(".")[0] for target in targets for part in target.split("/")}
    lost = [said for name, said in required.items() if not (selection.scan.changes_path and name in elsewhere)]
    if lost:
        raise ConfigError(
            "\n".join(lost),
            cure=f"complete {variant.service.requirements} and run: inv lock; "
            "put an import that may fail into try ... except ImportError",
        )
    return (*required.values(), *optional.values())


def copy_into(selection: Selection, folder: Path) -> None:
    """Make ``folder`` hold exactly the selection, whole or not at all, in place of an older one.

    Folders are 0o755 and all times are SOURCE_DATE_EPOCH (seconds; 0 where it is not set), so equal sources lie equal.
    """
    said = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not said.isdecimal():
        raise ConfigError(f"SOURCE_DATE_EPOCH={said}: not a number of seconds", cure="unset it, or set it to one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    files.remove_tree(fresh)
    try:
        fresh.mkdir()
        for file in selection.files:
            _copy(selection.root / file.path, file, fresh / file.target)
        for where, _, names in os.walk(fresh, topdown=False):
            Path(where).chmod(0o755)
            for path in (*(f"{where}/{name}" for name in names), where):
                os.utime(path, (int(said), int(said)), follow_symlinks=False)
        files.remove_tree(folder)
        fresh.replace(folder)
    finally:
        files.remove_tree(fresh)


def digest(selection: Selection) -> str:
    """A hex SHA-256 over paths in the image, modes and contents; where the project lies and times do not count."""
    return fingerprint([
        [file.target, file.mode, file.link if file.link is not None else files.sha256(selection.root / file.path)]
        for file in selection.files
    ])


def _copy(source: Path, file: ContextFile, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.link is not None:
        target.symlink_to(file.link)
        return
    shutil.copyfile(source, target)
    target.chmod(file.mode)


def _left_out_imports(
    scan: Scan, chosen: tuple[ContextFile, ...], left_out: tuple[LeftOut, ...], service: Service, roots: tuple[str, ...]
) -> tuple[str, ...]:
    rules = {each.target: each for each in left_out}
    found = imports.absent(scan.imports, (file.target for file in chosen), rules, roots)
    said = {
        f"{rules[target].path} is imported by {each.where} but left out by {rules[target].rule}": each.optional
        for each, target in found
    }
    script = _script(service)
    if script and script not in {file.target for file in chosen}:
        why = f"left out by {rules[script].rule}" if script in rules else f"{service.source} holds no such file"
        said[f"the command of {service.name} starts {script}, which is not in the image: {why}"] = False
    lost = [text for text, optional in said.items() if not optional]
    if lost:
        raise ConfigError("\n".join(lost), cure=f"correct {ignore.IGNORE_FILE}, source or include")
    return tuple(said)


def _git_ignored_imports(
    root: Path, scan: Scan, chosen: tuple[ContextFile, ...], roots: tuple[str, ...]
) -> tuple[str, ...]:
    modules = {file.path: file.target for file in chosen if imports.module_name(PurePosixPath(file.target).name)}
    ignored, note = ignore.git_ignored(root, tuple(modules))
    lost = {modules[path]: f"{path} is imported by {{}} but a colleague's clone lacks it: git ignores it by {rule}"
            for path, rule in ignored.items()}
    kept = [target for path, target in modules.items() if path not in ignored]
    said = [lost[target].format(each.where) for each, target in imports.absent(scan.imports, kept, lost, roots)]
    return (*said, *filter(None, [note]))


def _script(service: Service) -> str | None:
    """The file below /app that a command like ``python src/main.py`` starts."""
    words = service.command
    if len(words) < 2 or not words[0].startswith("python") or not words[1].endswith(".py"):
        return None
    path = APP / words[1]
    return str(path.relative_to(APP)) if path.is_relative_to(APP) and ".." not in path.parts else None


def _roots(variant: Variant) -> tuple[str, ...]:
    """The folders below /app that are on Python's path: of the script that is started, else /app; and PYTHONPATH's."""
    script = _script(variant.service)
    first = str(PurePosixPath(script).parent) if script else "."
    told = [word for flag, word in pairwise(variant.service.command) if flag in ("--app-dir", "--chdir")]
    places = [APP / each for each in (first, *told, *filter(None, variant.env.get("PYTHONPATH", "").split(":")))]
    below = ["/".join(place.relative_to(APP).parts) for place in places if place.is_relative_to(APP)]
    return tuple(dict.fromkeys(below))


def _started(service: Service) -> tuple[Import, ...]:
    """What the command itself imports: python -m NAME, and the module:application of a web server."""
    names = []
    if service.entry_module:
        names += [service.entry_module, f"{service.entry_module}.__main__"]
    if any(PurePosixPath(word).name in _SERVERS for word in service.command):
        names += [match[1] for word in service.command if (match := _APPLICATION.fullmatch(word))]
    return tuple(Import(module=name, file=f"the command of {service.name}") for name in names)


def _hints(root: Path, service: Service) -> dict[str, str]:
    """For modules that lie in the project but not in the image: how they get there."""
    hints = {}
    for place in sorted(root.iterdir()):
        name = place.name if place.is_dir() and any(place.glob("*.py")) else imports.module_name(place.name)
        if name:
            hints[name] = f"{place.name} lies in the project: name it under include, or move it into {service.source}"
    folder = PurePosixPath(service.source).name
    hints[folder] = f"what is in {service.source} lies in {APP} itself: import it without {folder!r} before it"
    return hints
