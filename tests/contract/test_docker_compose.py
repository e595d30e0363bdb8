"""`docker compose` with our compose.yaml makes the same containers as ferry.sh does, and brings up a release.

ferry.sh is its own functions here, from the words of a service to its container; what it does before and after is
tested elsewhere.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import debian_programs, enclave, nouns
from support.busybox_image import busybox_archive
from support.container_facts import differences, facts
from support.debian_programs import ProgramsAbsent
from support.engines import Engine, start, unavailable
from support.variants_text import parsed

from torchferry import compat, compose, ferry, files, manifest
from torchferry.model import Archive, Image, Layer, Project, Variant
from torchferry.running import Head
from torchferry.templates import TEMPLATES

reason = enclave.unavailable()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(reason is not None, reason=str(reason))]

KINDS = ("docker-20.10-classic", "docker-28-containerd")
COMPAT = compat.load()
DISPATCH = "\ncommand=${1-help}\n"
"""Behind this line ferry.sh begins to do what it is told; before it stand its functions alone."""

SERVICE = {"source": "app", "requirements": "app/requirements.in", "command": ["httpd"]}
VARIANTS = {
    "release": {"name": "duo", "version": "1.2.0"}, "python": "3.11", "base": {"debian": "bookworm"},
    "models": {"words": {"source": "m", "version": "7", "at": "/app/models/words", "for": ["engine", "page"]}},
    "services": {
        "engine": {
            **SERVICE, "port": 8003, "mounts": {"/app/models": "models", "/app/logs": "logs", "/app/rules": "rules:ro"},
            "variants": {"cu121": {"torch": "2.1.2"}, "cpu": {"torch": "2.1.2"}},
        },
        "page": {**SERVICE, "port": 8100},
    },
}


def project() -> Project:
    return parsed(json.dumps(VARIANTS))


def document() -> dict[str, Any]:
    rows = []
    for variant in project().variants:
        image = Image(name=variant.image_name, config=b"{}", layers=(Layer(diff_id="1" * 64, size=5),))
        archive = Archive(path=Path(f"{variant.label}.tar.gz"), size=9, sha256="b" * 64, image=image)
        head = Head(name="load/a.head", image_name=f"{variant.service.name}:incoming-1", data=b"head", replaces=4)
        rows.append(manifest.entry(variant, nouns.lock("cpu"), archive, head, COMPAT, (), revision=None))
    models = [{"name": model.name, "version": model.version, "at": model.at, "services": sorted(model.services),
               "files": [{"path": "words.txt", "size": 1, "sha256": "c" * 64}]} for model in project().models]
    return manifest.document(project(), rows, models)


class Site:
    """A server with the release's images; `folder` is the release folder, `data` where its folders lie."""

    def __init__(self, engine: Engine, folder: Path, program: Path) -> None:
        self.engine, self.folder, self.program = engine, folder, program
        self.data = folder / "it's a server's"
        for name in ("rules", "models/words-7", "logs"):
            (self.data / name).mkdir(parents=True)
            (self.data / name / "words.txt").write_text("x", encoding="utf-8")
        files.write_text(folder / "compose.yaml", compose.text(document()))
        text = ferry.text(document(), project().variants, COMPAT, templates=TEMPLATES)
        assert text.count(DISPATCH) == 1
        self.functions = text.partition(DISPATCH)[0]

    def ferry(self, variant: Variant) -> dict[str, Any]:
        """The container that ferry.sh makes of a variant, not started."""
        key = f"{variant.service.name} {variant.name} {variant.architecture}"
        files.write_text(self.folder / "create.sh", "\n".join([
            self.functions, 'options "$run_options" "$@"', "find_engine", "find_instance", "make_network",
            f"facts_of '{key}'", "generation=1 settings=none", "with_settings create made final",
        ]))
        self._run("sh", str(self.folder / "create.sh"), "--data", str(self.data))
        return self.inspect("made")

    def compose(self, *words: str) -> str:
        return self._run(str(self.program), "--project-directory", str(self.folder), "-f",
                         str(self.folder / "compose.yaml"), *words)

    def inspect(self, container: str) -> dict[str, Any]:
        [found] = json.loads(self.docker("container", "inspect", container))
        assert isinstance(found, dict)
        return found

    def docker(self, *words: str) -> str:
        return self._run(self.engine.command, *words)

    def clear(self) -> None:
        for name in self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", name)
        self.docker("network", "prune", "--force")

    def _run(self, *argv: str) -> str:
        env = {
            **os.environ, **self.engine.env, "FERRY_DATA": str(self.data), "FERRY_MODELS": f"{self.data}/models",
            "FERRY_STATE": str(self.folder / "state"), "HOME": str(self.folder), "COMPOSE_ANSI": "never",
        }
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    kind, folder = request.param, tmp_path_factory.mktemp("site")
    if absent := unavailable(kind) or unavailable(KINDS[0]):
        pytest.skip(absent)
    try:
        program = debian_programs.compose()
    except ProgramsAbsent as error:
        pytest.skip(str(error))
    busybox = debian_programs.unpacked(debian_programs.DOCKER_20) / "usr/bin/busybox"
    with start(kind, gpu=True) as engine:
        made = Site(engine, folder, program)
        for variant in project().variants:
            archive = busybox_archive(folder / "a.tar.gz", busybox=busybox, name=variant.image_name, says=variant.name)
            made.docker("load", "-i", str(archive.path))
        yield made


