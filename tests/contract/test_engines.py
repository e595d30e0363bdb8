"""The engines that sites have: each loads our archives and runs them, and how each behaves when a load cannot succeed.

What is written down here of broken archives and full disks is why a site never trusts the exit status of a load.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import debian_programs, enclave
from support.busybox_image import busybox_archive, layers_of
from support.debian_programs import ProgramsAbsent, ProgramSet
from support.enclave import control_groups, family, mounts_below
from support.engines import DOCKERS, KINDS, PODMANS, Engine, start, unavailable
from support.saved_images import noise

from torchferry.model import Archive

reason = enclave.unavailable()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(reason is not None, reason=str(reason))]

DISK_MB = 20
TOO_LARGE = 24 << 20


def grouped(*kinds: str) -> list[object]:
    """One worker takes all tests of a kind, so each engine starts once."""
    return [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in kinds]


def skip_unless_available(kind: str) -> None:
    if absent := unavailable(kind):
        pytest.skip(absent)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Archive]:
    """Archives of three images: the first, its successor under the same name, and one too large for the small disk."""
    skip_unless_available("docker-20.10-classic")
    folder = tmp_path_factory.mktemp("archives")
    busybox = debian_programs.unpacked(debian_programs.DOCKER_20) / "usr" / "bin" / "busybox"
    made = {}
    for says, name, ballast in (("one", "stt:1", b""), ("two", "stt:1", b"two"), ("large", "stt:2", noise(TOO_LARGE))):
        target = folder / f"{says}.tar.gz"
        made[says] = busybox_archive(target, busybox=busybox, name=name, says=says, ballast=ballast)
    return made


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, archives: dict[str, Archive]) -> Iterator[Engine]:
    """An engine of the wanted kind that may be asked for a GPU, with the first image."""
    skip_unless_available(request.param)
    with start(request.param, gpu=True) as started:
        succeed(started, "load", "-i", str(archives["one"].path))
        yield started


@pytest.fixture
def small(request: pytest.FixtureRequest, archives: dict[str, Archive]) -> Iterator[Engine]:
    """One that has no toolkit and keeps everything on a small disk, with the first image."""
    skip_unless_available(request.param)
    with start(request.param, disk_mb=DISK_MB) as started:
        succeed(started, "load", "-i", str(archives["one"].path))
        yield started


def say(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [engine.command, *words], env={**os.environ, **engine.env}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )


def succeed(engine: Engine, *words: str) -> str:
    done = say(engine, *words)
    assert done.returncode == 0, f"{engine.kind}: {words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def remove(engine: Engine, container: str) -> None:
    """At once: podman would first wait ten seconds for a server that cares for no signal."""
    succeed(engine, "kill", container)
    succeed(engine, "rm", "--force", container)


def until_running(engine: Engine, container: str) -> str:
    """What the container says once it is up."""
    deadline = time.monotonic() + enclave.PATIENCE
    while (asked := say(engine, "exec", container, "cat", "/says")).returncode:
        assert time.monotonic() < deadline, asked.stderr
        time.sleep(0.1)
    return asked.stdout


def layers(engine: Engine, image: str) -> list[str]:
    found: list[str] = json.loads(succeed(engine, "image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found


every_engine = pytest.mark.parametrize("engine", grouped(*KINDS), indirect=True)
every_docker = pytest.mark.parametrize("engine", grouped(*DOCKERS), indirect=True)
every_podman = pytest.mark.parametrize("engine", grouped(*PODMANS), indirect=True)
every_small = pytest.mark.parametrize("small", grouped(*KINDS), indirect=True)


# What each engine is


@every_engine
def test_an_engine_is_what_its_kind_says(engine: Engine) -> None:
    name, version, *more = engine.kind.split("-")
    assert engine.version().split(".")[0] == version.split(".")[0]
    said = succeed(engine, "--version").lower()
    assert f"{name} version {version}." in said
    if name == "docker":
        store, asked = {"classic": "overlay2", "containerd": "overlayfs"}[more[0]], "{{.Driver}} {{.DockerRootDir}}"
    else:
        store, asked = "overlay", "{{.Store.GraphDriverName}} {{.Store.GraphRoot}}"
    assert succeed(engine, "info", "--format", asked) == f"{store} {engine.root}"


@every_podman
def test_a_host_with_podman_has_no_other_engine(engine: Engine) -> None:
    found = {name: shutil.which(name, path=engine.env["PATH"]) for name in ("docker", "podman", "sh")}
    assert found["podman"] == str(engine.root.parent / "bin" / "podman")
    assert (found["docker"] is None) == (engine.command == "podman")
    assert found["sh"]
    assert ("Emulate Docker CLI using podman" in say(engine, "version").stderr) == (engine.command == "docker")


@every_podman
def test_podman_tells_where_it_unpacks(engine: Engine) -> None:
    assert succeed(engine, "info", "--format", "{{.Store.ImageCopyTmpDir}}") == str(engine.root.parent / "tmp")


# What a site does with an archive


@every_engine
def test_an_archive_is_loaded_and_runs(engine: Engine, archives: dict[str, Archive]) -> None:
    assert layers(engine, "stt:1") == layers_of(archives["one"])
    assert succeed(engine, "run", "--rm", "--network", "none", "stt:1", "cat", "/says") == "one"


ASK = """
import sys, time, urllib.request
deadline = time.monotonic() + float(sys.argv[1])
while True:
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8003/health", timeout=5).read().decode())
        break
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.1)
"""


@every_engine
def test_a_published_port_answers_inside_its_network_alone(engine: Engine) -> None:
    succeed(engine, "run", "--detach", "--name", "served", "--publish", "127.0.0.1:8003:8003", "stt:1")
    ask = [sys.executable, "-c", ASK]
    try:
        said = subprocess.run(engine.inside(*ask, "60"), capture_output=True, text=True, check=False)
        assert json.loads(said.stdout) == {"status": "one"}
        assert subprocess.run([*ask, "0"], capture_output=True, check=False).returncode != 0
    finally:
        remove(engine, "served")


@every_engine
def test_containers_of_one_network_find_each_other_by_name(engine: Engine) -> None:
    succeed(engine, "network", "create", "ferry")
    succeed(engine, "run", "--detach", "--network", "ferry", "--name", "first", "stt:1")
    try:
        ask = "until wget -q -O - http://first:8003/health; do sleep 1; done"
        said = succeed(engine, "run", "--rm", "--network", "ferry", "stt:1", "sh", "-c", ask)
        assert json.loads(said) == {"status": "one"}
    finally:
        remove(engine, "first")
        succeed(engine, "network", "rm", "ferry")


@every_engine
def test_a_relative_path_and_a_pipe_are_the_callers(engine: Engine, archives: dict[str, Archive]) -> None:
    path = archives["one"].path
    for line in (f"cd '{path.parent}' && {engine.command} load -i {path.name}", f"{engine.command} load <'{path}'"):
        done = subprocess.run(["sh", "-c", line], env={**os.environ, **engine.env}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


@every_podman
def test_podman_forgets_the_healthcheck_of_an_oci_image(engine: Engine) -> None:
    # Our archives are of both forms, and podman takes the OCI one, which knows no HEALTHCHECK.
    told = succeed(engine, "image", "inspect", "--format", "{{json .Config}}", "stt:1")
    assert "Healthcheck" not in json.loads(told)


@every_docker
def test_docker_keeps_the_healthcheck(engine: Engine) -> None:
    told = succeed(engine, "image", "inspect", "--format", "{{json .Config}}", "stt:1")
    assert json.loads(told)["Healthcheck"]["Test"][0] == "CMD"


@every_podman
def test_a_short_name_given_to_an_image_is_another_one_than_it_was_loaded_under(engine: Engine) -> None:
    succeed(engine, "tag", "stt:1", "stt:kept")
    tags = json.loads(succeed(engine, "image", "inspect", "--format", "{{json .RepoTags}}", "stt:kept"))
    assert sorted(tags) == ["docker.io/library/stt:1", "localhost/stt:kept"]
    succeed(engine, "rmi", "stt:kept")


# GPUs


@every_docker
def test_a_gpu_is_granted_where_the_toolkit_is(engine: Engine) -> None:
    ask = ["run", "--rm", "--gpus", "all", "--network", "none", "stt:1", "sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES"]
    assert succeed(engine, *ask) == "all"


@every_podman
def test_a_gpu_is_a_device_of_podman(engine: Engine) -> None:
    ask = ["run", "--rm", "--device", "nvidia.com/gpu=all", "--network", "none", "stt:1", "sh", "-c",
           "echo $NVIDIA_VISIBLE_DEVICES"]
    assert succeed(engine, *ask) == "all"


@every_small
def test_a_gpu_is_refused_without_the_toolkit_or_silently_left_out(small: Engine) -> None:
    asked = say(small, "run", "--rm", "--gpus", "all", "--network", "none", "stt:1", "true")
    if small.kind.startswith("docker"):
        assert asked.returncode == 125
        assert 'could not select device driver "" with capabilities: [[gpu]]' in asked.stderr
    elif small.kind.startswith("podman-4"):
        assert asked.returncode == 0  # it takes the option and does nothing
    else:
        assert asked.returncode == 126
        assert "unresolvable CDI devices nvidia.com/gpu=all" in asked.stderr


# Loads that cannot succeed


MOVED_BY_A_BROKEN_ARCHIVE = {"docker-26-containerd": 1, "docker-28-containerd": 0}
"""The exit status with which these nevertheless give the name to the image that they could not unpack."""


@every_small
def test_a_flipped_bit_in_a_layer(small: Engine, archives: dict[str, Archive], tmp_path: Path) -> None:
    plain = bytearray(gzip.decompress(archives["two"].path.read_bytes()))
    plain[plain.rindex(b'{"status": "two"}')] ^= 1
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(gzip.compress(plain, 1))
    loaded = say(small, "load", "-i", str(broken))
    moved = MOVED_BY_A_BROKEN_ARCHIVE.get(small.kind)
    assert loaded.returncode == (moved if moved is not None else 125 if small.kind in PODMANS else 1)
    ran = say(small, "run", "--rm", "--pull", "never", "--network", "none", "stt:1", "cat", "/says")
    assert (ran.returncode == 0) == (moved is None)
    assert ran.stdout == ("one" if moved is None else "")
    assert ("Error unpacking" in loaded.stdout) == (moved == 0)


@every_small
def test_half_an_archive(small: Engine, archives: dict[str, Archive], tmp_path: Path) -> None:
    whole = archives["two"].path.read_bytes()
    half = tmp_path / "half.tar.gz"
    half.write_bytes(whole[:len(whole) // 2])
    loaded = say(small, "load", "-i", str(half))
    assert loaded.returncode == (125 if small.kind in PODMANS else 1)
    assert succeed(small, "run", "--rm", "--network", "none", "stt:1", "cat", "/says") == "one"


@every_small
def test_a_disk_that_is_full(small: Engine, archives: dict[str, Archive]) -> None:
    assert shutil.disk_usage(small.root).total == DISK_MB << 20
    loaded = say(small, "load", "-i", str(archives["large"].path))
    assert loaded.returncode == (125 if small.kind in PODMANS else 1)
    assert "no space left on device" in loaded.stderr
    assert say(small, "image", "inspect", "stt:2").returncode != 0
    assert layers(small, "stt:1") == layers_of(archives["one"])


# Beginnings and ends


def traces(folder: Path) -> list[str]:
    """All that an engine with this folder could have left on this machine."""
    name = folder.name.rpartition("-")[0]
    left = [folder, Path("/run/netns", name), *control_groups(name)]
    return [*(str(place) for place in left if place.exists()), *mounts_below(folder), *map(str, family(name))]


def processes_in(network: int) -> list[str]:
    """Whatever lives in a network that is open here, by what it was started with."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            if os.path.samestat((entry / "ns" / "net").stat(), os.fstat(network)):
                found.append((entry / "cmdline").read_text(encoding="utf-8", errors="replace"))
    return found


