"""`inv doctor --report`: what is read of a report, what it comes to, and what is refused as none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.nouns import variant
from support.smi import NAMES, wide

from torchferry import doctor, site_report
from torchferry.compat import load
from torchferry.errors import ConfigError

USER = [variant("cu118"), variant("cu121"), variant("cpu")]
INSUFFICIENT = "RuntimeError: CUDA failed with error CUDA driver version is insufficient for CUDA runtime version"
HEAD = "torchferry report 1\nrelease stt 1.0.0\nmade 2026-11-24T10:00:00Z\n"
SECTIONS = {
    "uname -a": "Linux gpu01 4.18.0-513.el8.x86_64 #1 SMP Thu Dec 7 x86_64 x86_64 x86_64 GNU/Linux",
    "cat /etc/os-release": 'NAME="Red Hat Enterprise Linux"\nPRETTY_NAME="Red Hat Enterprise Linux 8.9 (Ootpa)"',
    "df -Pk": (
        "Filesystem     1024-blocks      Used Available Capacity Mounted on\n"
        "devtmpfs          12334524         0  12334524       0% /dev\n"
        "/dev/sda2        104806400 104000000    806400     100% /\n"
        "/dev/mapper/my data  524032000 262016000 262016000     50% /var/lib/docker\n"
        "/dev/sdb1           523248    523000       248      99% /boot/efi\n"
        "/dev/loop0         4523248   4523248         0     100% /snap/core/1"
    ),
    "nvidia-smi": wide("575.57.08", "12.9", ["NVIDIA RTX A6000"]),
    "kernel": "module NVRM version: NVIDIA UNIX x86_64 Kernel Module  575.57.08  Sat\narch x86_64",
    "doctor": "run: cu121\nserver: driver 575.57.08\n  GPU 0: NVIDIA RTX A6000\n\n"
              "on this machine:\n    docker: 26.1.3\n    disk: 268.30 GB free where /var/lib/docker lies",
    "docker version": "Client:\n Version: 26.1.3",
    "docker info": "Client:\n Version: 1\nServer:\n Server Version: 26.1.3\n Storage Driver: overlay2\n"
                   " Docker Root Dir: /var/lib/docker",
    "status": "engine: stt 1.0.0 (cu121, GPU), stopped, since 2026-11-24T09:00:00 UTC; rollback: nothing to go back to",
    "container engine": (
        "engine:1.0.0-cu121 sha256:12\nstate exited exit 1 oom false restarts 5 started 2026-11-24T09:00:00.5Z\n"
        'labels {"io.torchferry.service":"engine","io.torchferry.version":"1.0.0","io.torchferry.variant":"cu121"}\n'
        "env STT_DEVICE"
    ),
    "log of engine": f"starting\n{INSUFFICIENT}",
    "container page": (
        "page:1.0.0-any sha256:34\nstate running exit 0 oom false restarts 0 started 2026-11-24T09:00:01.5Z\nlabels {}"
    ),
    "log of page": "ready",
}


def text(**changed: str | None) -> str:
    """The report with some sections replaced, or left out; '_' stands for a blank."""
    sections = {**SECTIONS, **{title.replace("_", " "): said for title, said in changed.items()}}
    return HEAD + "".join(f"\n=== {title} ===\n{said}\n" for title, said in sections.items() if said is not None)


def read(told: str) -> site_report.SiteReport:
    return site_report.parse(told, NAMES, place="report.txt")


def consulted(place: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> tuple[int, str]:
    status = doctor.consult(doctor.Asked(report=str(place)), USER, load(), as_json=as_json)
    return status, capsys.readouterr().out


def saved(folder: Path, told: str, encoding: str = "utf-8") -> Path:
    place = folder / "report.txt"
    place.write_bytes(told.encode(encoding))
    return place


def test_the_facts() -> None:
    found = read(text())
    assert (found.release, found.made) == ("stt 1.0.0", "2026-11-24T10:00:00Z")
    assert found.system == "Red Hat Enterprise Linux 8.9 (Ootpa), Linux gpu01 4.18.0-513.el8.x86_64"
    assert (found.server.driver, found.server.arch, found.server.failure) == ("575.57.08", "x86_64", None)
    assert found.engine is not None
    assert (found.engine.word, found.engine.version, found.engine.root) == ("docker", "26.1.3", "/var/lib/docker")
    assert [disk.mount for disk in found.disks] == ["/dev", "/", "/var/lib/docker", "/boot/efi", "/snap/core/1"]
    for path, mount in (("/var/lib/docker/overlay2", "/var/lib/docker"), ("/var/lib/docker2", "/"), ("/data", "/")):
        disk = found.disk_of(path)
        assert disk is not None
        assert disk.mount == mount
    engine, page = found.containers
    assert (engine.state, engine.exit_status, engine.restarts, engine.variant) == ("exited", 1, 5, "cu121")
    assert (page.state, page.service, page.log) == ("running", None, "ready")
    assert found.here == ("docker: 26.1.3", "disk: 268.30 GB free where /var/lib/docker lies")


def test_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = consulted(saved(tmp_path, text()), capsys)
    assert status == 0
    assert said.startswith("report of stt 1.0.0, made 2026-11-24T10:00:00Z on Red Hat Enterprise Linux 8.9")
    assert "\n\nrun cu121\n" in said
    assert "\n  engine: exited with status 1, restarted 5 times (1.0.0 cu121)\n" in said
    assert "\n  page: running, since 2026-11-24T09:00:01 UTC (page:1.0.0-any)\n" in said
    assert "\non the server:\n  docker: 26.1.3\n  disk: 268.30 GB free" in said
    assert "  nearly full: / (100 %, 825.75 MB free)\n" in said
    assert said.count("nearly full") == 1  # small ones are, and packed images always
    assert "the log of engine holds known messages:\n\nct2-driver-insufficient: The driver is good" in said
    assert "log of page" not in said


def test_a_driver_that_is_not_known_to_be_good_may_be_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = consulted(saved(tmp_path, text(**{"nvidia-smi": "", "kernel": None})), capsys)
    assert status == 4
    assert "nothing can be said" in said
    assert "ct2-driver-insufficient: ctranslate2 prints exactly this in two cases" in said


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = consulted(saved(tmp_path, text()), capsys, as_json=True)
    document = json.loads(said)
    assert status == 0
    assert list(document) == ["release", "made", "system", "server", "engine", "disks", "containers", "symptoms"]
    assert document["server"]["pick"] == "cu121"
    assert document["engine"] == {
        "engine": "docker", "version": "26.1.3", "store": "overlay2", "root": "/var/lib/docker",
    }
    assert document["disks"][1] == {"mount": "/", "size": 107321753600, "free": 825753600, "used_per_cent": 100}
    assert document["containers"][0]["state"] == "exited"
    [symptom] = document["symptoms"]
    assert (symptom["where"], symptom["symptom"]) == ("the log of engine", "ct2-driver-insufficient")
    assert symptom["cause"].startswith("The driver is good")
    assert symptom["remedy"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_report_that_went_through_windows(end: str, encoding: str, tmp_path: Path) -> None:
    place = saved(tmp_path, text().replace("\n", end), encoding)
    told = site_report.parse(doctor.decoded(place.read_bytes()), NAMES, place=str(place))
    assert told == read(text())


def test_a_prompt_above_the_report_does_no_harm() -> None:
    assert read("$ cat report.txt\n" + text()) == read(text())


def test_what_a_log_prints_is_no_section() -> None:
    spoofed = text(log_of_page="\n=== nvidia-smi ===\nNo devices were found\n=== docker info ===\n Server Version: 1")
    assert read(spoofed).server == read(text()).server
    assert read(spoofed).engine == read(text()).engine


def test_the_kernel_tells_of_a_server_without_nvidia_smi() -> None:
    told = "module NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05  Sat\narch x86_64\nmodel NVIDIA A10"
    server = read(text(**{"nvidia-smi": "nvidia-smi: command not found", "kernel": told})).server
    assert (server.failure, server.driver, server.arch) == (None, "535.154.05", "x86_64")
    assert [(gpu.name, gpu.capability) for gpu in server.gpus] == [("NVIDIA A10", "8.6")]


def test_the_cpu_is_that_of_uname_where_nothing_else_tells() -> None:
    assert read(text(kernel=None, **{"nvidia-smi": "No devices were found"})).server.arch == "x86_64"


def test_podman_and_korean() -> None:
    info = ("host:\n  arch: amd64\nstore:\n  graphDriverName: overlay\n  graphRoot: /var/lib/containers/storage\n"
            "version:\n  APIVersion: 4.9.4\n  Version: 4.9.4-rhel\n")
    told = text(**{"docker info": None, "docker version": None, "podman info": info,
                   "doctor": "run: cpu\n\n이 서버:\n    podman: 4.9.4\n    디스크: / 에 1.00 GB 남음"})
    found = read(told)
    assert found.engine is not None
    assert (found.engine.word, found.engine.version, found.engine.store, found.engine.root) == (
        "podman", "4.9.4-rhel", "overlay", "/var/lib/containers/storage",
    )
    assert found.here == ("podman: 4.9.4", "디스크: / 에 1.00 GB 남음")


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ("Server Version: 26.1.3\n Docker Root Dir: /var/lib/docker", "docker: 26.1.3\n  disk: 268.30 GB free where"),
        (None, "no container engine answers there"), ("", "docker: of unknown version\n"),
    ],
)
def test_the_engine_speaks_for_itself_where_doctor_said_nothing(
    info: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = text(**{"doctor": "run: cu121", "docker info": info})
    assert f"on the server:\n  {said}" in consulted(saved(tmp_path, told), capsys)[1]


def test_an_engine_that_does_not_answer_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = text(**{"docker info": None, "container engine": None, "container page": None,
                   "engine": "ferry.sh: docker does not answer: Cannot connect to the Docker daemon"})
    said = consulted(saved(tmp_path, told), capsys)[1]
    assert "what the container engine says holds known messages:\n\ndocker-down: " in said
    assert "containers of this release: none" in said


@pytest.mark.parametrize(
    ("told", "said"),
    [("", "no report of ferry.sh"), ("hello\n", "no report of ferry.sh"), ("torchferry report\n", "no report"),
     (SECTIONS["nvidia-smi"], "no report of ferry.sh"), (HEAD.replace("1\n", "2\n", 1), "version 2"),
     ("x torchferry report 1\n", "no report"), (HEAD.replace("1\n", "9" * 30 + "\n", 1), "no report")],
)
def test_what_is_no_report_is_refused_by_name(told: str, said: str, tmp_path: Path) -> None:
    place = saved(tmp_path, told)
    with pytest.raises(ConfigError) as refusal:
        doctor.consult(doctor.Asked(report=str(place)), USER, load(), as_json=False)
    assert str(place) in refusal.value.message
    assert said in refusal.value.message


def test_numbers_without_end_are_none() -> None:
    many = "9" * 5000
    found = read(text(container_page=f"page sha256:1\nstate running exit {many} oom false restarts 0 started x",
                      **{"df -Pk": f"/dev/sda1 {many} 1 1 1% /"}))
    assert (found.containers[1].state, found.disks) == (None, ())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_report_is_read_as_far_as_it_goes(data: st.DataObject) -> None:
    told = text()
    start = data.draw(st.integers(len(HEAD), len(told)))
    end = data.draw(st.integers(start, min(len(told), start + 400)))
    put = data.draw(st.text(max_size=60) | st.sampled_from(["9" * 5000, "=== ", " ===\n", "labels [1]", "{", "\n\n"]))
    found = read(told[:start] + put + told[end:])
    assert found.release == "stt 1.0.0"
