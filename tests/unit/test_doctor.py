"""`inv doctor` as a person meets it: plain words, ways out, error messages, this machine, and the way in."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import machine, nouns
from support.machine import kernel
from support.nouns import variant
from support.smi import ERRORS, EXPECTED, HOSTS, NAMES, SAMPLES, narrow, wide

from torchferry import decision, doctor, doctor_text, live, runline, symptoms
from torchferry.compat import load
from torchferry.errors import ConfigError
from torchferry.server import FAILURES, Server
from torchferry.verdict import judge, rules

VARIANTS = [variant("cu118"), variant("cu121"), variant("cu124"), variant("cpu"), variant("any")]
USER = [variant("cu118"), variant("cu121"), variant("cpu")]
CATALOGUE = symptoms.load(load())


class Piped(io.TextIOWrapper):
    """A stdin that holds given bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


def ask(
    capsys: pytest.CaptureFixture[str], *, chosen: Any = None, as_json: bool = False, **asked: Any
) -> tuple[int, str]:
    status = doctor.consult(doctor.Asked(**asked), chosen or VARIANTS, load(), as_json=as_json)
    return status, capsys.readouterr().out


def text_of(tmp_path: Path, content: str) -> str:
    place = tmp_path / "smi.txt"
    place.write_text(content, encoding="utf-8")
    return str(place)


# plain words


def test_the_case_of_the_user(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = text_of(tmp_path, wide("575.57.08", "12.9", ["NVIDIA RTX A6000"]))
    status, said = ask(capsys, chosen=USER, smi=place)
    assert status == 0
    assert said.startswith("run cu121\n")
    assert "nothing to upgrade" in said
    assert '"CUDA Version: 12.9" in nvidia-smi is the newest CUDA that this driver serves' in said
    assert "torch.version.cuda" in said
    assert "None means that CPU wheels went in" in said
    assert "no nvcc" in said
    assert "no --gpus, or no NVIDIA container toolkit" in said
    assert "docker run -d --name stt-engine --init --gpus all -p 8003:8003" in said


def test_some_gpus_get_the_devices_that_docker_takes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = ["NVIDIA GeForce RTX 3060", "Tesla K80", "NVIDIA GeForce RTX 3060"]
    status, said = ask(capsys, smi=text_of(tmp_path, wide("470.256.02", "11.4", names)), chosen=[
        replace(variant("cu121"), name="cu118", torch="2.1.2"), variant("cpu"),
    ])
    assert (status, said.splitlines()[0]) == (0, "run cu118")
    status, said = ask(capsys, smi=text_of(tmp_path, wide("535.104.05", "12.2", names)))
    assert (status, said.splitlines()[0]) == (0, "run cu121 on GPU 0, 2 only")
    assert """--gpus '"device=0,2"'""" in said


def test_a_broken_driver_is_no_silent_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, smi=str(SAMPLES / "023_nvml-mismatch-with-library-version-580.txt"))
    assert status == 3
    assert said.startswith("no GPU can be used: ")
    assert "The CPU works now, with any image." in said
    assert "-e STT_DEVICE=cpu stt-engine:1.0.0-cu118" in said
    assert "stt-engine:1.0.0-cpu" in said
    assert "how the GPU comes back:\n  1. restart the server" in said
    assert said.index("CPU now") < said.index("how the GPU comes back")


@pytest.mark.parametrize("failure", [failure for failure in FAILURES if failure != "unreadable"])
def test_every_failure_has_its_way_back(failure: str) -> None:
    found = symptoms.of_failure(failure, CATALOGUE)
    assert found is not None
    assert found.remedy


def test_an_old_driver_gets_the_cpu_now_and_the_driver_to_bring(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, smi=str(SAMPLES / "101_cuda-na-kubectl-exec-p100-410.txt"))
    assert status == 3
    assert said.startswith("run cpu: no GPU variant runs here")
    assert "a driver 450.80.02 or newer: then cu118 would run" in said
    assert "580 is the last driver branch for it" in said
    assert "does not see libcuda" in said
    assert "way 1: CPU now" in said
    assert "way 2: driver 450.80.02 or newer, for cu118" in said


