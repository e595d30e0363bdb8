"""Imports are found where they stand, and blamed only where they must work."""

import textwrap
from pathlib import Path

import pytest
from support.wheel_factory import make_wheel

from torchferry import stdlib
from torchferry.errors import IntegrityError
from torchferry.imports import Import, Scan, Source, absent, missing, provided, scan, top_modules


def scanned(text: str, target: str = "main.py") -> Scan:
    source = Source(path=f"app/{target}", target=target, text=textwrap.dedent(text).encode())
    return scan([source])


def names(text: str, target: str = "main.py", *, optional: bool | None = None) -> list[str]:
    return [
        each.module for each in scanned(text, target).imports if optional is None or each.optional == optional
    ]


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("import a, b.c as d", "main.py", ["a", "b.c"]),
        ("from a.b import c, d", "main.py", ["a.b", "a.b.c", "a.b.d"]),
        ("from a import *", "main.py", ["a"]),
        ("def late():\n    import a", "main.py", ["a"]),
        ("from . import x", "pkg/sub/m.py", ["pkg.sub", "pkg.sub.x"]),
        ("from ..y import x", "pkg/sub/m.py", ["pkg.y", "pkg.y.x"]),
        ("from .y import x", "pkg/__init__.py", ["pkg.y", "pkg.y.x"]),
        ("from . import x", "main.py", ["x"]),
        ("from ... import x", "pkg/m.py", []),
        ("import importlib\nimportlib.import_module('a.b')", "main.py", ["importlib", "a.b"]),
        ("import_module('.x', package=__package__)", "pkg/m.py", ["pkg.x"]),
        ("import_module('.x', __package__)", "pkg/m.py", ["pkg.x"]),
        ("import_module('.x', other)\nimport_module(name)\nimport_module()", "pkg/m.py", []),
        ("__import__('a')", "main.py", ["a"]),
        ("uvicorn.run('service.main:app', port=1)", "main.py", ["service.main"]),
    ],
)
def test_every_form_of_import(text: str, target: str, expected: list[str]) -> None:
    assert names(text, target) == expected


@pytest.mark.parametrize(
    ("text", "optional", "required"),
    [
        ("try:\n    import a\nexcept ImportError:\n    import b\nelse:\n    import c\nfinally:\n    import d",
         ["a", "b", "c"], ["d"]),
        ("try:\n    import a\nexcept (OSError, ModuleNotFoundError):\n    pass", ["a"], []),
        ("try:\n    import a\nexcept:\n    pass\nimport b", ["a"], ["b"]),
        ("try:\n    import a\nexcept OSError:\n    pass", [], ["a"]),
        ("try:\n    def f():\n        import a\nexcept ImportError:\n    pass", ["a"], []),
        ("if TYPE_CHECKING:\n    import a", ["a"], []),
        ("if typing.TYPE_CHECKING:\n    import a\nelse:\n    import b", ["a", "b"], []),
        ("if sys.version_info >= (3, 11):\n    import a\nelif x:\n    import b", ["a", "b"], []),
        ("if __name__ == '__main__':\n    import a", [], ["a"]),
        ("with contextlib.suppress(ImportError):\n    import a\nwith open(x):\n    import b", ["a"], ["b"]),
        ("with suppress(OSError):\n    import a", [], ["a"]),
    ],
)
def test_what_may_fail(text: str, optional: list[str], required: list[str]) -> None:
    assert names(text, optional=True) == optional
    assert names(text, optional=False) == required


@pytest.mark.parametrize("target", ["tests/helpers.py", "pkg/test_x.py", "conftest.py"])
def test_imports_of_tests_may_fail(target: str) -> None:
    assert names("import pytest", target, optional=True) == ["pytest"]


def test_an_import_knows_its_place() -> None:
    (found,) = scanned("\n\nfrom a import *\n").imports
    assert (found.where, found.top, found.relative) == ("app/main.py:3", "a", False)


@pytest.mark.parametrize("text", ["def broken(:\n", "x = '\0'\n"])
def test_a_file_that_is_not_python_is_named_not_raised(text: str) -> None:
    found = scanned(text)
    assert found.imports == ()
    (warning,) = found.warnings
    assert warning.startswith("app/main.py") and "imports were not read" in warning


def test_odd_code_warns_nobody() -> None:
    assert scanned("pattern = '\\d'\nassert (1, 'x')\n").warnings == ()


def test_an_encoding_line_is_honoured() -> None:
    text = "# -*- coding: latin-1 -*-\nword = 'größe'\nimport a\n".encode("latin-1")
    assert [each.module for each in scan([Source(path="a.py", target="a.py", text=text)]).imports] == ["a"]


@pytest.mark.parametrize(
    ("text", "changes"),
    [("import sys\nsys.path.insert(0, 'lib')", True), ("sys.path = []", True), ("sys.path[0] = 'x'", True),
     ("import sys\nprint(sys.path)", False)],
)
def test_code_that_changes_the_path_is_noticed(text: str, changes: bool) -> None:
    assert scanned(text).changes_path is changes


