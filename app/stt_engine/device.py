"""Where to compute. A device counts only after a computation on it gave the right result."""

from __future__ import annotations

from dataclasses import dataclass

from stt_engine import Refusal

WISHES = ("auto", "cpu", "cuda")
ANSWER = 4 * 62 * 24 + 8 * 8 * 64
"""Sum of a convolution and a matrix product of ones: exact in every precision that a GPU may choose."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where it computes ("cpu", "cuda") and why; torch, the CUDA it was built for, and the name of the GPU in use."""

    name: str
    reason: str
    torch: str
    cuda: str | None
    gpu: str | None


def parse(text: str) -> str:
    """The wish in STT_DEVICE; anything but auto, cpu and cuda is a Refusal."""
    if text not in WISHES:
        raise Refusal(f"STT_DEVICE={text!r} is none of {', '.join(WISHES)}.")
    return text


def choose(wish: str) -> Device:
    """The device to use; "auto" falls back to the CPU and says why, "cuda" without a usable GPU is a Refusal."""
    import torch  # takes seconds: what can be refused without it was refused before

    reason = f"STT_DEVICE={wish}"
    if wish != "cpu":
        trouble = _trouble("cuda")
        if trouble is None:
            return Device(
                name="cuda", reason="a computation on the GPU gave the right result", torch=str(torch.__version__),
                cuda=torch.version.cuda, gpu=torch.cuda.get_device_name(0),
            )
        reason = f"no usable GPU: {trouble}"
        if wish == "cuda":
            raise Refusal(f"STT_DEVICE=cuda, but {reason}\nPass one in (docker run --gpus all) or set STT_DEVICE=auto.")
    if trouble := _trouble("cpu"):
        raise Refusal(f"the CPU is not usable either: {trouble}")
    return Device(name="cpu", reason=reason, torch=str(torch.__version__), cuda=torch.version.cuda, gpu=None)


def _trouble(name: str) -> str | None:
    """What is wrong with a device, in one line; None when cuDNN and cuBLAS (or their like) compute on it."""
    import torch

    try:
        ones = torch.ones(1, 8, 64, device=name)
        convolved = torch.nn.functional.conv1d(ones, torch.ones(4, 8, 3, device=name))
        answer = float(convolved.sum() + (ones[0] @ ones[0].T).sum())
    except (RuntimeError, AssertionError) as error:
        return (str(error).strip() or type(error).__name__).partition("\n")[0]
    return None if answer == ANSWER else f"it computes {answer} instead of {ANSWER}"
