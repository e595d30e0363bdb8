"""Made-up servers as people paste them: drivers, GPUs, failures, forms of text, damage by pasting; from one seed."""

from __future__ import annotations

import html
import random
from collections.abc import Callable, Iterator, Sequence

from torchferry.compat import load

DRIVERS = (
    "331.62", "340.108", "384.111", "390.157", "410.48", "418.87.00", "440.33.01", "450.36.06", "450.80.02",
    "450.80.2", "460.32.03", "470.129.06", "470.256.02", "510.47.03", "515.65.01", "520.61.05", "525.60.11",
    "525.60.13", "530.30.02", "535.54.03", "535.104.05", "545.23.08", "550.54.14", "550.144.03", "555.42.02",
    "560.35.03", "570.26", "570.124.06", "575.57.08", "580.65.06", "580.00", "590.44.01", "610.43.02",
)
WINDOWS = ("452.38", "452.39", "473.81", "522.06", "527.40", "527.41", "528.24", "528.32", "528.33", "551.61", "572.16")
LIMITS = ("10.0", "11.4", "12.0", "12.4", "12.9", "13.0", "N/A", "ERR!")
EXTRA = (
    "NVIDIA GeForce ...", "GeForce RTX 208...", "NVIDIA RTX ...", "Tesla P100-PCIE...", "NVIDIA A10...", "RTX 6000",
    "NVIDIA Graphics Device", "NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB", "NVIDIA H100 80GB HBM3", "GRID T4-4C",
    "NVIDIA TITAN X (Pascal)", "NVIDIA GeForce RTX 3070 Laptop GPU", "Orin (nvgpu)", "Quadro T2000 with Max-Q Design",
    "NVIDIA GeForce RTX 4070 …", "NVIDIA GH200 480GB",
)
FAILURES = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that it is loaded.",
    "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.173",
    "Failed to initialize NVML: Unknown Error", "Failed to initialize NVML: Insufficient Permissions",
    "No devices were found", "bash: nvidia-smi: command not found", "nvidia-smi: 未找到命令",
    "zsh: command not found: nvidia-smi", "명령어를 찾을 수 없음: nvidia-smi", "nvidia-smi : команда не найдена",
    "Unable to determine the device handle for GPU 0000:04:00.0: GPU is lost.  Reboot the system to recover this GPU",
    "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.",
    "Command 'nvidia-smi' not found, but can be installed with:\nsudo apt install nvidia-utils-535",
    "NVRM: API mismatch: the client has the version 535.54, but\nNVRM: this kernel module has the version 530.41.03.",
    "everything is fine here", "", "CUDA driver version is insufficient for CUDA runtime version",
    "'nvidia-smi' is not recognized",
)
BRANDS = ("NVIDIA ", "NVIDIA GeForce ", "GeForce ", "Tesla ", "Quadro ", "")


