"""The reference service as it is used: a process, HTTP on localhost, signals.

What needs no torch runs everywhere, over the real server with a hand-written transcriber. The rest starts
`python -m stt_engine` and is skipped where torch and torchaudio are missing.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import os
import pickle
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

APP = Path(__file__).parents[2] / "app"
sys.path.insert(0, str(APP))

from stt_engine import Refusal, device  # noqa: E402
from stt_engine.__main__ import parse_port  # noqa: E402
from stt_engine.audio import NotWav, read_wav  # noqa: E402
from stt_engine.ctc import greedy, read_labels  # noqa: E402
from stt_engine.upload import file_of  # noqa: E402

PATIENCE = 120
"""Seconds after which a test gives up on a process that hangs; nothing is measured with it."""

AS_PID_1 = ("unshare", "--pid", "--fork", "--kill-child")

needs_torch = pytest.mark.skipif(
    not (importlib.util.find_spec("torch") and importlib.util.find_spec("torchaudio")),
    reason="torch and torchaudio are not installed here; `inv smoke` starts the service in its images, "
    "and these tests run in any environment made from app/requirements.in plus pytest and httpx",
)

WITHOUT_TORCH = """
import sys, time
from pathlib import Path
from stt_engine.__main__ import obey_stop, serve
from stt_engine.api import service
from stt_engine.device import Device

def transcribe(sound):
    if sound.rate == 8000:
        print("busy", flush=True)
        time.sleep(1000)
    return f"{sound.rate} Hz, {sound.channels} x {sound.width}, {len(sound.frames)} bytes"

obey_stop()
chosen = Device(name="cpu", reason="a test", torch="0", cuda=None, gpu=None)
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
serve(service(device=chosen, models=Path("/models"), transcribe=transcribe, limit=100_000), port=0)
"""

TINY_MODEL = """
import sys, warnings
import torch

