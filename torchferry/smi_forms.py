"""What nvidia-smi prints when it is asked with -L, -q or -q -x, and what the kernel module says of itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from torchferry.server import Gpu
from torchferry.smi_table import DRIVER, LIMIT, MOST

BRANDS = r"NVIDIA|Tesla|GeForce|Quadro|GRID|TITAN|RTX|GTX|NVS|Orin|Xavier|Jetson"
"""Words with which the name of a product begins; which GPU it is, the table says."""

_LISTED = re.compile(
    r"(?a)\bGPU {1,3}(?P<index>\d{1,3}): {0,3}(?P<name>[A-Za-z][^\n|]{0,90}?)(?: {0,3}\(UUID\b|\s{0,40}$)", re.MULTILINE
)
_LISTED_MIG = re.compile(r"(?a)\bMIG +(?:\d+c\.)?\d+g\.\d+gb|\(UUID: *MIG-")
_XML = re.compile(r"(?a)<(?P<field>driver_version|kmd_version|cuda_version|cuda_umd_version|product_name|current_mig)>"
                  r"(?P<value>[^<\n]{0,120})")
_NAMED = re.compile(r"(?a)Product Name\s{0,60}: ?(?P<name>[^\n]{1,90}?)(?= {2,}|\s+Product |\s*$)", re.MULTILINE)
_MIG_MODE = re.compile(r"(?a)MIG Mode\s{1,80}Current\s{0,60}: ?Enabled")
_MODEL = re.compile(r"(?a)Driver Model\s{1,80}Current\s{0,60}: ?(?:WDDM|TCC|MCDM)")
_MODULE = re.compile(
    rf"(?a)NVRM version:[^\n]{{0,120}}?(?P<driver>{DRIVER})|kernel module has the version (?P<seen>{DRIVER})"
)
_MODULE_ARCH = re.compile(
    r"(?a)NVIDIA UNIX (?:Open Kernel Module for )?(x86_64|aarch64)|\bLinux [^\n]{5,200}? (x86_64|aarch64)\b"
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What one form of output told."""

    driver: str | None = None
    limit: str | None = None
    gpus: tuple[Gpu, ...] = ()
    mig: bool = False


def listed(text: str) -> Facts:
    """`nvidia-smi -L`: indexes, names and MIG slices, never a driver."""
    found = {
        int(row["index"]): Gpu(index=int(row["index"]), name=row["name"].strip()) for row in _LISTED.finditer(text)
        if "(UUID" in row[0] or re.match(BRANDS, row["name"])
    }
    return Facts(gpus=tuple(found.values())[:MOST], mig=bool(found) and bool(_LISTED_MIG.search(text)))


def queried(text: str) -> Facts:
    """The GPUs of `nvidia-smi -q`, in its order; its driver stands in a line that the table's header also has."""
    names = [found["name"].strip() for found in islice(_NAMED.finditer(text), MOST)]
    return Facts(
        gpus=tuple(Gpu(index=index, name=name) for index, name in enumerate(names)),
        mig=bool(names) and bool(_MIG_MODE.search(text)),
    )


def xml(text: str) -> Facts:
    """`nvidia-smi -q -x`, whole or cut off: its elements are read one by one."""
    values: dict[str, list[str]] = {}
    for found in _XML.finditer(text):
        values.setdefault(found["field"], []).append(found["value"].strip())
    names = values.get("product_name", [])[:MOST]
    return Facts(
        driver=_whole(DRIVER, [*values.get("driver_version", []), *values.get("kmd_version", [])]),
        limit=_whole(LIMIT, [*values.get("cuda_version", []), *values.get("cuda_umd_version", [])]),
        gpus=tuple(Gpu(index=index, name=name) for index, name in enumerate(names) if name),
        mig="Enabled" in values.get("current_mig", []),
    )


def loaded_module(text: str) -> str | None:
    """The driver that the kernel has loaded: /proc/driver/nvidia/version, or an NVRM line of dmesg."""
    found = _MODULE.search(text)
    return (found["driver"] or found["seen"]) if found else None


def kernel_arch(text: str) -> str | None:
    """The CPU that a kernel line names (uname -a, /proc/driver/nvidia/version)."""
    found = _MODULE_ARCH.search(text)
    return (found[1] or found[2]) if found else None


def on_windows(text: str) -> bool:
    """Whether -q names a driver model, which only Windows has."""
    return bool(_MODEL.search(text))


def _whole(pattern: str, values: Sequence[str]) -> str | None:
    # Since 610 a value may have a tail: "[Deprecated; ...]".
    found = (re.match(rf"(?a)({pattern})(?![\w.])", value) for value in values)
    return next((one[1] for one in found if one), None)