def hosts(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Names and pasted bytes of servers; the same ones for the same seed."""
    chance = random.Random(seed)
    names = [name for row in load().table.gpus for name in row.names]
    for number in range(count):
        text = _text(chance, names)
        data = _encoded(chance, _damaged(chance, text))
        yield f"{number:05d}", _bitten(chance, data) if chance.random() < 0.15 else data


def _text(chance: random.Random, names: Sequence[str]) -> str:
    parts = [chance.choice(FORMS)(chance, names) for _ in range(chance.choice((1, 1, 1, 2, 2, 3)))]
    if chance.random() < 0.25:
        parts.insert(chance.randrange(len(parts) + 1), chance.choice(FAILURES))
    if chance.random() < 0.1:
        parts.append("Linux host 5.15.0-91-generic #101-Ubuntu SMP x86_64 GNU/Linux")
    return chance.choice(("\n", "\n\n", "\nroot@host:~# nvidia-smi\n")).join(parts)


def _gpus(chance: random.Random, names: Sequence[str]) -> list[tuple[int, str]]:
    count, index, found = chance.choice((0, 1, 1, 1, 2, 2, 4, 8)), 0, []
    same = _name(chance, names)
    for _ in range(count):
        found.append((index, same if chance.random() < 0.6 else _name(chance, names)))
        index += chance.choice((1, 1, 1, 2))
    return found


def _name(chance: random.Random, names: Sequence[str]) -> str:
    if chance.random() < 0.3:
        return chance.choice(EXTRA)
    name = chance.choice(BRANDS) + chance.choice(names)
    return name + chance.choice(("", "", "", " Ti", "-PCIE-16GB", " SUPER", " 80GB", " Laptop GPU", "..."))


def _table(chance: random.Random, names: Sequence[str]) -> str:
    windows = chance.random() < 0.2
    driver = chance.choice(WINDOWS if windows else DRIVERS)
    smi = chance.choice((driver, driver, driver, "525.60.02"))
    limit = chance.choice(LIMITS)
    kmd = f"KMD Version: {driver}   CUDA UMD Version: {limit}"
    plain = f"Driver Version: {driver}   CUDA Version: {limit}"
    said = chance.choice((kmd, plain, plain, plain, plain, f"Driver Version: {driver}"))
    rule, thin = "+" + "-" * 77 + "+", "|" + "=" * 77 + "|"
    lines = [rule, f"| NVIDIA-SMI {smi:<12} {said:<52} |", rule, "| GPU  Name  Persistence-M| Bus-Id  Disp.A |", thin]
    for index, name in _gpus(chance, names):
        mode = chance.choice(("On ", "Off", "WDDM", "TCC", "N/A") if windows else ("On ", "Off", "Off"))
        shown = chance.choice((name, "ERR!") if chance.random() < 0.05 else (name,))
        bus = chance.choice((f"0000{index:04X}:01:00.0 Off", f"{index:04X}:01:00.0     Off", "N/A              N/A"))
        lines += [f"| {index:3}  {shown:<24} {mode} | {bus} |                    0 |",
                  "| N/A   34C    P0    52W / 400W |      0MiB / 40960MiB |      0%      Default |",
                  f"|{'':31}|{'':22}| {chance.choice(('Disabled', 'Enabled')):>20} |",
                  rule]
    if chance.random() < 0.2:
        lines.append("|  No running processes found                                                 |")
    return "\n".join(lines)


def _list(chance: random.Random, names: Sequence[str]) -> str:
    lines = []
    for index, name in _gpus(chance, names):
        tail = chance.choice((f" (UUID: GPU-{index:08x}-5c84)", "", f" (UUID: {index})"))
        lines.append(f"GPU {index}: {name}{tail}")
        if chance.random() < 0.1:
            lines.append("  MIG 1g.5gb      Device  0: (UUID: MIG-1c2d)")
    return "\n".join(lines)


def _query(chance: random.Random, names: Sequence[str]) -> str:
    driver = chance.choice(DRIVERS)
    tail = chance.choice(("", "  [Deprecated; use KMD Version]"))
    lines = ["==============NVSMI LOG==============", f"Driver Version                            : {driver}{tail}",
             f"CUDA Version                              : {chance.choice(LIMITS)}"]
    for index, name in _gpus(chance, names):
        lines += [f"GPU 00000000:{index:02X}:00.0", f"    Product Name                          : {name}",
                  "    MIG Mode", f"        Current                           : {chance.choice(('N/A', 'Enabled'))}"]
        if chance.random() < 0.1:
            lines += ["    Driver Model", "        Current                           : WDDM"]
    return "\n".join(lines)


def _xml(chance: random.Random, names: Sequence[str]) -> str:
    lines = ['<?xml version="1.0" ?>', "<nvidia_smi_log>",
             f"\t<driver_version>{chance.choice(DRIVERS)}</driver_version>",
             f"\t<cuda_version>{chance.choice(LIMITS)}</cuda_version>"]
    for index, name in _gpus(chance, names):
        lines += [f'\t<gpu id="00000000:{index:02X}:00.0">', f"\t\t<product_name>{name}</product_name>",
                  f"\t\t<current_mig>{chance.choice(('Enabled', 'N/A'))}</current_mig>", "\t</gpu>"]
    return "\n".join([*lines, "</nvidia_smi_log>"])


def _csv(chance: random.Random, names: Sequence[str]) -> str:
    driver = chance.choice(DRIVERS)
    fields = chance.sample(("index", "name", "driver_version", "compute_cap", "memory.total [MiB]", "mig.mode.current"),
                           chance.randrange(1, 6))
    split = chance.choice((", ", ",", "; ", "\t"))
    lines = [split.join(fields)] if chance.random() < 0.6 else []
    for index, name in _gpus(chance, names):
        said = {"index": str(index), "name": chance.choice((name, f'"{name}"')), "driver_version": driver,
                "compute_cap": chance.choice(("7.5", "8.6", "9.0", "[N/A]")), "memory.total [MiB]": "15360 MiB",
                "mig.mode.current": chance.choice(("Enabled", "[N/A]"))}
        lines.append(split.join(said[field] for field in fields))
    return "\n".join(lines)


def _module(chance: random.Random, names: Sequence[str]) -> str:  # noqa: ARG001
    kind = chance.choice(("x86_64 Kernel Module", "Open Kernel Module for aarch64"))
    return f"NVRM version: NVIDIA UNIX {kind}  {chance.choice(DRIVERS)}  Wed Mar 1 12:00:00 UTC 2023\nGCC version: 11"


FORMS = (_table, _table, _table, _list, _query, _xml, _csv, _csv, _module)


def _damaged(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        text = chance.choice(DAMAGES)(chance, text)
    return text


def _wrapped(chance: random.Random, text: str) -> str:
    width = chance.choice((50, 64, 70, 76, 80))
    return "\n".join(line[at:at + width] for line in text.split("\n") for at in range(0, max(1, len(line)), width))


def _cut(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] if chance.random() < 0.5 else text[at:]


def _prefixed(chance: random.Random, text: str) -> str:
    mark = chance.choice(("> ", "$ ", "# ", "2024-05-01 10:00:00 ", "node1: ", "[pod/x-1] ", "│ ", "서버: ", "    "))
    return "\n".join(mark + line for line in text.split("\n"))


def _webbed(chance: random.Random, text: str) -> str:
    once = html.escape(text)
    return chance.choice((
        f"<pre>{once}</pre>", "<br/>".join(once.split("\n")), f"<p class='x'>{html.escape(once)}</p>",
        once.replace(" ", "&nbsp;"), once.replace("|", "&#124;"), once.replace("+", "&#x2b;"),
    ))


def _fenced(chance: random.Random, text: str) -> str:
    return chance.choice((
        f"```\n{text}\n```", f"[code]{text}[/code]", f"[size=2][b]{text}[/b][/size]", f"~~~text\n{text}",
    ))


def _coloured(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    lines.insert(chance.randrange(len(lines)), "\x1b[1;32mroot@host\x1b[0m:~$ \x1b]0;title\x07nvidia-smi")
    return "\n".join(lines).replace("NVIDIA", "\x1b[32mNVIDIA\x1b[m")


def _drawn(chance: random.Random, text: str) -> str:
    lines = ({"|": "│", "-": "─", "+": "┼"}, {"|": "┃", "=": "═"}, {" ": "\u00a0"})
    return text.translate(str.maketrans(chance.choice(lines)))


DAMAGES: tuple[Callable[[random.Random, str], str], ...] = (
    _wrapped, _cut, _prefixed, _webbed, _fenced, _coloured, _drawn,
    lambda _, text: text.replace("\n", "\r\n"), lambda _, text: text.replace("\n", " "),
    lambda _, text: text.replace("\n", "\r"), lambda _, text: text.replace("  ", "\t"),
    lambda _, text: f"안녕하세요, 서버 상태입니다:\n{text}\n감사합니다",
    lambda _, text: text.replace("NVIDIA", "«NVIDIA»™"),
)


def _encoded(chance: random.Random, text: str) -> bytes:
    kind = chance.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"))
    return text.encode(kind, "replace")


def _bitten(chance: random.Random, data: bytes) -> bytes:
    """Bytes lost, doubled or replaced here and there."""
    made = bytearray(data)
    for _ in range(chance.randrange(1, 12)):
        at = chance.randrange(len(made) + 1)
        put = bytes(chance.choices(b"|+-: .,;0123456789GPU\x00\x1b\xff\xc3\n\r\t<>&[]", k=chance.randrange(3)))
        made[at:at + chance.randrange(3)] = put
    return bytes(made)
