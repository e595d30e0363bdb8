"""The sentences of a verdict, and nothing else: `inv doctor` and the bundle's ferry.sh say the same, both from here.

Each sentence belongs to one reason code of `verdict.py` and takes the values that stand in braces. For the shell's sake
values are put in as they are, and no sentence holds a backslash, an ampersand, a quote or another brace.
"""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    # the CPU's architecture
    "other_architecture": "built for {built}; this server is {arch}",
    "architecture_unknown": "built for {built}; uname -m on the server tells whether that fits",
    # variants without CUDA
    "no_gpu_needed": "needs no GPU and no driver",
    # no GPU can be reached: one sentence for each failure
    "driver_not_loaded": "no GPU until the NVIDIA driver is loaded",
    "nvml_mismatch": "no GPU until the loaded kernel module and the driver files are of one version again",
    "nvml_unknown": "no GPU where this was printed: NVML does not start there",
    "nvml_permission": "who asked may not use the GPU; run nvidia-smi as root to see which one it is",
    "no_devices": "the driver is loaded and sees no GPU",
    "not_installed": "no nvidia-smi, so no NVIDIA driver as far as this tells",
    "no_libnvml": "no GPU: libnvidia-ml.so, which comes with the driver, is missing",
    "unreadable": "nothing in the text tells a driver or a GPU",
    # the driver
    "driver_unknown": "the driver is not known; it has to be {floor} or newer",
    "driver_too_old": "driver {driver} is older than {floor}, the oldest that runs CUDA {cuda}",
    "driver_doubtful": "driver {driver} may be too old for CUDA {cuda}: NVIDIA names both {doubtful} and {floor}",
    "driver_minor": "driver {driver} runs CUDA {cuda} (from {floor} on); kernels compiled while it runs need {toolkit}",
    "driver_full": "driver {driver} serves CUDA {cuda} in full (from {toolkit} on)",
    # the GPUs
    "gpu_not_shown": "no GPU is shown; nvidia-smi -L tells which there are",
    "gpu_unknown": "GPU {gpus} ({name}): the name does not tell which it is; nvidia-smi -L tells",
    "gpu_whatever": "GPU {gpus} ({name}): whichever it is, all that driver {driver} serves can run this",
    "gpu_none_of_these": "GPU {gpus} ({name}): whichever it is, none that driver {driver} serves can run this",
    "gpu_dropped": "GPU {gpus} ({name}) is too old for driver {driver}: its generation ended with an earlier branch",
    "gpu_served": "GPU {gpus} ({name}, compute capability {capability}) is among those it has code for",
    "gpu_not_served": "GPU {gpus} ({name}) has compute capability {capability}; it has code for {serves}",
}


def sentence(code: str, values: Mapping[str, str]) -> str:
    """The sentence of one reason."""
    return REASONS[code].format_map(values)
