"""The reader of nvidia-smi texts: the real samples, every layout under every damage, failures, decoys, and noise."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import smi as texts
from support.smi import DAMAGE, EXPECTED, NAMES, SAMPLES

from torchferry import smi
from torchferry.compat import load
from torchferry.server import FAILURES, Server


def read(content: bytes | str) -> Server:
    return smi.read(content, NAMES)


def shown(server: Server) -> list[tuple[int, str, str | None]]:
    return [(gpu.index, gpu.name, gpu.capability) for gpu in server.gpus]


def facts(server: Server) -> dict[str, Any]:
    gpus = []
    for gpu in server.gpus:
        row = load().generation(gpu.capability) if gpu.capability else None
        gpus.append({
            "name": gpu.name, "generation": row.name if row else None, "compute_capability": gpu.capability,
        })
    return {
        "driver": server.driver, "driver_branch": server.branch, "cuda_limit": server.cuda_limit, "gpus": gpus,
        "mig": server.mig, "wsl_or_windows": server.platform in ("wsl", "windows"),
        "tegra": server.platform == "tegra", "failure": server.failure,
    }


# real texts


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_fact_of_the_samples(name: str) -> None:
    expected = EXPECTED[name]
    server = read((SAMPLES / name).read_bytes())
    assert facts(server) == {key: expected[key] for key in facts(server)}
    assert server.arch == expected.get("host_arch")


def test_indexes_have_gaps_and_come_from_the_text() -> None:
    server = read((SAMPLES / "087_device-handle-gpu3-lost-then-csv-rows.txt").read_bytes())
    assert [gpu.index for gpu in server.gpus] == [0, 1, 2, 4, 5, 6]


# layouts and damage

LAYOUTS = {
    "331": (texts.narrow("331.62", None, ["Tesla K20m", "GeForce GTX 680"]), ("331.62", None)),
    "410": (texts.narrow("410.79", "10.0", ["Tesla P4", "Tesla T4"]), ("410.79", "10.0")),
    "470": (texts.narrow("470.129.06", "11.4", ["Tesla V100-SXM2-16GB", "NVIDIA A10"]), ("470.129.06", "11.4")),
    "550": (texts.wide("550.144.03", "12.4", ["NVIDIA A100-SXM4-40GB", "NVIDIA L4"]), ("550.144.03", "12.4")),
    "610": (texts.wide("610.43.02", "13.3", ["NVIDIA GeForce RTX 5090"], kmd=True), ("610.43.02", "13.3")),
}
NAMED = {
    "331": [(0, "Tesla K20m", "3.5"), (1, "GeForce GTX 680", "3.0")],
    "410": [(0, "Tesla P4", "6.1"), (1, "Tesla T4", "7.5")],
    "470": [(0, "Tesla V100-SXM2...", "7.0"), (1, "NVIDIA A10", "8.6")],
    "550": [(0, "NVIDIA A100-SXM4-40GB", "8.0"), (1, "NVIDIA L4", "8.9")],
    "610": [(0, "NVIDIA GeForce RTX 5090", "12.0")],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_under_every_damage(layout: str, damage: str) -> None:
    text, (driver, limit) = LAYOUTS[layout]
    server = read(DAMAGE[damage](text))
    assert (server.driver, server.cuda_limit, shown(server)) == (driver, limit, NAMED[layout])
    assert (server.failure, server.mig, server.platform) == (None, False, "linux")


@pytest.mark.parametrize("columns", range(60, 132))
def test_a_table_wrapped_at_any_width(columns: int) -> None:
    server = read(texts.wrapped(LAYOUTS["550"][0], columns))
    assert (server.driver, server.cuda_limit) == ("550.144.03", "12.4")
    assert {gpu.name for gpu in server.gpus} <= {"NVIDIA A100-SXM4-40GB", "NVIDIA L4"}


@pytest.mark.parametrize("damage", ["none", "crlf", "utf-16", "prompt", "quoted", "logged", "pdsh", "fence", "bbcode"])
@pytest.mark.parametrize("form", ["csv", "q", "L"])
def test_the_other_forms_under_damage(form: str, damage: str) -> None:
    names = ["Tesla T4", "NVIDIA A100-SXM4-40GB"]
    text = {
        "csv": texts.csv("535.104.05", names), "q": texts.queried("535.104.05", "12.2", names),
        "L": "".join(f"GPU {index}: {name} (UUID: GPU-{index})\n" for index, name in enumerate(names)),
    }[form]
    server = read(DAMAGE[damage](text))
    assert shown(server) == [(0, "Tesla T4", "7.5"), (1, "NVIDIA A100-SXM4-40GB", "8.0")]
    assert server.driver == (None if form == "L" else "535.104.05")


@pytest.mark.parametrize(
    ("text", "driver", "limit", "gpus"),
    [
        (texts.xml("535.104.05", "12.2", ["Tesla T4"]), "535.104.05", "12.2", [(0, "Tesla T4", "7.5")]),
        ("&lt;nvidia_smi_log&gt;&lt;driver_version&gt;470.57.02&lt;/driver_version&gt;", "470.57.02", None, []),
        ("<nvidia_smi_log><driver_version>610.43.02 [Deprecated; x]</driver_version>", "610.43.02", None, []),
        ("Driver Version : 610.43.02 [Deprecated; use KMD]\nCUDA Version : 13.3 [Deprecated; x]",
         "610.43.02", "13.3", []),
        ("NVIDIA-SMI version  : 535.104.05\nNVML version : 535.104\nDRIVER version : 535.104.05\nCUDA Version : 12.2",
         "535.104.05", "12.2", []),
        ("name, driver_version\nTesla T4, 535.104.05\nTesla T4, 535.104.05", "535.104.05", None,
         [(0, "Tesla T4", "7.5"), (1, "Tesla T4", "7.5")]),
        ("535.104.05, 3, Tesla T4, 7.5, 15360 MiB", "535.104.05", None, [(0, "Tesla T4", "7.5")]),
        ("driver_version, index, gpu_name\n470.82.01, 2, NVIDIA A2", "470.82.01", None, [(2, "NVIDIA A2", "8.6")]),
        ("2, NVIDIA Graphics Device, 570.86.15\n", "570.86.15", None, [(2, "NVIDIA Graphics Device", None)]),
        ("index, name, compute_cap\n0, NVIDIA Graphics Device, 9.0", None, None,
         [(0, "NVIDIA Graphics Device", "9.0")]),
        ("compute_cap\n8.6\n8.6", None, None, [(0, "", "8.6"), (1, "", "8.6")]),
        ("0, NVIDIA A40, 46068, 300.00, 570.181, P8", "570.181", None, [(0, "NVIDIA A40", "8.6")]),
        ("0, NVIDIA A40, 300.00, 290.15", None, None, [(0, "NVIDIA A40", "8.6")]),
        ("P4, NVIDIA A40, 0", None, None, [(0, "NVIDIA A40", "8.6")]),
        ("535.104.05", "535.104.05", None, []),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19", "535.104.05", None, []),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build", "570.86.15", None, []),
        ("|   0  NVIDIA GeForce RTX 3060        Off| 00000000:0A:00.0  On | N/A |", None, None,
         [(0, "NVIDIA GeForce RTX 3060", "8.6")]),
    ],
)
def test_forms(text: str, driver: str | None, limit: str | None, gpus: list[tuple[int, str, str | None]]) -> None:
    server = read(text)
    if driver is None and not gpus:
        assert server.failure == "unreadable"
    assert (server.driver, server.cuda_limit) == (driver, limit)
    assert shown(server) == gpus


def test_a_cut_name_is_completed_from_the_list_in_the_same_text() -> None:
    cut = texts.wide("570.86.15", "12.8", ["NVIDIA GeForce ..."])
    assert shown(read(cut)) == [(0, "NVIDIA GeForce ...", None)]
    whole = read(cut + "GPU 0: NVIDIA GeForce RTX 5090 (UUID: GPU-1)\n")
    assert shown(whole) == [(0, "NVIDIA GeForce RTX 5090", "12.0")]


def test_of_two_tables_the_later_one_counts() -> None:
    before, after = texts.wide("535.54.03", "12.2", ["NVIDIA L4"]), texts.wide("570.86.15", "12.8", ["NVIDIA L4"])
    assert read(before + "\n# after the upgrade\n" + after).driver == "570.86.15"


# platforms


@pytest.mark.parametrize(
    ("text", "platform", "arch"),
    [
        ("| NVIDIA-SMI 525.85.05  Driver Version: 528.24  CUDA Version: 12.0 |", "wsl", None),
        ("| NVIDIA-SMI 470.256.02 Driver Version: 580.95.05  CUDA Version: 13.0 |", "linux", None),  # a stale binary
        ("| NVIDIA-SMI 470.256.02 Driver Version: 570.181  CUDA Version: 12.8 |", "linux", None),
        ("| NVIDIA-SMI 570.181 Driver Version: 570.181  CUDA Version: 12.8 |", "linux", None),
        (r"C:\Users\x>nvidia-smi" "\n| NVIDIA-SMI 546.33  Driver Version: 546.33  CUDA Version: 12.3 |\n"
         "| GPU  Name                     TCC/WDDM  | Bus-Id        Disp.A | x |\n"
         "|   0  NVIDIA GeForce RTX 4070 ...  WDDM  | 00000000:01:00.0  On | N/A |", "windows", None),
        ("| NVIDIA-SMI 540.3.0  Driver Version: N/A  CUDA Version: 12.6 |\n"
         "|   0  Orin (nvgpu)                  N/A  | N/A              N/A |                  N/A |",
         "tegra", "aarch64"),
        ("| NVIDIA-SMI 580.95.05 Driver Version: 580.95.05 CUDA Version: 13.0 |\n"
         "|   0  NVIDIA GB10                    On  |   0000000F:01:00.0 Off |  N/A |", "linux", "aarch64"),
        ("Linux gpu1 5.15.0-91-generic #101-Ubuntu SMP x86_64 GNU/Linux\nGPU 0: NVIDIA L4 (UUID: GPU-1)",
         "linux", "x86_64"),
    ],
)
def test_platforms(text: str, platform: str, arch: str | None) -> None:
    server = read(text)
    assert (server.platform, server.arch) == (platform, arch)


@pytest.mark.parametrize("limit", ["N/A", "ERR!"])
def test_a_limit_that_is_none_is_said_as_it_stands(limit: str) -> None:
    server = read(texts.wide("535.104.05", limit, ["Tesla T4"]))
    assert (server.driver, server.cuda_limit) == ("535.104.05", limit)


@pytest.mark.parametrize(
    "text",
    [
        "GPU 0: NVIDIA A100 (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-1)",
        texts.wide("535.104.05", "12.2", ["NVIDIA A100"]) + "| MIG devices: |",
        texts.queried("535.104.05", "12.2", ["NVIDIA A100"]).replace(": N/A", ": Enabled"),
        "<nvidia_smi_log><product_name>NVIDIA A100</product_name><current_mig>Enabled</current_mig>",
        "name, mig.mode.current\nNVIDIA A100, Enabled",
    ],
)
def test_mig(text: str) -> None:
    assert read(text).mig


# failures and decoys

FAILED = [
    ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "driver_not_loaded"),
    ("NVIDIA-SMI has failed because it couldn’t communicate with the NVIDIA driver.", "driver_not_loaded"),
    ("nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown", "driver_not_loaded"),
    ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.161", "nvml_mismatch"),
    ("Failed to initialize NVML: Unknown Error", "nvml_unknown"),
    ("Failed to initialize NVML: Insufficient Permissions", "nvml_permission"),
    ("No devices were found", "no_devices"),
    ("Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system", "gpu_lost"),
    ("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.", "no_libnvml"),
    ("bash: nvidia-smi: command not found", "not_installed"), ("zsh: command not found: nvidia-smi", "not_installed"),
    ("'nvidia-smi' is not recognized as an internal or external command,", "not_installed"),
    ("-bash: nvidia-smi: 명령을 찾을 수 없습니다", "not_installed"), ("sh: 1: nvidia-smi: not found", "not_installed"),
    ('exec: "nvidia-smi": executable file not found in $PATH', "not_installed"),
    ("hello", "unreadable"), ("", "unreadable"), ("CUDA Version: 12.1", "unreadable"),
    ('Field "compute_cap" is not a valid field to query.', "unreadable"),
    ("nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 12.9, V12.9.41", "unreadable"),
    ("NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible", "unreadable"),
    ("NVIDIA A100 is not supported, sorry", "unreadable"),
]


@pytest.mark.parametrize(("text", "failure"), FAILED, ids=[f"{place}-{name}" for place, (_, name) in enumerate(FAILED)])
def test_failures(text: str, failure: str) -> None:
    server = read(text)
    assert (server.failure, server.gpus) == (failure, ())
    assert server.driver is None
    assert bool(server.looked_for) == (failure == "unreadable")


def test_every_failure_is_tested() -> None:
    assert {failure for _, failure in FAILED} == set(FAILURES)


def test_the_loaded_module_is_the_driver_when_nvml_does_not_fit_it() -> None:
    text = FAILED[3][0] + "\nNVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05  Thu Dec 28"
    server = read(text)
    assert (server.failure, server.driver, server.arch) == ("nvml_mismatch", "535.154.05", "x86_64")


def test_a_failure_that_was_mended_counts_no_more_and_a_later_one_does() -> None:
    table = texts.wide("535.104.05", "12.2", ["Tesla T4"])
    assert read("Failed to initialize NVML: Unknown Error\n$ sudo reboot\n" + table).failure is None
    below = "\n$ docker exec x nvidia-smi\nFailed to initialize NVML: Unknown Error"
    assert read(table + below).failure == "nvml_unknown"


def test_a_row_of_a_lost_gpu_is_no_gpu() -> None:
    table = texts.wide("535.104.05", "12.2", ["Tesla T4", "ERR!"])
    server = read(table)
    assert (server.failure, [gpu.index for gpu in server.gpus]) == ("gpu_lost", [0])


@pytest.mark.parametrize(
    "decoy",
    [
        "sudo apt install nvidia-utils-470  # version 470.223.02-0ubuntu0.22.04.1", "NVML library version: 580.173",
        "release 12.9, V12.9.41", "torch.version.cuda 12.1", "CUDA Version: 99.1", "NVIDIA-SMI 999.99",
        "|    0   N/A  N/A      1234      C   Insufficient Permissions      1MiB |", "LibreOffice version 410.79.02",
    ],
)
def test_decoys_below_a_table_change_nothing(decoy: str) -> None:
    table = texts.wide("535.104.05", "12.2", ["Tesla T4"])
    assert read(table + "\n" * 2 + decoy + "\n") == read(table)


def test_a_cuda_version_far_below_a_header_without_one_is_not_its_limit() -> None:
    table = texts.narrow("384.111", None, ["Tesla K80"])
    assert read(table + "\n>>> print(...)\nCUDA Version: 12.1\n").cuda_limit is None


# noise

QUIET = settings(max_examples=80, deadline=2000, suppress_health_check=list(HealthCheck))
PIECES = st.sampled_from([
    "| NVIDIA-SMI 535.104.05 ", "Driver Version: 535.104.05 ", "CUDA Version: ", "ERR!", "\n", "|", "+---+", "GPU 0: ",
    "NVIDIA A100", "(UUID: ", "<product_name>", "Product Name : ", "0, NVIDIA L4, 535.104.05",
    "|   0  Tesla T4  Off | ",
    "00000000:01:00.0 Off |", "\x1b[31m", "&lt;", "[code]", "\t", "No devices were found", "KMD Version: 610.43.02",
    "driver_version, name", "Failed to initialize NVML", "NVRM version: ", "…", "\0",
    "MIG Mode\n Current : Enabled",
])


def harmless(content: bytes | str) -> None:
    server = read(content)
    assert server.failure in (None, *FAILURES)
    assert server.driver is None or re.fullmatch(r"[0-9]{3}(\.[0-9]+)+", server.driver)
    assert (server.failure == "unreadable") == bool(server.looked_for)
    for gpu in server.gpus:
        assert gpu.index >= 0


@QUIET
@given(st.one_of(st.text(max_size=3000), st.binary(max_size=3000)))
def test_any_text_has_an_answer(content: str | bytes) -> None:
    harmless(content)


@QUIET
@given(st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=80))
def test_any_mixture_of_the_right_pieces_has_an_answer(pieces: list[str]) -> None:
    harmless("".join(pieces))


@QUIET
@given(
    st.sampled_from(sorted(EXPECTED)), st.integers(0, 3000), st.integers(0, 400), st.binary(max_size=12),
)
def test_every_mutilated_sample_has_an_answer(name: str, start: int, length: int, put: bytes) -> None:
    content = (SAMPLES / name).read_bytes()
    harmless(content[:start] + put + content[start + length:])


@pytest.mark.parametrize(
    "piece",
    [" ", "|", "a", "0", "| 0  A", "GPU 0: A", "Product Name : ", "Driver Version", "<a ", "[code", "\x1b[", "&amp;",
     "nvidia-smi ", "0,",
     "GPU 0: NVIDIA A100-SXM4-40GB-AAAA-BBBB-CCCC-DDDD-EEEE-FFFF-0000 (UUID: GPU-1)\n",
     "NVIDIA " + "A" * 70 + ":, 535.104.05\n",
     "| 0 T  Off |", "NVIDIA-SMI 535.104.05 ", "Linux ", "MIG Mode ", "NVRM version: ", "> "],
)
def test_a_megabyte_of_anything_is_read_to_its_end(piece: str) -> None:
    """An expression that looks at the same characters again and again would never come back."""
    harmless(piece * (1_000_000 // len(piece)))


@pytest.mark.parametrize(("smi", "driver"), [("535.104.05", "000.00"), ("000.00", "535.10"), ("000.00", "000.00")])
def test_a_version_of_zeros_has_an_answer(smi: str, driver: str) -> None:
    text = f"+---+\n| NVIDIA-SMI {smi}    Driver Version: {driver}    CUDA Version: 12.2 |\n"
    harmless(text)
    assert read(text).driver == driver  # what stands there is said; that it is too old for anything is the judgement's
