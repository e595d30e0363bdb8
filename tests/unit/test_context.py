"""A service's source becomes a list of files; what would break in the image is refused before anything is built."""

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.wheel_factory import make_wheel

from torchferry.context import Selection, check_imports, copy_into, digest, select_files
from torchferry.errors import ConfigError
from torchferry.files import sha256
from torchferry.model import Base, Lock, Release, Service, Variant, Wheel, WheelSet
from torchferry.tree import LIMIT, LIMIT_FILES, ContextFile, refuse_too_much


@pytest.fixture(autouse=True)
def _no_repository_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def project(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def variant(*, env: Mapping[str, str] | None = None, **service: Any) -> Variant:
    told: dict[str, Any] = {"source": "app", "command": ("python", "main.py"), **service}
    made = Service(name="web", requirements="app/requirements.in", base=Base(debian="bookworm"), **told)
    return Variant(release=Release(name="r", version="1"), service=made, name="any", python="3.11", env=env or {})


def wheel_set(folder: Path, **modules: str) -> WheelSet:
    wheels = []
    for name, module in modules.items():
        path = make_wheel(folder, name, "1.0", files={f"{module}.py": ""})
        size = path.stat().st_size
        wheels.append(Wheel(name=name, version="1.0", filename=path.name, size=size, sha256=sha256(path)))
    nothing = Wheel(name="uv", version="1", filename="uv.whl", size=0, sha256="")
    return WheelSet(lock=Lock(fingerprint="", wheels=tuple(wheels), installer=nothing), folder=folder, installer=folder)


def targets(selection: Selection) -> list[str]:
    return [file.target for file in selection.files]


def test_contents_of_the_source_and_includes_with_their_path(tmp_path: Path) -> None:
    root = project(tmp_path, {
        "app/main.py": "import b.c", "app/b/c.py": "12345", "shared/x/y.txt": "1", "VERSION": "1", "other/z": "",
        "app/empty.txt": "", "README.md": "",
    })
    (root / "app/run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (root / "app/run.sh").chmod(0o700)
    (root / "app/main.py").chmod(0o666)
    chosen = select_files(root, variant(include=("shared", "VERSION")))
    assert [(file.path, file.target, file.mode, file.size) for file in chosen.files] == [
        ("VERSION", "VERSION", 0o644, 1),
        ("app/b/c.py", "b/c.py", 0o644, 5),
        ("app/empty.txt", "empty.txt", 0o644, 0),
        ("app/main.py", "main.py", 0o644, 10),
        ("app/run.sh", "run.sh", 0o755, 10),
        ("shared/x/y.txt", "shared/x/y.txt", 0o644, 1),
    ]
    assert chosen.size == 27


def test_both_ignore_files_and_our_own_rules_leave_out(tmp_path: Path) -> None:
    root = project(tmp_path, {
        ".dockerignore": "**/*.log\nshared/private\n", "app/.dockerignore": "drafts\n!drafts/kept.txt\n",
        "app/main.py": "", "app/a.log": "", "app/drafts/x.txt": "", "app/drafts/kept.txt": "", "shared/private/k": "",
        "app/.git/HEAD": "", "shared/drafts/y": "", "app/.env": "PASSWORD=1", "app/__pycache__/main.pyc": "",
    })
    chosen = select_files(root, variant(include=("shared",)))
    assert targets(chosen) == ["drafts/kept.txt", "main.py", "shared/drafts/y"]
    assert {each.path: each.rule for each in chosen.left_out} == {
        "app/a.log": ".dockerignore:1 (**/*.log)",
        "app/drafts/x.txt": "app/.dockerignore:1 (drafts)",
        "shared/private/k": ".dockerignore:2 (shared/private)",
        "app/.dockerignore": "torchferry (version control)",
        "app/.env": "torchferry (may hold secrets)",
        "app/.git/": "torchferry (version control)",
        "app/__pycache__/": "torchferry (a cache)",
    }


def test_the_whole_project_as_source_leaves_our_own_folders_out(tmp_path: Path) -> None:
    root = project(tmp_path, {"main.py": "", "wheels/a.whl": "", "build/x": "", "dist/y": "", "pkg/build/z.py": ""})
    assert targets(select_files(root, variant(source="."))) == ["main.py", "pkg/build/z.py"]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"source": "nowhere"}, "source: nowhere: no such folder"),
        ({"source": "app/main.py"}, "source: app/main.py: no such folder"),
        ({"source": "../app"}, "source: ../app: leaves the project"),
        ({"include": ("/etc/passwd",)}, "include: /etc/passwd: leaves the project"),
        ({"include": ("gone.txt",)}, "include: gone.txt: no such file or folder"),
        ({"include": ("away/passwd",)}, "include: away/passwd: is or lies behind a symbolic link"),
        ({"source": "away"}, "source: away: is or lies behind a symbolic link"),
        ({"include": ("secret.txt",)}, "include: secret.txt: no file of it would be in the image: left out by .docker"),
        ({"include": ("main.py",)}, "app/main.py and main.py would both be /app/main.py"),
        ({"include": ("shared/x",)}, "app/shared would be /app/shared, which shared/x needs to be a folder"),
        ({"command": ("python", "start.py")}, "the command of web starts start.py, which is not in the image: app"),
        ({"command": ("python", "-m", "hidden")}, "app/hidden/__main__.py is imported by the command of web but left"),
        ({"command": ("uvicorn", "hidden:app")}, "app/hidden/__init__.py is imported by the command of web but left"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, service: dict[str, Any], expected: str) -> None:
    root = project(tmp_path, {
        "app/main.py": "", "main.py": "", "app/shared": "", "shared/x": "", "secret.txt": "",
        ".dockerignore": "secret.txt\napp/hidden\n", "app/hidden/__init__.py": "", "app/hidden/__main__.py": "",
    })
    (root / "away").symlink_to("/etc")
    with pytest.raises(ConfigError) as refusal:
        select_files(root, variant(**service))
    assert any(line.startswith(expected) for line in refusal.value.message.splitlines())


