"""Damage on the way to the server, images that do not get in, odd paths: what ran runs on, and the person is told."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon, Setting, unavailable
from support.site import Releases, Site, flip, own, refused, write_program

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site-files")]

ENGINE, PAGE, OTHER = "engine-1.1.0-cpu.tar.gz", "page-1.1.0-any.tar.gz", "engine-1.1.0-cu121.tar.gz"


def arrives(site: Site, release: Path) -> None:
    """What was cured, goes on."""
    site.up(release)
    assert site.answers() == ["1.1.0"] * 3


@pytest.fixture
def release(releases: Releases, tmp_path: Path) -> Path:
    """The next release, for a test to damage."""
    return releases.copy("1.1.0", tmp_path / "duo-1.1.0")


def truncated(path: Path) -> None:
    with own(path).open("r+b") as cut:
        cut.truncate(path.stat().st_size // 2)


def empty(path: Path) -> None:
    own(path).write_bytes(b"")


def extended(path: Path) -> None:
    with own(path).open("ab") as longer:
        longer.write(b"\n")


def flipped(path: Path) -> None:
    # In ferry.sh, a byte of a comment that every one has: anything else may keep it from running at all.
    flip(path, path.read_bytes().index(b"lists the\n") if path.name == "ferry.sh" else path.stat().st_size // 2)


def missing(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


Damage = Callable[[Path], None]
DAMAGES = (truncated, empty, extended, flipped, missing, a_folder)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [ENGINE, PAGE, "manifest.json", "load/page-1.1.0-any.head"])
def test_every_damaged_file_is_named(name: str, damage: Damage, old: Site, release: Path) -> None:
    damage(release / name)
    done = old.ferry(release, "verify", "--variant", "cpu", env={"FERRY_ENGINE": "/bin/false"})
    assert done.status == 5
    assert f"1 of the files are not those of the release:\n    {name}\n" in done.stderr
    assert "Nothing was changed" in done.stderr


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_stops_an_update(damage: Damage, old: Site, release: Path) -> None:
    damage(release / ENGINE)
    assert f"\n    {ENGINE}\n" in refused(old, release, 5).stderr


@pytest.mark.parametrize("damage", [extended, flipped])
def test_damage_to_what_is_not_taken_stops_verify_alone(damage: Damage, old: Site, release: Path) -> None:
    damage(release / OTHER)
    assert f"\n    {OTHER}\n" in refused(old, release, 5, "verify").stderr
    assert old.ferry(release, "verify", "--variant", "cpu").ok
    (release / OTHER).unlink()  # only what was picked was sent
    assert f"{OTHER}: not in this folder" in old.ferry(release, "verify").stdout
    (release / ENGINE).unlink()
    assert f"\n    {ENGINE} or {OTHER}\n" in refused(old, release, 5, "verify").stderr


@pytest.mark.parametrize("damage", [extended, flipped])
def test_ferry_sh_finds_damage_to_itself(damage: Damage, old: Site, release: Path) -> None:
    damage(release / "ferry.sh")
    assert "\n    ferry.sh\n" in refused(old, release, 5).stderr


def test_swapped_files_are_both_named(old: Site, release: Path) -> None:
    (release / ENGINE).rename(release / "kept")
    (release / PAGE).rename(release / ENGINE)
    (release / "kept").rename(release / PAGE)
    assert f"\n    {ENGINE}\n    {PAGE}\n" in refused(old, release, 5).stderr


@pytest.mark.parametrize("name", [ENGINE, "manifest.json", "load/engine-1.1.0-cpu.head", "SHA256SUMS", "ferry.sh"])
def test_a_file_of_another_release_is_named(name: str, old: Site, releases: Releases, release: Path) -> None:
    (release / name).unlink()
    os.link(releases.folder("1.2.0") / name.replace("1.1.0", "1.2.0"), release / name)
    done = refused(old, release, 5)
    assert ENGINE in done.stderr or name in done.stderr


@pytest.mark.parametrize("cut", [0, 40, 66, 200, -1, -70])
def test_a_cut_list_of_hashes_is_no_list(cut: int, old: Site, release: Path) -> None:
    own(release / "SHA256SUMS").write_bytes((release / "SHA256SUMS").read_bytes()[:cut])
    done = old.ferry(release, "verify")
    assert done.status == (0 if cut == -1 else 5)  # only the end of the last line is missing
    assert ("Nothing was changed" in done.stderr) == (cut != -1)


@pytest.mark.parametrize("name", [ENGINE, PAGE, "manifest.json", "ferry.sh", "load/engine-1.1.0-cpu.head"])
def test_a_file_that_is_not_listed_is_not_good(name: str, old: Site, release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text(encoding="utf-8").splitlines(keepends=True)
    own(release / "SHA256SUMS").write_text("".join(line for line in lines if not line.endswith(f"  {name}\n")))
    done = old.ferry(release, "verify")
    assert done.status == 5
    assert name in done.stderr


def test_the_last_line_of_the_list_counts_without_its_end(old: Site, release: Path) -> None:
    lines = sorted((release / "SHA256SUMS").read_text(encoding="utf-8").splitlines(), key=lambda line: "manif" in line)
    own(release / "SHA256SUMS").write_text("\n".join(lines), encoding="utf-8")
    assert old.ferry(release, "verify").ok
    flip(release / "manifest.json", 10)
    assert "\n    manifest.json\n" in old.ferry(release, "verify").stderr


def test_no_list_of_hashes(old: Site, release: Path) -> None:
    (release / "SHA256SUMS").unlink()
    assert "there is no SHA256SUMS beside ferry.sh" in refused(old, release, 5).stderr


@pytest.mark.parametrize("part", range(8))
def test_a_cut_ferry_sh_never_says_that_all_is_well(part: int, old: Site, release: Path) -> None:
    lines = (release / "ferry.sh").read_text(encoding="utf-8").splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines) if line in ("}\n", "'\n")]
    cut = ends[len(ends) * part // 8] + 1  # behind a whole statement, where no shell sees anything wrong
    own(release / "ferry.sh").write_text("".join(lines[:cut]), encoding="utf-8")
    assert "this file is cut off; bring it again" in refused(old, release, 5).stderr


def test_what_was_damaged_and_is_brought_again_arrives(old: Site, releases: Releases, release: Path) -> None:
    flip(release / PAGE, 1000)
    refused(old, release, 5)
    (release / PAGE).unlink()
    os.link(releases.folder("1.1.0") / PAGE, release / PAGE)
    arrives(old, release)


# Docker and its disk


@contextmanager
def loading(site: Site, folder: Path, *, before: str = "", after: str = "") -> Iterator[None]:
    """A docker whose `load` does something before and after; all else is the real one's."""
    real = shutil.which("docker")
    text = f'[ "$1" = load ] || exec {real} "$@"\n{before}\n{real} "$@"\nstatus=$?\n{after}\nexit $status\n'
    site.path = (write_program(folder / "bin", "docker", text),)
    yield
    site.path = ()


