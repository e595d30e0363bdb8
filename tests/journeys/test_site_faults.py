"""A new release that cannot run here: what ran runs on, the message says why and what to do, and then it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import gpu_stand_in
from support.daemon import PrivateDaemon, Setting, unavailable
from support.site import SERVICES, Releases, Site, refused

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site-faults")]


# Not started: told before anything is stopped


LISTEN = """\
import socket, sys
with socket.create_server(("0.0.0.0", int(sys.argv[1]))):
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def listening(site: Site, port: int) -> Iterator[int]:
    """Somebody who is none of ours, on a port of the server; gives the process id."""
    command = site.daemon.inside(sys.executable, "-I", "-S", "-c", LISTEN, str(port))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin
        assert program.stdout
        assert program.stdout.readline() == b"ready\n"
        yield program.pid
        program.stdin.close()


def test_a_port_that_a_program_has(old: Site, new: Path) -> None:
    with listening(old, 9003) as pid:
        done = refused(old, new, 10, "up", "--port", "engine=9003")
    assert f"port 9003 of engine is taken by process {pid} ({sys.executable} -I -S" in done.stderr
    assert "take another: --port engine=NUMBER" in done.stderr
    assert "not started, and nothing was stopped" in done.stderr


def test_a_port_that_a_container_has(old: Site, new: Path) -> None:
    old.docker("run", "--detach", "--name", "somebody", "--publish", "9003:80", "page:1.0.0-any")
    done = refused(old, new, 10, "up", "--port", "engine=9003")
    old.docker("rm", "--force", "somebody")
    assert "port 9003 of engine is taken by container somebody" in done.stderr


def test_ports_of_two_services_that_are_one(old: Site, new: Path) -> None:
    done = refused(old, new, 10, "up", "--port", "engine=8100")
    assert "port 8100 of engine is taken by container page" in done.stderr


def test_a_folder_that_the_service_cannot_write(old: Site, new: Path) -> None:
    logs = old.data / "logs"
    owner = logs.stat()
    os.chown(logs, 0, 0)
    logs.chmod(0o700)
    done = refused(old, new, 10)
    assert "engine:/app/logs cannot be written by UID 10001: Permission denied; chown -R 10001:10001" in done.stderr
    os.chown(logs, owner.st_uid, owner.st_gid)
    logs.chmod(owner.st_mode)


