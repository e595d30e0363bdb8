"""The private daemon that other tests stand on: several at once, apart from each other, and no trace afterwards."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon, unavailable
from support.enclave import control_groups, family, mounts_below

reason = unavailable()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(reason is not None, reason=str(reason))]


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[PrivateDaemon, PrivateDaemon]]:
    with ExitStack() as stack:
        yield stack.enter_context(PrivateDaemon()), stack.enter_context(PrivateDaemon())


def docker(daemon: PrivateDaemon, *words: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(
        ["docker", *words], env={**os.environ, **daemon.env}, input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def tiny_tar(*programs: str) -> bytes:
    """A root filesystem with one file, and these programs of this machine with the libraries they load."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", dereference=True) as tar:
        member = tarfile.TarInfo("hello")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
        for program in programs:
            listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
            for path in dict.fromkeys((program, *re.findall(r"/\S+", listed))):
                tar.add(path)
    return sink.getvalue()


def runs(process: Path) -> bool:
    """Whether a /proc entry is of a live program; a dead one stays there, without words, until init takes note."""
    with suppress(OSError):
        return (process / "cmdline").read_bytes() != b""
    return False


def traces(daemon: PrivateDaemon) -> list[str]:
    """All that a daemon could have left on this machine."""
    left = [daemon.folder, Path("/run/netns", daemon.name), *control_groups(daemon.name)]
    return [
        *(str(place) for place in left if place.exists()), *mounts_below(daemon.folder), *map(str, family(daemon.name))
    ]


def test_an_image_of_one_daemon_is_unknown_to_the_other(pair: tuple[PrivateDaemon, PrivateDaemon]) -> None:
    first, second = pair
    docker(first, "import", "-", "tiny:1", stdin=tiny_tar())
    assert docker(first, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}") == "tiny:1"
    assert docker(second, "image", "ls", "--quiet") == ""


def test_layers_are_overlays_below_the_daemons_own_folder(pair: tuple[PrivateDaemon, PrivateDaemon]) -> None:
    for daemon in pair:
        said = docker(daemon, "info", "--format", "{{.Driver}} {{.DockerRootDir}}")
        assert said == f"overlay2 {daemon.root}"
        assert str(daemon.root).startswith(str(daemon.folder))


def test_its_network_holds_a_loopback_that_is_up_and_no_way_out(pair: tuple[PrivateDaemon, PrivateDaemon]) -> None:
    for daemon in pair:
        links = subprocess.run(daemon.inside("ip", "-o", "link"), capture_output=True, text=True, check=True).stdout
        routes = subprocess.run(daemon.inside("ip", "route"), capture_output=True, text=True, check=True).stdout
        assert "lo: <LOOPBACK,UP" in links
        assert "default" not in routes


def test_nothing_is_left_when_the_block_ends() -> None:
    with PrivateDaemon() as daemon:
        docker(daemon, "import", "-", "tiny:1", stdin=tiny_tar())
        assert traces(daemon)
    assert traces(daemon) == []


def test_nothing_is_left_after_an_interrupt() -> None:
    daemon = PrivateDaemon()
    with pytest.raises(KeyboardInterrupt), daemon:
        raise KeyboardInterrupt
    assert traces(daemon) == []


def test_nothing_is_left_when_the_daemon_was_killed_while_a_container_ran() -> None:
    sleep = shutil.which("sleep")
    assert sleep
    with PrivateDaemon() as daemon:
        docker(daemon, "import", "-", "tiny:1", stdin=tiny_tar(sleep))
        docker(daemon, "run", "--detach", "--network", "none", "--name", "sleeper", "tiny:1", sleep, "600")
        sleeper = Path("/proc", docker(daemon, "inspect", "--format", "{{.State.Pid}}", "sleeper"))
        assert runs(sleeper)
        assert control_groups(daemon.name)
        os.kill(daemon.pid, signal.SIGKILL)
    assert not runs(sleeper)
    assert traces(daemon) == []


def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    deep = tmp_path / ("too-long-for-a-unix-socket-" * 4)
    deep.mkdir()
    daemon = PrivateDaemon(disk=deep)
    with pytest.raises(RuntimeError, match=r"docker\.sock"), daemon:
        raise AssertionError("it started")
    assert traces(daemon) == []
    assert list(deep.iterdir()) == []