@pytest.mark.parametrize("kind", grouped("docker-28-containerd", "podman-4", "podman-5"))
def test_nothing_is_left_of_an_engine_whose_container_still_runs(kind: str, archives: dict[str, Archive]) -> None:
    skip_unless_available(kind)
    with start(kind, disk_mb=DISK_MB) as engine:
        folder = engine.root.parent
        succeed(engine, "load", "-i", str(archives["one"].path))
        network = succeed(engine, "network", "create", "ferry")
        assert network
        started = succeed(engine, "run", "--detach", "--network", "ferry", "stt:1")
        pid = succeed(engine, "inspect", "--format", "{{.State.Pid}}", started)
        assert Path("/proc", pid, "cmdline").read_bytes()
        assert traces(folder)
        held = os.open(Path("/run/netns", folder.name.rpartition("-")[0]), os.O_RDONLY)  # none else gets its number
        assert processes_in(held)
    assert traces(folder) == []
    assert processes_in(held) == []
    os.close(held)
    assert not control_groups(f"libpod_parent/libpod-{started}")
    # A dead one that nobody waited for yet keeps its entry, without words.
    assert not Path("/proc", pid).exists() or Path("/proc", pid, "cmdline").read_bytes() == b""


@pytest.mark.parametrize("kind", grouped("docker-20.10-classic", "docker-28-containerd"))
def test_a_daemon_that_was_killed_starts_again_on_the_same_disk(kind: str, archives: dict[str, Archive]) -> None:
    skip_unless_available(kind)
    with start(kind, disk_mb=DISK_MB) as engine:
        succeed(engine, "load", "-i", str(archives["one"].path))
        for policy in ("always", "unless-stopped"):
            succeed(engine, "run", "--detach", "--init", "--restart", policy, "--name", policy, "stt:1")
        os.kill(engine.pid, signal.SIGKILL)
        assert say(engine, "version").returncode != 0
        engine.restart()
        # It ends what outlived it, and takes that for a person's wish: unless-stopped is then not started again.
        assert until_running(engine, "always") == "one"
        assert succeed(engine, "inspect", "--format", "{{.State.Status}}", "unless-stopped") == "exited"
        succeed(engine, "start", "unless-stopped")
        engine.restart()
        assert until_running(engine, "unless-stopped") == "one"