@pytest.mark.parametrize("damage", ["missing", "empty", "unreadable"])
def test_a_folder_that_the_service_cannot_read(damage: str, old: Site, new: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    if damage != "missing":
        rules.mkdir()
    if damage == "unreadable":
        (rules / "rules.txt").touch()
        rules.chmod(0o700)
    done = refused(old, new, 10, "up", "--mount", f"rules={rules}")
    assert {
        "missing": f"{rules} for engine:/app/rules is not there; put the files in place, or say where: --mount rules=",
        "empty": f"{rules} for engine:/app/rules is empty; put the files in place, or say where: --mount rules=",
        "unreadable": "engine:/app/rules cannot be read by UID 10001: Permission denied; chmod -R a+rX",
    }[damage] in done.stderr
    assert rules.exists() == (damage != "missing")  # Docker would have made it


def test_a_gpu_that_is_promised_and_not_here(old: Site, new: Path) -> None:
    done = refused(old, new, 10, "up", "--variant", "cu121")
    assert 'could not select device driver "" with capabilities: [[gpu]]' in done.stderr


def test_a_variant_that_nobody_made(old: Site, new: Path) -> None:
    done = refused(old, new, 10, "up", "--variant", "cu999")
    assert "engine has no variant cu999 for x86_64 in this release; it has:\n    engine cpu x86_64" in done.stderr


def test_run_without_load(old: Site, releases: Releases) -> None:
    done = refused(old, releases.folder("1.2.0"), 9, "run")
    assert "engine:1.2.0-cpu is not loaded, or another image has its name: sh ferry.sh load" in done.stderr


# Started, and not as it should be


def test_an_answer_that_says_error_with_status_200(old: Site, new: Path) -> None:
    done = refused(old, new, 11, "up", "--env", "engine:STATUS=error")
    assert "engine 1.1.0 did not prove itself; what ran before runs on" in done.stderr
    assert "not well after 10 s: answer.status is 'error', expected 'ok'" in done.stderr


def test_a_process_that_dies_with_a_message_of_cuda(old: Site, new: Path) -> None:
    done = refused(old, new, 11, "up", "--env", "engine:DIES=1")
    assert "it ended (exit status 1)" in done.stderr
    assert "    CUDA error: no kernel image is available for execution on the device" in done.stderr


def test_a_wrong_answer_to_its_own_request(old: Site, new: Path) -> None:
    done = refused(old, new, 11, "up", "--env", "engine:FACTOR=3")
    assert "its own request failed: answer.answer is 63, expected 42" in done.stderr


def test_what_has_to_run_before_the_update_fails(old: Site, new: Path) -> None:
    done = refused(old, new, 11, "up", "--env", "engine:NO_MIGRATION=1")
    assert "engine: what has to run before the update failed; the old one runs as before" in done.stderr
    assert "    the schema cannot be changed" in done.stderr


def test_in_place_of_the_old_it_does_not_prove_itself(old: Site, new: Path) -> None:
    before = old.ids()
    done = old.ferry(new, "up", "--stop-first", "--env", "engine:FACTOR=3")
    assert done.status == 11
    assert "engine 1.1.0 did not prove itself; what ran before was started again" in done.stderr
    assert old.ids() == before
    assert old.answers() == ["1.0.0"] * 3


def test_a_second_service_that_fails_takes_the_first_back_with_it(old: Site, new: Path) -> None:
    before = old.ids()
    done = old.ferry(new, "up", "--stop-first", "--port", "page=8101", "--env", "page:DIES=1")
    assert done.status == 11
    assert "page 1.1.0 did not prove itself" in done.stderr
    assert old.ids() == before
    assert old.answers() == ["1.0.0"] * 3


def test_what_failed_arrives_once_it_is_cured(old: Site, new: Path) -> None:
    refused(old, new, 11, "up", "--env", "engine:FACTOR=3")
    old.up(new)
    assert old.answers() == ["1.1.0"] * 3
    assert old.containers() == {**dict.fromkeys(SERVICES, "running"), "engine.gen1": "exited", "page.gen1": "exited"}


def test_a_service_that_does_not_care_for_sigterm(site: Site, releases: Releases, new: Path) -> None:
    site.clear()
    site.up(releases.folder("1.0.0"), "--env", "engine:DEAF=1")
    site.up(new)
    assert site.answers() == ["1.1.0"] * 3


# A GPU that is there


@pytest.fixture
def with_gpu(tmp_path: Path) -> Iterator[Site]:
    """A server whose Docker grants GPUs; what the service computes on is told to it."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    hook = gpu_stand_in.write_hook(tmp_path / "hook")
    with PrivateDaemon(setting=Setting(first_on_path=hook)) as started:
        yield Site(daemon=started, folder=tmp_path / "site")


def test_a_gpu_computes_or_what_ran_runs_on(with_gpu: Site, releases: Releases, new: Path) -> None:
    said = with_gpu.up(releases.folder("1.0.0"), "--variant", "cu121", "--env", "engine:STAND_IN_GPUS=1")
    assert "engine: computed on GPU 0: Stand-in GPU 0, torch 2.1.2" in said.stdout
    assert "engine: duo 1.0.0 (cu121, GPU), well" in said.stdout
    assert (with_gpu.ask(SERVICES["engine"], "/health") or {})["cuda"] == "12.1"
    [request] = json.loads(with_gpu.docker("inspect", "--format", "{{json .HostConfig.DeviceRequests}}", "engine"))
    assert (request["Capabilities"], request["Count"]) == ([["gpu"]], -1)
    done = refused(with_gpu, new, 11, "up", "--variant", "cu121", "--env", "engine:STAND_IN_GPUS=0")
    assert "the GPU that was promised does not compute: RuntimeError: Found no NVIDIA driver" in done.stderr


def device_requests(site: Site) -> object:
    return json.loads(site.docker("inspect", "--format", "{{json .HostConfig.DeviceRequests}}", "engine"))


CPU = ("--variant", "cu121", "--gpus", "none")
LEFT_OUT = "engine: --gpus none: cu121 runs on the CPU, its GPU is left out on purpose"


def test_a_gpu_variant_runs_on_the_cpu_where_that_is_asked_for(old: Site, new: Path) -> None:
    said = old.up(new, *CPU)
    assert said.stdout.splitlines().count(LEFT_OUT) == 1
    assert "engine: duo 1.1.0 (cu121, CPU), well" in said.stdout
    assert "computed on" not in said.stdout
    assert (old.ask(SERVICES["engine"], "/health") or {})["cuda"] == "12.1"
    assert not device_requests(old)
    assert "NVIDIA_VISIBLE_DEVICES=void" in old.docker("inspect", "--format", "{{.Config.Env}}", "engine")
    before = old.ids()
    assert "engine: runs already with these settings, and is well" in old.up(new, *CPU).stdout
    assert old.ids() == before


def test_from_the_cpu_to_the_gpu_and_back(with_gpu: Site, new: Path) -> None:
    with_gpu.up(new, *CPU, "--env", "engine:STAND_IN_GPUS=0")
    said = with_gpu.up(new, *CPU[:2], "--env", "engine:STAND_IN_GPUS=1")
    assert LEFT_OUT not in said.stdout
    assert "engine: duo 1.1.0 (cu121, GPU), well" in said.stdout
    assert device_requests(with_gpu)
    back = with_gpu.ferry(new, "rollback")
    assert "engine: duo 1.1.0 (cu121, CPU), well" in back.stdout, f"{back.stdout}\n{back.stderr}"
    assert not device_requests(with_gpu)