def test_links_that_hold_in_the_image_are_kept(tmp_path: Path) -> None:
    root = project(tmp_path, {"app/main.py": "", "app/lib/libx.so.1.2": "", "shared/x": ""})
    links = {
        "app/lib/libx.so.1": "libx.so.1.2", "app/lib/libx.so": "libx.so.1", "app/newest": "lib",
        "app/deep": "newest/../main.py", "shared/to-main": "../main.py", "app/round": "lib/../lib/libx.so",
    }
    for path, text in links.items():
        (root / path).symlink_to(text)
    chosen = select_files(root, variant(include=("shared",)))
    assert {file.path: file.link for file in chosen.files if file.link} == links
    copy_into(chosen, tmp_path / "out")
    assert (tmp_path / "out/newest/libx.so").resolve() == (tmp_path / "out/lib/libx.so.1.2").resolve()
    assert (tmp_path / "out/round").is_symlink()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/models/model.bin", "it is absolute"),
        ("../../outside", "it leaves /app"),
        ("../main.py/../../x", "it leaves /app"),
        ("gone", "nothing in the image lies at /app/sub/gone"),
        ("ignored.txt", "nothing in the image lies at /app/sub/ignored.txt"),
        ("bad", "it leads to itself"),
    ],
)
def test_links_that_break_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    root = project(tmp_path, {
        "app/main.py": "", "app/sub/ignored.txt": "", ".dockerignore": "app/sub/ignored.txt\n", "outside": "",
    })
    (root / "app/sub/bad").symlink_to(text)
    with pytest.raises(ConfigError) as refusal:
        select_files(root, variant())
    assert f"app/sub/bad -> {text}: {problem}" in refusal.value.message


def test_all_broken_links_are_named_at_once(tmp_path: Path) -> None:
    root = project(tmp_path, {"app/main.py": ""})
    (root / "app/a").symlink_to("/etc/hosts")
    (root / "app/b").symlink_to("gone")
    with pytest.raises(ConfigError, match=r"(?s)app/a -> /etc/hosts.*app/b -> gone"):
        select_files(root, variant())


def test_pipes_and_sockets_are_refused_unless_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project(tmp_path, {"app/main.py": ""})
    monkeypatch.chdir(root / "app")  # a socket's path is at most about 100 bytes
    os.mkfifo("pipe")
    with pytest.raises(ConfigError, match="app/pipe: neither a file"):
        select_files(root, variant())
    Path("pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("door.sock")
        with pytest.raises(ConfigError, match=r"app/door\.sock: neither a file"):
            select_files(root, variant())
        (root / ".dockerignore").write_text("**/*.sock\n", encoding="utf-8")
        assert targets(select_files(root, variant())) == ["main.py"]


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path, {"app/main.py": ""})
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/app/\xff.txt")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(ConfigError, match="a file name that is not plain text"):
        select_files(root, variant())


