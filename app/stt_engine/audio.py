"""WAV bytes in, sound out."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
"""What recorders write, in Hz. Between odd rates (44099 to 16000) a resampling filter takes gigabytes."""


class NotWav(ValueError):
    """Bytes that are no WAV file, or one of a kind that is not read here."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Samples as a WAV stores them: interleaved, little-endian, ``width`` bytes each (1: unsigned); ``rate`` in Hz."""

    rate: int
    channels: int
    width: int
    frames: bytes

    @property
    def seconds(self) -> float:
        return len(self.frames) / (self.rate * self.channels * self.width)


def read_wav(data: bytes) -> Sound:
    """The sound in a WAV file; raises NotWav. A file cut short gives what is there, down to the last whole frame."""
    try:
        with wave.open(io.BytesIO(data)) as source:
            rate, channels, width = source.getframerate(), source.getnchannels(), source.getsampwidth()
            frames = source.readframes(source.getnframes())
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: a chunk that claims more than its parent
        raise NotWav(f"not a WAV file of PCM samples: {str(error) or 'it ends too early'}") from error
    if rate not in RATES or width > 4:
        raise NotWav(f"a WAV file of {8 * width} bits at {rate} Hz; 8 to 32 bits at a rate of {RATES} are read")
    frames = frames[: len(frames) - len(frames) % (channels * width)]
    if not frames:
        raise NotWav("a WAV file without a single sample")
    return Sound(rate=rate, channels=channels, width=width, frames=frames)
