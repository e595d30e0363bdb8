"""What never enters an image: .dockerignore's rules, read as Docker reads them, and a short list of our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from docker.utils.build import Pattern
from docker.utils.fnmatch import fnmatchcase as docker_match

from torchferry import proc
from torchferry.layout import Layout

IGNORE_FILE = ".dockerignore"

CACHES = (
    "__pycache__", "*.pyc", "*.pyo", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox",
    ".ipynb_checkpoints", "node_modules", ".venv", ".DS_Store",
)
VERSION_CONTROL = (".git", ".hg", ".svn", ".gitignore", ".gitattributes", ".gitmodules", IGNORE_FILE)
SECRETS = (".env", ".env.*", ".netrc", ".pypirc", ".git-credentials", ".ssh", ".aws", "id_rsa", "id_ed25519")
ALWAYS = {
    **dict.fromkeys(CACHES, "a cache"), **dict.fromkeys(VERSION_CONTROL, "version control"),
    **dict.fromkeys(SECRETS, "may hold secrets"),
}
"""Name patterns that are left out whatever the project says, and why."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of an ignore file; ``where`` is file:line."""

    where: str
    text: str
    keeps: bool
    pattern: str

    def __str__(self) -> str:
        return f"{self.where} ({self.text})"


@dataclass(frozen=True, kw_only=True)
class IgnoreFile:
    """The rules of one ignore file; they speak of paths below ``base`` (relative to the project, "" for its root)."""

    base: str
    rules: tuple[Rule, ...]
    _folders: dict[str, tuple[bool, ...]] = field(default_factory=dict, repr=False, compare=False)

    def rule_for(self, path: str) -> Rule | None:
        """The rule that leaves this project path out: the last that matches it or a folder above it decides."""
        if self.base and not path.startswith(f"{self.base}/"):
            return None
        matched = self._matched(path[len(self.base) + 1:] if self.base else path)
        hits = [rule for rule, hit in zip(self.rules, matched, strict=True) if hit]
        return hits[-1] if hits and not hits[-1].keeps else None

    def _matched(self, path: str) -> tuple[bool, ...]:
        above = path.rpartition("/")[0]
        if above and above not in self._folders:
            self._folders[above] = self._matched(above)
        inherited = self._folders[above] if above else (False,) * len(self.rules)
        # docker-py's own matcher ignores case and prunes before exceptions are seen; the daemon does neither.
        return tuple(hit or docker_match(path, rule.pattern) for rule, hit in zip(self.rules, inherited, strict=True))


def read_ignore_file(root: Path, base: str) -> IgnoreFile:
    """The .dockerignore of one folder of the project; without one, no rules."""
    path = root / base / IGNORE_FILE
    shown = f"{base}/{IGNORE_FILE}" if base else IGNORE_FILE
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape") if path.is_file() else ""
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        parsed = Pattern(line.strip())
        if line.startswith("#") or not parsed.cleaned_pattern:
            continue
        rules.append(Rule(
            where=f"{shown}:{number}", text=line.strip(), keeps=parsed.exclusion, pattern=parsed.cleaned_pattern
        ))
    return IgnoreFile(base=base, rules=tuple(rules))


def always_left_out(root: Path, path: str) -> str | None:
    """Why we leave a path out whatever the project says, or None."""
    layout = Layout(root=root)
    if root / path in (layout.wheels, layout.build, layout.dist):
        return "a folder that torchferry makes"
    if (root / path / "pyvenv.cfg").is_file():
        return "a virtual environment"
    name = path.rpartition("/")[2]
    return next((reason for pattern, reason in ALWAYS.items() if fnmatchcase(name, pattern)), None)


def git_ignored(root: Path, paths: tuple[str, ...]) -> tuple[dict[str, str], str | None]:
    """Which of these project paths git ignores and by which rule, and a note where git could not say.

    A file that was committed although a rule names it is not ignored: a clone has it.
    """
    if not paths:
        return {}, None
    if proc.which("git") is None:
        return {}, "git is not on this machine: imports were not checked against .gitignore"
    argv = ["git", "-C", str(root), "check-ignore", "--verbose", "-z", "--stdin"]
    done = proc.run(argv, stdin="\0".join(paths))
    if done.status not in (0, 1):
        return {}, f"imports were not checked against .gitignore: git says: {done.tail(1)}"
    words = done.stdout.split("\0")
    rows = zip(words[0::4], words[1::4], words[2::4], words[3::4], strict=False)  # a last NUL leaves one empty word
    return {path: f"{file}:{line} ({rule})" for file, line, rule, path in rows if not rule.startswith("!")}, None
