"""./inv with real Python environments, pip, pip-tools and invoke: their wheels are made of what is installed here."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "build", "click", "invoke", "packaging", "pip", "pip-tools", "pyproject-hooks", "setuptools", "tomli", "wheel",
)
TOOLS = (
    "awk", "cat", "cksum", "dirname", "env", "find", "grep", "mkdir", "mv", "readlink", "rm", "sed", "sh", "tail",
    "touch",
)
TASKS = """
import os
from invoke import task

@task
def where(c, file=""):
    print(os.getcwd(), file, sep="|")
"""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A project with ./inv and three-line tasks, and the environment that ./inv gets there."""

    folder: Path
    env: dict[str, str]

    def inv(self, *words: str, via: tuple[str, ...] = (), cwd: Path | None = None, **env: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*via, str(self.folder / "inv"), *words], cwd=cwd or self.folder, env={**self.env, **env},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )
        return done.returncode, done.stdout.strip(), done.stderr

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv/.torchferry-stamp"


def rewheel(name: str, folder: Path) -> str:
    """Make a wheel of an installed package again; returns its requirement line, with hash."""
    package = metadata.distribution(name)
    tag = next(line for line in (package.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: "))[5:]
    stem = f"{package.metadata['Name'].replace('-', '_').replace('.', '_')}-{package.version}"
    own = [
        path for path in package.files or ()
        if ".." not in path.parts and path.suffix != ".pyc" and path.name not in ("RECORD", "INSTALLER", "REQUESTED")
    ]
    info = next(path.parts[0] for path in own if path.parts[0].endswith(".dist-info"))
    wheel = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in own:
            archive.write(str(path.locate()), str(path))
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in own))
    return f"{name}=={package.version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def make_copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Copy]:
    wheels = tmp_path_factory.mktemp("wheels")
    pins = "".join(rewheel(name, wheels) for name in PACKAGES)

    def make(name: str) -> Copy:
        folder = tmp_path_factory.mktemp("a place") / name
        folder.mkdir()
        shutil.copy2(ROOT / "inv", folder)
        (folder / "requirements.txt").write_text(pins.replace(" --hash", " \\\n    --hash"), encoding="utf-8")
        (folder / "tasks.py").write_text(TASKS, encoding="utf-8")
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
        env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri(), "PIP_CONFIG_FILE": os.devnull}
        return Copy(folder=folder, env=env | {"PYTHON": sys.executable})

    return make


@pytest.fixture(scope="module")
def ready(make_copy: Callable[[str], Copy]) -> Iterator[Copy]:
    """A copy that was started once; its .venv is whole and stamped. Tests leave it so."""
    copy = make_copy("my project")
    status, _, talk = copy.inv("where")
    assert status == 0, talk
    assert "making .venv" in talk
    yield copy
    shutil.rmtree(copy.folder)


def unprepared(copy: Copy) -> dict[str, str]:
    """An environment in which nothing can be installed, nor any other Python be found."""
    bin_folder = copy.folder.parent / "bin"
    bin_folder.mkdir(exist_ok=True)
    for tool in TOOLS:
        found = shutil.which(tool)
        if found and not (bin_folder / tool).exists():
            (bin_folder / tool).symlink_to(found)
    return {"PATH": str(bin_folder), "PIP_FIND_LINKS": "", "PYTHON": ""}


