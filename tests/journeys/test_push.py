"""`inv push` into a real registry: pulled back by real engines, digests compared, resumed, refused by name."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import engines, registry, token_server
from support.project import Project
from support.registry import HTPASSWD, PASSWORD, USER, Line
from support.site import ASK, Releases, flip, without
from support.token_server import REFRESH

from torchferry import oci, web
from torchferry.distribution import Registry
from torchferry.proc import Finished
from torchferry.registry_keys import Keys
from torchferry.registry_login import Login

pytestmark = [
    pytest.mark.xdist_group("push"),
    pytest.mark.skipif(registry.unavailable() is not None, reason=str(registry.unavailable())),
]
SHELLS = {
    "dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh"), "ksh": ("ksh",), "mksh": ("mksh",),
    "yash": ("yash", "--posix"), "zsh": ("zsh", "--emulate", "sh"),
}
IMAGES = {"engine:1.2.0-cpu", "engine:1.2.0-cu121", "page:1.2.0-any"}


@pytest.fixture
def packed(releases: Releases, tmp_path: Path) -> Project:
    """The project of the packed releases; its push must not need Docker, an index, or the person's own log-ins."""
    (tmp_path / "home").mkdir()
    env = {name: value for name, value in os.environ.items() if name not in ("XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE")}
    env |= {"HOME": str(tmp_path / "home"), "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PYTHONWARNINGS": "error"}
    return Project(folder=releases.root.parent, env=env)


def rows(done: Finished) -> dict[str, list[str]]:
    """The printed table: platform, pushed, present, state and digest of each image."""
    assert done.ok, done.stderr
    found = [line.split() for line in done.stdout.splitlines() if "sha256:" in line]
    return {words[0].rpartition("/")[2]: [*words[1:2], " ".join(words[2:4]), " ".join(words[4:6]), *words[6:]]
            for words in found}