@pytest.mark.parametrize(
    ("python", "there", "gone"),
    [
        ("3.9", {"formatter", "binhex", "imp", "cgi", "zoneinfo"}, {"tomllib", "annotationlib"}),
        ("3.11", {"distutils", "asyncore", "tomllib", "cgi", "json"}, {"binhex", "parser", "compression"}),
        ("3.12", {"telnetlib", "tomllib"}, {"distutils", "imp", "asyncore"}),
        ("3.13", {"json", "__main__", "__future__"}, {"cgi", "telnetlib", "lib2to3", "compression"}),
        ("3.14", {"annotationlib", "compression"}, {"audioop", "distutils"}),
    ],
)
def test_the_standard_library_of_the_target(python: str, there: set[str], gone: set[str]) -> None:
    modules = stdlib.modules(python)
    assert there <= modules
    assert not gone & modules


def wants(*modules: str, line: int = 3, relative: bool = False) -> list[Import]:
    return [Import(module=module, file="app/main.py", line=line, relative=relative) for module in modules]


def test_only_what_nothing_provides_is_missing() -> None:
    imports = wants("json", "models.loader", "torch.nn", "psutil", "yaml")
    assert missing(imports, {"models"}, {"torch": "torch"}, "3.11") == {
        "psutil": "psutil is imported by app/main.py:3, but nothing in the image provides it: "
        "add the package that provides it to the requirements",
        "yaml": "yaml is imported by app/main.py:3, but nothing in the image provides it: "
        "add pyyaml to the requirements",
    }


def test_missing_counts_places_once() -> None:
    imports = [*wants("psutil", "psutil._common"), *wants("psutil", line=9), *wants("psutil", line=12)]
    assert missing(imports, (), (), "3.11")["psutil"].startswith("psutil is imported by app/main.py:3 and 2 more, ")


def test_missing_tells_what_left_or_is_still_to_come() -> None:
    assert "left Python's standard library in 3.12" in missing(wants("distutils"), (), (), "3.12")["distutils"]
    assert "has it from 3.11 on" in missing(wants("tomllib"), (), (), "3.10")["tomllib"]
    assert missing(wants("distutils", "tomllib"), (), (), "3.11") == {}


def test_hints_come_first_and_relative_imports_need_no_wheel() -> None:
    said = missing(wants("utils"), (), (), "3.11", hints={"utils": "look beside you"})
    assert said["utils"].endswith("look beside you")
    assert missing(wants("utils", relative=True), (), (), "3.11") == {}


def test_absent_names_the_file_and_who_asked() -> None:
    present, gone = ["main.py", "models/__init__.py"], ["models/loader.py", "unused.py"]
    (found,) = absent(wants("models", "models.loader", "models.Thing"), present, gone, [""])
    assert (found[0].module, found[1]) == ("models.loader", "models/loader.py")


def test_absent_follows_the_path() -> None:
    gone = ["lib/utils/__init__.py", "fast.cpython-311-x86_64-linux-gnu.so"]
    assert absent(wants("utils"), [], gone, [""]) == ()
    assert [file for _, file in absent(wants("utils", "fast"), [], gone, ["", "lib"])] == sorted(gone, reverse=True)
    assert absent(wants("utils"), ["utils.py"], gone, ["lib", ""]) == ()
    assert absent(wants("utils", relative=True), [], gone, ["lib"]) == ()


def test_absent_prefers_the_import_that_must_work() -> None:
    may = Import(module="a", file="first.py", line=1, optional=True)
    (found,) = absent([may, *wants("a")], [], ["a.py"], [""])
    assert found[0].file == "app/main.py"


def test_modules_of_a_wheel(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path, "many-things", "1.0",
        files={
            "six.py": "", "package/__init__.py": "", "space/inner/deep.py": "", "many.libs/libx-1.so.1": b"",
            "fast.cpython-311-x86_64-linux-gnu.so": b"", "stable.abi3.so": b"", "old.pth": "", "typed.pyi": "",
            "data/only.txt": "", "has-dash/x.py": "",
        },
        data={"purelib/pure.py": b"", "platlib/plat/core.so": b"", "scripts/tool.py": b"", "data/share/x.py": b""},
    )
    assert provided(wheel) == {"six", "package", "space", "fast", "stable", "pure", "plat"}


def test_a_file_that_is_no_wheel(tmp_path: Path) -> None:
    page = tmp_path / "page-1.0-py3-none-any.whl"
    page.write_text("<html>", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"page-1\.0-py3-none-any\.whl: not a wheel"):
        provided(page)


def test_top_modules_below_a_root() -> None:
    assert top_modules(["src/a.py", "src/b/c.py", "d.py", "src/static/x.css"], "src") == {"a", "b"}
