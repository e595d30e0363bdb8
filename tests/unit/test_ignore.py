"""Ignore files are read as the Docker daemon reads them, not as docker-py or git would."""

import subprocess
from pathlib import Path

import pytest

from torchferry.ignore import IgnoreFile, always_left_out, git_ignored, read_ignore_file


def ignore_file(root: Path, text: str, base: str = "") -> IgnoreFile:
    (root / base).mkdir(exist_ok=True)
    (root / base / ".dockerignore").write_text(text, encoding="utf-8")
    return read_ignore_file(root, base)


@pytest.mark.parametrize(
    ("lines", "out", "kept"),
    [
        ("models/", ["models", "models/a.py", "models/deep/er/b"], ["app/models/a.py", "models.py"]),
        ("/models", ["models/a.py"], ["app/models"]),
        ("**/models", ["models/a.py", "app/models/a.py"], ["app/models.py"]),
        ("*.log", ["a.log"], ["app/a.log"]),
        ("**/*.log", ["a.log", "app/deep/a.log"], ["a.logs"]),
        ("temp?", ["temp1", "temp1/x"], ["temp", "temp12"]),
        ("app/[a-c].py", ["app/a.py"], ["app/d.py"]),
        ("Models", ["Models/a.py"], ["models/a.py"]),
        ("  spaced  ", ["spaced"], []),
        ("a/../b/./c/", ["b/c"], ["a/b/c"]),
        ("*\n!app", ["README.md", "models/x"], ["app", "app/a.py"]),
        ("docs\n!docs/keep.md", ["docs/a.md"], ["docs/keep.md"]),
        ("docs\n!**/keep.md", ["docs/a.md"], ["docs/keep.md", "docs/deep/keep.md"]),
        ("!a.py\na.py", ["a.py"], []),
        ("# a.py\n\n.\n!", [], ["a.py", "# a.py"]),
        ("**", ["a", "a/b"], []),
    ],
)
def test_patterns_of_the_docker_reference(tmp_path: Path, lines: str, out: list[str], kept: list[str]) -> None:
    rules = ignore_file(tmp_path, lines)
    assert [path for path in out if not rules.rule_for(path)] == []
    assert [path for path in kept if rules.rule_for(path)] == []


def test_a_rule_is_named_by_file_line_and_text(tmp_path: Path) -> None:
    rules = ignore_file(tmp_path, "# ours\nmodels/\n")
    assert str(rules.rule_for("models/loader.py")) == ".dockerignore:2 (models/)"


def test_rules_of_a_folder_speak_of_that_folder(tmp_path: Path) -> None:
    rules = ignore_file(tmp_path, "models\n", base="app")
    assert str(rules.rule_for("app/models/a.py")) == "app/.dockerignore:1 (models)"
    assert rules.rule_for("models/a.py") is None
    assert rules.rule_for("application/models") is None


def test_no_ignore_file_leaves_nothing_out(tmp_path: Path) -> None:
    assert read_ignore_file(tmp_path, "").rule_for("a.py") is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".git", "version control"), ("app/__pycache__", "a cache"), ("app/a.pyc", "a cache"), (".venv", "a cache"),
        ("app/.env", "may hold secrets"), ("app/.env.production", "may hold secrets"), ("app/node_modules", "a cache"),
        ("dist", "a folder that torchferry makes"), ("wheels", "a folder that torchferry makes"),
        ("app/dist", None), ("app/environment.py", None), ("app/cacert.pem", None),
    ],
)
def test_what_is_always_left_out(tmp_path: Path, path: str, reason: str | None) -> None:
    assert always_left_out(tmp_path, path) == reason


def test_a_virtual_environment_is_known_by_its_mark(tmp_path: Path) -> None:
    (tmp_path / "my-env").mkdir()
    assert always_left_out(tmp_path, "my-env") is None
    (tmp_path / "my-env" / "pyvenv.cfg").touch()
    assert always_left_out(tmp_path, "my-env") == "a virtual environment"


def test_git_names_what_no_clone_has(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("models/\n!kept.py\ntracked.py\n", encoding="utf-8")
    (tmp_path / "tracked.py").touch()
    subprocess.run(["git", "-C", str(tmp_path), "add", "--force", "tracked.py"], check=True)
    found, note = git_ignored(tmp_path, ("models/größe a.py", "kept.py", "tracked.py", "main.py"))
    assert found == {"models/größe a.py": ".gitignore:1 (models/)"}
    assert note is None


def test_no_repository_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found, note = git_ignored(tmp_path, ("main.py",))
    assert found == {}
    assert note is not None and "not checked against .gitignore" in note


def test_no_git_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_ignored(tmp_path, ("main.py",)) == (
        {}, "git is not on this machine: imports were not checked against .gitignore"
    )