def script(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text("\n".join(("#!/bin/sh", *lines, "")), encoding="utf-8")
    (folder / name).chmod(0o755)


def test_a_stamped_start_installs_nothing_and_says_nothing(ready: Copy) -> None:
    status, said, talk = ready.inv("where", **unprepared(ready))
    assert (status, said, talk) == (0, f"{ready.folder}|", "")


def test_relative_paths_are_the_callers(ready: Copy, tmp_path: Path) -> None:
    status, said, _ = ready.inv("where", "--file", "other/variants.yaml", cwd=tmp_path)
    assert (status, said) == (0, f"{tmp_path}|other/variants.yaml")


def test_tasks_beside_the_script_win_over_those_of_the_callers_folder(ready: Copy, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise SystemExit('the wrong tasks')\n", encoding="utf-8")
    assert ready.inv("where", cwd=tmp_path)[:2] == (0, f"{tmp_path}|")


def test_a_symbolic_link_to_the_script_starts_the_same_project(ready: Copy, tmp_path: Path) -> None:
    (tmp_path / "ferry").symlink_to(ready.folder / "inv")
    done = subprocess.run([tmp_path / "ferry", "where"], cwd=tmp_path, env=ready.env, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode().strip()) == (0, f"{tmp_path}|")


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox ash", "ksh", "mksh", "zsh --emulate sh"])
def test_every_shell_reads_it(ready: Copy, shell: str) -> None:
    words = shell.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]} here")
    assert ready.inv("where", via=tuple(words)) == (0, f"{ready.folder}|", "")


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    done = subprocess.run(["shellcheck", ROOT / "inv"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_stdin_may_be_closed(ready: Copy) -> None:
    assert ready.inv("where", via=("sh", "-c", 'exec "$0" "$@" <&-'))[:2] == (0, f"{ready.folder}|")


def test_a_failing_task_fails_the_script(ready: Copy) -> None:
    assert ready.inv("no-such-task")[0] != 0


def test_changed_pins_are_synced_in_place(ready: Copy) -> None:
    stray = next((ready.folder / ".venv").glob("lib/*/site-packages")) / "stray-1.0.dist-info"
    stray.mkdir()
    (stray / "METADATA").write_text("Metadata-Version: 2.1\nName: stray\nVersion: 1.0\n", encoding="utf-8")
    (stray / "RECORD").write_text("stray-1.0.dist-info/METADATA,,\nstray-1.0.dist-info/RECORD,,\n", encoding="utf-8")
    with (ready.folder / "requirements.txt").open("a", encoding="utf-8") as pins:
        pins.write("# another pin\n")
    status, said, talk = ready.inv("where")
    assert (status, said) == (0, f"{ready.folder}|")
    assert "installing" in talk
    assert "making" not in talk
    assert not stray.exists()


def test_a_venv_that_was_never_finished_is_made_anew(ready: Copy) -> None:
    ready.stamp.unlink()
    (ready.folder / ".venv/bin/python").unlink()
    leftover = ready.folder / ".venv/leftover"
    leftover.touch()
    status, said, talk = ready.inv("where")
    assert (status, said) == (0, f"{ready.folder}|")
    assert "making .venv" in talk
    assert not leftover.exists()
    assert ready.stamp.exists()


def test_a_start_after_a_kill_mends_what_the_kill_left(make_copy: Callable[[str], Copy]) -> None:
    copy = make_copy("killed")
    first = subprocess.Popen(
        [copy.folder / "inv", "where"], env=copy.env, cwd=copy.folder, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    while not (copy.folder / ".venv/pyvenv.cfg").exists():
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()  # only the shell: what it started still works on .venv, and the next start has to wait for that
    first.wait()
    assert not copy.stamp.exists()
    status, said, talk = copy.inv("where")
    assert (status, said) == (0, f"{copy.folder}|"), talk


def test_two_starts_of_a_copied_project_make_one_venv_of_its_own(ready: Copy, make_copy: Callable[[str], Copy]) -> None:
    copy = make_copy("copied")
    shutil.copytree(ready.folder, copy.folder, symlinks=True, dirs_exist_ok=True)
    starts = [
        subprocess.Popen(
            [copy.folder / "inv", "where"], env=copy.env, cwd=copy.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]
    said = [start.communicate() for start in starts]
    assert [start.returncode for start in starts] == [0, 0], said
    assert [out.strip() for out, _ in said] == [f"{copy.folder}|"] * 2
    assert "".join(talk for _, talk in said).count("making .venv") == 1
    assert str(ready.folder) not in (copy.folder / ".venv/bin/invoke").read_text(encoding="utf-8")


def test_a_package_with_other_bytes_is_refused(make_copy: Callable[[str], Copy]) -> None:
    copy = make_copy("tampered")
    pins = (copy.folder / "requirements.txt").read_text(encoding="utf-8")
    before, _, after = pins.partition("invoke==")
    good = after.split("sha256:")[1].split("\n")[0]
    (copy.folder / "requirements.txt").write_text(
        f"{before}invoke=={after.replace(good, hashlib.sha256(b'other').hexdigest())}", encoding="utf-8"
    )
    status, said, talk = copy.inv("where")
    assert (status, said) == (5, "")
    assert "DO NOT MATCH THE HASHES" in talk
    assert "error: pip-sync could not install requirements.txt" in talk
    assert not copy.stamp.exists()


@pytest.mark.parametrize("name", ["", "/no/such/python", "sh"])
def test_without_a_python_that_will_do_it_says_what_is_wanted(
    make_copy: Callable[[str], Copy], name: str
) -> None:
    copy = make_copy("bare")
    env = unprepared(copy)
    script(Path(env["PATH"]), "python3", "echo 3.8")
    script(Path(env["PATH"]), "id", "echo 1000")
    status, said, talk = copy.inv("where", **env | {"PYTHON": name})
    assert (status, said) == (7, "")
    assert "3.10 or newer" in talk
    assert (f"PYTHON={name}" if name else "no Python") in talk
    assert not (copy.folder / ".venv").exists()


def test_a_python_without_ensurepip_names_debians_package(make_copy: Callable[[str], Copy]) -> None:
    copy = make_copy("crippled")
    env = unprepared(copy)
    script(Path(env["PATH"]), "python3", 'case "$*" in *ensurepip*) exit 1 ;; *) echo 3.12 ;; esac')
    script(Path(env["PATH"]), "id", "echo 1000")
    script(Path(env["PATH"]), "apt-get", "exit 9")
    status, _, talk = copy.inv("where", **env)
    assert status == 7
    assert "ensurepip" in talk
    assert "hint: sudo apt-get install python3.12-venv" in talk


@pytest.mark.parametrize(("apt_status", "last_word"), [(0, "no Python 3.10"), (100, "apt-get could not install")])
def test_root_on_debian_gets_python_installed(
    make_copy: Callable[[str], Copy], apt_status: int, last_word: str
) -> None:
    copy = make_copy("root")
    env = unprepared(copy)
    calls = copy.folder / "calls"
    script(Path(env["PATH"]), "id", "echo 0")
    script(Path(env["PATH"]), "apt-get", f'echo "$DEBIAN_FRONTEND $*" >>"{calls}"', f"exit {apt_status}")
    status, said, talk = copy.inv("where", **env)
    assert (status, said) == (7, "")
    expected = ["noninteractive -q update", "noninteractive -q install -y --no-install-recommends python3 python3-venv"]
    assert calls.read_text(encoding="utf-8").splitlines() == (expected if apt_status == 0 else expected[:1])
    assert "installing python3 python3-venv" in talk
    assert f"error: {last_word}" in talk


def test_every_dependency_is_pinned_with_a_hash_and_no_host_is_named() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(line.split("==")[0]) for line in text.splitlines() if line[:1].isalnum()}
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= pinned
    assert text.count(" \\\n    --hash=sha256:") >= len(pinned)
    assert "://" not in text


def test_pip_tools_is_pinned_to_the_version_that_the_script_names() -> None:
    named = next(
        line for line in (ROOT / "inv").read_text(encoding="utf-8").splitlines() if line.startswith("PIP_TOOLS=")
    )
    assert named.split('"')[1] in [
        line.split("==")[1].split()[0] for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("pip-tools==")
    ]
