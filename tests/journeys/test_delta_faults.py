"""Deltas that rest on what is not there, are damaged, or come in the wrong order: told, cured, and what ran runs on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.delta_site import LAST, Deltas, agrees, layers_saved, manifest_of, rows, saved, with_packed_layers
from support.engines import start, unavailable
from support.site import SERVICES, Site, own, refused

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("delta-faults")]

NOTE = "(with the containerd store, layers count that ferry.sh itself has loaded)"


def images(site: Site) -> dict[str, str]:
    """Every image of the server by name, and its ID."""
    lines = site.docker("image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    return dict(line.split(" ") for line in lines)


def forget(site: Site, *, keep: str = "") -> None:
    """Remove the images of all versions but one, and the models of later ones."""
    if gone := [name for name in images(site) if not keep or f":{keep}-" not in name]:
        site.docker("image", "rm", "--force", *gone)
    shutil.rmtree(site.data / "models" / "words-2", ignore_errors=True)


@pytest.fixture
def old(site: Site, deltas: Deltas) -> Site:
    """The server with the first release, and nothing that later ones brought."""
    site.settle(deltas.whole, "1.0.0")
    forget(site, keep="1.0.0")
    return site


@pytest.fixture
def ahead(old: Site, deltas: Deltas) -> Site:
    """The server at 1.3.0, by deltas; of 1.1.0 the next one needs nothing that was not in 1.0.0."""
    for version in ("1.2.0", "1.3.0"):
        old.up(deltas.delta(version))
    return old


@pytest.fixture
def release(deltas: Deltas, tmp_path: Path) -> Path:
    """The first delta, for a test to damage."""
    return shutil.copytree(deltas.delta("1.1.0"), tmp_path / "duo-1.1.0")


@pytest.fixture
def modern(tmp_path: Path) -> Iterator[Site]:
    """A server with nothing on it, whose Docker keeps images in the containerd store."""
    if reason := unavailable("docker-28-containerd"):
        pytest.skip(reason)
    with start("docker-28-containerd") as engine:
        yield Site(daemon=engine, folder=tmp_path / "modern")


def receipt(site: Site, release: Path, place: Path) -> Path:
    """What the server says that it holds."""
    done = site.ferry(release, "receipt")
    assert done.ok, done.stderr
    place.write_text(done.stdout, encoding="utf-8")
    return place


def lacks(site: Site, release: Path, place: Path) -> Path:
    """What the server says that it lacks."""
    done = site.ferry(release, "missing", "--data", str(site.data))
    assert done.ok, done.stderr
    place.write_text(done.stdout, encoding="utf-8")
    return place


def names_what_is_lacking(said: str, release: Path) -> None:
    """The message has each image, how much of it is here, and both cures."""
    for row in rows(release).values():
        assert f"  {row['image']} rests on {row['archive']['omits']} layers, and " in said
    assert f"({', '.join(manifest_of(release)['delta']['rests_on'])}), and this one lacks:" in said
    assert f"Bring the whole release duo-{LAST}; or sh ferry.sh missing > missing.txt" in said
    assert "inv bundle --missing missing.txt" in said


# What it rests on is not there


def test_a_delta_of_later_releases_is_refused_and_nothing_is_loaded(old: Site, deltas: Deltas) -> None:
    before = images(old)
    for words in (("up",), ("load",)):
        names_what_is_lacking(refused(old, deltas.delta(LAST), 14, *words).stderr, deltas.delta(LAST))
    korean = old.ferry(deltas.delta(LAST), "up", env={"LANG": "ko_KR.UTF-8"})
    assert (korean.status, "이 릴리스는 델타입니다" in korean.stderr) == (14, True)
    assert images(old) == before


def test_a_server_with_nothing_at_all(site: Site, deltas: Deltas) -> None:
    site.clear()
    forget(site)
    done = site.ferry(deltas.delta("1.1.0"), "up")
    assert done.status == 14
    assert "layers, and 0 of them are here" in done.stderr
    assert images(site) == site.containers() == {}
    site.up(deltas.whole)
    site.up(deltas.delta("1.1.0"))
    assert site.answers() == ["1.1.0"] * 3


def test_what_went_away_since_the_receipt_was_written_is_brought_again(
    ahead: Site, deltas: Deltas, tmp_path: Path,
) -> None:
    said = receipt(ahead, deltas.delta("1.3.0"), tmp_path / "receipt.txt")
    delta = deltas.made(tmp_path / "delta", "--for", str(said))
    assert {row["archive"]["omits"] - len(row["layers"]) for row in rows(delta).values()} == {0}
    assert not (delta / "models").exists()

    # A model that is there no more, or not as it was.
    words = ahead.data / "models" / "words-2" / "words.txt"
    words.write_text("words of model X\n", encoding="utf-8")
    done = refused(ahead, delta, 14, runs="1.3.0")
    assert f"model words-2: 17 B of it are not in {words.parent}, or other than they were" in done.stderr
    words.unlink()
    assert "model words-2: 17 B of it" in refused(ahead, delta, 14, runs="1.3.0").stderr
    shutil.rmtree(words.parent)
    refused(ahead, delta, 14, runs="1.3.0")
    cure = deltas.made(tmp_path / "model", "--missing", str(lacks(ahead, delta, tmp_path / "missing.txt")))
    assert {row["archive"]["omits"] - len(row["layers"]) for row in rows(cure).values()} == {0}
    ahead.up(cure)
    assert "duo 1.3.1 (cpu, CPU), well" in ahead.ferry(cure, "status").stdout
    assert words.read_text(encoding="utf-8") == "words of model 2\n"

    # All that is above 1.0.0: what is still there of the layers is not brought again.
    ahead.settle(deltas.whole, "1.0.0")
    forget(ahead, keep="1.0.0")
    names_what_is_lacking(refused(ahead, delta, 14).stderr, delta)
    cure = deltas.made(tmp_path / "cure", "--missing", str(lacks(ahead, delta, tmp_path / "missing.txt")))
    assert sorted(row["variant"] for row in manifest_of(cure)["images"]) == ["any", "cpu"]
    assert not list(cure.rglob("*cu121*"))  # its folder had the delta for the receipt
    for row in rows(cure).values():
        assert 0 < row["archive"]["omits"] < len(row["layers"])
    ahead.up(cure)
    assert ahead.answers() == ["1.3.0"] * 3
    ahead.up(delta)  # what it rests on is there again


def test_a_receipt_of_another_server_and_one_that_lies_are_harmless(
    old: Site, modern: Site, deltas: Deltas, tmp_path: Path,
) -> None:
    before = images(old)
    modern.up(deltas.whole)
    assert modern.ferry(deltas.delta("1.3.0"), "load").ok
    other = receipt(modern, deltas.delta("1.3.0"), tmp_path / "other.txt")
    other.write_text("\n".join(
        "host other-site" if line.startswith("host ") else line for line in other.read_text("utf-8").split("\n")
    ), encoding="utf-8")
    theirs = deltas.made(tmp_path / "theirs", "--for", str(other))
    assert manifest_of(theirs)["delta"]["label"] == "for-other-site"
    names_what_is_lacking(refused(old, theirs, 14).stderr, theirs)
    modern.up(theirs)
    assert modern.answers() == ["1.3.0"] * 3

    lie = receipt(old, deltas.whole, tmp_path / "lie.txt")
    honest = deltas.made(tmp_path / "honest", "--for", str(lie))
    with lie.open("a", encoding="utf-8") as more:
        more.write("model words-2\n")
        for row in rows(deltas.delta(LAST)).values():
            more.write(f"image {row['image']} {row['config']} raw\n")
            more.writelines(f"layer {layer['chain_id']} {layer['diff_id']}\n" for layer in row["layers"])
    believed = deltas.made(tmp_path / "believed", "--for", str(lie))
    assert {row["archive"]["omits"] - len(row["layers"]) for row in rows(believed).values()} == {0}
    names_what_is_lacking(refused(old, believed, 14).stderr, believed)
    assert images(old) == before

    # For both servers together: what both hold.
    both = deltas.made(tmp_path / "both", "--for", str(lie), "--for", str(other))
    assert {one["archive"]["omits"] for one in rows(both).values()} == {
        one["archive"]["omits"] for one in rows(believed).values()}
    old.up(honest)
    assert old.answers() == ["1.3.0"] * 3


# Again, and in another order


def test_a_delta_that_comes_twice_changes_nothing(old: Site, deltas: Deltas) -> None:
    old.up(deltas.delta("1.1.0"))
    before = old.ids(), images(old)
    said = old.up(deltas.delta("1.1.0")).stdout
    assert "load engine:1.1.0-cpu: it is here already" in said
    assert "engine: runs already with these settings, and is well" in said
    assert (old.ids(), images(old)) == before
    assert old.answers() == ["1.1.0"] * 3
    assert old.ferry(deltas.delta("1.1.0"), "rollback").ok
    assert old.answers() == ["1.0.0"] * 3


def test_deltas_out_of_order(old: Site, deltas: Deltas) -> None:
    # 1.3.0 leaves out a model that only 1.2.0 brings. Of the layers it leaves out, none came after 1.0.0.
    done = refused(old, deltas.delta("1.3.0"), 14)
    assert "model words-2: " in done.stderr
    assert "rests on" not in done.stderr
    shutil.copytree(deltas.delta("1.2.0") / "models" / "words-2", old.data / "models" / "words-2")
    old.up(deltas.delta("1.3.0"))
    assert old.answers() == ["1.3.0"] * 3

    done = refused(old, deltas.delta("1.2.0"), 10, runs="1.3.0")
    assert "duo 1.2.0 (since-1.1.0) is older (sequence 1002000) than what this server had (sequence 1003000)" \
        in done.stderr
    old.up(deltas.delta("1.2.0"), "--allow-downgrade")
    assert old.answers() == ["1.2.0"] * 3


def test_a_delta_is_made_again_with_the_same_bytes(old: Site, deltas: Deltas, tmp_path: Path) -> None:
    said = receipt(old, deltas.whole, tmp_path / "receipt.txt")
    first = deltas.made(tmp_path / "first", "--for", str(said))
    shutil.rmtree(deltas.project.folder / "dist" / f"duo-{LAST}-{manifest_of(first)['delta']['label']}")
    again = deltas.made(tmp_path / "again", "--for", str(said))
    assert tree(again) == tree(first)
    assert old.ferry(first, "verify").ok


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file()}


# Damage


def regions(row: dict[str, Any], place: Path) -> dict[str, range]:
    """The archive of a delta, part by part: its documents, what it brings, and its end."""
    size, head = place.stat().st_size, row["archive"]["head"]["replaces"]
    return {"documents": range(head), "layers": range(head, size - 64), "tail": range(size - 64, size)}


def test_damage_anywhere_is_told_by_verify(old: Site, release: Path) -> None:
    row = rows(release)["engine"]
    place, name = release / row["archive"]["name"], row["archive"]["name"]
    whole = place.read_bytes()
    own(place)
    for where in regions(row, place).values():
        for at in (where.start, where.start + len(where) // 2, where.stop - 1):
            flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]
            for damaged in (whole[:at], flipped, whole[:at] + whole[at + 1:]):
                place.write_bytes(damaged)
                done = old.ferry(release, "verify", "--variant", "cpu", env={"FERRY_ENGINE": "/bin/false"})
                assert done.status == 5, (at, done.stdout)
                assert f"1 of the files are not those of the release:\n    {name}\n" in done.stderr
    refused(old, release, 5)
    place.write_bytes(whole)
    old.up(release)


def changed(data: bytes, at: int, how: str) -> bytes:
    return data[:at] if how == "cut" else data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:]


@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_damage_whose_hashes_agree_does_not_get_in(how: str, old: Site, release: Path) -> None:
    """What is changed in a layer, or in the beginning by which it is loaded, is no image of the release."""
    row = rows(release)["engine"]
    name, head = row["archive"]["name"], row["archive"]["head"]["name"]
    whole, begins = (release / name).read_bytes(), (release / head).read_bytes()
    layers, before = regions(row, release / name)["layers"], images(old)
    for place, at, data in [
        (name, layers.start, whole), (name, layers.start + len(layers) // 4, whole),
        (name, layers.start + len(layers) // 2, whole), (head, len(begins) // 2, begins), (head, 0, begins),
    ]:
        own(release / place).write_bytes(changed(data, at, how))
        agrees(release, name, head)
        done = refused(old, release, 9)
        assert f"docker could not load {name}; engine:1.1.0-cpu is as it was before" in done.stderr
        assert images(old) == before
        own(release / place).write_bytes(data)
    agrees(release, name, head)
    old.up(release)


# The containerd store keeps the blobs that came


def test_layers_of_another_encoding_do_not_count_on_the_containerd_store(
    modern: Site, deltas: Deltas, tmp_path: Path,
) -> None:
    # Images that somebody pulled: the very layers, and the engine keeps gzip blobs of them.
    for row in rows(deltas.whole).values():
        packed = with_packed_layers(deltas.whole / row["archive"]["name"], tmp_path / "packed.tar")
        modern.docker("load", "--input", str(packed))
        assert len(layers_of(modern, row["image"])) == len(row["layers"])
    modern.up(deltas.whole)
    assert modern.answers() == ["1.0.0"] * 3
    done = refused(modern, deltas.delta("1.1.0"), 14)
    assert NOTE in done.stderr
    assert "layers, and 0 of them are here" in done.stderr

    said = receipt(modern, deltas.whole, tmp_path / "receipt.txt")
    kept = [line.split()[3] for line in said.read_text("utf-8").splitlines() if line.startswith("image ")]
    assert set(kept) == {"unknown"}
    whole = deltas.made(tmp_path / "whole", "--for", str(said))
    assert {row["archive"]["omits"] for row in rows(whole).values()} == {0}
    modern.up(whole)
    assert modern.answers() == ["1.3.0"] * 3
    for row in rows(whole).values():
        wanted = tuple(layer["diff_id"] for layer in row["layers"])
        assert layers_saved(saved(modern, row["image"], tmp_path / "saved.tar")) == wanted


def test_without_its_note_of_what_came_raw_a_server_takes_no_delta(
    modern: Site, deltas: Deltas, tmp_path: Path,
) -> None:
    modern.up(deltas.whole)
    note = modern.state / "raw-images"
    assert len(note.read_text(encoding="ascii").splitlines()) == len(SERVICES)
    note.unlink()
    assert NOTE in refused(modern, deltas.delta("1.1.0"), 14).stderr
    modern.ferry(deltas.whole, "load")  # looks again at what it is
    assert len(note.read_text(encoding="ascii").splitlines()) == len(SERVICES)
    modern.up(deltas.delta("1.1.0"))
    assert modern.answers() == ["1.1.0"] * 3

    # What it rests on may go then: the engine keeps the blobs for the new one.
    modern.docker("image", "rm", "--force", *(name for name in images(modern) if ":1.1.0-" not in name))
    for row in rows(deltas.delta("1.1.0")).values():
        wanted = tuple(layer["diff_id"] for layer in row["layers"])
        assert layers_saved(saved(modern, row["image"], tmp_path / "saved.tar")) == wanted


def layers_of(site: Site, name: str) -> list[str]:
    return site.docker("image", "inspect", "--format", "{{range .RootFS.Layers}}{{println .}}{{end}}", name).split()
