"""The offline doctor and the one with Python say the same of every server, in every shell and awk that is here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.awks import AWKS, SHELLS, awk
from support.awks import shell as shell_of
from support.ferry import NAMES, Ferry, judged, script, texts_judged
from support.hosts import hosts

from torchferry.doctor import Asked, by_hand
from torchferry.server import Server
from torchferry.smi import read

SAMPLES = Path(__file__).parents[1] / "smi"
HOSTS, SEED = 2400, 20261124
FEW = 20

Texts = Mapping[str, bytes]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ferry") / "ferry.sh"
    made.write_text(script(), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def samples() -> Texts:
    return {path.name: path.read_bytes() for path in sorted(SAMPLES.glob("*.txt"))}


def test_both_say_the_same_of_every_sample(place: Path, samples: Texts, tmp_path: Path) -> None:
    assert len(samples) >= 15
    assert Ferry(place=place).each(tmp_path / "texts", samples) == texts_judged(samples)


def test_both_say_the_same_of_thousands_of_servers(place: Path, tmp_path: Path) -> None:
    texts = dict(hosts(SEED, HOSTS))
    expected = texts_judged(texts)
    quickest = next((name for name in AWKS if shutil.which(name)), "awk")
    found = Ferry(place=place, awk=awk(quickest, tmp_path)).each(tmp_path / "texts", texts)
    different = [name for name in texts if found.get(name) != expected[name]]
    assert [(found.get(name), expected[name]) for name in different[:3]] == []
    picks = [block.rsplit("\n", 1)[1] for block in expected.values()]
    for pick in ("cu118\t0", "cu121\t0", "cu124\t0", "cu128\t0", "cpu\t3", "\t4"):  # the servers differ enough
        assert picks.count(f"pick\t{pick}") > 20


@pytest.mark.parametrize("name", AWKS)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_and_awk_says_the_same(shell: str, name: str, place: Path, samples: Texts, tmp_path: Path) -> None:
    texts = {**samples, **dict(hosts(hash_of(shell, name), FEW))}
    one = Ferry(place=place, shell=shell_of(shell), awk=awk(name, tmp_path))
    assert one.each(tmp_path / "texts", texts) == texts_judged(texts)
    sample = SAMPLES / "002_a100-sxm4-40gb-550.txt"
    for words, given in ((["--smi", str(sample)], b""), (["--smi", "-"], sample.read_bytes())):
        done = one.run("doctor", *words, given=given)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"run: cu124\n")


def hash_of(*words: str) -> int:
    """A seed for each pair of shell and awk, the same one on every day."""
    return sum(place * ord(letter) for place, letter in enumerate("".join(words), 1))


@pytest.mark.parametrize(
    ("name", "status"),
    [("002_a100-sxm4-40gb-550.txt", 0), ("026_driver-not-loaded-bare-command.txt", 3), ("015_header-only-470.txt", 4)],
)
def test_exit_status(name: str, status: int, place: Path) -> None:
    done = Ferry(place=place).run("doctor", "--smi", str(SAMPLES / name), "--plain")
    assert done.returncode == status
    assert done.stdout.decode().rstrip("\n").split("\n", 1)[1] == texts_judged(
        {name: (SAMPLES / name).read_bytes()}
    )[name].split("\n", 1)[1]


@pytest.mark.parametrize(
    ("driver", "gpus"),
    [
        ("535.104.05", ("Tesla T4",)), ("470.82.01", ("RTX3090", "gtx1080ti")), ("528.24", ()),
        (None, ("NVIDIA GH200 480GB",)), ("580.00", ("NVIDIA Thor",)), (None, ("what's this?",)),
        ("525.60.11", ("T4",)),
        ("575.57.08", ("rtx4070super", "RTX 2080Ti", "K80")),
    ],
)
def test_both_say_the_same_of_what_is_typed(driver: str | None, gpus: tuple[str, ...], place: Path) -> None:
    words = [word for gpu in gpus for word in ("--gpu", gpu)] + (["--driver", driver] if driver else [])
    done = Ferry(place=place).run("doctor", "--plain", *words)
    server = by_hand(Asked(driver=driver, gpus=gpus), Server(), NAMES)
    assert done.stdout.decode().rstrip("\n") == judged("typed", server)


@pytest.mark.parametrize("name", ["015_header-only-470.txt", "058_a100-mig-devices-535.txt"])
def test_what_is_typed_goes_before_what_is_read(name: str, place: Path) -> None:
    data = (SAMPLES / name).read_bytes()
    asked = Asked(smi="-", driver="535.54.03", gpus=("Tesla T4",))
    done = Ferry(place=place).run("doctor", "--plain", "--smi", "-", "--driver", "535.54.03", "--gpu", "Tesla T4",
                                  given=data)
    assert done.stdout.decode().rstrip("\n") == judged("pasted", by_hand(asked, read(data, NAMES), NAMES))


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\x00", b"\xff\xfe", b"\xff\xfe\x00", b"\xef\xbb\xbf", b"\xc3", b"\x80" * 9]
)
def test_next_to_nothing_is_unreadable(data: bytes, place: Path) -> None:
    done = Ferry(place=place).run("doctor", "--smi", "-", given=data)
    assert done.returncode == 4
    assert b"nothing in the text tells a driver or a GPU" in done.stdout
    assert b"looked for:" in done.stdout


def test_a_live_server_is_asked_through_nvidia_smi(place: Path, tmp_path: Path) -> None:
    text = (SAMPLES / "002_a100-sxm4-40gb-550.txt").read_text(encoding="utf-8")
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n[ $# -gt 0 ] || cat <<'END'\n{text}\nEND\n", encoding="utf-8")
    tool.chmod(0o755)
    (tmp_path / "uname").write_text("#!/bin/sh\necho aarch64\n", encoding="utf-8")
    (tmp_path / "uname").chmod(0o755)
    done = Ferry(place=place).run("doctor", path=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 3
    assert b"built for x86_64; this server is aarch64" in done.stdout
    assert done.stdout.startswith(b"run: cpu\n")