@pytest.mark.parametrize("path", ["app/main.py", "app/closed"])
def test_what_cannot_be_read_is_named(tmp_path: Path, path: str) -> None:
    root = project(tmp_path, {"app/main.py": "", "app/closed/x.txt": ""})
    (root / path).chmod(0)
    try:
        if os.access(root / path, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(ConfigError, match=rf"{path}.*: cannot be read"):
            select_files(root, variant())
    finally:
        (root / path).chmod(0o700)


def test_a_model_in_the_source_is_refused_by_name(tmp_path: Path) -> None:
    root = project(tmp_path, {"app/main.py": "", "app/small.txt": "12"})
    (root / "app/models").mkdir()
    with (root / "app/models/model.bin").open("wb") as sparse:
        sparse.truncate(LIMIT + 1)
    with pytest.raises(ConfigError, match=r"200\.00 MB in 3 files.*\n +200\.00 MB in 1 files: models/\n +2 B .*small"):
        select_files(root, variant())


def test_the_limits_are_exact_and_ten_entries_are_named() -> None:
    def some(count: int, size: int) -> tuple[ContextFile, ...]:
        paths = [f"part{number % 12}/{number}" for number in range(count)]
        return tuple(ContextFile(path=path, target=path, mode=0o644, size=size) for path in paths)

    refuse_too_much(some(LIMIT_FILES, LIMIT // LIMIT_FILES))
    with pytest.raises(ConfigError) as refusal:
        refuse_too_much(some(LIMIT_FILES + 1, 0))
    assert "20,001 files" in refusal.value.message
    assert len(refusal.value.message.splitlines()) == 11
    assert "mount" in refusal.value.cure


def test_an_import_that_dockerignore_eats_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path, {
        ".dockerignore": "# weights\n**/models/\n", "app/main.py": "import json\n\nfrom models.loader import load\n",
        "app/models/loader.py": "", "app/models/unused.py": "",
    })
    with pytest.raises(ConfigError) as refusal:
        select_files(root, variant())
    assert refusal.value.message == (
        "app/models/loader.py is imported by app/main.py:3 but left out by .dockerignore:2 (**/models/)"
    )


def test_an_optional_import_that_dockerignore_eats_is_a_warning(tmp_path: Path) -> None:
    root = project(tmp_path, {
        ".dockerignore": "app/extra.py", "app/extra.py": "",
        "app/main.py": "try:\n    import extra\nexcept ImportError:\n    extra = None\n",
    })
    warnings = select_files(root, variant()).warnings
    assert "app/extra.py is imported by app/main.py:2 but left out by .dockerignore:1 (app/extra.py)" in warnings


def test_an_import_that_only_git_ignores_is_a_warning(tmp_path: Path) -> None:
    root = project(tmp_path, {
        ".gitignore": "models/\n", "app/main.py": "from models import loader", "app/models/loader.py": "",
        "app/models/unused.py": "",
    })
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    chosen = select_files(root, variant())
    assert "models/loader.py" in targets(chosen)
    assert chosen.warnings == (
        "app/models/loader.py is imported by app/main.py:1 but a colleague's clone lacks it: "
        "git ignores it by .gitignore:1 (models/)",
    )


def test_code_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    warnings = select_files(project(tmp_path, {"app/main.py": "def broken(:\n"}), variant()).warnings
    assert warnings[0].startswith("app/main.py:1 is not Python 3.")


def test_imports_against_the_wheels(tmp_path: Path) -> None:
    root = project(tmp_path, {
        "app/main.py": "import yaml, sys, local\ntry:\n    import fast\nexcept ImportError: pass\n", "app/local.py": "",
    })
    chosen = select_files(root, variant())
    with pytest.raises(ConfigError, match=r"yaml is imported by app/main\.py:1, but nothing") as no:
        check_imports(chosen, variant(), wheel_set(tmp_path))
    assert "app/requirements.in" in no.value.cure and "fast" not in no.value.message
    (warning,) = check_imports(chosen, variant(), wheel_set(tmp_path, pyyaml="yaml"))
    assert warning.startswith("fast is imported by app/main.py:3")
    assert check_imports(chosen, variant(), wheel_set(tmp_path, pyyaml="yaml", fast="fast")) == ()


def test_a_module_beside_the_source_is_pointed_at(tmp_path: Path) -> None:
    root = project(tmp_path, {"app/main.py": "import utils.text\nfrom app import x\n", "utils/text.py": ""})
    with pytest.raises(ConfigError) as refusal:
        check_imports(select_files(root, variant()), variant(), wheel_set(tmp_path))
    apart, beside = refusal.value.message.splitlines()
    assert beside.endswith("utils lies in the project: name it under include, or move it into app")
    assert apart.endswith("what is in app lies in /app itself: import it without 'app' before it")
    with_utils = variant(include=("utils", "app"))
    assert check_imports(select_files(root, with_utils), with_utils, wheel_set(tmp_path)) == ()


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"command": ("python", "src/main.py")}, True),
        ({"command": ("python", "/app/src/main.py")}, True),
        ({"command": ("python", "-m", "start")}, False),
        ({"command": ("python", "-m", "start"), "env": {"PYTHONPATH": "/elsewhere:/app/src"}}, True),
        ({"command": ("python", "-m", "start"), "env": {"PYTHONPATH": "src"}}, True),
        ({"command": ("python", "-m", "gone")}, False),
    ],
)
def test_only_folders_on_the_path_provide(tmp_path: Path, told: dict[str, Any], found: bool) -> None:
    root = project(tmp_path, {"app/src/main.py": "import helper", "app/src/helper.py": "", "app/start.py": ""})
    asked = variant(**told)
    chosen = select_files(root, asked)
    if found:
        assert check_imports(chosen, asked, wheel_set(tmp_path)) == ()
    else:
        with pytest.raises(ConfigError, match="helper is imported"):
            check_imports(chosen, asked, wheel_set(tmp_path))


