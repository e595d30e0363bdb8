"""Servers as nvidia-smi would print them: layouts of all times, and the damage that pasting does."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from torchferry.compat import load
from torchferry.gpus import GpuNames
from torchferry.server import FAILURES, Gpu, Server

SAMPLES = Path(__file__).parents[1] / "smi"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((SAMPLES / "expected.yaml").read_text(encoding="utf-8"))
ERRORS: list[dict[str, str]] = yaml.safe_load((SAMPLES / "errors.yaml").read_text(encoding="utf-8"))
NAMES = GpuNames(table=load().table)


def wide(driver: str, limit: str | None, gpus: Sequence[str], *, kmd: bool = False) -> str:
    """The layout since 530 (91 columns), or that of 610 with KMD and UMD."""
    first, second = ("KMD Version", "CUDA UMD Version") if kmd else ("Driver Version", "CUDA Version")
    cuda = f"{second}: {limit}" if limit else ""
    edge = "+-----------------------------------------+------------------------+----------------------+"
    lines = [
        "+" + "-" * 89 + "+",
        f"| NVIDIA-SMI {driver:<22} {first}: {driver:<14} {cuda}".ljust(90) + "|",
        edge,
        "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |",
        "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |",
        "|=========================================+========================+======================|",
    ]
    for index, name in enumerate(gpus):
        lines += [
            f"| {index:>3}  {name[:31]:<31} Off |   00000000:{index + 1:02X}:00.0 Off |                  N/A |",
            "|  0%   32C    P8             11W /  575W |       1MiB /  32607MiB |      0%      Default |",
            edge,
        ]
    lines += ["| Processes:".ljust(90) + "|", "|    0   N/A  N/A      1234      C   python            1234MiB |"]
    return "\n".join(lines) + "\n"


def narrow(driver: str, limit: str | None, gpus: Sequence[str]) -> str:
    """The layout up to 525 (79 columns); up to 410.48 without a CUDA version; names cut."""
    cuda = f"CUDA Version: {limit}" if limit else ""
    edge = "+-------------------------------+----------------------+----------------------+"
    lines = [
        "+" + "-" * 77 + "+",
        f"| NVIDIA-SMI {driver:<12} Driver Version: {driver:<12} {cuda}".ljust(78) + "|",
        "|-------------------------------+----------------------+----------------------+",
        "| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |",
        "| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |",
        "|===============================+======================+======================|",
    ]
    for index, name in enumerate(gpus):
        shown = name if len(name) <= 18 else name[:15] + "..."
        lines += [
            f"| {index:>3}  {shown:<18}  On  | 00000000:{index + 1:02X}:00.0 Off |                    0 |",
            "| N/A   27C    P0    28W / 250W |      0MiB / 16280MiB |      0%      Default |",
            edge,
        ]
    return "\n".join(lines) + "\n"


def csv(driver: str, gpus: Sequence[str]) -> str:
    """--query-gpu with a header."""
    rows = [f"{index}, {name}, {driver}, 16384 MiB" for index, name in enumerate(gpus)]
    return "\n".join(["index, name, driver_version, memory.total [MiB]", *rows]) + "\n"


def queried(driver: str, limit: str | None, gpus: Sequence[str]) -> str:
    """-q, shortened."""
    lines = ["==============NVSMI LOG==============", "", f"Driver Version                            : {driver}"]
    lines += [f"CUDA Version                              : {limit}"] if limit else []
    lines += ["", f"Attached GPUs                             : {len(gpus)}"]
    for index, name in enumerate(gpus):
        lines += [
            f"GPU 00000000:{index + 1:02X}:00.0", f"    Product Name                          : {name}",
            "    Product Brand                         : NVIDIA", "    MIG Mode",
            "        Current                           : N/A",
        ]
    return "\n".join(lines) + "\n"


def xml(driver: str, limit: str | None, gpus: Sequence[str]) -> str:
    """-q -x, shortened and without its end."""
    cuda = f"<cuda_version>{limit}</cuda_version>\n" if limit else ""
    boards = "".join(f'<gpu id="{index}">\n<product_name>{html.escape(name)}</product_name>\n</gpu>\n'
                     for index, name in enumerate(gpus))
    return f'<?xml version="1.0" ?>\n<nvidia_smi_log>\n<driver_version>{driver}</driver_version>\n{cuda}{boards}'


def wrapped(text: str, columns: int = 80) -> str:
    """As a narrow terminal shows it when it is copied."""
    parts = [
        [line[start:start + columns] for start in range(0, len(line), columns)] or [""] for line in text.split("\n")
    ]
    return "\n".join(part for line in parts for part in line)


def prefixed(prefix: str) -> Callable[[str], str]:
    """Every line behind a prefix."""
    return lambda text: "\n".join(prefix + line for line in text.split("\n"))


DAMAGE: dict[str, Callable[[str], str | bytes]] = {
    "none": str,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16 without mark": lambda text: text.encode("utf-16-le"),
    "utf-16 big": lambda text: text.encode("utf-16-be"),
    "latin-1": lambda text: ("# ü\n" + text).encode("latin-1"),
    "one line": lambda text: text.replace("\n", " "),
    "80 columns": wrapped,
    "80 columns, stripped": lambda text: "\n".join(line.rstrip() for line in wrapped(text).split("\n")),
    "prompt": lambda text: "user@host:~$ nvidia-smi\n" + text + "user@host:~$ ",
    "quoted": prefixed("> "),
    "commented": prefixed("# "),
    "logged": prefixed("2024-01-02 10:00:01,123 INFO  [main] "),
    "pdsh": prefixed("node-07: "),
    "indented": prefixed("     "),
    "tmux": lambda text: "\n".join(f"│{line}│" for line in text.split("\n")),
    "boxes": lambda text: text.replace("|", "│").replace("-----", "─────"),
    "html": lambda text: "<pre>" + html.escape(text).replace("\n", "<br/>\n").replace("  ", "&nbsp;&nbsp;") + "</pre>",
    "bbcode": lambda text: f"[code]{text}[/code]",
    "fence": lambda text: "```\n" + text.replace("\n", "\n```\n", 1) + "```",
    "ansi": lambda text: "\x1b[1;32m" + text.replace("NVIDIA", "\x1b[1mNVIDIA\x1b[0m") + "\x1b[0m",
    "tabs": lambda text: text.replace("    ", "\t"),
    "no first border": lambda text: "\n".join(line[1:] if line.startswith("|") else line for line in text.split("\n")),
    "joined rows": lambda text: text.replace("|\n|", "| |"),
}

CAPABILITIES = [one for row in load().table.generations for one in row.capabilities]


def host(driver: str | None, *capabilities: str | None, **more: object) -> Server:
    """A server with GPUs of these compute capabilities (None: a name that tells nothing)."""
    gpus = tuple(Gpu(index=index, name=f"GPU of {one}", capability=one) for index, one in enumerate(capabilities))
    return replace(Server(driver=driver, gpus=gpus), **more)  # type: ignore[arg-type]


DRIVERS = st.sampled_from([
    None, "331.62", "384.111", "410.79", "450.51.06", "450.80.02", "452.39", "460.32.03", "470.129.06", "495.29.05",
    "510.47.03", "520.61.05", "525.60.11", "525.60.13", "527.41", "528.24", "528.33", "530.30.02", "535.104.05",
    "545.29.06", "550.54.14", "555.42.02", "560.35.03", "570.26", "570.86.15", "575.57.08", "580.65.06", "582.10",
    "590.44.01", "610.43.02",
])
GPUS = st.lists(st.one_of(st.none(), st.sampled_from([*CAPABILITIES, "13.0"])), max_size=5)
HOSTS = st.builds(
    lambda driver, gpus, failure, platform, arch: host(driver, *gpus, failure=failure, platform=platform, arch=arch),
    DRIVERS, GPUS, st.one_of(st.none(), st.none(), st.sampled_from(FAILURES)),
    st.sampled_from(["linux", "linux", "windows", "wsl", "tegra"]), st.sampled_from([None, None, "x86_64", "aarch64"]),
)