@pytest.fixture
def empty(site: Site) -> Iterator[Site]:
    yield site
    site.clear()


every_kind = pytest.mark.parametrize(
    "site", [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS], indirect=True,
)


@every_kind
@pytest.mark.parametrize("label", ["engine-cu121", "engine-cpu", "page-any"])
def test_compose_makes_the_container_that_ferry_makes(empty: Site, label: str) -> None:
    variant = next(variant for variant in project().variants if variant.label == label)
    ours = empty.ferry(variant)
    empty.clear()
    empty.compose("--profile", variant.name, "create")
    name = "page" if variant.name == "any" else label
    theirs = empty.inspect(empty.compose("--profile", variant.name, "ps", "--all", "--quiet", name))
    assert differences(ours, theirs) == {}
    assert facts(ours)["labels"]["service"] == variant.service.name
    assert facts(ours)["networks"] == {"duo": True}
    assert bool(facts(ours)["gpus"]) == (variant.name == "cu121")
    assert len(facts(ours)["mounts"]) == (1 if variant.name == "any" else 3)
    # ferry.sh rules over what it made, and over nothing that compose made
    assert "io.torchferry.instance" in ours["Config"]["Labels"]
    assert "io.torchferry.instance" not in theirs["Config"]["Labels"]


@every_kind
def test_a_profile_brings_up_one_variant_and_what_is_always_meant(empty: Site) -> None:
    empty.compose("--profile", "cpu", "up", "--detach")
    running = empty.docker("ps", "--format", '{{.Label "com.docker.compose.service"}} {{.Image}}').splitlines()
    assert sorted(running) == ["engine-cpu engine:1.2.0-cpu", "page page:1.2.0-any"]
    page = empty.compose("ps", "--quiet", "page")
    assert json.loads(empty.docker("exec", page, "wget", "-q", "-O", "-", "http://engine:8003/health")) == {
        "status": "cpu",
    }
    assert empty.docker("exec", page, "cat", "/app/models/words/words.txt") == "x"
    empty.compose("--profile", "cpu", "down")
    assert empty.docker("ps", "--all", "--quiet") == ""


@every_kind
def test_a_model_that_is_not_there_is_told_and_no_folder_is_made_of_it(empty: Site) -> None:
    place = empty.data / "models/words-7"
    place.rename(place.with_name("away"))
    try:
        with pytest.raises(AssertionError, match="words-7"):
            empty.compose("--profile", "cpu", "up", "--detach")
        assert not place.exists()
    finally:
        place.with_name("away").rename(place)


CHANGES = {
    "user": lambda said: said["Config"].update(User="0"),
    "command": lambda said: said["Config"].update(Cmd=["sh"]),
    "environment": lambda said: said["Config"]["Env"].append("A=1"),
    "mounts": lambda said: said["Mounts"][0].update(RW=not said["Mounts"][0]["RW"]),
    "ports": lambda said: said["HostConfig"]["PortBindings"].clear(),
    "restart": lambda said: said["HostConfig"].update(RestartPolicy={"Name": "no", "MaximumRetryCount": 0}),
    "log": lambda said: said["HostConfig"]["LogConfig"]["Config"].clear(),
    "init": lambda said: said["HostConfig"].update(Init=None),
    "networks": lambda said: said["NetworkSettings"]["Networks"]["duo"].update(Aliases=["other"]),
    "gpus": lambda said: said["HostConfig"].update(DeviceRequests=[]),
    "labels": lambda said: said["Config"]["Labels"].pop("io.torchferry.sequence"),
    "rights": lambda said: said["HostConfig"].update(Privileged=True),
}


@pytest.mark.parametrize("site", [pytest.param(KINDS[0], marks=pytest.mark.xdist_group(KINDS[0]))], indirect=True)
def test_each_difference_is_seen(empty: Site) -> None:
    made = empty.ferry(next(variant for variant in project().variants if variant.name == "cu121"))
    for name, change in CHANGES.items():
        other = copy.deepcopy(made)
        change(other)
        assert list(differences(made, other)) == [name]