def images(site: Site, reference: str) -> list[str]:
    words = ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={reference}")
    return site.docker(*words).split()


def forget(site: Site, version: str) -> None:
    """Remove the images of a release, so that it has to be loaded."""
    if found := images(site, f"*:{version}-*"):
        site.docker("image", "rm", "--force", *found)


def test_a_load_that_exits_with_0_and_did_not_unpack(old: Site, release: Path, tmp_path: Path) -> None:
    forget(old, "1.1.0")
    with loading(old, tmp_path, after='echo "Error unpacking image engine: no"'):
        done = refused(old, release, 9)
    assert f"docker could not load {ENGINE}" in done.stderr
    assert "Error unpacking image engine: no" in done.stderr
    assert images(old, "*:1.1.0-*") == images(old, "*:incoming-*") == []
    arrives(old, release)


def test_bytes_that_change_between_verify_and_load_do_not_get_in(old: Site, release: Path, tmp_path: Path) -> None:
    forget(old, "1.1.0")
    spoil = f'dd if=/dev/zero of="{release / ENGINE}" bs=1 seek=60000000 count=64 conv=notrunc 2>/dev/null'
    own(release / ENGINE)
    with loading(old, tmp_path, before=spoil):
        done = refused(old, release, 9)
    assert f"docker could not load {ENGINE}; engine:1.1.0-cpu is as it was before" in done.stderr
    assert f"\n    {ENGINE}\n" in refused(old, release, 5).stderr


