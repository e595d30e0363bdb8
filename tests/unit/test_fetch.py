"""A lock becomes a folder of exactly its wheels, whatever the network does meanwhile."""

import fcntl
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from support.index_server import Fault, IndexServer, Kind
from support.wheel_factory import locked, make_wheel

from torchferry import console, files, web
from torchferry.download import Wanted, claimed
from torchferry.errors import DiskFull, FerryError, IntegrityError, SourceError
from torchferry.fetch import fetch
from torchferry.index import Sources
from torchferry.layout import Layout
from torchferry.model import Base, Lock, Release, Service, Variant, WheelSet

SERVICE = Service(name="stt", source="app", requirements="r.in", command=("x",), base=Base(debian="bookworm"))
RELEASE = Release(name="stt", version="1.0.0")
CU118 = Variant(release=RELEASE, service=SERVICE, name="cu118", python="3.11", torch="2.1.2")
CU121 = replace(CU118, name="cu121")
BIG = "big-1.0-py3-none-any.whl"
SMALL = "small-1.0-py3-none-any.whl"
TOOL = "tool-1.0-py3-none-any.whl"


def lock_of(served: Path) -> Lock:
    return Lock(
        fingerprint="f", wheels=(locked(served / BIG), locked(served / SMALL)), installer=locked(served / TOOL)
    )