def test_a_module_is_named_once_though_one_import_of_it_may_fail(tmp_path: Path) -> None:
    code = "import sys\nsys.path.append('src')\nimport helper\ntry:\n    import helper\nexcept ImportError:\n    pass\n"
    root = project(tmp_path, {"app/main.py": code, "app/src/helper.py": ""})
    assert len(check_imports(select_files(root, variant()), variant(), wheel_set(tmp_path))) == 1


def test_where_code_changes_the_path_a_module_elsewhere_is_a_warning(tmp_path: Path) -> None:
    code = "import sys\nsys.path.append('src')\nimport helper"
    root = project(tmp_path, {"app/main.py": code, "app/src/helper.py": ""})
    (warning,) = check_imports(select_files(root, variant()), variant(), wheel_set(tmp_path))
    assert warning.startswith("helper is imported by app/main.py:3")


def test_the_copy_is_the_selection_with_plain_modes_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path / "project", {"app/main.py": "print()", "app/run.sh": "", "app/a/b/c.txt": "c"})
    (root / "app/run.sh").chmod(0o750)
    (root / "app/a").chmod(0o700)
    (root / "app/link").symlink_to("main.py")
    out = project(tmp_path / "out", {"old.txt": ""})
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    before = os.umask(0o077)
    try:
        copy_into(select_files(root, variant()), out)
    finally:
        os.umask(before)
    there = {str(path.relative_to(out)): oct(path.lstat().st_mode & 0o777) for path in sorted(out.rglob("*"))}
    assert there == {
        "a": "0o755", "a/b": "0o755", "a/b/c.txt": "0o644", "link": "0o777", "main.py": "0o644", "run.sh": "0o755",
    }
    assert {path.lstat().st_mtime for path in [out, *out.rglob("*")]} == {1700000000}
    assert (out / "main.py").read_text(encoding="utf-8") == "print()"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "project"]
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    copy_into(select_files(root, variant()), out)
    assert (out / "main.py").stat().st_mtime == 0


def test_a_copy_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    root = project(tmp_path / "project", {"app/main.py": "", "app/z.py": ""})
    chosen = select_files(root, variant())
    out = project(tmp_path / "out", {"old.txt": "old"})
    (root / "app/z.py").unlink()
    with pytest.raises(FileNotFoundError):
        copy_into(chosen, out)
    assert [path.name for path in out.iterdir()] == ["old.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "project"]


def test_a_wrong_epoch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = select_files(project(tmp_path, {"app/main.py": ""}), variant())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH=yesterday"):
        copy_into(chosen, tmp_path / "out")


def test_the_digest_is_of_paths_modes_and_contents_alone(tmp_path: Path) -> None:
    def made(where: str, *, text: str = "1", name: str = "main.py", mode: int = 0o644, link: str = "main.py") -> str:
        root = project(tmp_path / where, {"app/main.py": "", "app/other.py": "1", f"app/{name}": text})
        (root / f"app/{name}").chmod(mode)
        (root / "app/link").symlink_to(link)
        os.utime(root / "app/main.py", (len(where), len(where)))
        return digest(select_files(root, variant()))

    same = made("here")
    assert made("elsewhere") == same
    changed = {
        made("text", text="2"), made("name", name="x.py"), made("mode", mode=0o755), made("link", link="other.py"),
    }
    assert len(changed | {same}) == 5
