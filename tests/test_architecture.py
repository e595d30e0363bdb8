"""The map of torchferry as rules: who may import whom, who owns which library and side effect, how big things may get.

A rule that is in the way may be changed here, in the open: each table names its exceptions, each with its reason.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from torchferry.errors import FerryError

ROOT = Path(__file__).parents[1]
MODULE_LINES, FUNCTION_LINES, PROTOCOL_METHODS = 300, 40, 4

WORDS = {"errors", "model", "layout", "running", "components"}

PURE = {
    "variants", "fields", "grammar", "running_grammar", "yamlpos", "compat", "compat_table", "compat_rows",
    "table_fields", "gpus",
    "server", "smi", "smi_text", "smi_table", "smi_forms", "smi_csv", "verdict", "verdict_text",
    "charset", "choice", "ferry_patterns", "ferry_tables",
    "symptoms", "ferry_symptoms", "kernel", "site_report", "site_report_text", "runline", "compose",
    "remedies", "traps", "doctor_text", "lockfile", "render", "dockerfile", "bake_plan", "manifest", "hybrid",
    "oci", "reference", "wheels", "imports", "stdlib", "tarstream", "drift", "bounds", "coverage", "remarks", "fleet",
    "coverage_page",
    "cuda_names", "elf_scan", "library_facts", "library_set", "findings", "audit", "audit_needs",
    "wording", "licenses", "dpkg", "requirement_graph",
    "receipts", "planning",
    "said", "release_facts", "guide", "guide_words", "page_words", "page", "install_text", "verdict_korean",
}

PURE_MAY_IMPORT = {
    ("manifest", "smoke"): "the noun Check stands beside the checks",
    ("tarstream", "members"): "`exactly` reads from whatever it is handed",
}

PURE_MAY_DO = {
    ("variants", "open"): "`load` is the door through which variants.yaml comes in",
    ("variants", "read"): "`load`",
    ("receipts", "open"): "`read` is the door through which a receipt comes in",
    ("receipts", "read"): "`read`",
    ("variants", "is_file"): "`load` says which paths exist; `parse` is told",
    ("variants", "is_dir"): "`load` says which paths exist; `parse` is told",
    ("compat", "read_text"): "the table that comes with the package",
    ("symptoms", "read_text"): "the catalogue that comes with the package",
}

IO_LIBRARIES = {
    "subprocess", "socket", "http", "urllib.request", "httpx", "docker", "shutil", "tempfile", "threading", "fcntl",
    "concurrent", "multiprocessing", "signal", "sqlite3", "logging",
}

IO_CALLS = {
    "open", "print", "input", "read", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir",
    "rmdir", "rename", "iterdir", "glob", "rglob", "stat", "lstat", "is_file", "is_dir", "is_symlink", "resolve",
    "cwd", "getenv", "sleep", "monotonic", "now", "today", "urlopen",
}

HANDED_IN = {
    ("wheels", "read"): "a zip that is open already",
    ("tarstream", "read"): "a stream that is open already",
    ("site_report", "read"): "`smi.read`, of a text",
}

OWNERS: Mapping[str, Mapping[str, str]] = {
    "subprocess": {"proc": "every program starts here", "engines.chroot": "waits for one that proc started"},
    "httpx": {"web": "every request starts here"},
    "docker": {
        "engines.docker": "the engine", "engines.containers": "the smoke test's containers",
        "ignore": "only docker.utils, which reads .dockerignore as docker build does; it talks to no daemon",
    },
    "invoke": {},
    "tqdm": {"console": "every bar is shown here"},
    "yaml": {"yamlpos": "variants.yaml, with positions", "table_fields": "our own tables",
             "compose": "writes compose.yaml"},
    "jinja2": {"render": "every template is filled here"},
    "isal": {
        "members": "compresses", "inflate": "decompresses", "savestream": "decompresses what docker save gives",
        "registry": "decompresses what a registry gives", "wheel_reader": "decompresses small files of wheels at once",
    },
    "pypi_simple": {
        "listing": "every index page is read here", "index": "where PyPI is", "refresh": "the noun that listing gives",
    },
    "uv": {
        "resolve": "resolves", "wheelbuild": "makes environments", "venv_tree": "is asked what an environment is",
    },
    "pyproject_hooks": {"wheelbuild": "PEP 517"},
    "tomli": {
        "lockfile": "pylock.toml", "base": "the lock of a base", "index": "uv.toml", "wheelbuild": "pyproject.toml",
    },
    "packaging": dict.fromkeys(
        (
            "bom", "compat", "compat_table", "compat_rows", "drift", "grammar", "library_set", "licenses", "listing",
            "lockfile", "model", "purewheel", "refresh", "requirement_graph", "sdist", "smoke", "smoke_static",
            "symptoms", "wheel_groups", "wheel_layout", "wheelbuild", "wheel_libraries", "wheels",
        ),
        "versions, requirements and wheel names are its words; it does nothing but think",
    ),
    "cyclonedx": {"bom": "every SBOM is written here"},
    "packageurl": {"bom": "the names of components in an SBOM"},
    "elftools": {"elf_file": "reads the dynamic sections of libraries in wheels"},
    "_typeshed": {"remote": "a type, for mypy only"},
    "socket": {}, "urllib.request": {}, "http": {},
    "fcntl": {"blobs": "locks a blob", "download": "locks a download", "files": "reflinks"},
    "tempfile": {
        "base": "mmdebstrap", "resolve": "uv", "sdist": "uv", "wheelbuild": "a workshop", "registry": "skopeo",
        "venv_tree": "uv", "engines.chroot": "an unpacked image, and its log", "proc": "what a program says on stderr",
        "signing": "whom a check trusts",
        "ssh": "the socket of a shared connection",
    },
    "shutil": {
        "files": "links, copies, free space", "proc": "finds programs", "context": "copies the context",
        "recipe": "replaces the recipe's folder", "unpack": "whiteouts remove folders",
    },
    "random": {"patience": "waits are not all of one length"},
    "multiprocessing": {}, "asyncio": {}, "logging": {}, "ctypes": {}, "pickle": {},
    "signal": {"proc": "SIGTERM to what it started"},
}
"""Who may import what, and why. Every library from outside has a row; of Python's own those with a side effect."""