# Programs of other releases


LITTLE = ProgramSet(release="bookworm", packages=("busybox-static",))


def test_programs_that_cannot_be_fetched_are_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHFERRY_DEBIAN_MIRROR", f"file://{tmp_path}/nothing")
    with pytest.raises(ProgramsAbsent, match="the packages of Debian bookworm cannot be listed"):
        debian_programs.unpacked(LITTLE)
    assert [path.name for path in debian_programs.cache().iterdir()] == ["lock"]


def test_two_that_want_the_same_programs_fetch_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []

    def want() -> None:
        try:
            said.append(str(debian_programs.unpacked(LITTLE)))
        except ProgramsAbsent as error:
            said.append(f"absent: {error}")

    wanting = [threading.Thread(target=want) for _ in range(2)]
    for thread in wanting:
        thread.start()
    for thread in wanting:
        thread.join()
    if all(line.startswith("absent: ") for line in said):
        pytest.skip(said[0])
    assert said == [str(LITTLE.folder)] * 2
    assert (LITTLE.folder / "usr" / "bin" / "busybox").is_file()
    assert LITTLE.version() in (LITTLE.folder / "packages").read_text(encoding="utf-8")
    assert sorted(path.name for path in debian_programs.cache().iterdir()) == sorted([LITTLE.folder.name, "lock"])
