"""The HTTP face: GET /health, POST /transcribe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request

from stt_engine import upload
from stt_engine.audio import NotWav, Sound, read_wav
from stt_engine.device import Device

LIMIT = 32 << 20
"""Bytes of one request: about 17 minutes of 16-bit mono at 16 kHz."""


def service(
    *, device: Device, models: Path, transcribe: Callable[[Sound], str] | None, limit: int = LIMIT
) -> FastAPI:
    """The application; without ``transcribe`` (no model in ``models``) it is well, says so, and answers 503."""
    # The pages that show an API fetch their scripts from the internet, which is not there.
    app = FastAPI(title="stt-engine", docs_url=None, redoc_url=None)
    one_at_a_time = ThreadPoolExecutor(max_workers=1)

    @app.get("/health")
    async def health() -> dict[str, object]:
        return {
            "status": "ok", "device": device.name, "device_reason": device.reason,
            "torch": device.torch, "cuda": device.cuda, "gpu": device.gpu,
            "model": {"present": transcribe is not None, "path": str(models)},
        }

    @app.post("/transcribe")
    async def text(request: Request) -> dict[str, object]:
        if transcribe is None:
            raise HTTPException(503, f"there is no model: put model.pt and its labels into {models} and start again")
        try:
            sound = read_wav(await upload.body(request, limit))
        except NotWav as error:
            raise HTTPException(400, str(error)) from error
        said = await asyncio.get_running_loop().run_in_executor(one_at_a_time, transcribe, sound)
        return {"text": said, "seconds": round(sound.seconds, 3), "device": device.name}

    return app