PRINTERS = {"console": "stdout is data, stderr is talk"}

ENVIRONMENT = {
    "proc": "PATH, and what programs inherit", "web": "proxies, CA bundle, netrc", "host": "DOCKER_HOST",
    "engines.docker": "DOCKER_HOST", "base": "TORCHFERRY_DEBIAN_MIRROR", "context": "SOURCE_DATE_EPOCH",
    "pipeline": "hands it to index", "registry_login": "DOCKER_CONFIG and REGISTRY_AUTH_FILE",
    "signing": "TORCHFERRY_SIGNING_KEY, TORCHFERRY_ALLOWED_SIGNERS",
}

ENDERS = {
    "subprocess.Popen": {"proc"}, "os.system": set(), "os.popen": set(), "os.fork": set(), "os.execv": set(),
    "os.execvp": set(), "os.kill": {"proc"}, "os.killpg": set(), "os.waitpid": {"proc"}, "os._exit": set(),
    "sys.exit": set(), "exit": set(), "quit": set(), "eval": set(), "exec": set(), "os.chdir": set(),
    "os.umask": set(), "os.putenv": set(),
}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One import: its dotted name, whether it happens when the module is loaded, and whether only for mypy."""

    name: str
    at_load: bool
    typing_only: bool


@dataclass(frozen=True)
class Module:
    """One file of torchferry, parsed; its name is dotted, below the package ('' is the package itself)."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imported(self) -> tuple[Imported, ...]:
        return tuple(_imports(self.tree, at_load=True, typing_only=False))

    def ours(self, names: Iterable[str], *, at_load: bool = False, run_time: bool = False) -> set[str]:
        """The modules of torchferry that this one imports, of those in ``names``."""
        known = set(names)
        found = set()
        for one in self.imported:
            if (at_load and not one.at_load) or (run_time and one.typing_only):
                continue
            if one.name.split(".")[0] == "torchferry":
                parts = one.name.split(".")[1:]
                # `from torchferry.errors import X` is X of errors: the longest part that is a module counts
                found.add(next((dotted for end in range(len(parts), 0, -1)
                                if (dotted := ".".join(parts[:end])) in known), ""))
        return found - {"", self.name}

    def outside(self) -> set[str]:
        """Every dotted name that is imported from elsewhere, whenever that happens."""
        return {one.name for one in self.imported if one.name.split(".")[0] not in ("torchferry", "__future__")}

    def calls(self) -> Iterator[str]:
        """The dotted names of what is called: 'print', 'os.kill', '.open' for a method of a value."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield _dotted(node.func)


def _imports(node: ast.AST, *, at_load: bool, typing_only: bool) -> Iterator[Imported]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Imported(name=alias.name, at_load=at_load, typing_only=typing_only)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            for alias in child.names:
                yield Imported(name=f"{child.module}.{alias.name}", at_load=at_load, typing_only=typing_only)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for part in child.body:
                yield from _imports(ast.Module(body=[part], type_ignores=[]), at_load=False, typing_only=True)
            for part in child.orelse:
                yield from _imports(ast.Module(body=[part], type_ignores=[]), at_load=at_load, typing_only=typing_only)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, at_load=at_load and not inside, typing_only=typing_only)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _load() -> dict[str, Module]:
    found = {}
    for path in sorted((ROOT / "torchferry").rglob("*.py")):
        parts = path.relative_to(ROOT / "torchferry").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path.read_text(encoding="utf-8"))
    return found


MODULES = _load()
HERE = {name: module for name, module in MODULES.items() if not name.startswith("inside.")}
"""What runs in this process; inside/ are programs of their own, for which one rule stands: nothing but Python."""

everywhere = pytest.mark.parametrize("name", sorted(MODULES), ids=lambda name: name or "torchferry")
here = pytest.mark.parametrize("name", sorted(HERE), ids=lambda name: name or "torchferry")


def _is_of(imported: str, library: str) -> bool:
    return imported == library or imported.startswith(f"{library}.")


# The rules see what they are to judge


def test_the_modules_are_found_and_read_as_they_are() -> None:
    assert {"errors", "model", "proc", "web", "engines", "engines.docker", "inside.probe", ""} <= set(MODULES)
    text = (
        "import os.path\nfrom typing import TYPE_CHECKING\nfrom torchferry import proc, __version__\n"
        "from torchferry.engines.docker import DockerEngine\n"
        "if TYPE_CHECKING:\n    from torchferry import plan\n"
        "def late():\n    import httpx\n    from torchferry.web import get\n    os.kill(1)\n    a().open()\n"
        "try:\n    import tomllib\nexcept ImportError:\n    import tomli\n"
    )
    module = Module("sample", text)
    assert module.outside() == {"os.path", "typing.TYPE_CHECKING", "httpx", "tomllib", "tomli"}
    assert module.ours(MODULES) == {"proc", "engines.docker", "plan", "web"}
    assert module.ours(MODULES, run_time=True) == {"proc", "engines.docker", "web"}
    assert module.ours(MODULES, at_load=True) == {"proc", "engines.docker"}
    assert set(module.calls()) == {"os.kill", ".open", "a"}


def test_every_name_in_the_tables_is_a_module() -> None:
    named = WORDS | PURE | set(PRINTERS) | set(ENVIRONMENT) | {owner for owners in OWNERS.values() for owner in owners}
    named |= {name for pair in PURE_MAY_IMPORT for name in pair} | {name for name, _ in PURE_MAY_DO | HANDED_IN}
    named |= {name for allowed in ENDERS.values() for name in allowed}
    assert named - set(MODULES) == set()


def test_every_exception_is_still_needed() -> None:
    assert {pair for pair in PURE_MAY_IMPORT if pair[1] not in MODULES[pair[0]].ours(MODULES)} == set()
    called = {(name, call.rpartition(".")[2]) for name, module in MODULES.items() for call in module.calls()}
    assert (PURE_MAY_DO.keys() | HANDED_IN.keys()) - called == set()
    assert {
        (library, owner) for library, owners in OWNERS.items() for owner in owners
        if not any(_is_of(found, library) for found in MODULES[owner].outside())
    } == set()
    assert {name for name in ENVIRONMENT if "os.environ" not in _attributes(name)} == set()
    assert {name for name in PRINTERS if "print" not in MODULES[name].calls()} == set()


# Layers


@pytest.mark.parametrize("name", sorted(WORDS))
def test_words_import_nothing_of_ours_but_words(name: str) -> None:
    assert MODULES[name].ours(MODULES) - WORDS == set()


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_only_words_and_pure_modules(name: str) -> None:
    allowed = WORDS | PURE | {imported for owner, imported in PURE_MAY_IMPORT if owner == name}
    assert MODULES[name].ours(MODULES) - allowed == set()


@pytest.mark.parametrize("name", sorted(WORDS | PURE))
def test_words_and_pure_modules_import_no_door_to_the_world(name: str) -> None:
    assert [found for found in MODULES[name].outside() if any(_is_of(found, door) for door in IO_LIBRARIES)] == []


@pytest.mark.parametrize("name", sorted(WORDS | PURE))
def test_words_and_pure_modules_touch_no_disk_clock_or_terminal(name: str) -> None:
    done = {call.rpartition(".")[2] for call in MODULES[name].calls() if "." in call or call in ("open", "print")}
    allowed = {what for owner, what in PURE_MAY_DO | HANDED_IN if owner == name}
    assert (done & IO_CALLS) - allowed == set()


def test_no_module_is_needed_to_load_itself() -> None:
    graph = {name: module.ours(MODULES, at_load=True) for name, module in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_no_module_needs_itself_while_it_runs_either() -> None:
    graph = {name: module.ours(MODULES, run_time=True) for name, module in MODULES.items()}
    TopologicalSorter(graph).prepare()


def test_only_the_plan_and_the_tasks_stand_above_the_pipeline() -> None:
    above = {name for name, module in MODULES.items() if "pipeline" in module.ours(MODULES, run_time=True)}
    assert above == {"plan"}


@everywhere
def test_tasks_are_imported_by_nobody_and_invoke_by_them_alone(name: str) -> None:
    assert [found for found in MODULES[name].outside() if _is_of(found, "tasks") or _is_of(found, "invoke")] == []


def test_the_tasks_use_invoke() -> None:
    tasks = Module("tasks", (ROOT / "tasks.py").read_text(encoding="utf-8"))
    assert any(_is_of(found, "invoke") for found in tasks.outside())
    outside = {found.split(".")[0] for found in tasks.outside()} - set(sys.stdlib_module_names)
    assert outside == {"invoke"}


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("inside.")))
def test_what_runs_in_the_image_needs_nothing_but_python(name: str) -> None:
    found = {name.split(".")[0] for name in MODULES[name].outside()} - set(sys.stdlib_module_names)
    assert found <= {"torch"}
    assert MODULES[name].ours(MODULES) <= {"inside.health"}  # ferry.py sends it along
    users = [other for other, module in MODULES.items() if name in module.ours(MODULES)]
    assert [other for other in users if not other.startswith(("engines.", "inside."))] == []  # engines: from outside


# Owners


@here
def test_every_library_from_outside_has_an_owner(name: str) -> None:
    found = {found.split(".")[0] for found in MODULES[name].outside()} - set(sys.stdlib_module_names)
    assert found - set(OWNERS) == set()


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_library_is_used_by_its_owners_alone(library: str) -> None:
    users = {name for name, module in HERE.items() if any(_is_of(found, library) for found in module.outside())}
    assert users - set(OWNERS[library]) == set()


def test_ignore_takes_only_the_pattern_matching_of_docker() -> None:
    found = [found for found in MODULES["ignore"].outside() if _is_of(found, "docker")]
    assert [found for found in found if not _is_of(found, "docker.utils")] == []


@here
def test_only_the_console_prints(name: str) -> None:
    talkers = {"print", "input", "sys.stdout.write", "sys.stderr.write"}
    assert talkers & set(MODULES[name].calls()) == ({"print"} if name in PRINTERS else set())


@here
def test_the_environment_is_read_at_few_doors(name: str) -> None:
    found = _attributes(name) & {"os.environ", "os.environb", "os.getenv"}
    assert not found or name in ENVIRONMENT


@here
def test_nobody_ends_forks_or_moves_the_process(name: str) -> None:
    found = {call for call in MODULES[name].calls() if call in ENDERS and name not in ENDERS[call]}
    raised = [node for node in ast.walk(MODULES[name].tree) if isinstance(node, ast.Name) and node.id == "SystemExit"]
    assert (found, raised) == (set(), [])


def _attributes(name: str) -> set[str]:
    return {_dotted(node) for node in ast.walk(MODULES[name].tree) if isinstance(node, ast.Attribute)}


# Errors


def _errors() -> list[type[FerryError]]:
    for name in HERE:
        importlib.import_module(f"torchferry.{name}" if name else "torchferry")
    found, todo = [], [FerryError]
    while todo:
        kind = todo.pop()
        todo += [sub for sub in kind.__subclasses__() if sub.__module__.split(".")[0] == "torchferry"]
        found.append(kind)
    return found


def test_every_refusal_has_an_exit_code_of_its_own() -> None:
    codes: dict[int, list[str]] = defaultdict(list)
    for kind in _errors():
        assert "exit_code" in vars(kind), f"{kind.__name__} has no exit code of its own"
        codes[kind.exit_code].append(kind.__name__)
    assert {code: names for code, names in codes.items() if len(names) > 1} == {}
    assert all(1 <= code <= 63 for code in codes)
    assert codes[1] == ["FerryError"]
    assert len(codes) > 5


def test_every_refusal_says_what_it_is_and_stands_with_the_others() -> None:
    for kind in _errors():
        assert vars(kind).get("__doc__"), f"{kind.__name__} has no docstring"
        assert kind.__module__ == "torchferry.errors"


# Size and shape


@everywhere
def test_every_module_says_what_it_is(name: str) -> None:
    module = MODULES[name]
    assert not module.tree.body or ast.get_docstring(module.tree)


@everywhere
def test_no_module_is_too_long(name: str) -> None:
    assert len(MODULES[name].text.splitlines()) <= MODULE_LINES


@everywhere
def test_no_function_is_too_long(name: str) -> None:
    too_long = {
        node.name: lines for node in ast.walk(MODULES[name].tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert too_long == {}


@everywhere
def test_no_seam_is_wide(name: str) -> None:
    wide = [
        node.name for node in ast.walk(MODULES[name].tree)
        if isinstance(node, ast.ClassDef) and any(_dotted(base) == "Protocol" for base in node.bases)
        and sum(isinstance(part, ast.FunctionDef) for part in node.body) > PROTOCOL_METHODS
    ]
    assert wide == []


def _dataclasses(name: str) -> Iterator[tuple[str, dict[str, bool]]]:
    for node in ast.walk(MODULES[name].tree):
        for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            call = decorator if isinstance(decorator, ast.Call) else ast.Call(func=decorator, args=[], keywords=[])
            if _dotted(call.func) == "dataclass":
                assert isinstance(node, ast.ClassDef)
                yield node.name, {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}


@everywhere
def test_dataclasses_are_filled_by_name_and_nouns_never_change(name: str) -> None:
    found = dict(_dataclasses(name))
    assert [made for made, words in found.items() if not words.get("kw_only")] == []
    if name == "model":
        assert found
        assert [made for made, words in found.items() if not words.get("frozen")] == []
