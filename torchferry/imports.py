"""What Python code imports, read without running it, and whether anything provides it.

A module is named by dots (models.loader); its file by its path below the folder that is on Python's path.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torchferry import stdlib
from torchferry.errors import IntegrityError

_MODULE_FILE = re.compile(r"([A-Za-z_]\w*)\.(?:py|(?:[\w-]+\.)?(?:so|pyd))")
_IMPORT_FAILS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_CONDITIONS = frozenset({"TYPE_CHECKING", "version_info", "platform", "find_spec"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """A Python file: ``path`` as people know it, ``target`` below the folder that is on Python's path."""

    path: str
    target: str
    text: bytes


@dataclass(frozen=True, kw_only=True)
class Import:
    """One module that is asked for; an ``optional`` one may fail, a ``relative`` one began with a dot."""

    module: str
    file: str
    line: int = 0
    optional: bool = False
    relative: bool = False

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, kw_only=True)
class Scan:
    """All imports of some files, what could not be read, and whether code changes sys.path."""

    imports: tuple[Import, ...]
    warnings: tuple[str, ...]
    changes_path: bool


def module_name(filename: str) -> str | None:
    """The module that a file of this name is: loader.py, _fast.cpython-311-x86_64-linux-gnu.so; None for others."""
    match = _MODULE_FILE.fullmatch(filename)
    return match[1] if match else None


def scan(sources: Iterable[Source]) -> Scan:
    """Every import of these files, in their order; ``from a import b`` counts as a and as a.b.

    Optional is what stands in try with except ImportError, suppress(ImportError), under TYPE_CHECKING or a
    question about the platform or Python's version, and everything in tests.
    """
    found: list[Import] = []
    said: list[str] = []
    changes_path = False
    for source in sources:
        try:
            with warnings.catch_warnings():  # a warning about the service's code is not ours to give
                warnings.simplefilter("ignore")
                tree = ast.parse(source.text)
            visitor = _Visitor(source)
            visitor.visit(tree)
        except (SyntaxError, ValueError, RecursionError) as error:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            reason = error.msg if isinstance(error, SyntaxError) else error
            said.append(f"{source.path}{line} is not Python {version}, its imports were not read: {reason}")
            continue
        found += visitor.found
        changes_path |= visitor.changes_path
    return Scan(imports=tuple(found), warnings=tuple(said), changes_path=changes_path)


class _Visitor(ast.NodeVisitor):
    def __init__(self, source: Source) -> None:
        self.file = source.path
        self.package = PurePosixPath(source.target).parent.parts
        self.optional = _is_test(source.target)
        self.found: list[Import] = []
        self.changes_path = False

    def add(self, module: str, line: int, *, relative: bool = False) -> None:
        self.found.append(Import(
            module=module, file=self.file, line=line, optional=self.optional, relative=relative
        ))

    def absolute(self, module: str, level: int) -> str | None:
        """The full name of a relative import; None where it climbs above the top folder."""
        above = len(self.package) - (level - 1)
        return ".".join([*self.package[:above], *filter(None, [module])]) if above >= 0 else None

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self.absolute(node.module or "", node.level) if node.level else node.module
        if module is None:
            return
        names = [alias.name for alias in node.names if alias.name != "*"]
        for name in filter(None, [module, *(f"{module}.{name}".lstrip(".") for name in names)]):
            self.add(name, node.lineno, relative=node.level > 0)

    def visit_Call(self, node: ast.Call) -> None:
        called = _dotted(node.func)
        self.changes_path |= called.startswith(("sys.path.", "site.addsitedir"))
        named = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if isinstance(named, str):
            if called in ("importlib.import_module", "import_module", "__import__"):
                self.literal(named, node)
            elif called == "uvicorn.run" and ":" in named:
                self.add(named.partition(":")[0], node.lineno)
        self.generic_visit(node)

    def literal(self, name: str, node: ast.Call) -> None:
        module = name.lstrip(".")
        if module == name:
            self.add(name, node.lineno)
            return
        packages = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "package")]
        full = self.absolute(module, len(name) - len(module))
        if full and [_dotted(package) for package in packages] == ["__package__"]:
            self.add(full, node.lineno, relative=True)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.changes_path |= any(_dotted(target) == "sys.path" for target in node.targets)
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        may_fail = any(handler.type is None or _names(handler.type) & _IMPORT_FAILS for handler in node.handlers)
        self.visit_all([*node.body, *node.handlers, *node.orelse], optional=may_fail)
        self.visit_all(node.finalbody)

    def visit_With(self, node: ast.With) -> None:
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        may_fail = any(
            "suppress" in _names(call.func) and _names(*call.args) & _IMPORT_FAILS for call in calls
        )
        self.visit_all([*node.items, *node.body], optional=may_fail)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self.visit_all([*node.body, *node.orelse], optional=bool(_names(node.test) & _CONDITIONS))

    def visit_all(self, nodes: Iterable[ast.AST], *, optional: bool = False) -> None:
        before, self.optional = self.optional, self.optional or optional
        for node in nodes:
            self.visit(node)
        self.optional = before