def test_a_gpu_without_a_variant_gets_the_row_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, driver="575.57.08", gpus=("RTX5090",))
    assert status == 3
    assert "torch 2.7.0 with cu128" in said
    assert "inv bundle --variant cu128" in said
    assert "newer: then" not in said  # no driver would help


def test_what_is_not_settled_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, smi=str(SAMPLES / "015_header-only-470.txt"))
    assert status == 4
    assert said.startswith("not settled yet")
    assert "nvidia-smi -L >> smi.txt" in said


def test_an_unreadable_text_says_what_was_looked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, said = ask(capsys, smi=text_of(tmp_path, "hello"))
    assert status == 4
    assert said.startswith("nothing can be said")
    assert "Driver Version" in said
    status, said = ask(capsys, smi=text_of(tmp_path, 'Field "compute_cap" is not a valid field to query.'))
    assert "compute-cap-query" in said


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (wide("470.57.02", "12.4", ["Tesla T4"]), "cuda-compat"),
        (wide("535.104.05", "12.2", ["NVIDIA A100"]) + "| MIG devices: |", "MIG is on"),
        (wide("535.104.05", "12.2", ["NVIDIA A40-48Q"]), "virtual GPU"),
        (wide("580.95.05", "13.0", ["NVIDIA GB10"]), "[linux/arm64]"),
        ("| NVIDIA-SMI 525.85.05  Driver Version: 528.24  CUDA Version: 12.0 |", "this is WSL"),
        (wide("535.104.05", "12.2", ["Tesla T4", "ERR!"]), "one GPU no longer answers"),
    ],
)
def test_notes_stand_where_they_apply(
    content: str, note: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert note in ask(capsys, smi=text_of(tmp_path, content))[1]
    plain = ask(capsys, smi=text_of(tmp_path, wide("535.104.05", "12.2", ["Tesla T4"])))[1]
    assert note not in plain


# JSON


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_json_of_the_samples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, smi=str(SAMPLES / name), as_json=True)
    document = json.loads(said)
    expected = EXPECTED[name]
    assert list(document) == [
        "driver", "driver_branch", "cuda_limit", "gpus", "mig", "platform", "arch", "failure", "pick", "variants",
    ]
    for key in ("driver", "driver_branch", "cuda_limit", "mig", "failure"):
        assert document[key] == expected[key]
    assert [{key: gpu[key] for key in ("name", "generation", "compute_capability")} for gpu in document["gpus"]] == (
        expected["gpus"]
    )
    assert set(document["variants"]) == {"cu118", "cu121", "cu124", "cpu"}
    for one in document["variants"].values():
        assert list(one) == ["runs", "full_support", "gpus", "reasons"]
        assert one["runs"] in ("yes", "some_gpus", "unknown", "no")
        assert one["reasons"]
    assert status in (0, 3, 4)


# error messages

NAMED = {
    "docker-no-gpu-driver-empty": "docker-no-gpu-driver", "docker-no-gpu-driver-nvidia": "docker-no-gpu-driver",
    "ct2-driver-insufficient": "ct2-driver-insufficient", "cuda-driver-insufficient-35": "driver-insufficient",
    "torch-cpu-build-cuda-asked": "cpu-torch", "nvml-mismatch": "nvml-mismatch",
    "torch-sm-60-not-compatible": "gpu-not-in-wheel", "cudnn-ops-so-9-any-of": "cudnn-9-parts",
    "exec-format-error": "other-cpu", "load-unexpected-eof": "load-cut-short", "hf-offline": "hub-offline",
    "nvcli-tegra-unknown-device": "nvcli-tegra", "oci-nvidia-smi-not-in-path": "smi-not-in-container",
}


