"""python -m stt_engine: STT_DEVICE (auto, cpu, cuda), STT_MODELS (a folder), STT_PORT."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from stt_engine import Refusal, device
from stt_engine.api import service


def main() -> None:
    """Choose the device, load the model, serve until SIGTERM; a Refusal is said on stderr, with exit code 1."""
    obey_stop()
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    models = Path(os.environ.get("STT_MODELS", "/app/models"))
    try:
        port = parse_port(os.environ.get("STT_PORT", "8003"))
        chosen = device.choose(device.parse(os.environ.get("STT_DEVICE", "auto")))
        from stt_engine.model import load  # brings torch and torchaudio: seconds that a refusal must not cost

        model = load(models, chosen.name)
    except Refusal as refusal:
        sys.exit(f"stt-engine does not start: {refusal}")
    logging.info("torch %s on %s (%s); model in %s: %s", chosen.torch, chosen.name, chosen.reason, models, bool(model))
    serve(service(device=chosen, models=models, transcribe=model.transcribe if model else None), port=port)


def parse_port(text: str) -> int:
    """A TCP port; 0 takes a free one and logs it. Anything else is a Refusal."""
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise Refusal(f"STT_PORT={text!r} is not a port from 0 to 65535.")
    return int(text)


def obey_stop() -> None:
    """End at once on SIGTERM and SIGINT, also while torch is still loading.

    PID 1 has no default for SIGTERM: without a handler the kernel drops it. uvicorn finishes open requests,
    restores this handler and raises the signal again; then nothing waits for a transcription that still runs.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def serve(app: FastAPI, *, port: int) -> None:
    """Answer on all interfaces, log to stdout; on SIGTERM open requests get two seconds."""
    uvicorn.run(app, host="0.0.0.0", port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