DISK_MB = 700
"""Takes both images of a release, and of the next one, but not much more: while one is loaded, it lies there twice."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server whose Docker has a small disk."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with PrivateDaemon(setting=Setting(disk_mb=DISK_MB)) as started:
        yield Site(daemon=started, folder=tmp_path_factory.mktemp("small"))


def test_no_room_is_told_before_anything_is_loaded(small: Site, releases: Releases, release: Path) -> None:
    small.settle(releases.folder("1.0.0"), "1.0.0")
    ballast = small.daemon.root / "ballast"
    with ballast.open("wb") as filled:
        os.posix_fallocate(filled.fileno(), 0, shutil.disk_usage(ballast.parent).free - (300 << 20))
    done = refused(small, release, 8)
    place = re.escape(str(small.daemon.root))
    told = rf"engine:1\.1\.0-cpu needs 44\d\.\d+ MB in {place} while it is loaded, and 3\d\d\.\d+ MB are free"
    assert re.search(told, done.stderr), done.stderr
    ballast.unlink()
    arrives(small, release)


def test_a_disk_that_fills_up_while_an_image_is_loaded(
    small: Site, releases: Releases, release: Path, tmp_path: Path
) -> None:
    small.settle(releases.folder("1.0.0"), "1.0.0")
    forget(small, "1.1.0")
    ballast = small.daemon.root / "ballast"
    fill = f'fallocate -l "$(($(df -Pk {ballast.parent} | awk \'NR == 2 {{ print $4 }}\') - 30000))K" {ballast}'
    with loading(small, tmp_path, before=fill):
        done = refused(small, release, 9)
    assert "no space left on device" in done.stderr
    ballast.unlink()
    arrives(small, release)


# Folders and clocks of other people


AWKWARD = "릴리스 'a' \"b\" $HOME `c` & (d) *"


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody, root included, can write into the folder."""
    for words in (["--bind", str(folder)], ["-o", "remount,ro,bind"]):
        subprocess.run(["mount", *words, str(folder)], check=True)
    try:
        with pytest.raises(OSError, match="Read-only"):
            (folder / "x").touch()
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_spaces_quotes_and_korean_in_every_path_and_a_folder_that_cannot_be_written(
    old: Site, releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / f"data {AWKWARD}"
    shutil.copytree(old.data, data, ignore=shutil.ignore_patterns("logs*"))
    monkeypatch.setattr(old, "state", tmp_path / f"state {AWKWARD}")
    first = releases.copy("1.0.0", tmp_path / f"{AWKWARD} 1")
    second = releases.copy("1.1.0", tmp_path / f"{AWKWARD} 2")
    old.docker("rm", "--force", *old.containers())
    old.up(first, "--data", str(data))
    with read_only(second):
        old.up(second, "--data", str(data))
    assert old.answers() == ["1.1.0"] * 3
    assert (data / "logs" / "migrated").exists()
    assert (tmp_path / f"state {AWKWARD}" / "duo" / "sequence").read_text(encoding="ascii") == "1001000\n"
    assert old.ferry(second, "rollback").ok
    assert old.answers() == ["1.0.0"] * 3
    assert {path.name for path in tmp_path.iterdir()} == {data.name, f"state {AWKWARD}", first.name, second.name}


def test_a_clock_that_is_wrong(old: Site, release: Path, tmp_path: Path) -> None:
    real, clock = shutil.which("date"), tmp_path / "clock"
    old.path = (write_program(tmp_path / "bin", "date", f'exec {real} -d "@$(cat {clock})" "$@"\n'),)
    clock.write_text("0", encoding="ascii")
    arrives(old, release)
    assert "\nmade 1970-01-01T00:00:00Z\n" in old.ferry(release, "receipt").stdout
    clock.write_text(str(2**31 + 5), encoding="ascii")
    assert old.ferry(release, "rollback").ok
    assert "\nmade 2038-01-19T03:14:13Z\n" in old.ferry(release, "receipt").stdout
    assert old.answers() == ["1.0.0"] * 3
    old.path = ()


# Models


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    """A folder for models on a disk that takes 64 kB and three names, its own among them."""
    place = tmp_path / "shelf"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=3,mode=755", "shelf", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_too_small_for_the_models(old: Site, release: Path, shelf: Path) -> None:
    with (shelf / "ballast").open("wb") as filled:
        os.posix_fallocate(filled.fileno(), 0, 64 << 10)
    done = refused(old, release, 8, "up", "--models", str(shelf))
    assert f"model words-2 needs 33 B in {shelf}/words-2, and 0 B are free" in done.stderr
    (shelf / "ballast").unlink()
    done = refused(old, release, 8, "up", "--models", str(shelf))  # it has bytes, and no more names
    assert re.search(r"models/words-2/\S.* could not be copied .*\n    .*No space left on device", done.stderr)
    arrives(old, release)  # on a disk that is large enough


def test_a_docker_that_sees_another_disk(old: Site, release: Path, tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    hidden = f'mount -t tmpfs shelf "{tmp_path}/shelf" && exec sh "$@"'
    apart = ("unshare", "--mount", "--propagation", "private", "sh", "-c", hidden, "sh")
    remote = dataclasses.replace(old, shell=apart)
    done = refused(remote, release, 10, "up", "--models", str(tmp_path / "shelf"))
    assert "engine:/app/models/words is empty in the container; docker sees another disk" in done.stderr


def test_models_are_whole_and_readable_whatever_lies_there(old: Site, release: Path) -> None:
    place = old.data / "models" / "words-2"
    place.mkdir(parents=True)
    (place / "words.txt").write_text("words of model X\n", encoding="utf-8")  # as long as the right one
    (place / ".words.txt.partial").write_text("cut", encoding="utf-8")
    previous = os.umask(0o077)
    try:
        old.up(release)
    finally:
        os.umask(previous)
    assert (old.ask(8003, "/health") or {})["words"] == "words of model 2"
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []
    assert old.ferry(release, "rollback").ok
    assert (old.ask(8003, "/health") or {})["words"] == "words of model 1"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_stops_an_update(damage: Damage, old: Site, release: Path) -> None:
    damage(release / "models" / "words-2" / "tables" / "one two.txt")
    assert "\n    models/words-2/tables/one two.txt\n" in refused(old, release, 5).stderr
