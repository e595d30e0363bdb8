"""From any nvidia-smi text to a `Server`: the one place that decides which of several facts counts.

The driver is what a header, a query or the loaded kernel module names, never the version of nvidia-smi itself, of NVML,
of a package or of CUDA. A text in which nothing is found is `unreadable` and says what was looked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from torchferry import server as words
from torchferry import smi_csv, smi_forms, smi_table
from torchferry.gpus import GpuNames, is_cut
from torchferry.server import Gpu, Server
from torchferry.smi_forms import Facts
from torchferry.smi_text import cleaned, decoded, unwrapped

LOOKED_FOR = (
    "a line with NVIDIA-SMI and Driver Version (or KMD Version), as nvidia-smi prints it",
    "lines like GPU 0: NAME (UUID: GPU-...), as nvidia-smi -L prints them",
    "Product Name and Driver Version, as nvidia-smi -q and -q -x print them",
    "rows of nvidia-smi --query-gpu=index,name,driver_version --format=csv",
    "NVRM version, as in /proc/driver/nvidia/version",
    "a message of nvidia-smi that says why it fails",
)

_ABSENT = (
    r"not found|not recognized|no such file|nicht gefunden|introuvable|no encontrad[ao]|non trovato|não encontrado|"
    r"не найдена|未找到|找不到|沒有|見つかりません|찾을 수 없|bulunamadı"
)
_FAILURES = (
    (words.NVML_MISMATCH, r"Driver/library version mismatch|NVRM: API mismatch"),
    (words.DRIVER_NOT_LOADED,
     r"communicate with the NVIDIA driver|\bdriver (?:is )?not loaded|NVML: Driver Not Loaded"),
    (words.NO_LIBNVML, r"couldn't find libnvidia-ml|libnvidia-ml\.so[.\d]*: cannot open|NVML Shared Library Not Found|"
                       r"load library failed: libnvidia-ml|couldn't find nvml\.dll"),
    (words.NVML_PERMISSION, r"NVML: Insufficient Permissions|NVML: GPU access blocked|nvidia-smi: Permission denied"),
    (words.GPU_LOST, r"GPU is lost|determine the device handle for (?:the )?GPU|fallen off the bus"),
    (words.NO_DEVICES, r"No devices (?:were )?found"),
    (words.NOT_INSTALLED,
     rf"nvidia-smi(?:\.exe)?['\"’”»]?[^\n]{{0,40}}?(?:{_ABSENT})|(?:{_ABSENT})[^\n]{{0,20}}nvidia-smi"),
    (words.NVML_UNKNOWN, r"Failed to initialize NVML"),
)
"""In this order: what is said of one failure may hold the words of a later one."""

_PATTERNS = tuple((failure, re.compile(f"(?a){pattern}", re.IGNORECASE)) for failure, pattern in _FAILURES)
_TEGRA = re.compile(r"(?a)\bL4T_VERSION\b|-tegra\b|\(nvgpu\)")
_WSL = re.compile(r"(?a)microsoft-standard-WSL|/usr/lib/wsl/|\bWSL2? kernel")


def read(content: bytes | str, names: GpuNames) -> Server:
    """The facts in a text; ``names`` tells capabilities from names. Never raises for what the text holds."""
    text = unwrapped(cleaned(decoded(content) if isinstance(content, bytes) else content))
    tables = smi_table.tables(text)
    table = smi_table.current(tables)
    forms = _forms(text, names)
    gpus = _gpus([table.gpus if table else (), *(form.gpus for form in forms)], names)
    driver = (table.driver if table else None) or _first([form.driver for form in forms])
    driver = driver or smi_forms.loaded_module(text)
    failure = _failure(text, table, shown=bool(gpus))
    if failure is None and not gpus and driver is None and (table is None or table.limit is None):
        return Server(failure=words.UNREADABLE, looked_for=LOOKED_FOR)
    found = [row for gpu in gpus if (row := names.row(gpu.name))]
    arch = _first([row.arch for row in found]) or smi_forms.kernel_arch(text)
    tegra = any(row.tegra for row in found) or bool(_TEGRA.search(text))
    return Server(
        driver=driver, cuda_limit=(table.limit if table else None) or _first([form.limit for form in forms]), gpus=gpus,
        mig=bool(table and table.mig) or any(form.mig for form in forms),
        platform=words.TEGRA if tegra else _platform(text, table), arch="aarch64" if tegra else arch, failure=failure,
    )


def _forms(text: str, names: GpuNames) -> tuple[Facts, ...]:
    return (
        smi_forms.xml(text), smi_forms.queried(text), smi_csv.table(text, lambda name: names.row(name) is not None),
        smi_forms.listed(text),
    )


def _gpus(sources: Sequence[tuple[Gpu, ...]], names: GpuNames) -> tuple[Gpu, ...]:
    """The GPUs of the first source that has any; a cut name and a capability may come from a later one."""
    full = next((source for source in sources if source), ())
    others = {gpu.index: gpu for source in reversed(sources) for gpu in source if not is_cut(gpu.name)}
    told = {gpu.index: gpu.capability for source in sources for gpu in source if gpu.capability}
    found = []
    for gpu in full:
        name = others[gpu.index].name if is_cut(gpu.name) and gpu.index in others else gpu.name
        row = names.row(name)
        found.append(replace(gpu, name=name, capability=told.get(gpu.index) or (row.capability if row else None)))
    return tuple(found)


def _failure(text: str, table: smi_table.Table | None, *, shown: bool) -> str | None:
    """What went wrong, unless a good table stands below the message: then it was mended."""
    if table is not None and table.lost:
        return words.GPU_LOST
    for failure, pattern in _PATTERNS:
        places = [found.start() for found in pattern.finditer(text)]
        if not places or (failure == words.NOT_INSTALLED and shown):
            continue
        if failure == words.GPU_LOST or table is None or not table.gpus or places[-1] > table.start:
            return failure
    return None


def _platform(text: str, table: smi_table.Table | None) -> str:
    if _WSL.search(text) or (table and _of_wsl(table)):
        return words.WSL
    return words.WINDOWS if (table and table.windows) or smi_forms.on_windows(text) else words.LINUX


def _of_wsl(table: smi_table.Table) -> bool:
    """Under WSL nvidia-smi is Linux's and the driver Windows': near, but not the same, and of two parts only."""
    if table.smi is None or table.driver is None or table.driver.count(".") != 1:
        return False
    ours, theirs = words.version(table.smi), words.version(table.driver)
    if not ours or not theirs:  # nothing but zeros, which no driver has
        return False
    return ours != theirs and 0 <= theirs[0] - ours[0] <= words.WINDOWS_SPREAD


def _first(values: Sequence[str | None]) -> str | None:
    return next((value for value in values if value), None)