@pytest.mark.parametrize("message", ERRORS, ids=[one["id"] for one in ERRORS])
def test_every_known_message_has_one_cause(message: dict[str, str]) -> None:
    (found,) = symptoms.recognised(message["text"], CATALOGUE)
    assert NAMED.get(message["id"], found.name) == found.name
    assert found.cause
    assert found.remedy
    assert found.settle


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CUDA error: no kernel image is available for execution on the device", "gpu-not-in-wheel"),
        ("cudaErrorCompatNotSupportedOnDevice: forward compatibility was attempted on non supported HW",
         "compat-on-wrong-gpu"),
        ("system has unsupported display driver / cuda driver combination", "driver-mismatch-803"),
        ("CUDA error: system not yet initialized", "not-initialised-802"),
        ("docker: Error response from daemon: unknown or invalid runtime name: nvidia.", "docker-unknown-runtime"),
        ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.8, please update your driver",
         "nvcli-requirement"),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "nvcli-driver-not-loaded"),
        ("nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open",
         "nvcli-driver-not-loaded"),
    ],
)
def test_messages_of_the_facts(text: str, name: str) -> None:
    assert [one.name for one in symptoms.recognised(text, CATALOGUE)] == [name]


def test_a_message_that_was_wrapped_and_coloured_is_known() -> None:
    text = "\x1b[31mCUDA failed with error CUDA driver\n   version is insufficient\r\nfor CUDA runtime version"
    assert [one.name for one in symptoms.recognised(text, CATALOGUE)] == ["ct2-driver-insufficient"]


def test_a_good_driver_is_not_blamed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = "RuntimeError: CUDA failed with error CUDA driver version is insufficient for CUDA runtime version"
    place = text_of(tmp_path, message)
    status, said = ask(capsys, error=place, driver="575.57.08", gpus=("NVIDIA RTX A6000",))
    assert status == 0
    assert "The driver is good" in said
    assert "no libcuda.so.1 in the container" in said
    assert "Nothing has to be upgraded" in said
    assert "The driver is good" not in ask(capsys, error=place)[1]
    assert "The driver is good" not in ask(capsys, error=place, driver="410.79", gpus=("Tesla P100",))[1]


def test_an_unknown_message_is_not_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, said = ask(capsys, error=text_of(tmp_path, "the moon is full"))
    assert status == 4
    assert said.startswith("this message is not in the catalogue")
    assert json.loads(ask(capsys, error=text_of(tmp_path, "the moon is full"), as_json=True)[1]) == []


def test_the_catalogue_takes_its_versions_from_the_table() -> None:
    said = " ".join([part for one in CATALOGUE for part in (one.cause, *one.remedy, *one.settle)])
    for version in ("450.80.02", "525.60.13", "580.65.06", "torch 2.7.0 with cu128"):
        assert version in said
    assert "{floor" not in said
    assert "{blackwell" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sources: {a: b}\nsymptoms: []", "must be a list of rows"),
        ("sources: {a: b}\nsymptoms: [{id: x, says: [y], cause: z, remedy: [r], settle: [s], source: [c], "
         "checked: 2026-11-23}]", "quoted text like a"),
        ("sources: {a: b}\nsymptoms: [{id: x, says: [y], cause: z, remedy: [r], settle: [s], over: [w], source: [a], "
         "checked: 2026-11-23}]", "`over` names no entry"),
        ("sources: {a: b}\nsymptoms: [{id: x, says: [y], cause: z, remedy: [r], settle: [s], source: [a], "
         "checked: 2026-11-23, colour: red}]", "unknown: colour"),
    ],
)
def test_a_malformed_catalogue_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        symptoms.parse(text, {})


# by hand, and the way in


def test_facts_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(ask(capsys, driver="535.104.05", gpus=("Tesla T4", "gtx1080ti"), as_json=True)[1])
    assert [gpu["compute_capability"] for gpu in document["gpus"]] == ["7.5", "6.1"]
    assert document["pick"] == "cu121"
    grace = json.loads(ask(capsys, driver="580.95.05", gpus=("GH200",), as_json=True)[1])
    assert (grace["arch"], grace["pick"]) == ("aarch64", None)