class Tones(torch.nn.Module):
    sample_rate: int

    def __init__(self) -> None:
        super().__init__()
        self.sample_rate = 8000

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        assert sound.size(1) >= 160, "less than a frame"
        frames = sound[:, : sound.size(1) // 160 * 160].reshape(1, -1, 160)
        turns = (frames[:, :, 1:] * frames[:, :, :-1] < 0).sum(-1)
        loud = frames.abs().mean(-1) > 0.05
        best = torch.where(loud, 1 + (turns > 20).long() + (turns > 40).long(), torch.zeros_like(turns))
        return torch.nn.functional.one_hot(best, 4).float()

class Broken(torch.nn.Module):
    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        return sound.reshape(1, 7, -1)

warnings.simplefilter("ignore")
torch.jit.script(Tones()).save(sys.argv[1])
torch.jit.script(Broken()).save(sys.argv[2])
"""
"""Hears a tone of 300 Hz as "a", 800 Hz as a space and 1500 Hz as "b", if it gets them at 8000 Hz."""

LABELS = ["<blank>", "a", "|", "b"]


@dataclass(frozen=True, kw_only=True)
class Running:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def post(self, **request: object) -> httpx.Response:
        return httpx.post(f"{self.url}/transcribe", timeout=PATIENCE, **request)  # type: ignore[arg-type]

    def health(self) -> dict[str, object]:
        answer = httpx.get(f"{self.url}/health", timeout=PATIENCE)
        assert answer.status_code == 200
        said: dict[str, object] = answer.json()
        return said


def environment(env: Mapping[str, str]) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("STT_")}
    return {**clean, "PYTHONPATH": str(APP), "CUDA_VISIBLE_DEVICES": "", "STT_PORT": "0", **env}


def waited_for(pattern: str, log: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(PATIENCE * 10):
        text = log.read_text(encoding="utf-8")
        if found := re.search(pattern, text):
            return found[found.re.groups]
        assert process.poll() is None, f"the service ended with {process.returncode}:\n{text}"
        time.sleep(0.1)
    raise AssertionError(f"no {pattern!r} in:\n{log.read_text(encoding='utf-8')}")


@contextmanager
def running(*argv: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    with log.open("wb") as sink, (log.parent / f"{log.name}.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, *argv], env=environment(env or {}), stdin=subprocess.DEVNULL, stdout=sink, stderr=errors,
        )
        try:
            port = waited_for(r"running on http://0\.0\.0\.0:(\d+)", log, process)
            yield Running(process=process, url=f"http://127.0.0.1:{port}", log=log)
        finally:
            process.kill()
            process.wait()


def refused(**env: str) -> str:
    """What the service says on stderr when it does not start; a traceback or a clean exit fails the test."""
    done = subprocess.run(
        [sys.executable, "-m", "stt_engine"], env=environment(env), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def wav(*samples: float, rate: int = 16000, channels: int = 1, width: int = 2) -> bytes:
    """A WAV file; every channel but the first is silent."""
    top = 2 ** (8 * width - 1) - 1
    stored = bytearray()
    for sample in samples:
        for value in (sample, *[0.0] * (channels - 1)):
            number = round(value * top) + (128 if width == 1 else 0)
            stored += number.to_bytes(width, "little", signed=width > 1)
    sink = io.BytesIO()
    with wave.open(sink, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(bytes(stored))
    return sink.getvalue()


def tones(*pitches: int, rate: int) -> list[float]:
    """A fifth of a second of each pitch in Hz; 0 is silence."""
    return [0.8 * math.sin(2 * math.pi * pitch * (at + 0.5) / rate) for pitch in pitches for at in range(rate // 5)]


# Parts that need no process.

def test_ctc_takes_repeats_once_and_drops_blanks() -> None:
    assert greedy([0, 1, 1, 0, 1, 2, 2, 3, 3, 0], ("", "a", "|", "b")) == "aa b"
    assert greedy([0, 0], ("", "a")) == ""


def test_labels_come_from_json_or_from_lines(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blk>\nä\n|\n", encoding="utf-8")
    assert read_labels(tmp_path) == ("<blk>", "ä", "|")
    (tmp_path / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    assert read_labels(tmp_path) == tuple(LABELS)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", '["only a blank"]', "[", "\udcff"])
def test_labels_that_are_no_list_of_texts_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Refusal, match="labels"):
        read_labels(tmp_path)


def test_a_model_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"labels\.json or tokens\.txt"):
        read_labels(tmp_path)


@pytest.mark.parametrize("wish", ["auto", "cpu", "cuda"])
def test_the_three_devices_are_understood(wish: str) -> None:
    assert device.parse(wish) == wish


@pytest.mark.parametrize("wish", ["", "CUDA", "gpu", "cuda:1"])
def test_another_device_is_refused_by_name(wish: str) -> None:
    with pytest.raises(Refusal, match=re.escape(f"{wish!r} is none of auto, cpu, cuda")):
        device.parse(wish)


@pytest.mark.parametrize("port", ["", "-1", "65536", "80a", "²"])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(Refusal, match="STT_PORT"):
        parse_port(port)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_of_every_width_is_read(width: int) -> None:
    sound = read_wav(wav(*[0.5] * 80, rate=8000, channels=2, width=width))
    assert (sound.rate, sound.channels, sound.width) == (8000, 2, width)
    assert (len(sound.frames), sound.seconds) == (80 * 2 * width, 0.01)


def test_a_wav_cut_short_keeps_its_whole_frames() -> None:
    whole = wav(*[0.5] * 80, channels=2)
    assert read_wav(whole[:-5]).frames == read_wav(whole).frames[:-8]


def test_a_wav_written_to_a_pipe_is_read_to_its_end() -> None:
    whole = wav(*[0.5] * 80)
    endless = whole[:4] + b"\xff\xff\xff\xff" + whole[8:40] + b"\xff\xff\xff\xff" + whole[44:]
    assert read_wav(endless).frames == read_wav(whole).frames


FORMAT = wav(0.5)[:20]


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "ends too early"),
        (b"ID3\x04 this is an MP3 file" * 4, "RIFF"),
        (wav(0.5)[:30], "ends too early"),
        (b"RIFF\x24\0\0\0WAVELIST\xff\xff\0\0" + bytes(99), "ends too early"),
        (wav(), "without a single sample"),
        (wav(0.5, rate=44099), "44099 Hz"),
        (FORMAT + struct.pack("<HHIIHH", 1, 1, 16000, 80000, 5, 40) + b"data\x05\0\0\0hello", "40 bits"),
        (FORMAT + struct.pack("<HHIIHH", 3, 1, 16000, 64000, 4, 32) + b"data\x04\0\0\0four", "format"),
        (FORMAT + struct.pack("<HHIIHH", 1, 0, 16000, 32000, 2, 16) + b"data\x04\0\0\0four", "channels"),
    ],
    ids=["empty", "mp3", "cut", "huge-chunk", "silent", "odd-rate", "40-bit", "float", "no-channel"],
)
def test_bytes_that_are_no_readable_wav_are_named(data: bytes, cause: str) -> None:
    with pytest.raises(NotWav, match=cause):
        read_wav(data)


def test_a_big_form_needs_no_folder_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    sent = os.urandom(3 << 20)
    form = b'--x\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n' + sent + b"\r\n--x--\r\n"
    assert file_of("multipart/form-data; boundary=x", form) == sent


# The HTTP face, over the real server, with a transcriber that tells what it got.

@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running("-c", WITHOUT_TORCH, log=tmp_path_factory.mktemp("stt") / "log") as started:
        yield started


def test_a_wav_may_come_raw_or_as_the_file_of_a_form(server: Running) -> None:
    sound = wav(*[0.5] * 800)
    told = {"text": "16000 Hz, 1 x 2, 1600 bytes", "seconds": 0.05, "device": "cpu"}
    assert server.post(content=sound).json() == told
    assert server.post(files={"file": ("a.wav", sound)}, data={"language": "en"}).json() == told


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"no sound at all"},
        {"content": b""},
        {"files": {"file": ("a.wav", b"no sound at all")}},
        {"files": [("a", ("a.wav", wav(0.5))), ("b", ("b.wav", wav(0.5)))]},
        {"content": wav(0.5), "headers": {"content-type": "multipart/form-data"}},
        {"content": wav(0.5), "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"--x\r\ncontent-", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": wav(0.5), "headers": {"content-type": "multipart/mixed; boundary=x"}},
        {"content": b"", "headers": {"content-type": b"multipart/form-data; boundary=\xff"}},
        {
            "content": b'--x\r\ncontent-transfer-encoding: base64\r\ncontent-disposition: form-data; name=f; filename=f'
            b"\r\n\r\n!!!!\r\n--x--\r\n",
            "headers": {"content-type": "multipart/form-data; boundary=x"},
        },
    ],
    ids=["raw", "empty", "form", "two-files", "no-boundary", "not-a-form", "cut-form", "mixed", "latin", "base64"],
)
def test_what_is_no_wav_is_answered_with_400(server: Running, request_: dict[str, object]) -> None:
    answer = server.post(**request_)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_too_many_bytes_are_refused_before_they_are_sent(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=PATIENCE) as line:
        line.sendall(b"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_too_many_bytes_without_an_announced_length_are_refused(server: Running) -> None:
    assert server.post(content=iter([b"x" * 50_000] * 2)).status_code == 400
    assert server.post(content=iter([b"x" * 50_000] * 2 + [b"x"])).status_code == 413


def test_a_client_that_leaves_early_does_no_harm(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as line:
        line.sendall(b"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nRIFF")
    waited_for(r"\"POST /transcribe HTTP/1\.1\" (4)00", server.log, server.process)
    assert server.health()["status"] == "ok"
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


def test_health_is_answered_while_sound_is_transcribed_and_sigterm_ends_both(tmp_path: Path) -> None:
    with running("-c", WITHOUT_TORCH, log=tmp_path / "log") as busy:
        sound = wav(0.5, rate=8000)
        with socket.create_connection(("127.0.0.1", int(busy.url.rpartition(":")[2]))) as line:
            line.sendall(b"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(sound), sound))
            waited_for("busy", busy.log, busy.process)
            assert busy.health()["status"] == "ok"
            busy.process.send_signal(signal.SIGTERM)
            assert busy.process.wait(timeout=PATIENCE) == 0


def may_make_pid_1() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run([*AS_PID_1, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_make_pid_1(), reason="PID 1 needs a PID namespace of its own: root on Linux")
@pytest.mark.parametrize("moment", ["starting", "serving"])
def test_sigterm_ends_it_as_pid_1(tmp_path: Path, moment: str) -> None:
    slow = "from stt_engine.__main__ import obey_stop; obey_stop(); print('starting', flush=True)\n"
    slow += "import time; time.sleep(1000)" if moment == "starting" else WITHOUT_TORCH
    log = tmp_path / "log"
    with log.open("wb") as sink:
        outer = subprocess.Popen(
            [*AS_PID_1, sys.executable, "-c", slow], env=environment({}),
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
        )
    try:
        waited_for("running on" if moment == "serving" else "starting", log, outer)
        inner = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text(encoding="ascii").split()
        assert len(inner) == 1
        os.kill(int(inner[0]), signal.SIGTERM)
        assert outer.wait(timeout=PATIENCE) == 0
    finally:
        outer.kill()
        outer.wait()


# The whole service.

def test_an_unknown_device_is_refused_before_torch_is_loaded() -> None:
    assert "STT_DEVICE='gpu' is none of auto, cpu, cuda" in refused(STT_DEVICE="gpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that hears tones, its labels, and broken.pt, which fails on every sound."""
    folder = tmp_path_factory.mktemp("models")
    # TorchScript reads the source of a class again, so it has to stand in a file.
    script = folder / "tiny_model.py"
    script.write_text(TINY_MODEL, encoding="utf-8")
    subprocess.run([sys.executable, script, folder / "model.pt", folder / "broken.pt"], check=True, timeout=PATIENCE)
    (folder / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def engine(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("engine") / "log"
    with running("-m", "stt_engine", log=log, env={"STT_MODELS": str(models), "STT_DEVICE": "auto"}) as started:
        yield started


@needs_torch
@pytest.mark.parametrize(
    ("rate", "channels", "width"), [(8000, 1, 2), (16000, 1, 1), (44100, 1, 3), (48000, 2, 4)],
)
def test_sound_of_any_kind_becomes_text(engine: Running, rate: int, channels: int, width: int) -> None:
    sound = wav(*tones(0, 300, 0, 300, 800, 1500, 0, rate=rate), rate=rate, channels=channels, width=width)
    answer = engine.post(files={"file": ("tones.wav", sound)})
    assert answer.json() == {"text": "aa b", "seconds": 1.4, "device": "cpu"}


@needs_torch
def test_a_single_sample_is_no_text_and_no_error(engine: Running) -> None:
    assert engine.post(content=wav(0.5)).json()["text"] == ""


@needs_torch
def test_health_tells_device_and_model_and_why_there_is_no_gpu(engine: Running, models: Path) -> None:
    said = engine.health()
    assert set(said) == {"status", "device", "device_reason", "torch", "cuda", "gpu", "model"}
    assert (said["status"], said["device"], said["gpu"]) == ("ok", "cpu", None)
    assert str(said["device_reason"]).startswith("no usable GPU: ")
    assert said["model"] == {"present": True, "path": str(models)}


@needs_torch
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are listed in /proc, on Linux")
def test_it_is_one_process_and_logs_to_stdout(engine: Running) -> None:
    engine.health()
    pid = engine.process.pid
    children = [task.joinpath("children").read_text("ascii") for task in Path(f"/proc/{pid}/task").iterdir()]
    assert "".join(children) == ""
    assert "GET /health" in engine.log.read_text(encoding="utf-8")
    assert engine.log.with_name("log.err").read_text(encoding="utf-8") == ""


@needs_torch
def test_without_a_model_it_is_well_and_answers_503_and_stops_on_sigterm(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    env = {"STT_MODELS": str(nothing), "STT_DEVICE": "cpu"}
    with running("-m", "stt_engine", log=tmp_path / "log", env=env) as bare:
        said = bare.health()
        assert (said["status"], said["device_reason"]) == ("ok", "STT_DEVICE=cpu")
        assert said["model"] == {"present": False, "path": str(nothing)}
        answer = bare.post(content=wav(0.5))
        assert (answer.status_code, answer.json()["detail"]) == (
            503, f"there is no model: put model.pt and its labels into {nothing} and start again",
        )
        bare.process.terminate()
        assert bare.process.wait(timeout=PATIENCE) == 0


@needs_torch
def test_cuda_without_a_gpu_is_refused_with_the_reason() -> None:
    said = refused(STT_DEVICE="cuda")
    assert re.search(r"STT_DEVICE=cuda, but no usable GPU: \S+ .*\nPass one in \(docker run --gpus all\)", said)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.mark), 0o700)


@needs_torch
def test_a_pickle_is_not_a_model_and_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "cannot be loaded as TorchScript" in refused(STT_MODELS=str(tmp_path))
    assert not (tmp_path / "sprung").exists()


@needs_torch
@pytest.mark.parametrize("target", ["model.pt", "missing.pt"])
def test_a_model_behind_a_link_out_of_its_folder_is_refused(models: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "model.pt").symlink_to(models / target)
    assert "is a link that leaves its folder" in refused(STT_MODELS=str(tmp_path))


@needs_torch
def test_a_model_that_fails_or_has_other_labels_is_refused_at_start(models: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blank>\na\n", encoding="utf-8")
    shutil.copy(models / "model.pt", tmp_path)
    assert "answers in the shape (1, 50, 4), not (1, frames, 2 labels)" in refused(STT_MODELS=str(tmp_path))
    shutil.copy(models / "broken.pt", tmp_path / "model.pt")
    assert "fails on a second of silence: RuntimeError: shape" in refused(STT_MODELS=str(tmp_path))
