"""Two ways to one tree: what uv installs, and what torchferry's layer holds; both as path -> Node."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torchferry.layer_tar import MTIME
from torchferry.model import Layer
from torchferry.wheel_layer import Part, pack_layer, refuse_conflicts
from torchferry.wheel_layout import Venv, lay_out
from torchferry.wheel_reader import open_wheel


@dataclass(frozen=True, kw_only=True)
class Node:
    """One path of a tree: kind (file, folder, link), mode, owner, SHA-256 of a file's bytes or where a link points."""

    kind: str
    mode: int
    owner: tuple[int, int]
    content: str = ""


Tree = Mapping[str, Node]

UV_OWN = frozenset({".lock"})
"""What uv writes about itself: a lock against another uv in the same environment. Nothing else differs but times."""


def uv_program() -> Path:
    """The uv that is installed beside this Python."""
    files = importlib.metadata.distribution("uv").files or ()
    return next(Path(str(file.locate())).resolve() for file in files if file.name == "uv" and file.parent.name == "bin")


def run_uv(*words: str | Path, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    """uv with nothing of this machine's settings, and with the umask that a build in a container has."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [uv_program(), *map(str, words)], env=kept, umask=umask, capture_output=True, text=True, check=False,
    )


def make_venv(prefix: Path, python: Path) -> None:
    """An empty environment as the rendered Dockerfile makes it."""
    words = ("venv", "--quiet", "--no-cache", "--no-config", "--offline", "--python", python, prefix)
    run_uv(*words).check_returncode()


def uv_install(wheels: Sequence[Path], prefix: Path, scratch: Path) -> str | None:
    """Install wheels as the rendered Dockerfile does; what uv said if it refused."""
    scratch.mkdir(parents=True, exist_ok=True)
    rows = []
    for wheel in wheels:
        (scratch / wheel.name).symlink_to(wheel.resolve())
        name, version = wheel.name.split("-")[:2]
        rows.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    (scratch / "requirements.txt").write_text("".join(rows))
    done = run_uv(
        "pip", "install", "--no-config", "--offline", "--no-cache", "--no-installer-metadata",
        "--python", prefix / "bin" / "python", "--no-index", "--find-links", scratch, "--no-deps",
        "--require-hashes", "--requirements", scratch / "requirements.txt",
    )
    return done.stderr if done.returncode else None


def tree_on_disk(root: Path) -> dict[str, Node]:
    """All below a folder."""
    found = {}
    for where, folders, files in os.walk(root):
        for path in (Path(where, name) for name in (*folders, *files)):
            status = path.lstat()
            kind, content = "folder", ""
            if stat.S_ISLNK(status.st_mode):
                kind, content = "link", str(path.readlink())
            elif stat.S_ISREG(status.st_mode):
                kind, content = "file", hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(root).as_posix()] = Node(
                kind=kind, mode=stat.S_IMODE(status.st_mode), owner=(status.st_uid, status.st_gid), content=content,
            )
    return found


def pack(wheels: Iterable[Path], venv: Venv) -> tuple[bytes, Layer]:
    """The compressed layer of these wheels together, and what was learnt of it."""
    made = io.BytesIO()
    with ExitStack() as stack:
        opened = [stack.enter_context(open_wheel(wheel)) for wheel in wheels]
        parts = [Part(wheel=wheel, layout=lay_out(wheel, venv)) for wheel in opened]
        refuse_conflicts(part.layout for part in parts)
        layer = pack_layer(parts, venv, made.write, compression="fast")
    return made.getvalue(), layer


def layer_tree(wheels: Iterable[Path], venv: Venv) -> dict[str, Node]:
    """All that the layer of these wheels holds below the environment's prefix; the layer proves itself on the way."""
    packed, layer = pack(wheels, venv)
    plain = gzip.decompress(packed)
    assert (hashlib.sha256(plain).hexdigest(), len(plain)) == (layer.diff_id, layer.size)
    return dict(tree_in_tar(plain, venv.prefix))


def tree_in_tar(plain: bytes, prefix: PurePosixPath) -> Iterator[tuple[str, Node]]:
    """The nodes of a tar below a prefix; what lies outside must be the folders above it."""
    root = str(prefix).lstrip("/")
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for entry in tar:
            assert entry.mtime == MTIME and (entry.isdir() or entry.isfile()), entry
            body = tar.extractfile(entry)
            node = Node(
                kind="folder" if body is None else "file", mode=entry.mode, owner=(entry.uid, entry.gid),
                content=hashlib.sha256(body.read()).hexdigest() if body else "",
            )
            if entry.name.startswith(f"{root}/"):
                yield entry.name.removeprefix(f"{root}/"), node
            else:
                assert f"{root}/".startswith(f"{entry.name}/") and node.kind == "folder", entry.name


def unlike_uv(wheels: Sequence[Path], prefix: Path, scratch: Path, *, python: str) -> list[str]:
    """Where an environment in which uv installed these wheels differs from an empty one with our layer over it."""
    make_venv(prefix, Path(sys.executable))
    before = tree_on_disk(prefix)
    said = uv_install(wheels, prefix, scratch)
    if said is not None:
        return [f"uv refused: {said}"]
    after = {path: node for path, node in tree_on_disk(prefix).items() if path not in UV_OWN}
    return differences(after, {**before, **layer_tree(wheels, Venv(python=python, prefix=PurePosixPath(prefix)))})


def differences(wanted: Tree, found: Tree) -> list[str]:
    """Where two trees differ, in words."""
    return [
        f"{path}: uv {wanted.get(path)}, torchferry {found.get(path)}"
        for path in sorted(wanted.keys() | found.keys()) if wanted.get(path) != found.get(path)
    ]
