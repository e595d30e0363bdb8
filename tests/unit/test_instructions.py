"""The Dockerfile without Docker: what each instruction does to an image, and what is left to the docker engine."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from support import nouns
from support.image_tree import image_tree

from torchferry.base_tree import BaseTree
from torchferry.blobs import BlobStore
from torchferry.engines import instructions
from torchferry.engines.instructions import StoredBase
from torchferry.errors import BuildError
from torchferry.image_config import ImageConfig, of_base
from torchferry.model import Image, Recipe, WheelSet

GOLDEN = Path(__file__).parents[1] / "golden"


def base_tar(*folders: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o750 if name == "odd" else 0o755
            tar.addfile(entry)
        for name, data in (("etc/passwd", b"root:x:0:0::/:/bin/sh"), ("etc/group", b"root:x:0:\n")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o640
            tar.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo("run")
        entry.type, entry.linkname = tarfile.SYMTYPE, "odd"
        tar.addfile(entry)
    return sink.getvalue()


class Site:
    """A build context, a store, and a base with what a test says of it."""

    def __init__(self, root: Path) -> None:
        self.store = BlobStore(folder=root / "blobs")
        self.folder = root / "context"
        (self.folder / "app/part").mkdir(parents=True)
        (self.folder / "app/main.py").write_text("main\n", encoding="utf-8")
        (self.folder / "app/part/run.sh").write_text("run\n", encoding="utf-8")
        (self.folder / "app/part/run.sh").chmod(0o755)
        (self.folder / "app/link").symlink_to("main.py")
        self.said: dict[str, Any] = {"architecture": "amd64", "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]}}
        self.folders = ("etc", "opt", "odd")

    def stored(self, reference: str, store: BlobStore) -> StoredBase:
        """What FROM means."""
        data = base_tar(*self.folders)
        tree = BaseTree()
        tree.lay(io.BytesIO(data))
        layer = store.add(io.BytesIO(data))
        return StoredBase(layers=(layer,), config=of_base(self.said, reference, 1), tree=tree)

    def build(self, *lines: str) -> Image:
        text = "\n".join(("FROM base:1", *lines, ""))
        recipe = Recipe(
            variant=nouns.variant(), folder=self.folder, text=text, digest="d" * 64, files=1, size=1)
        wheels = cast("WheelSet", None)  # none of these lines looks at wheels
        return instructions.build(recipe, wheels, self, self.store, labels={"ours": "1"})

    def config(self, *lines: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.build(*lines).config)["config"]
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("name", [path.name for path in sorted(GOLDEN.glob("*.Dockerfile"))])
def test_every_golden_dockerfile_can_be_executed(name: str) -> None:
    assert instructions.refusal((GOLDEN / name).read_text(encoding="utf-8")) is None


@pytest.mark.parametrize(("line", "why"), [
    ('RUN ["/bin/true"]', "none of torchferry's own"),
    ('RUN --mount=type=bind,source=x,target=/media ["/mnt/uv", "pip", "install"]', "none of torchferry's own"),
    ("RUN apt-get update", "shell form"),
    ('ENV PATH="$PATH:/x"', "a variable is expanded"),
    ("COPY $SOURCE /app/", "a variable is expanded"),
    ("COPY --chown=1:1 app/ /app/", "COPY with flags"),
    ("COPY app/ tools/ /app/", "several sources"),
    ("ADD app/ /app/", "'ADD' is not an instruction we write"),
    ("STOPSIGNAL SIGINT", "'STOPSIGNAL' is not an instruction we write"),
])
def test_what_needs_docker_is_named_with_its_line(line: str, why: str) -> None:
    said = instructions.refusal(f"FROM base:1\n\n{line}\n")
    assert said is not None
    assert said.startswith("Dockerfile:3: ")
    assert why in said


def test_an_escaped_dollar_is_a_dollar(site: Site) -> None:
    assert "PRICE=5$ \\" in site.config('ENV PRICE="5\\$ \\\\"')["Env"]


def test_each_declaration_arrives_in_the_config(site: Site) -> None:
    said = site.config(
        "ARG UNUSED", 'ENV A="1"', 'ENV A="2"', 'LABEL b="3"', "USER 5:6", "EXPOSE 80 53/udp", 'VOLUME ["/data"]',
        'SHELL ["/bin/sh", "-ec"]', 'HEALTHCHECK --interval=1m --timeout=500ms --retries=2 CMD ["/check"]',
        "ENTRYPOINT []", 'CMD ["serve"]',
    )
    assert said == {
        "Env": ["PATH=/bin", "A=2"], "Labels": {"b": "3", "ours": "1"}, "User": "5:6", "Cmd": ["serve"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}}, "Shell": ["/bin/sh", "-ec"],
        "Healthcheck": {"Test": ["CMD", "/check"], "Interval": 60 * 10**9, "Timeout": 5 * 10**8, "Retries": 2},
    }


def test_an_entrypoint_forgets_the_bases_command(site: Site) -> None:
    assert "Cmd" not in site.config('ENTRYPOINT ["/start"]')
    assert site.config('LABEL a="1"')["Cmd"] == ["sh"]


def test_copies_keep_links_and_the_right_to_execute_and_nothing_else(site: Site) -> None:
    tree = image_tree(site.build("WORKDIR /app", "COPY app/ /app/", "COPY app/main.py /opt/new/name.py"), site.store)
    found = {path: (node.kind, node.mode, node.uid) for path, node in tree.items() if path.startswith(("app", "opt"))}
    assert found == {
        "app": ("folder", 0o755, 0), "app/link": ("link", 0o777, 0), "app/main.py": ("file", 0o644, 0),
        "app/part": ("folder", 0o755, 0), "app/part/run.sh": ("file", 0o755, 0),
        "opt": ("folder", 0o755, 0), "opt/new": ("folder", 0o755, 0), "opt/new/name.py": ("file", 0o644, 0),
    }
    assert tree["app/link"].content == "main.py"


def test_a_folder_of_the_base_keeps_its_mode(site: Site) -> None:
    assert image_tree(site.build("COPY app/main.py /odd/main.py"), site.store)["odd"].mode == 0o750


def test_the_user_and_its_folders_are_made_with_all_that_is_in_them(site: Site) -> None:
    words = json.dumps([*instructions.PREPARE, "77", "/app/part", "/data/new"])
    tree = image_tree(site.build("COPY app/ /app/", f"RUN {words}"), site.store)
    assert (tree["app"].uid, tree["app/part"].uid, tree["app/part/run.sh"].uid, tree["data"].uid) == (0, 77, 77, 0)
    assert (tree["data/new"].uid, tree["data/new"].gid, tree["data/new"].mode) == (77, 77, 0o755)
    assert tree["etc/passwd"].mode == tree["etc/group"].mode == 0o640


@pytest.mark.parametrize(("lines", "why"), [
    (("COPY absent /app/",), "absent is no file or folder"),
    (("COPY ../blobs /app/",), "is no file or folder"),
    (("COPY . /app/",), "is no file or folder"),
    (("COPY app/ /run/app/",), "/run as a link to odd"),
    ((f"RUN {json.dumps([*instructions.PREPARE, '77', '/odd'])}",), "the base has /odd already"),
    (("FROM other:1",), "a second FROM"),
])
def test_what_only_shows_while_it_is_built_is_refused_too(site: Site, lines: tuple[str, ...], why: str) -> None:
    with pytest.raises(BuildError, match=why):
        site.build(*lines)


def test_a_base_with_onbuild_instructions_needs_docker(site: Site) -> None:
    site.said["config"]["OnBuild"] = ["RUN true"]
    with pytest.raises(BuildError, match="ONBUILD"):
        site.build('LABEL a="1"')


def test_the_same_lines_give_the_same_image(site: Site, tmp_path: Path) -> None:
    lines = ("COPY app/ /app/", 'ENV A="1"')
    assert site.build(*lines) == Site(tmp_path / "elsewhere").build(*lines)


def test_a_config_says_nothing_that_is_empty() -> None:
    plain = ImageConfig(architecture="amd64")
    assert json.loads(plain.document(()))["config"] == {}
    assert json.loads(replace(plain, user="1").document(()))["config"] == {"User": "1"}
