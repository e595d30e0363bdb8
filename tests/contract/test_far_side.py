"""The far side of `inv ship`, far.sh, in every shell that is here: what it keeps, takes over and refuses."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from support.far_shell import SHELLS, far_shell, tmpfs
from support.release import tree

from torchferry import files
from torchferry.carriers import Begun, Busy, Garbled, Item
from torchferry.errors import DiskFull, FerryError, ShipError
from torchferry.openssh import FAR, OpenSsh
from torchferry.patience import Transient

every_shell = pytest.mark.parametrize("shell", SHELLS)
NAMES = (
    "plain", "-rf", "two words", "it's \"quoted\"", "한 글/모델.bin", "models/whisper-1/a$b`c`", "star*[a]?", "a;b|c&d",
    " x ", "100%s", "deep/er/than/-that",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "it's home"


def item(folder: Path, name: str = "file", *, size: int = 300_000) -> Item:
    place = folder / "source" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(os.urandom(size))
    return Item(name=name, path=place, size=size, sha256=files.sha256(place))


def send(carrier: OpenSsh, one: Item, start: int = 0) -> None:
    carrier.send(one, start, files.ignore)


def cut(one: Item, at: int) -> Item:
    """The same file, of which only the beginning can be read: so does a connection end."""
    place = one.path.with_name(f"{one.path.name}.cut")
    place.write_bytes(one.path.read_bytes()[:at])
    return replace(one, path=place)


# What arrives


@every_shell
def test_files_of_any_name_arrive_and_are_known_again(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, items = far_shell(home, shell, folder="-my 'far\" folder/한"), [item(tmp_path, name) for name in NAMES]
    before = carrier.survey(items)
    assert (before.whole, before.begun, before.busy) == (frozenset(), {}, {})
    assert before.place == f"{home}/-my 'far\" folder/한"
    for one in items:
        send(carrier, one)
    assert carrier.survey(items).whole == frozenset(NAMES)
    assert tree(home / "-my 'far\" folder/한") == {one.name: one.path.read_bytes() for one in items}


@every_shell
def test_an_empty_file_and_one_that_can_be_run(shell: str, home: Path, tmp_path: Path) -> None:
    carrier = far_shell(home, shell)
    send(carrier, item(tmp_path, "empty", size=0))
    send(carrier, replace(item(tmp_path, "run.sh"), executable=True))
    folder = home / "tiny-1.0.0"
    assert (folder / "empty").read_bytes() == b""
    assert os.access(folder / "run.sh", os.X_OK) and not os.access(folder / "empty", os.X_OK)


@every_shell
def test_the_free_space_is_that_of_the_disk(shell: str, home: Path, tmp_path: Path) -> None:
    survey = far_shell(home, shell).survey([item(tmp_path)])
    assert survey.free is not None
    assert abs(survey.free - shutil.disk_usage(home).free) < 1 << 30


# What is interrupted


@every_shell
def test_a_beginning_is_kept_and_gone_on_from(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, one = far_shell(home, shell), item(tmp_path)
    with pytest.raises(Transient, match="ended after 100001 bytes"):
        send(carrier, cut(one, 100_001))
    assert list(tree(home)) == ["tiny-1.0.0/.file.partial"]  # put back, for whoever comes next from wherever
    begun = carrier.survey([one]).begun
    assert begun == {"file": Begun(size=100_001, sha256=files.sha256(one.path, size=100_001))}
    send(carrier, one, 100_001)
    assert tree(home / "tiny-1.0.0") == {"file": one.path.read_bytes()}


@every_shell
def test_a_beginning_that_changed_meanwhile_is_not_added_to(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, one = far_shell(home, shell), item(tmp_path)
    with pytest.raises(Transient):
        send(carrier, cut(one, 1000))
    for start in (999, 1001):
        with pytest.raises(Transient, match="changed meanwhile"):
            send(carrier, one, start)
    assert carrier.survey([one]).begun["file"].size == 1000


@every_shell
def test_other_bytes_never_get_the_name(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, one = far_shell(home, shell), item(tmp_path)
    send(carrier, one)
    other = item(tmp_path, "other", size=one.size)
    with pytest.raises(Garbled):
        send(carrier, replace(one, path=other.path, sha256="0" * 64))
    assert tree(home / "tiny-1.0.0") == {"file": one.path.read_bytes()}


@every_shell
def test_one_flipped_byte_over_there_is_seen(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, one = far_shell(home, shell), item(tmp_path)
    send(carrier, one)
    place = home / "tiny-1.0.0" / "file"
    data = bytearray(place.read_bytes())
    data[1234] ^= 0xFF
    place.write_bytes(data)
    assert carrier.survey([one]).whole == frozenset()


@every_shell
def test_what_a_killed_far_side_left_is_gone_on_from(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, one = far_shell(home, shell), item(tmp_path)
    with Sender(carrier, one, stall_at=100_000) as sender:
        sender.wait_for_claim(home)
        for pid in sender.pids(home):
            os.kill(pid, signal.SIGKILL)
        sender.go_on()
        with pytest.raises(FerryError):  # it said nothing at all
            sender.result()
    begun = carrier.survey([one]).begun["file"]
    assert 0 < begun.size <= 100_000
    assert begun.sha256 == files.sha256(one.path, size=begun.size)
    send(carrier, one, begun.size)
    assert tree(home / "tiny-1.0.0") == {"file": one.path.read_bytes()}


# Two at once


class Sender:
    """A sender in a thread, that stops for a while after ``stall_at`` bytes, its connection open."""

    def __init__(self, carrier: OpenSsh, one: Item, *, stall_at: int) -> None:
        self._carrier, self._item, self._stall_at = carrier, one, stall_at
        self._going_on = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> Sender:
        self._future: Future[None] = self._pool.submit(self._carrier.send, self._paced(), 0, files.ignore)
        return self

    def __exit__(self, *_: object) -> None:
        self._going_on.set()
        self._pool.shutdown()

    def result(self) -> None:
        self._future.result()

    def go_on(self) -> None:
        self._going_on.set()

    def trickle(self) -> None:
        """From now on a little comes, again and again."""
        self._trickling = True

    def wait_for_claim(self, home: Path) -> None:
        while not any(path.stat().st_size for path in home.rglob(".file.partial.*")):
            assert not self._future.done(), self._future.result()
            time.sleep(0.02)

    def pids(self, home: Path) -> list[int]:
        """The far side's process and what it started."""
        owners = [path.name.rpartition(".")[2] for path in home.rglob(".file.partial.*")]
        children = [Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split() for pid in owners]
        return [int(pid) for pid in (*owners, *(child for found in children for child in found))]

    def _paced(self) -> Item:
        sender = self

        class Paced(Item):
            def blocks(self, start: int, passed: Callable[[int], object]) -> Iterator[bytes]:
                passed(0)
                data = self.path.read_bytes()
                yield data[start:sender._stall_at]
                at = sender._stall_at
                while not sender._going_on.wait(0.2):
                    if getattr(sender, "_trickling", False):
                        yield data[at:at + 1]
                        at += 1
                yield data[at:]

        one = self._item
        return Paced(name=one.name, path=one.path, size=one.size, sha256=one.sha256)