class Site:
    """A project, a server and a lock over three of its wheels."""

    def __init__(self, root: Path, server: IndexServer) -> None:
        self.root, self.server = root, server
        self.layout = Layout(root=root / "project")
        self.served = server.root / "pypi"
        self.lock = lock_of(self.served)
        self.sources = Sources(default_index=server.default_index)
        self.slept: list[float] = []

    def fetch(self, *, variant: Variant = CU118, sources: Sources | None = None, attempts: int = 4) -> WheelSet:
        patience = web.Patience(attempts=attempts, sleep=self.slept.append)
        return fetch(self.lock, variant, self.layout, sources or self.sources, patience=patience)

    @property
    def big(self) -> Path:
        return self.layout.wheel_folder(CU118) / BIG

    @property
    def partial(self) -> Path:
        return self.big.with_name(f".{BIG}.partial")

    def statuses(self, filename: str = BIG) -> list[int]:
        return [request.status for request in self.server.asked(filename)]

    def leave_partial(self, content: bytes, version: str) -> None:
        """As a run that was killed leaves it."""
        self.big.parent.mkdir(parents=True)
        self.partial.write_bytes(content)
        self.big.with_name(f".{BIG}.version").write_text(version)

    @property
    def content(self) -> bytes:
        return (self.served / BIG).read_bytes()

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    def is_whole(self) -> bool:
        """The big wheel is there, and nothing else is left of its coming."""
        names = {path.name for path in self.big.parent.iterdir()}
        return self.big.read_bytes() == self.content and names == {BIG, SMALL, ".verified.json"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = tmp_path / "served" / "pypi"
    make_wheel(served, "big", "1.0", files={"big/data.bin": random.Random(1).randbytes(3_000_000)})
    make_wheel(served, "small", "1.0", files={"small/__init__.py": ""})
    make_wheel(served, "tool", "1.0", files={"tool/__init__.py": ""})
    with IndexServer(tmp_path / "served") as server:
        yield Site(tmp_path, server)


def test_every_wheel_comes_and_the_installer_lies_apart(site: Site) -> None:
    wheels = site.fetch()
    assert wheels == WheelSet(
        lock=site.lock, folder=site.layout.wheel_folder(CU118), installer=site.layout.tools_folder / TOOL
    )
    assert wheels.installer.read_bytes() == (site.served / TOOL).read_bytes()
    assert site.is_whole()
    assert all("identity" in request.headers["accept-encoding"] for request in site.server.asked(".whl"))


def test_the_second_fetch_asks_nobody_and_reads_no_wheel(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fetch()
    asked = len(site.server.requests)

    def read(*_: object, **__: object) -> str:
        raise AssertionError("a wheel was read")

    monkeypatch.setattr(files, "sha256", read)
    site.fetch()
    assert len(site.server.requests) == asked


def test_a_wheel_that_was_touched_is_read_again_and_kept_if_good(site: Site) -> None:
    site.fetch()
    asked = len(site.server.requests)
    os.utime(site.big, ns=(1, 1))
    site.fetch()
    assert len(site.server.requests) == asked
    assert json.loads((site.big.parent / ".verified.json").read_text())[BIG][1] == 1


def test_a_damaged_wheel_is_fetched_anew(site: Site) -> None:
    site.fetch()
    site.big.write_bytes(site.content[:-1] + b"?")
    site.fetch()
    assert site.is_whole()


def test_a_lost_or_damaged_memory_costs_no_download(site: Site) -> None:
    site.fetch()
    asked = len(site.server.requests)
    for text in ("{", "[1]", '{"a": 1}'):
        (site.big.parent / ".verified.json").write_text(text)
        site.fetch()
    assert len(site.server.requests) == asked


def test_wheels_that_the_lock_does_not_name_are_left_alone(site: Site) -> None:
    other = site.big.with_name("other-1.0-py3-none-any.whl")
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    site.fetch()
    assert other.read_bytes() == b"mine"


def test_what_another_variant_has_is_linked(site: Site) -> None:
    site.fetch()
    site.fetch(variant=CU121)
    assert site.big.samefile(site.layout.wheel_folder(CU121) / BIG)
    assert site.statuses() == [200]


def test_what_a_find_links_folder_has_is_linked(site: Site) -> None:
    site.fetch(sources=Sources(default_index="http://127.0.0.1:9/", find_links=(str(site.served),)))
    assert site.big.samefile(site.served / BIG)
    assert site.server.requests == []


def test_a_damaged_copy_elsewhere_is_passed_over(site: Site) -> None:
    copies = site.root / "copies"
    copies.mkdir()
    (copies / BIG).write_bytes(bytes(len(site.content)))
    site.fetch(sources=Sources(default_index=site.server.default_index, find_links=(str(copies),)))
    assert site.is_whole()


@pytest.mark.parametrize(("fault", "statuses"), [
    (Fault(kind="status", status=503, times=2), [503, 503, 200]),
    (Fault(kind="status", status=429, retry_after="7", times=1), [429, 200]),
    (Fault(kind="cut", after=1_000_000, times=1), [200, 206]),
    (Fault(kind="cut", after=0, times=1), [200, 200]),
])
def test_what_passes_is_waited_out_and_resumed(site: Site, fault: Fault, statuses: list[int]) -> None:
    site.server.fail(BIG, fault)
    site.fetch()
    assert site.is_whole()
    assert site.statuses() == statuses
    assert len(site.slept) == len(statuses) - 1
    if fault.retry_after:
        assert site.slept == [7.0]


def test_a_reset_connection_is_opened_again(site: Site) -> None:
    site.server.fail(BIG, Fault(kind="reset", after=1_000_000, times=1))
    site.fetch()
    assert site.is_whole()
    assert len(site.statuses()) == 2 and len(site.slept) == 1


def test_a_line_that_brings_something_each_time_is_not_given_up_on(site: Site) -> None:
    for _ in range(2):
        site.server.fail(BIG, Fault(kind="cut", after=1_200_000, times=1))
    site.fetch(attempts=2)
    assert site.is_whole()
    assert site.statuses() == [200, 206, 206]


def test_a_stalled_server_is_given_up_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = web.client

    def hasty() -> web.Client:
        opened = usual()
        opened.timeout = 0.2
        return opened

    monkeypatch.setattr(web, "client", hasty)
    site.server.fail(BIG, Fault(kind="stall", after=2_000_000, times=1))
    site.fetch()
    assert site.is_whole()
    assert site.statuses() == [200, 206]


def test_a_killed_run_is_resumed_if_the_file_is_still_the_same(site: Site) -> None:
    site.leave_partial(site.content[:1_000_000], site.etag)
    site.fetch()
    assert site.is_whole()
    (request,) = site.server.asked(BIG)
    assert (request.headers["range"], request.headers["if-range"]) == ("bytes=1000000-", site.etag)


def test_another_version_by_now_starts_again(site: Site) -> None:
    site.leave_partial(b"x" * 1_000_000, '"older"')
    site.fetch()
    assert site.is_whole()
    assert site.statuses() == [200]


def test_a_beginning_of_unknown_version_is_not_trusted(site: Site) -> None:
    site.leave_partial(site.content[:1_000_000], "")
    site.fetch()
    assert site.is_whole()
    assert "range" not in site.server.asked(BIG)[0].headers


def test_a_beginning_that_does_not_fit_is_dropped(site: Site) -> None:
    site.leave_partial(b"x" * 1_000_000, site.etag)
    site.fetch()
    assert site.is_whole()
    assert site.statuses() == [206, 200]


def test_a_whole_partial_file_needs_no_request(site: Site) -> None:
    site.leave_partial(site.content, site.etag)
    site.fetch()
    assert site.is_whole()
    assert site.statuses() == []


@pytest.mark.parametrize(("kind", "statuses"), [
    ("ignore-range", [200]), ("refuse-range", [416, 200]), ("wrong-offset", [206]), ("new-etag", [200]),
])
def test_servers_that_cannot_resume_are_asked_for_the_whole(site: Site, kind: Kind, statuses: list[int]) -> None:
    site.leave_partial(site.content[:1_000_000], site.etag)
    site.server.fail(BIG, Fault(kind=kind))
    site.fetch()
    assert site.is_whole()
    assert site.statuses() == statuses


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_not_tried_again(site: Site, status: int) -> None:
    site.server.fail(BIG, Fault(kind="status", status=status))
    with pytest.raises(SourceError, match=f"{BIG}: http://.*: answered {status}"):
        site.fetch()
    assert site.statuses() == [status] and site.slept == []


@pytest.mark.parametrize(("fault", "error", "said"), [
    (Fault(kind="status", status=500), SourceError, "answered 500 .*, 4 times in a row"),
    (Fault(kind="reset", after=10), SourceError, "4 times in a row"),
    (Fault(kind="short", after=1_000), IntegrityError, "ended after 1000 of [0-9]+ bytes, it is truncated there"),
    (Fault(kind="wrong-bytes"), IntegrityError, "right size, other bytes"),
    (Fault(kind="page"), SourceError, "an HTML page instead of the file"),
    (Fault(kind="gzip"), SourceError, "compressed body"),
])
def test_each_lasting_failure_has_its_own_name(
    site: Site, fault: Fault, error: type[FerryError], said: str
) -> None:
    site.server.fail(BIG, fault)
    with pytest.raises(error, match=said) as refusal:
        site.fetch()
    assert BIG in refusal.value.message
    assert not site.big.exists()


def test_tampered_bytes_are_not_kept_nor_asked_for_again(site: Site) -> None:
    site.server.fail(BIG, Fault(kind="wrong-bytes"))
    with pytest.raises(IntegrityError):
        site.fetch()
    assert site.statuses() == [200]
    assert not site.partial.exists()


def test_a_file_larger_than_locked_is_refused_before_it_fills_the_disk(site: Site) -> None:
    smaller = replace(site.lock.wheels[0], size=site.lock.wheels[0].size - 1)
    site.lock = replace(site.lock, wheels=(smaller,))
    with pytest.raises(IntegrityError, match="larger than the locked"):
        site.fetch()
    assert not site.partial.exists()


def test_a_failure_keeps_what_the_others_brought(site: Site) -> None:
    site.server.fail(BIG, Fault(kind="cut", after=1_500_000, times=1))
    site.server.fail(BIG, Fault(kind="status", status=404))
    with pytest.raises(SourceError):
        site.fetch()
    assert site.partial.stat().st_size == 1_500_000
    site.server.clear()
    site.fetch()
    assert site.is_whole()
    assert site.statuses() == [200, 404, 206]


def test_a_small_disk_is_refused_before_anything_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda _: 1_000_000)
    with pytest.raises(DiskFull):
        site.fetch()
    assert site.server.requests == []
    site.fetch(sources=Sources(default_index=site.server.default_index, find_links=(str(site.served),)))


def test_progress_ends_at_the_bytes_of_all_wheels(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[console.Progress] = []
    usual = console.Progress

    def remembered(*, title: str, total: int | None) -> console.Progress:
        steps.append(usual(title=title, total=total))
        return steps[-1]

    monkeypatch.setattr(console, "Progress", remembered)
    site.leave_partial(b"x" * 1_000_000, site.etag)
    site.big.write_bytes(bytes(len(site.content)))
    site.server.fail(BIG, Fault(kind="cut", after=1_500_000, times=1))
    site.fetch()
    assert [(step.done, step.total) for step in steps] == [(site.lock.size + site.lock.installer.size,) * 2]


def test_two_runs_side_by_side_fetch_each_wheel_once(site: Site) -> None:
    program = (
        "import json, sys; from pathlib import Path; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from torchferry.fetch import fetch; from torchferry.index import Sources\n"
        "from unit import test_fetch as test\n"
        "fetch(test.lock_of(Path(sys.argv[2])), test.CU118, test.Layout(root=Path(sys.argv[3])),"
        " Sources(default_index=sys.argv[4]))\n"
    )
    words = [json.dumps(sys.path), str(site.served), str(site.layout.root), site.server.default_index]
    runs = [
        subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert site.statuses() == [200]
    assert site.is_whole()


def test_whoever_waited_does_not_write_into_the_finished_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Wanted(target=tmp_path / BIG, size=1, sha256="0")
    usual = fcntl.flock
    waited: list[bool] = []

    def flock(handle: BinaryIO, how: int) -> None:
        # As if the holder before us finished between our opening of the file and our lock on it.
        if not waited:
            wanted.partial.rename(wanted.target)
        usual(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claimed(wanted, waiting=lambda: waited.append(True)) as partial:
        partial.write(b"other")
    assert waited == [True]
    assert wanted.target.read_bytes() == b""


def test_ctrl_c_ends_it_and_leaves_nothing_half_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.server.fail(BIG, Fault(kind="status", status=503))

    def interrupted(*_: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr("torchferry.fetch.as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(site.lock, CU118, site.layout, site.sources)
    assert not site.big.exists()
    assert len(site.statuses()) < web.Patience().attempts
    assert [thread for thread in threading.enumerate() if thread.name.startswith("fetch")] == []