def test_by_hand_goes_before_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    place = str(SAMPLES / "130_list-mig-a100-x8-mixed.txt")
    document = json.loads(ask(capsys, smi=place, driver="535.104.05", as_json=True)[1])
    assert (document["pick"], document["failure"], len(document["gpus"])) == ("cu121", None, 3)


def test_a_gpu_that_is_newer_than_the_driver_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    said = ask(capsys, driver="470.57.02", gpus=("NVIDIA L4",))[1]
    assert "the Ada generation began with 520" in said


@pytest.mark.parametrize("driver", ["590", "new", "535.104.05; reboot", ""])
def test_what_is_no_driver_is_refused(driver: str) -> None:
    with pytest.raises(ConfigError, match="not a driver version"):
        doctor.by_hand(doctor.Asked(driver=driver), Server(), NAMES)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        doctor.content(str(tmp_path / "none"))
    with pytest.raises(ConfigError):
        doctor.content(str(tmp_path))


def test_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pasted = narrow("470.129.06", "11.4", ["Tesla T4"]).encode("utf-16")
    monkeypatch.setattr(sys, "stdin", Piped(pasted))
    assert json.loads(ask(capsys, smi="-", as_json=True)[1])["driver"] == "470.129.06"


# scenarios


def test_the_decision_table_is_that_of_the_variants(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, scenarios=True)
    assert status == 0
    rows = [line.split() for line in said.splitlines()]
    assert ["525.60.13", "cu118,", "cpu", "cu121,", "cu124"] in rows
    assert ["530.30.02", "cu118,", "cu121,", "cpu", "cu124"] in rows
    assert ["450.80.02", "cpu", "cu118"] in rows
    assert "Kepler 3.7" in said
    assert "nvml_mismatch: restart the server" in said
    assert said.index("A. The driver") < said.index("B. They serve none") < said.index("CPU now:\n")
    assert "this server:" not in said


def test_scenarios_say_which_one_a_server_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert "this server: A, with cu121" in ask(capsys, scenarios=True, driver="535.104.05", gpus=("T4",))[1]
    assert "this server: B" in ask(capsys, scenarios=True, driver="410.79", gpus=("T4",))[1]


# run lines


def test_run_lines() -> None:
    cu121 = variant("cu121")
    assert runline.docker_run(cu121, gpus="all") == (
        "docker run -d --name stt-engine --init --gpus all -p 8003:8003 -v /data/models:/app/models "
        "-v /data/logs:/app/logs stt-engine:1.0.0-cu121"
    )
    assert "-e STT_DEVICE=cpu stt-engine:1.0.0-cu121" in runline.on_cpu(cu121, VARIANTS)
    assert "-e" not in runline.on_cpu(variant("cpu"), VARIANTS).split()
    assert "--gpus" not in runline.on_cpu(cu121, VARIANTS)
    assert runline.cpu_switch(nouns.PAGE, VARIANTS) == {}


# whatever a server is like


@settings(max_examples=200, deadline=None)
@given(HOSTS, st.booleans())
def test_every_host_has_an_answer(server: Server, arm: bool) -> None:
    chosen = (*VARIANTS[:4], variant("cpu", architecture="aarch64")) if arm else tuple(VARIANTS[:4])
    ours = rules(chosen, load())
    exam = doctor_text.Exam(
        server=server, variants=chosen, rules=ours, judgement=judge(server, ours, load()), compat=load(),
        symptoms=CATALOGUE,
    )
    said = doctor_text.answer(exam)
    assert said.startswith(("run ", "no GPU can be used", "not settled yet", "no variant", "nothing can be said"))
    assert (exam.judgement.status == 0) == said.startswith("run cu")
    assert decision.scenarios(exam)
    assert json.dumps(doctor_text.as_json(exam))
    if server.failure == "nvml_mismatch" and exam.judgement.pick == "cpu":
        assert said.startswith("no GPU can be used")


