"""The TorchScript CTC model in the models folder: mono sound of its rate in, log-probabilities of labels out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchaudio

from stt_engine import Refusal
from stt_engine.audio import Sound
from stt_engine.ctc import greedy, read_labels

MODEL_FILE = "model.pt"
USUAL_RATE = 16000
"""Hz, for a model that has no ``sample_rate`` of its own."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model: (1, samples) float in [-1, 1] -> (1, frames, labels), alone or first in a tuple."""

    module: torch.jit.ScriptModule
    labels: tuple[str, ...]
    rate: int
    device: str

    def transcribe(self, sound: Sound) -> str:
        """The text of a sound of any rate and number of channels."""
        wave = torchaudio.functional.resample(_mono(sound), sound.rate, self.rate)
        # Many models fail on a few samples; a second is the length that this one was proved on.
        wave = torch.nn.functional.pad(wave, (0, max(0, self.rate - wave.shape[1])))
        return greedy(self.emission(wave).argmax(-1)[0].tolist(), self.labels)

    def emission(self, wave: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            answer = self.module(wave.to(self.device))
        emission: torch.Tensor = answer[0] if isinstance(answer, tuple) else answer
        return emission


def load(folder: Path, device: str) -> Model | None:
    """The model in ``folder``, proved on a second of silence; None without one, a Refusal when it is unusable."""
    path = folder / MODEL_FILE
    try:
        if not path.exists() and not path.is_symlink():
            return None
        if not path.resolve().is_relative_to(folder.resolve()):
            raise Refusal(f"{path} is a link that leaves its folder; put the file itself there.")
        module = torch.jit.load(str(path), map_location=device).eval()
        rate = int(getattr(module, "sample_rate", USUAL_RATE))
        model = Model(module=module, labels=read_labels(folder), rate=rate, device=device)
    except (OSError, RuntimeError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise Refusal(f"{path} cannot be loaded as TorchScript: {why}") from error
    try:
        shape = tuple(model.emission(torch.zeros(1, model.rate)).shape)
    except RuntimeError as error:
        why = str(error).strip().rpartition("\n")[-1]
        raise Refusal(f"{path} fails on a second of silence: {why}") from error
    if len(shape) != 3 or shape[-1] != len(model.labels):
        raise Refusal(f"{path} answers in the shape {shape}, not (1, frames, {len(model.labels)} labels).")
    return model


def _mono(sound: Sound) -> torch.Tensor:
    """(1, samples) in [-1, 1], the channels averaged: samples of every width become the upper bytes of 32 bits."""
    stored = np.frombuffer(sound.frames, np.uint8).reshape(-1, sound.width)
    wide = np.zeros((len(stored), 4), np.uint8)
    wide[:, 4 - sound.width :] = stored ^ 0x80 if sound.width == 1 else stored
    samples = wide.view("<i4").reshape(-1, sound.channels).astype(np.float32) / np.float32(2**31)
    return torch.from_numpy(samples.mean(axis=1)).unsqueeze(0)
