"""ferry.sh doctor on the server itself says what `inv doctor` says there: of driver, Docker, toolkit and disk."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.awks import SHELLS, shell
from support.ferry import NAMES, Ferry, judged, script
from support.machine import programs
from support.smi import SAMPLES, narrow

from torchferry import live

TABLE = narrow("470.129.06", "11.4", ["NVIDIA GeForce RTX 3090"])
GOOD = f"""case "${{1-}}" in
  -L) echo 'GPU 0: NVIDIA GeForce RTX 3090 (UUID: GPU-1)' ;;
  --query*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2 ;;
  *) cat <<'END'
{TABLE}
END
  ;;
esac
"""
SMI = {
    "good": GOOD, "missing": None, "gibberish": "echo '%PNG ÿ'\nexit 1\n", "silent": "exit 9\n",
    "mismatch": "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n",
    "mismatch-530": f"cat '{SAMPLES / '023_nvml-mismatch-with-library-version-580.txt'}'; exit 18\n",
    "none": "echo 'No devices were found' >&2; exit 6\n", "not-loaded": (
        "echo \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"; exit 9\n"
    ),
    "no-libnvml": "echo \"NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\"; exit 12\n",
    "tegra": f"cat '{SAMPLES / '050_jetson-thor-580.00.txt'}'\n",
    "gone": "echo \"nvidia-smi: command not found\"; echo '(nvgpu)'; exit 127\n",
}
KERNELS = {
    "nothing": {},
    "proc": {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05  Sat Aug 19\n"
                                           "GCC version:  gcc version 12.2.0\n"},
    "sys": {"sys/module/nvidia/version": "535.154.05\n"},
    "both": {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\n",
             "sys/module/nvidia/version": "535.154.05\n"},
    "odd": {"proc/driver/nvidia/version": "a module, but which?\n", "sys/module/nvidia/version": "N/A\n",
            "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA A10\n"},
    "gpus": {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05  Sat Aug 19\n",
             "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA A10 \nIRQ:   100\nModel: x\n",
             "proc/driver/nvidia/gpus/0000:02:00.0/information": "IRQ: 3\n",
             "proc/driver/nvidia/gpus/0000:03:00.0/information": "Model: \t\t Tesla K80\n"},
}
DOCKER = """case "$1" in
  --version) echo 'Docker version 24.0.7, build 1' ;;
  *) case "$3" in
      '{{json .}}') echo '{"ServerVersion": "24.0.7", "Runtimes": {RUNTIMES}, "DockerRootDir": "ROOT"}' ;;
      *) echo '24.0.7|ROOT|{RUNTIMES}|' ;;
    esac ;;
esac
"""
PODMAN = """case "$1" in
  --version) echo 'podman version 4.9.4' ;;
  *) case "$3" in
      '{{json .}}') echo '{"host": {}, "store": {"graphRoot": "ROOT"}, "version": {"Version": "4.9.4"}}' ;;
      *ServerVersion*) echo "template: can't evaluate field ServerVersion" >&2; exit 125 ;;
      *) echo '4.9.4|ROOT||' ;;
    esac ;;
esac
"""
ABSENT = """case "$1" in
  --version) echo 'Docker version 28.2.2, build 1' ;;
  *) case "$3" in '{{json .}}') echo '{"ServerVersion": ""}' ;; *) echo '||null|' ;; esac
     echo 'Cannot connect to the Docker daemon' >&2 ;;