# this machine


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    monkeypatch.setenv("PATH", machine.programs(folder, scripts))


def test_a_live_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table"
    table.write_text(narrow("470.129.06", "11.4", ["NVIDIA GeForce RTX 3090"]), encoding="utf-8")
    info = json.dumps({"ServerVersion": "24.0.7", "Runtimes": {"nvidia": {}}, "DockerRootDir": str(tmp_path)})
    programs(
        tmp_path / "bin", monkeypatch,
        nvidia_smi=f'case "$1" in -L) echo "GPU 0: NVIDIA GeForce RTX 3090 (UUID: GPU-1)";; '
                   f'--query*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; '
                   f'*) cat {table};; esac\n',
        docker=f"case \"$1\" in info) echo '{info}';; *) echo Docker version 24.0.7;; esac\n",
        nvidia_ctk="exit 0\n",
    )
    here = live.examine(NAMES, root=tmp_path)
    assert (here.server.driver, here.server.failure) == ("470.129.06", None)
    assert [(gpu.name, gpu.capability) for gpu in here.server.gpus] == [("NVIDIA GeForce RTX 3090", "8.6")]
    assert here.server.arch == os.uname().machine
    assert here.notes[0] == "docker: 24.0.7"
    assert here.notes[1] == "NVIDIA container toolkit: nvidia-ctk; dockerd has the runtime nvidia"
    assert here.notes[2].startswith("disk: ")


def test_a_live_server_with_a_mismatch_knows_the_loaded_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(
        tmp_path / "bin", monkeypatch, docker="exit 1\n",
        nvidia_smi="echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n",
    )
    server = live.examine(NAMES, root=kernel(tmp_path / "root", driver="535.154.05")).server
    assert (server.failure, server.driver) == ("nvml_mismatch", "535.154.05")


def test_a_live_server_without_nvidia_smi_asks_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path / "bin", monkeypatch, docker="exit 1\n")
    here = live.examine(NAMES, root=kernel(tmp_path / "root", driver="535.154.05", model="NVIDIA A10"))
    assert (here.server.failure, here.server.driver) == (None, "535.154.05")
    assert [(gpu.name, gpu.capability) for gpu in here.server.gpus] == [("NVIDIA A10", "8.6")]
    assert "docker: no daemon answers" in here.notes[0]
    assert "NVIDIA container toolkit: not found" in here.notes[1]
    nothing = live.examine(NAMES, root=tmp_path / "bare").server
    assert nothing.failure == "not_installed"


def test_podman_under_dockers_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(
        tmp_path / "bin", monkeypatch, nvidia_smi="exit 9\n",
        docker="""echo '{"host": {}, "store": {"graphRoot": "/"}, "version": {"Version": "4.9.4"}}'\n""",
    )
    assert live.examine(NAMES, root=tmp_path).notes[0] == (
        "docker: 4.9.4, podman under that name: its GPUs come with --device nvidia.com/gpu=all"
    )


def test_a_program_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    script = f"echo once >>{asked}\nexec sleep 60\n"
    programs(tmp_path / "bin", monkeypatch, nvidia_smi=script, docker="exit 1\n", podman="exit 1\n")
    monkeypatch.setattr(live, "PATIENCE", 0.5)
    here = live.examine(NAMES, root=kernel(tmp_path / "root", driver="535.154.05", model="NVIDIA A10"))
    assert (here.server.failure, here.server.driver) == ("unreadable", "535.154.05")
    assert here.notes[0].startswith("nvidia-smi: no answer within 0.5 s")
    assert asked.read_text() == "once\n"


def test_without_anything_this_machine_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path / "bin", monkeypatch, nvidia_smi="echo No devices were found; exit 6\n", docker="exit 1\n")
    status, said = ask(capsys)
    assert status == 3
    assert "no GPU answers it" in said
    assert "on this machine:" in said
