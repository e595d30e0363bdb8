"""ferry.sh explains a message as `inv doctor --error` does, and says nothing where that knows nothing."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.awks import AWKS, SHELLS, awk, shell
from support.ferry import COMPAT, Ferry, project, script
from support.smi import ERRORS, SAMPLES

from torchferry import doctor, doctor_text, symptoms
from torchferry.smi_text import decoded

CATALOGUE = symptoms.load(COMPAT)
MESSAGES = {one["id"]: one["text"].encode() for one in ERRORS}
INSUFFICIENT = "RuntimeError: CUDA failed with error CUDA driver version is insufficient for CUDA runtime version"
TEXTS, SEED = 700, 20261124

LOG = f"""\
2026-11-24 10:00:00 INFO  worker[1] 시작 ✓ Lädt Modell whisper-large-v3
\x1b[33mWARNING\x1b[0m: libnvidia-ml.so.1: cannot open shared object file
Traceback (most recent call last):
  File "/app/main.py", line 12, in <module>
{INSUFFICIENT}
write /app/models/model.bin:
    no space left on device
""".encode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ferry") / "ferry.sh"
    made.write_text(script(), encoding="utf-8")
    return made


def meant(data: bytes) -> tuple[symptoms.Symptom, ...]:
    return symptoms.recognised(decoded(data), CATALOGUE)


def block(name: str, data: bytes) -> str:
    """What Python says of a text, as `each FOLDER plain-explain` prints it."""
    lines = [f"host\t{name}"]
    for one in meant(data):
        lines += [f"symptom\t{one.name}", f"cause\t{one.cause}"]
        lines += [f"remedy\t{what}" for what in one.remedy] + [f"settle\t{what}" for what in one.settle]
    return "\n".join(lines)


def blocks(texts: Mapping[str, bytes]) -> dict[str, str]:
    return {name: block(name, data) for name, data in texts.items()}


def words(data: bytes) -> bytes:
    return (doctor_text.explained(meant(data), None) + "\n").encode()


def altered(source: random.Random) -> bytes:
    """A few messages among other lines, with other letters, blanks, colours and encodings, and some of them damaged."""
    lines = []
    for _ in range(source.randrange(1, 5)):
        text = source.choice([*MESSAGES.values(), LOG]).decode()
        at = source.randrange(len(text))
        text = source.choice([
            text, text.upper(), text.swapcase(),
            text.replace(" ", source.choice(["\n", "\t", "   ", "\r\n", "\u00a0"])),
            text[:at] + source.choice(["\x1b[1m", "?", "<b>", "&nbsp;", "\u200b", "ı", "K", "한"]) + text[at:],
            text[at:], text[:at], text.replace("so.", "so/"), "x" * source.randrange(400) + text,
            text.replace(" ", " " + "y" * source.randrange(90), 3),
        ])
        lines += [text, source.choice(["", "docker load", "write /a b", "Could", "|x|", "no space left on device"])]
    return "\n".join(lines).encode(source.choice(["utf-8", "utf-8", "utf-8", "utf-16", "cp949"]), "replace")


@pytest.mark.parametrize("name", AWKS)
def test_every_message_of_the_catalogues_tests(name: str, place: Path, tmp_path: Path) -> None:
    assert len(MESSAGES) == 42
    assert all(len(meant(data)) == 1 for data in MESSAGES.values())
    one = Ferry(place=place, awk=awk(name, tmp_path))
    assert one.each(tmp_path / "texts", MESSAGES, "plain-explain") == blocks(MESSAGES)


@pytest.mark.parametrize("name", AWKS)
def test_a_log_with_several_messages(name: str, place: Path, tmp_path: Path) -> None:
    assert [one.name for one in meant(LOG)] == ["ct2-driver-insufficient", "load-no-space", "no-libnvml"]
    done = Ferry(place=place, awk=awk(name, tmp_path)).run("doctor", "--error", "-", given=LOG)
    assert (done.returncode, done.stdout, done.stderr) == (0, words(LOG), b"")


@pytest.mark.parametrize("name", SHELLS)
def test_every_shell(name: str, place: Path, tmp_path: Path) -> None:
    saved = tmp_path / "a log of 오늘"
    saved.write_bytes(LOG)
    done = Ferry(place=place, shell=shell(name)).run("doctor", "--error", str(saved))
    assert (done.returncode, done.stdout, done.stderr) == (0, words(LOG), b"")


def test_hundreds_of_altered_texts(place: Path, tmp_path: Path) -> None:
    source = random.Random(SEED)
    texts = {f"{number:03}": altered(source) for number in range(TEXTS)}
    expected = blocks(texts)
    quickest = next((name for name in AWKS if shutil.which(name)), "awk")
    found = Ferry(place=place, awk=awk(quickest, tmp_path)).each(tmp_path / "texts", texts, "plain-explain")
    different = [name for name in texts if found.get(name) != expected[name]]
    assert [(texts[name], found.get(name), expected[name]) for name in different[:2]] == []
    counts = [text.count("\nsymptom\t") for text in expected.values()]
    assert min(counts.count(0), counts.count(1), counts.count(2)) > 30  # the texts differ enough


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"\x00", b"\xff\xfe", b"\x80" * 9, b"%s %d \\n $(id) `id` ' \" | || {1}", b"a" * 60_000,
        b"couldn" * 2_000 + b" t communicate with the nvidia driver",
        b"write /" * 1_500 + b"a: " + b"b" * 301 + b"no space left on device",
        b"write /" * 1_500 + b"a: " + b"b" * 299 + b"no space left on device",
        b"docker load " * 900 + b"c" * 150 + b"unexpected EOF",
        b"x" * 3995 + b"failed to register layer: unexpected EOF ",
        "No deviceſ were found".encode(), b"| " + b"x" * 60 + b" Driver/library\nversion mismatch |",
        b"ldcache error: process " + b"/ldconfig" * 900 + b" terminated",
        b"ldcache error: process " + b"/ldconfig" * 900 + b" failed", b"nvidia-smi " * 2_000 + b"not found",
    ],
    ids=lambda data: repr(data[:12]),
)
@pytest.mark.parametrize("name", AWKS)
def test_hostile_texts(name: str, data: bytes, place: Path, tmp_path: Path) -> None:
    one = Ferry(place=place, awk=awk(name, tmp_path))
    assert one.each(tmp_path / "texts", {"text": data}, "plain-explain") == blocks({"text": data})


def test_what_is_not_known_is_not_explained(place: Path) -> None:
    done = Ferry(place=place).run("doctor", "--error", "-", given=b"the moon is full\n")
    assert (done.returncode, done.stdout) == (4, words(b"the moon is full"))
    plain = Ferry(place=place).run("doctor", "--error", "-", "--plain", given=b"the moon is full\n")
    assert (plain.returncode, plain.stdout) == (4, b"host\ttext\n")


@pytest.mark.parametrize(
    ("driver", "gpu", "good"), [("575.57.08", "NVIDIA RTX A6000", True), ("410.79", "Tesla P100", False)]
)
def test_a_good_driver_is_not_blamed(
    driver: str, gpu: str, good: bool, place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved = tmp_path / "error"
    saved.write_text(INSUFFICIENT, encoding="utf-8")
    done = Ferry(place=place).run("doctor", "--error", str(saved), "--driver", driver, "--gpu", gpu)
    asked = doctor.Asked(error=str(saved), driver=driver, gpus=(gpu,))
    status = doctor.consult(asked, project().variants, COMPAT, as_json=False)
    assert (done.returncode, done.stdout.decode()) == (status, capsys.readouterr().out)
    assert (b"The driver is good" in done.stdout) == good


def test_a_saved_nvidia_smi_tells_of_the_driver_too(place: Path) -> None:
    sample = SAMPLES / "002_a100-sxm4-40gb-550.txt"
    done = Ferry(place=place).run("doctor", "--smi", str(sample), "--error", "-", given=INSUFFICIENT.encode())
    assert done.stdout.startswith(b"ct2-driver-insufficient: The driver is good")


def test_the_frame_is_korean_where_the_reader_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    said = Ferry(place=place).run("doctor", "--error", "-", given=INSUFFICIENT.encode()).stdout.decode()
    assert said.splitlines()[0] == doctor_text.explained(meant(INSUFFICIENT.encode()), None).splitlines()[0]
    assert "\n할 일:\n  1. " in said
    assert "\n확인 방법:\n  " in said
    assert "what to do" not in said
    unknown = Ferry(place=place).run("doctor", "--error", "-", given=b"?").stdout.decode()
    assert unknown.startswith("이 메시지는 목록에 없어")


@pytest.mark.parametrize("words", [["--error"], ["--error", "/nowhere"], ["--error", "/"], ["--smi", "/"]])
def test_what_cannot_be_read_is_refused(words: list[str], place: Path) -> None:
    done = Ferry(place=place).run("doctor", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"ferry.sh: ")


@pytest.mark.parametrize(("data", "said"), [(LOG, words(LOG)), (b"the moon is full", b"")])
def test_after_a_failed_start_only_what_is_known_is_said(data: bytes, said: bytes, place: Path, tmp_path: Path) -> None:
    parts = place.read_text(encoding="utf-8").partition("\ncommand=${1-help}\n")
    assert parts[1]
    alone = tmp_path / "ferry.sh"
    alone.write_text(f"{parts[0]}\ndiagnosis\n", encoding="utf-8")
    done = subprocess.run(["sh", str(alone)], input=data, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, b"")