@every_shell
def test_a_second_sender_waits_for_one_that_gets_on(shell: str, home: Path, tmp_path: Path) -> None:
    one = item(tmp_path)
    carrier = far_shell(home, shell)
    with Sender(carrier, one, stall_at=100_000) as first:
        first.wait_for_claim(home)
        first.trickle()
        assert carrier.survey([one]).busy["file"] >= 100_000
        with pytest.raises(Busy) as caught:
            send(carrier, one)
        assert caught.value.at > 100_000
        first.go_on()
        first.result()
    assert carrier.survey([one]).whole == frozenset({"file"})


@every_shell
def test_a_second_sender_takes_over_from_one_that_stands_still(shell: str, home: Path, tmp_path: Path) -> None:
    one = item(tmp_path)
    carrier = far_shell(home, shell)
    with Sender(carrier, one, stall_at=100_000) as first:
        first.wait_for_claim(home)
        begun = carrier.survey([one]).begun["file"]
        assert begun.sha256 == files.sha256(one.path, size=begun.size)
        send(carrier, one, begun.size)
        first.go_on()
        with pytest.raises(Transient, match="took this file over"):
            first.result()
    assert tree(home / "tiny-1.0.0") == {"file": one.path.read_bytes()}


def test_a_process_that_only_has_the_number_of_a_sender_is_left_alone(home: Path, tmp_path: Path) -> None:
    one, carrier = item(tmp_path), far_shell(home, "dash")
    innocent = subprocess.Popen(["sleep", "60"])
    try:
        claim = home / "tiny-1.0.0" / f".file.partial.{os.uname().nodename}.{innocent.pid}"
        claim.parent.mkdir(parents=True)
        claim.write_bytes(one.path.read_bytes()[:1000])
        assert carrier.survey([one]).begun["file"].size == 1000
        assert innocent.poll() is None
    finally:
        innocent.terminate()
        innocent.wait()


def test_what_another_server_left_in_a_shared_folder_hinders_nobody(home: Path, tmp_path: Path) -> None:
    one, carrier = item(tmp_path), far_shell(home, "dash")
    claim = home / "tiny-1.0.0" / ".file.partial.other.example.4711"
    claim.parent.mkdir(parents=True)
    claim.write_bytes(b"what came there")
    assert carrier.survey([one]).begun == {}
    send(carrier, one)
    assert (home / "tiny-1.0.0" / "file").read_bytes() == one.path.read_bytes()
    assert claim.read_bytes() == b"what came there"