esac
"""
WITH, WITHOUT = DOCKER.replace("{RUNTIMES}", '{"nvidia": {}, "runc": {}}'), DOCKER.replace("{RUNTIMES}", '{"runc": {}}')
CTK = {"nvidia_ctk": "exit 0\n", "nvidia_container_cli": "exit 0\n"}
ENGINES: Mapping[str, Mapping[str, str]] = {
    "none": {}, "docker": {"docker": WITHOUT}, "docker-toolkit": {"docker": WITHOUT, **CTK},
    "docker-runtime": {"docker": WITH, **CTK}, "runtime-alone": {"docker": WITH}, "no-daemon": {"docker": "exit 1\n"},
    "no-daemon-status-0": {"docker": ABSENT}, "podman": {"podman": PODMAN}, "podman-as-docker": {"docker": PODMAN},
    "podman-beside": {"docker": ABSENT, "podman": PODMAN}, "hangs": {"docker": "exec sleep 60\n"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ferry") / "ferry.sh"
    made.write_text(script(), encoding="utf-8")
    return made


def stand_on(folder: Path, monkeypatch: pytest.MonkeyPatch, scripts: Mapping[str, str | None], told: str) -> Path:
    """Make this server the one that both look at; returns where its /proc and /sys lie."""
    root = folder / "root"
    for path, text in KERNELS[told].items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    there = {name: text.replace("ROOT", str(folder)) for name, text in scripts.items() if text is not None}
    monkeypatch.setenv("PATH", programs(folder / "bin", there))
    monkeypatch.setenv("FERRY_ROOT", str(root))
    monkeypatch.setenv("FERRY_PATIENCE", "1")
    monkeypatch.setattr(live, "PATIENCE", 1)
    return root


def notes(said: str) -> list[str]:
    """The lines below 'on this machine', without the number of bytes, which changes meanwhile."""
    lines = said.partition("\non this machine:\n")[2].splitlines()
    return [re.sub(r"[\d.]+ [kMGT]?B free", "N free", line.strip()) for line in lines]


@pytest.mark.parametrize("told", KERNELS)
@pytest.mark.parametrize("smi", SMI)
def test_both_say_the_same(smi: str, told: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = stand_on(tmp_path, monkeypatch, {"nvidia_smi": SMI[smi]}, told)
    expected = live.examine(NAMES, root=root)
    done = Ferry(place=place).run("doctor", "--plain")
    assert (done.stdout.decode().rstrip("\n"), done.stderr) == (judged("live", expected.server), b"")


def test_the_servers_differ_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    for smi, told in (("missing", "nothing"), ("missing", "gpus"), ("missing", "sys"), ("gibberish", "proc"),
                      ("mismatch", "both"), ("good", "both"), ("missing", "odd")):
        folder = tmp_path / f"{smi}-{told}"
        folder.mkdir()
        server = live.examine(NAMES, root=stand_on(folder, monkeypatch, {"nvidia_smi": SMI[smi]}, told)).server
        seen[smi, told] = (server.failure, server.driver, [gpu.name for gpu in server.gpus])
    assert seen == {
        ("missing", "nothing"): ("not_installed", None, []),
        ("missing", "gpus"): (None, "535.154.05", ["NVIDIA A10", "", "Tesla K80"]),
        ("missing", "sys"): (None, "535.154.05", []), ("gibberish", "proc"): ("unreadable", "535.154.05", []),
        ("mismatch", "both"): ("nvml_mismatch", "580.95.05", []),
        ("good", "both"): (None, "470.129.06", ["NVIDIA GeForce RTX 3090"]),
        ("missing", "odd"): ("not_installed", None, []),
    }


@pytest.mark.parametrize("smi", ["good", "missing"])
@pytest.mark.parametrize("engine", ENGINES)
def test_both_say_the_same_of_what_stands_around(
    engine: str, smi: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = stand_on(tmp_path, monkeypatch, {"nvidia_smi": SMI[smi], **ENGINES[engine]}, "nothing")
    expected = [re.sub(r"[\d.]+ [kMGT]?B free", "N free", note) for note in live.examine(NAMES, root=root).notes]
    done = Ferry(place=place).run("doctor")
    assert (notes(done.stdout.decode()), done.stderr) == (expected, b"")
    assert expected[-1].startswith("disk: N free where /")


def test_the_room_is_that_of_the_disk(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_on(tmp_path, monkeypatch, {"df": "echo Filesystem\necho /dev/sda 9000000000 8 7654321 1% /\n"}, "nothing")
    assert "disk: 7.84 GB free where / lies" in Ferry(place=place).run("doctor").stdout.decode()


def test_in_korean(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_on(tmp_path, monkeypatch, {"nvidia_smi": GOOD}, "nothing")
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    said = Ferry(place=place).run("doctor").stdout.decode().partition("\n이 서버:\n")[2].splitlines()
    assert len(said) == 3
    assert all(re.search("[가-힣]", line) for line in said)


def gone(pid: int) -> bool:
    """Whether a process ends, or has ended, within a while."""
    for _ in range(300):
        state = Path(f"/proc/{pid}/stat")
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("name", SHELLS)
def test_an_nvidia_smi_that_hangs_is_given_up(
    name: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = shell(name)
    hangs = f"echo $$ >>'{tmp_path}/asked'\necho 'GPU 0: NVIDIA A10 (UUID: GPU-1)'\nexec /bin/sleep 600\n"
    root = stand_on(tmp_path, monkeypatch, {"nvidia_smi": hangs}, "gpus")
    here = live.examine(NAMES, root=root)
    assert here.server.failure == "unreadable"
    (tmp_path / "asked").unlink()
    for tool in {started[0]} - {"sh"}:
        (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    one = Ferry(place=place, shell=started)
    done = one.run("doctor")
    assert (done.returncode, done.stderr) == (4, b"")
    assert notes(done.stdout.decode())[0] == here.notes[0]
    assert here.notes[0].startswith("nvidia-smi: no answer within 1 s")
    asked = (tmp_path / "asked").read_text().split()
    assert len(asked) == 1  # who hangs is not asked again
    assert gone(int(asked[0]))


@pytest.mark.parametrize("name", SHELLS)
def test_nothing_is_left_running(name: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = shell(name)
    waits = f"echo $$ >>'{tmp_path}/waits'\nexec /bin/sleep \"$@\"\n"
    stand_on(tmp_path, monkeypatch, {"nvidia_smi": GOOD, "sleep": waits, "docker": WITH}, "nothing")
    monkeypatch.setenv("FERRY_PATIENCE", "600")
    for tool in {started[0]} - {"sh"}:
        (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    done = Ferry(place=place, shell=started).run("doctor")
    assert (done.returncode, done.stderr) == (0, b"")
    assert all(gone(int(pid)) for pid in (tmp_path / "waits").read_text().split())


def test_what_cannot_be_killed_is_not_waited_for(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # its child holds what it writes to, as a process does that waits for a lost GPU
    hangs = f"/bin/sleep 600 &\necho $! >'{tmp_path}/holds'\nwait\n"
    stand_on(tmp_path, monkeypatch, {"nvidia_smi": hangs}, "nothing")
    try:
        assert Ferry(place=place).run("doctor").returncode == 4
    finally:
        os.kill(int((tmp_path / "holds").read_text()), signal.SIGKILL)


def test_the_kernel_of_this_machine_is_read_where_none_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_on(tmp_path, monkeypatch, {"nvidia_smi": SMI["silent"]}, "nothing")
    monkeypatch.delenv("FERRY_ROOT")
    done = Ferry(place=place).run("doctor", "--plain")
    assert done.stdout.decode().rstrip("\n") == judged("live", live.examine(NAMES).server)