def ferry(release: Path, *words: str, env: dict[str, str] | None = None, shell: tuple[str, ...] = ("sh",)) -> Finished:
    """`ferry.sh push`, as the operator of a site runs it."""
    done = subprocess.run(
        [*shell, str(release / "ferry.sh"), "push", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "LANG": "C.UTF-8", **(env or {})}, stdin=subprocess.DEVNULL,
    )
    return Finished(argv=words, status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def manifest(packed: Project) -> dict[str, dict[str, object]]:
    said = json.loads((packed.folder / "dist/duo-1.2.0/manifest.json").read_text(encoding="utf-8"))
    return {row["image"]: row for row in said["images"]}


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["docker-20.10-classic", "docker-28-containerd"])
def test_what_was_pushed_is_pulled_and_runs(kind: str, packed: Project, tmp_path: Path) -> None:
    if reason := engines.unavailable(kind):
        pytest.skip(reason)
    with engines.start(kind) as engine, registry.start(tmp_path / "r", port=5000, within=engine.inside) as server:
        command = engine.inside(*packed.command("push", f"{server.host}/team"))
        first = subprocess.run(command, cwd=packed.folder, env=dict(packed.env), capture_output=True, text=True,
                               stdin=subprocess.DEVNULL, check=False)
        found = rows(Finished(argv=(), status=first.returncode, stdout=first.stdout, stderr=first.stderr))
        assert found.keys() == IMAGES
        env = {**os.environ, **engine.env}

        def docker(*words: str) -> str:
            done = subprocess.run([engine.command, *words], env=env, capture_output=True, text=True, check=False,
                                  stdin=subprocess.DEVNULL)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        for image, row in manifest(packed).items():
            name = f"{server.host}/team/{image}"
            docker("pull", "--quiet", name)
            said = json.loads(docker("image", "inspect", name))[0]
            layers = [f"sha256:{layer['diff_id']}" for layer in row["layers"]]  # type: ignore[attr-defined, index]
            assert said["RootFS"]["Layers"] == layers
            assert said["RepoDigests"] == [f"{name.rpartition(':')[0]}@{found[image][-1]}"]
            if "classic" in kind:
                assert said["Id"] == f"sha256:{row['config']}"
        docker("run", "--detach", "--name", "page", "--network", "host", f"{server.host}/team/page:1.2.0-any")
        ask = engine.inside(sys.executable, "-I", "-S", "-c", ASK, "http://127.0.0.1:8100/")
        for _ in range(100):
            answer = subprocess.run(ask, capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                break
        assert json.loads(answer.stdout) == {"page": "1.2.0"}


def test_a_second_push_sends_nothing_and_a_layer_goes_up_once_for_all(packed: Project, tmp_path: Path) -> None:
    with registry.start(tmp_path / "r") as server:
        first = rows(packed.made("push", server.host))
        assert first.keys() == IMAGES
        assert [row[3] for row in first.values()] == ["new"] * 3
        layers = {layer["diff_id"] for row in manifest(packed).values() for layer in row["layers"]}  # type: ignore[attr-defined]
        assert len(server.asked("PATCH")) == len(layers) + len(IMAGES)  # and a config each
        assert "mount=" in "".join(server.asked("POST", " 201 "))
        asked = [len(server.asked(method)) for method in ("POST", "PATCH", "PUT")]
        second = rows(packed.made("push", server.host))
        assert [len(server.asked(method)) for method in ("POST", "PATCH", "PUT")] == asked
        assert [row[1] for row in second.values()] == ["0 B"] * 3
        assert [row[3] for row in second.values()] == ["present"] * 3
        assert [row[4] for row in second.values()] == [row[4] for row in first.values()]
        blobs = set(server.blobs())
        moved = packed.made("push", f"{server.host}/elsewhere", "--variant", "cpu", "--service", "engine")
        assert rows(moved)["engine:1.2.0-cpu"][4] == first["engine:1.2.0-cpu"][4]  # deterministic
        assert server.blobs() == blobs


def test_a_broken_line_is_mended(packed: Project, tmp_path: Path) -> None:
    with registry.start(tmp_path / "r") as server, Line(target=server.host, limits=[3_000_000, 5_000_000]) as line:
        done = packed.made("push", line.host, "--service", "page")
        assert line.broken == 2
        found = rows(done)
        with registry.start(tmp_path / "other") as other:
            assert rows(packed.made("push", other.host, "--service", "page"))["page:1.2.0-any"][4] == \
                found["page:1.2.0-any"][4]
            assert other.blobs() == server.blobs()


def test_an_interrupted_push_goes_on_with_what_is_missing(packed: Project, tmp_path: Path) -> None:
    with registry.start(tmp_path / "r") as server:
        layers = manifest(packed)["engine:1.2.0-cpu"]["layers"]
        # The base passes, then nothing more: a person gives up.
        limit = layers[0]["packed"]["size"] + 4000  # type: ignore[index]
        with Line(target=server.host, limits=[limit], stalls=True) as line:
            stopped = packed.interrupted("push", line.host, "--service", "engine", "--variant", "cpu",
                                         when=lambda: line.broken > 0)
        assert stopped.status == 130
        assert "goes on from here" in stopped.stderr
        before, had = len(server.asked("PATCH", " 202 ")), server.blobs()
        assert had
        found = rows(packed.made("push", server.host, "--service", "engine", "--variant", "cpu"))
        row = found["engine:1.2.0-cpu"]
        assert (row[3], len(server.blobs()) > len(had)) == ("new", True)
        assert len(server.asked("PATCH", " 202 ")) - before == len(layers) + 1 - len(had)  # type: ignore[arg-type]


def test_a_password_is_taken_from_where_docker_keeps_it(packed: Project, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD, encoding="utf-8")
    auth = {"htpasswd": {"realm": "site", "path": str(tmp_path / "htpasswd")}}
    with registry.start(tmp_path / "r", auth=auth) as server:
        refused = packed.inv("push", server.host, "--service", "page")
        assert refused.status == 12
        assert f"error: {server.host}/page: the registry answers 401 Unauthorized" in refused.stderr
        assert f"hint: log in as somebody who may push there: docker login {server.host}" in refused.stderr
        config = tmp_path / "home/.docker/config.json"
        config.parent.mkdir()
        word = base64.b64encode(f"{USER}:wrong".encode()).decode()
        config.write_text(json.dumps({"auths": {server.host: {"auth": word}}}), encoding="utf-8")
        assert packed.inv("push", server.host, "--service", "page").status == 12
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        config.write_text(json.dumps({"auths": {server.host: {"auth": word}}}), encoding="utf-8")
        assert rows(packed.made("push", server.host, "--service", "page"))["page:1.2.0-any"][3] == "new"


def test_a_token_is_fetched_for_each_repository(packed: Project, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed here")
    config = tmp_path / "home/.docker/config.json"
    config.parent.mkdir()
    with token_server.start(tmp_path / "tokens") as tokens, \
            registry.start(tmp_path / "r", auth=tokens.settings) as server:
        refused = packed.inv("push", server.host, "--service", "page")
        assert refused.status == 12
        assert f"{tokens.url}/token, which gives its tokens, gives none" in refused.stderr
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        config.write_text(json.dumps({"auths": {server.host: {"auth": word}}}), encoding="utf-8")
        tokens.actions = ("pull",)
        refused = packed.inv("push", server.host, "--service", "page")
        assert (refused.status, "401 Unauthorized" in refused.stderr) == (12, True)
        tokens.actions = ("pull", "push")
        assert rows(packed.made("push", server.host)).keys() == IMAGES
        assert any("page%3Apull%2Cpush&scope=repository%3Aengine%3Apull" in asked for asked in tokens.asked)
        assert server.asked("POST", "mount=")
        word = {"auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode(), "identitytoken": REFRESH}
        config.write_text(json.dumps({"auths": {server.host: word}}), encoding="utf-8")
        before = len(tokens.asked)
        assert rows(packed.made("push", server.host))["page:1.2.0-any"][3] == "present"
        assert {*tokens.asked[before:]} == {"/token"}


def test_a_key_that_is_over_is_renewed_in_the_midst(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed here")
    with token_server.start(tmp_path / "tokens") as tokens, \
            registry.start(tmp_path / "r", auth=tokens.settings) as server, web.client(proxied=False) as http:
        keys = Keys(domain=server.host, login=Login(user=USER, password=PASSWORD))
        asked = Registry(domain=server.host, url=f"http://{server.host}", http=http, keys=keys)
        data = bytes(3_000_000)

        def body(start: int) -> Iterator[bytes]:
            yield data[start:]
            keys.headers["page", ""] = "Bearer stale"  # when all has passed, and the PUT is to come

        asked.upload("page", oci.config_descriptor(data), body)
        assert asked.has_blob("page", oci.config_descriptor(data))
        assert len(tokens.asked) == 2
        keys.headers["page", ""] = "Bearer stale"
        asked.upload("page", oci.config_descriptor(data[1:]), lambda start: iter((data[1 + start:],)))
        assert len(tokens.asked) == 3


def test_a_line_that_breaks_when_all_has_passed_costs_no_byte(tmp_path: Path) -> None:
    data, starts = bytes(5_000_000), []

    def body(start: int) -> Iterator[bytes]:
        starts.append(start)
        yield data[start:]

    with registry.start(tmp_path / "r") as server, Line(target=server.host, before=b"PUT /v2/") as line, \
            web.client(proxied=False) as http:
        keys = Keys(domain=server.host, login=None)
        asked = Registry(domain=server.host, url=f"http://{line.host}", http=http, keys=keys)
        asked.upload("page", oci.config_descriptor(data), body)
        assert (line.broken, starts) == (1, [0])
        assert asked.has_blob("page", oci.config_descriptor(data))


def test_refusals_name_the_cure(packed: Project, tmp_path: Path) -> None:
    readonly = {"filesystem": {"rootdirectory": str(tmp_path / "ro")}, "maintenance": {"readonly": {"enabled": True}}}
    with registry.start(tmp_path / "r", storage=readonly) as server:
        done = packed.inv("push", server.host, "--service", "page")
        assert (done.status, "read-only: name the registry behind it" in done.stderr) == (12, True)
    with registry.start(tmp_path / "plain") as server:
        # A name that is not loopback's is asked by TLS.
        port = server.host.partition(":")[2]
        done = packed.inv("push", f"0.0.0.0:{port}", "--service", "page")
        assert (done.status, "--plain-http" in done.stderr) == (12, True)
    done = packed.inv("push", "team", "--service", "page")
    assert (done.status, "HOST[:PORT][/PREFIX]" in done.stderr) == (2, True)


def test_a_full_disk_of_the_registry_is_named(packed: Project, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root may mount a small disk")
    (tmp_path / "small").mkdir()

    def small(*words: str) -> list[str]:
        if words[0] != "docker-registry":
            return list(words)
        mount = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", mount, str(tmp_path / "small"), *words]

    storage = {"filesystem": {"rootdirectory": str(tmp_path / "small")}}
    with registry.start(tmp_path / "r", within=small, storage=storage) as server:
        done = packed.inv("push", server.host, "--service", "page")
    assert (done.status, "its disk is full" in done.stderr) == (8, True), done.stderr


skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed here")


@skopeo
@pytest.mark.parametrize("name", SHELLS)
def test_the_offline_side_pushes_the_very_same_blobs(
    name: str, packed: Project, releases: Releases, tmp_path: Path,
) -> None:
    shell = SHELLS[name]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed here")
    spare = tmp_path / "it's: a place"
    spare.mkdir()
    env = {"TMPDIR": str(spare)}
    with registry.start(tmp_path / "here") as here, registry.start(tmp_path / "there") as there:
        printed = rows(packed.made("push", f"{here.host}/team"))
        done = ferry(releases.folder("1.2.0"), f"{there.host}/team", "--plain-http", env=env, shell=shell)
        assert done.ok, done.stderr
        for image, row in printed.items():
            assert f"{there.host}/team/{image} {row[4]}\n" in done.stdout
        assert there.blobs() == here.blobs()
        sent = len(there.asked("PATCH"))
        again = ferry(releases.folder("1.2.0"), f"{there.host}/team", "--plain-http", env=env, shell=shell)
        assert again.stdout.count(", there already") == 3
        assert len(there.asked("PATCH")) == sent
        assert rows(packed.made("push", f"{there.host}/team"))["page:1.2.0-any"][1:4:2] == ["0 B", "present"]
    assert [*spare.iterdir()] == []


@skopeo
def test_a_delta_goes_where_what_it_rests_on_is(packed: Project, releases: Releases, tmp_path: Path) -> None:
    project = Project(folder=tmp_path / "copy", env=packed.env)
    shutil.copytree(packed.folder, project.folder, copy_function=os.link, symlinks=True)
    project.made("package", "--since", str(releases.folder("1.1.0")))
    [delta] = (project.folder / "dist").glob("duo-1.2.0-*")
    assert sum(path.stat().st_size for path in delta.glob("*.tar.gz")) < 1_000_000
    with registry.start(tmp_path / "r") as server:
        early = ferry(delta, f"{server.host}/team", "--plain-http")
        assert (early.status, "push that first" in early.stderr) == (9, True), early.stderr
        assert ferry(releases.folder("1.1.0"), f"{server.host}/team", "--plain-http").ok
        sent = len(server.asked("PATCH"))
        done = ferry(delta, f"{server.host}/team", "--plain-http")
        assert done.ok, done.stderr
        assert len(server.asked("PATCH")) - sent < 12
        found = rows(packed.made("push", f"{server.host}/team"))
        assert [row[3] for row in found.values()] == ["present"] * 3
        for image, row in found.items():
            assert f"{server.host}/team/{image} {row[4]}\n" in done.stdout


@skopeo
def test_what_the_offline_side_refuses(releases: Releases, tmp_path: Path) -> None:
    release = releases.copy("1.2.0", tmp_path / "duo-1.2.0")
    with registry.start(tmp_path / "r") as server:
        flip(release / "page-1.2.0-any.tar.gz", -1000)
        done = ferry(release, server.host, "--plain-http")
        assert (done.status, "page-1.2.0-any.tar.gz" in done.stderr) == (5, True)
        assert server.blobs() == set()
        release = releases.folder("1.2.0")
        done = ferry(release, server.host)
        assert (done.status, "cure: --plain-http" in done.stderr) == (9, True), done.stderr
        done = ferry(release, server.host, "--plain-http", "--variant", "cu118")
        assert (done.status, "no image of variant cu118" in done.stderr) == (12, True)
        done = ferry(release, server.host, "--plain-http", env={"PATH": without(["skopeo"], tmp_path / "bin")})
        assert (done.status, "goes through skopeo" in done.stderr) == (7, True)
        done = ferry(release, server.host, "--plain-http", env={"PATH": without(["skopeo"], tmp_path / "bin"),
                                                                "LANG": "ko_KR.UTF-8"})
        assert (done.status, "skopeo 가 필요" in done.stderr) == (7, True)
    for words in ((), ("team",), ("http://registry.corp",), ("registry.corp/a b",), ("registry.corp", "--port", "1")):
        assert ferry(release, *words).status == 2