def _names(*nodes: ast.AST) -> set[str]:
    every = [each for node in nodes for each in ast.walk(node)]
    return {each.id for each in every if isinstance(each, ast.Name)} | {
        each.attr for each in every if isinstance(each, ast.Attribute)
    }


def _dotted(node: ast.AST) -> str:
    """The dotted name that an expression is, or takes an item of; "" for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _is_test(target: str) -> bool:
    *folders, name = PurePosixPath(target).parts
    return bool({"test", "tests"} & set(folders)) or name == "conftest.py" or name.startswith("test_")


def provided(wheel: Path) -> frozenset[str]:
    """The top-level modules that a wheel installs, namespace packages and compiled modules included."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise IntegrityError(f"{wheel.name}: not a wheel: {error}", cure="remove it and run: inv fetch") from error
    inside = []
    for name in names:
        head, _, rest = name.partition("/")
        scheme, _, below = rest.partition("/")
        if not head.endswith(".data"):
            inside.append(name)
        elif scheme in ("purelib", "platlib"):
            inside.append(below)
    return top_modules(inside)


def top_modules(targets: Iterable[str], root: str = "") -> frozenset[str]:
    """The names that these files make importable where the folder ``root`` is on Python's path."""
    prefix = f"{root}/" if root else ""
    found = set()
    for target in targets:
        if target.startswith(prefix) and (name := module_name(target.rpartition("/")[2])):
            first, *below = target[len(prefix):].split("/")
            found.add(first if below else name)
    return frozenset(name for name in found if name.isidentifier())


def missing(
    imports: Iterable[Import], local: Collection[str], distributions: Collection[str], python: str,
    *, hints: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The top-level modules that neither Python ``python``, the service nor a wheel provides, each with its message.

    ``distributions`` are the modules of all wheels (a mapping from module to distribution will do); ``hints`` say
    for some modules what cures it.
    """
    known = {*stdlib.modules(python), *local, *distributions}
    places: dict[str, list[str]] = {}
    for each in imports:
        if not each.relative and each.top not in known and each.where not in places.setdefault(each.top, []):
            places[each.top].append(each.where)
    said = {}
    for name, found in sorted(places.items()):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        cure = (hints or {}).get(name) or stdlib.cure(name)
        said[name] = f"{name} is imported by {found[0]}{more}, but nothing in the image provides it: {cure}"
    return said


def absent(
    imports: Iterable[Import], present: Iterable[str], gone: Iterable[str], roots: Iterable[str]
) -> tuple[tuple[Import, str], ...]:
    """Imports whose file is among ``gone`` and not among ``present``, each with that file; once per file.

    Files are paths below /app; ``roots`` are the folders on Python's path. A required import comes before an optional.
    """
    have, lost = _by_module(present), _by_module(gone)
    found: dict[str, Import] = {}
    for each in sorted(imports, key=lambda each: each.optional):
        places = ["/".join(filter(None, [root, each.module.replace(".", "/")])) for root in roots]
        if each.relative:
            places = [each.module.replace(".", "/")]
        if any(place in have for place in places):
            continue
        for place in places:
            if place in lost:
                found.setdefault(lost[place], each)
    return tuple((each, file) for file, each in found.items())


def _by_module(targets: Iterable[str]) -> dict[str, str]:
    modules = {}
    for target in targets:
        folder, _, filename = target.rpartition("/")
        name = module_name(filename)
        if name:
            modules[folder if name == "__init__" else f"{folder}/{name}".lstrip("/")] = target
    return modules