# What cannot be


@every_shell
def test_a_folder_that_cannot_be_made_is_told(shell: str, home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (home / "taken").write_text("a file")
    with pytest.raises(ShipError, match=r"^taken/tiny-1.0.0: cannot be written: .*[Nn]ot a directory|exists"):
        far_shell(home, shell, folder="taken/tiny-1.0.0").survey([item(tmp_path)])


@every_shell
def test_a_folder_in_the_place_of_a_file_is_told(shell: str, home: Path, tmp_path: Path) -> None:
    (home / "tiny-1.0.0" / "file").mkdir(parents=True)
    with pytest.raises(ShipError, match="is a folder"):
        send(far_shell(home, shell), item(tmp_path))


@every_shell
def test_a_read_only_folder_is_told(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, one = far_shell(home, shell, folder="disk/tiny-1.0.0"), item(tmp_path)
    tmpfs(home / "disk", "1m")
    try:
        (home / "disk" / "tiny-1.0.0").mkdir()
        (home / "disk" / "tiny-1.0.0" / "file.sig").touch()
        subprocess.run(["mount", "-o", "remount,ro", home / "disk"], check=True)
        for action in (lambda: carrier.survey([one]), lambda: send(carrier, one), lambda: carrier.remove("file.sig")):
            with pytest.raises(ShipError, match=r"cannot be written: .*[Rr]ead-only"):
                action()
    finally:
        subprocess.run(["umount", home / "disk"], check=True)


@every_shell
def test_a_full_disk_is_told_and_what_came_is_kept(shell: str, home: Path, tmp_path: Path) -> None:
    carrier, one = far_shell(home, shell, folder="disk/tiny-1.0.0"), item(tmp_path, size=3_000_000)
    tmpfs(home / "disk", "2m")
    try:
        with pytest.raises(DiskFull, match="its disk is full"):
            send(carrier, one)
        survey = carrier.survey([one])
        begun = survey.begun["file"]
        assert begun.size > 1_000_000
        assert begun.sha256 == files.sha256(one.path, size=begun.size)
        subprocess.run(["mount", "-o", "remount,size=5m", home / "disk"], check=True)
        send(carrier, one, begun.size)
        assert files.sha256(home / "disk/tiny-1.0.0/file") == one.sha256
    finally:
        subprocess.run(["umount", home / "disk"], check=True)


# The other requests


@every_shell
def test_a_file_is_removed_and_an_absent_one_is_fine(shell: str, home: Path) -> None:
    carrier = far_shell(home, shell)
    for _ in range(2):
        carrier.remove("SHA256SUMS.sig")
        (home / "tiny-1.0.0" / "SHA256SUMS.sig").touch()
    carrier.remove("SHA256SUMS.sig")
    assert tree(home) == {}


@every_shell
def test_ferry_runs_in_its_folder_and_is_heard_line_by_line(shell: str, home: Path) -> None:
    script = b'echo "in $(pwd)"\nprintf "%s\\n" "$@"\necho trouble >&2\ncat\nexit 7\n'
    folder = home / "tiny-1.0.0"
    folder.mkdir(parents=True)
    (folder / "ferry.sh").write_bytes(script)
    heard: list[str] = []
    assert far_shell(home, shell).ferry(["up", "--variant", "it's"], heard.append) == 7
    assert heard == [f"in {folder}", "up", "--variant", "it's", "trouble"]


@every_shell
def test_a_script_from_here_runs_there(shell: str, home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1 $2"\nexit 3\n')
    heard: list[str] = []
    assert far_shell(home, shell).ferry(["doctor", "--plain"], heard.append, script) == 3
    assert heard == ["doctor --plain"]


# The script itself


def test_a_script_that_is_cut_anywhere_does_nothing(tmp_path: Path) -> None:
    text = f"set -- remove {tmp_path} ./precious\n{FAR.read_text(encoding='utf-8')}"
    (tmp_path / "precious").touch()
    for at in range(0, len(text) - len('main "$@"\n'), 97):
        subprocess.run(["sh", "-c", text[:at]], capture_output=True, check=False)
    assert (tmp_path / "precious").exists()
    subprocess.run(["sh", "-c", text], check=True, capture_output=True)
    assert not (tmp_path / "precious").exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_finds_nothing() -> None:
    found = subprocess.run(["shellcheck", "--shell=sh", FAR], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_the_hash_of_nothing_is_the_one_in_the_script() -> None:
    assert f"empty={hashlib.sha256(b'').hexdigest()}" in FAR.read_text(encoding="utf-8")
