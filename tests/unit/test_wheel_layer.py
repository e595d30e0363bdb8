"""Wheels to layers: the same files, the wheel's own deflate streams, one answer for ever, and no damage gets in."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.awkward_wheels import EQUAL, Item, craft
from support.saved_images import config_of
from support.trees import layer_tree, pack
from support.wheel_factory import locked

from torchferry import members, wheel_groups, wheel_layer
from torchferry.archive import verify_archive, write_archive
from torchferry.blobs import BlobStore
from torchferry.errors import DiskFull, IntegrityError
from torchferry.layer_tar import MTIME
from torchferry.members import MemberReader
from torchferry.model import Image, Layer, Lock, WheelSet
from torchferry.wheel_layer import TRANSPLANT, wheel_layers
from torchferry.wheel_layout import Venv, lay_out
from torchferry.wheel_reader import open_wheel

VENV = Venv(python="3.11")
SITE = "opt/venv/lib/python3.11/site-packages"


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes of which deflate leaves about a third."""
    chance = random.Random(seed)
    return bytes(chance.choices(b"abcdefgh", k=size))


LARGE = noise(5 * TRANSPLANT)


def wheel_set(folder: Path) -> WheelSet:
    wheels = tuple(locked(path) for path in sorted(folder.glob("*.whl")))
    lock = Lock(fingerprint="f" * 64, wheels=wheels, installer=wheels[0])
    return WheelSet(lock=lock, folder=folder, installer=folder / wheels[0].filename)


def content(packed: bytes) -> dict[str, bytes | None]:
    """Path to bytes, None for folders, by Python's own gzip and tarfile."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        found = {}
        for entry in tar:
            body = tar.extractfile(entry)
            found[entry.name] = body.read() if body else None
        return found


def deflated(wheel: Path, name: str) -> bytes:
    with open_wheel(wheel) as opened, wheel.open("rb") as source:
        entry = opened.entries[name]
        source.seek(entry.offset)
        return source.read(entry.packed_size)


def test_a_large_file_keeps_its_deflate_stream_and_a_small_one_does_not(tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", {"demo/large.so": LARGE, "demo/small.py": noise(3000)})
    packed, layer = pack([wheel], VENV)
    assert deflated(wheel, "demo/large.so") in packed
    assert deflated(wheel, "demo/small.py") not in packed
    found = content(packed)
    assert (found[f"{SITE}/demo/large.so"], found[f"{SITE}/demo/small.py"]) == (LARGE, noise(3000))
    plain = gzip.decompress(packed)
    assert layer == Layer(diff_id=hashlib.sha256(plain).hexdigest(), size=len(plain))


def test_a_layer_is_members_that_our_own_reader_takes(tmp_path: Path) -> None:
    packed, layer = pack([craft(tmp_path, "demo", {"demo/large.so": LARGE, "demo/x.py": "x"})], VENV)
    with ThreadPoolExecutor(2) as pool:
        reader = MemberReader(io.BytesIO(packed), what="layer", cure="again", pool=pool, ahead=4)
        plain = b"".join(iter(lambda: reader.read(1 << 20), b""))
    assert hashlib.sha256(plain).hexdigest() == layer.diff_id


def test_headers_are_the_same_for_everyone(tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", {"demo/run.sh": Item(content=b"x", mode=0o100775), "demo/é/" + "n" * 120: "x"},
                  folders=("demo/void",))
    with tarfile.open(fileobj=io.BytesIO(pack([wheel], VENV)[0]), mode="r:gz") as tar:
        entries = tar.getmembers()
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime, e.linkname) for e in entries} == {(0, 0, "", "", MTIME, "")}
    assert {(e.isdir(), oct(e.mode)) for e in entries} == {(True, "0o755"), (False, "0o644"), (False, "0o755")}
    names = [entry.name for entry in entries]
    assert names == sorted(names, key=str.encode) and len(names) == len(set(names))
    assert names[:5] == ["opt", "opt/venv", "opt/venv/lib", "opt/venv/lib/python3.11", SITE]
    assert f"{SITE}/demo/void" in names


def test_the_form_of_the_layer_has_not_changed(tmp_path: Path) -> None:
    # A difference here means that unchanged wheels become other layers: sites would load all of them again.
    # If that is meant, raise wheel_layout.LAYOUT_VERSION, say so in CHANGELOG.md, and put the new value here.
    files = {"demo/x.py": "x\n", "demo/é": "", "demo/" + "n" * 120: Item(mode=0o100755), "DATA/scripts/s": "#!python\n"}
    wheel = craft(tmp_path, "demo", files, folders=("demo/void",), entry_points="[console_scripts]\nd = demo.x:y\n")
    assert pack([wheel], VENV)[1].diff_id == "b47fee5e0be616584293775d18ea5b0beb47258c845e60b1a9cb8a145e2328c8"


def test_a_shared_file_lies_in_a_layer_once(tmp_path: Path) -> None:
    found = layer_tree(EQUAL["namespace"](tmp_path), VENV)
    assert "lib/python3.11/site-packages/space/__init__.py" in found


@pytest.mark.parametrize(("one", "other", "cause"), [
    ({"space/x.py": "1"}, {"space/x.py": "2"}, r"space/x\.py differs between one-1\.0-.* and other-1\.0-"),
    ({"space/x.py": "1"}, {"space/x.py": Item(content=b"1", mode=0o100755)}, "space/x.py differs"),
    ({"space/x.py": "1"}, {"space/x.py": Item(content=b"1", hash="sha512")}, "space/x.py differs"),
    ({"space/x": "1"}, {"space/x/y": "1"}, r"space/x is a file in one-1\.0-.* and a folder in other-1\.0-"),
    ({"DATA/scripts/tool": "1"}, {"DATA/scripts/tool": "2"}, "bin/tool differs"),
    ({"DATA/data/lib/python3.11/site-packages/x": "1"}, {"x": "2"}, "site-packages/x differs"),
])
def test_wheels_that_get_in_each_others_way_are_refused(
    one: dict[str, bytes | str | Item], other: dict[str, bytes | str | Item], cause: str, tmp_path: Path
) -> None:
    craft(tmp_path, "one", one)
    craft(tmp_path, "other", other)
    store = BlobStore(folder=tmp_path / "blobs")
    for _ in range(2):
        with pytest.raises(IntegrityError, match=cause):
            wheel_layers(wheel_set(tmp_path), VENV, store)


@pytest.mark.parametrize("files", [
    {"DATA/data/pyvenv.cfg": "x"}, {"DATA/data/lib64/x": "x"}, {"DATA/data/bin": "x"}, {"DATA/scripts/activate": "x"},
    {"DATA/scripts/activate.fish": "x"}, {"DATA/data/bin/python3.11": "x"},
    {"DATA/purelib/twice.py": "1", "twice.py": "2"}, {"DATA/scripts/x": "1", "DATA/data/bin/x": "2"},
])
def test_what_belongs_to_the_environment_is_refused(files: dict[str, bytes | str | Item], tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"demo-1\.0-py3"):
        pack([craft(tmp_path, "demo", files)], VENV)


@pytest.mark.parametrize("size", [10, len(LARGE)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_hash_in_record_that_is_another_is_refused(size: int, method: int, tmp_path: Path) -> None:
    files = {"demo/x": Item(content=LARGE[:size], method=method)}
    first = f"demo/x,sha256={'A' * 43},{size}\n"
    wheel = craft(tmp_path, "demo", files, record=lambda text: first + text.partition("\n")[2])
    with pytest.raises(IntegrityError, match="demo/x: RECORD states another hash"):
        pack([wheel], VENV)


def test_a_rewritten_script_must_have_been_the_one_of_record(tmp_path: Path) -> None:
    def wrong(text: str) -> str:
        return text.replace(text.partition("sha256=")[2][:43], "A" * 43)

    wheel = craft(tmp_path, "demo", {"DATA/scripts/s": "#!python\n"}, record=wrong)
    with pytest.raises(IntegrityError, match="RECORD states another hash"):
        pack([wheel], VENV)


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_every_damage_to_a_file_is_noticed(size: int, tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", {"demo/x": LARGE[:size]})
    with open_wheel(wheel) as opened:
        entry = opened.entries["demo/x"]
    whole = wheel.read_bytes()
    end = entry.offset + entry.packed_size - 1  # the last byte may hold bits that nobody reads
    for position in range(entry.offset, end, max(1, entry.packed_size // 40)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        wheel.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"demo-1\.0.*demo/x"):
            pack([wheel], VENV)


def test_a_wheel_that_fails_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    craft(tmp_path, "aaa", {"aaa.so": LARGE})
    bad = craft(tmp_path, "bbb", {"bbb.so": LARGE})
    data = bytearray(bad.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(data)
    store = BlobStore(folder=tmp_path / "blobs")
    with pytest.raises(IntegrityError, match="bbb"):
        wheel_layers(wheel_set(tmp_path), VENV, store)
    assert not list(store.shelf.glob(".incoming*"))
    assert len(list(store.shelf.glob("*.gz"))) <= 1


def test_layers_are_made_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aaa", "bbb", "ccc"):
        craft(tmp_path, name, {f"{name}.so": noise(3 * TRANSPLANT, len(name))})
    wheels, store = wheel_set(tmp_path), BlobStore(folder=tmp_path / "blobs")
    heard: list[int] = []
    made = wheel_layers(wheels, VENV, store, passed=heard.append)
    assert made and all(store.has(layer.diff_id) for layer in made)
    assert 0.9 * wheels.lock.size < sum(heard) <= wheels.lock.size
    with monkeypatch.context() as closed:
        closed.setattr(wheel_layer, "open_wheel", lambda path: pytest.fail(f"{path} was opened"))
        assert wheel_layers(wheels, VENV, store) == made
    for layer in made:
        store.verify(layer.diff_id)
    assert wheel_layers(wheels, Venv(python="3.12"), store) != made


def test_a_layer_that_is_gone_is_made_again_and_must_be_the_same(tmp_path: Path) -> None:
    craft(tmp_path, "aaa", {"aaa.so": LARGE})
    wheels, store = wheel_set(tmp_path), BlobStore(folder=tmp_path / "blobs")
    [layer] = wheel_layers(wheels, VENV, store)
    before = store.verify(layer.diff_id)
    store.drop(layer.diff_id)
    assert wheel_layers(wheels, VENV, store) == (layer,)
    assert store.verify(layer.diff_id) == before
    store.drop(layer.diff_id)
    [group] = wheel_groups.wheel_groups(wheels.lock.wheels)
    store.remember(wheel_layer.layer_key(VENV, group), [replace(layer, diff_id="0" * 64)])
    with pytest.raises(IntegrityError, match="made again"):
        wheel_layers(wheels, VENV, store)


def test_a_damaged_answer_is_forgotten(tmp_path: Path) -> None:
    craft(tmp_path, "aaa", {"aaa.so": LARGE})
    wheels, store = wheel_set(tmp_path), BlobStore(folder=tmp_path / "blobs")
    made = wheel_layers(wheels, VENV, store)
    for answer in (store.folder / "answers").iterdir():
        found = json.loads(answer.read_text())
        found["layers"][0][0] = "0" * 64
        answer.write_text(json.dumps(found))
    assert wheel_layers(wheels, VENV, store) == made


def test_one_changed_wheel_makes_one_layer_anew(tmp_path: Path) -> None:
    for number in range(12):
        craft(tmp_path, f"small{number}", {f"small{number}.py": str(number)})
    store = BlobStore(folder=tmp_path / "blobs")
    before = wheel_layers(wheel_set(tmp_path), VENV, store)
    (tmp_path / "small7-1.0-py3-none-any.whl").unlink()
    craft(tmp_path, "small7", {"small7.py": "other"}, version="1.1")
    after = wheel_layers(wheel_set(tmp_path), VENV, store)
    assert len(before) == len(after) > 2
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_threads_change_no_byte(tmp_path: Path) -> None:
    for number in range(4):
        craft(tmp_path, f"large{number}", {f"large{number}.so": noise(4 * TRANSPLANT, number), f"l{number}.py": "x"})
    found = set()
    for threads in (1, 4):
        store = BlobStore(folder=tmp_path / f"blobs{threads}", threads=threads)
        layers = wheel_layers(wheel_set(tmp_path), VENV, store)
        found.add(tuple(store.verify(layer.diff_id).gz_sha256 for layer in layers))
    assert len(found) == 1


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", {"demo/x.so": bytes(200 << 20), "demo/y": Item(content=bytes(64 << 20), method=0)})

    class Nothing(io.RawIOBase):
        def write(self, data: object) -> int:
            return len(data)  # type: ignore[arg-type]

    with open_wheel(wheel) as opened:
        part = wheel_layer.Part(wheel=opened, layout=lay_out(opened, VENV))
        tracemalloc.start()
        wheel_layer.pack_layer([part], VENV, Nothing().write, compression="fast")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 12 << 20


def test_a_disk_too_small_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    craft(tmp_path, "aaa", {"aaa.so": LARGE})
    monkeypatch.setattr("torchferry.files.free_bytes", lambda _: 1000)
    with pytest.raises(DiskFull, match="layers of wheels"):
        wheel_layers(wheel_set(tmp_path), VENV, BlobStore(folder=tmp_path / "blobs"))


LETTERS = st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\:")
SEGMENT = st.text(LETTERS, min_size=1, max_size=60)
CONTENT = st.binary(max_size=2000) | st.sampled_from([
    LARGE, LARGE[:TRANSPLANT], zlib.compress(LARGE), bytes(members.BLOCK + 1), zlib.compress(LARGE) * 3,
])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(
    st.lists(SEGMENT.filter(lambda part: part not in (".", "..") and not part.endswith((".dist-info", ".data"))),
             min_size=1, max_size=4).map("/".join),
    st.builds(lambda data, method, wide, mode: Item(content=data, method=method, zip64=wide, mode=mode),
              CONTENT, st.sampled_from([0, 8]), st.booleans(), st.sampled_from([0o100644, 0o755, 0o100600])),
    max_size=8,
), piped=st.booleans())
def test_any_wheel_that_zipfile_writes_gives_a_tar_with_the_same_bytes(
    files: dict[str, Item], piped: bool, tmp_path: Path
) -> None:
    paths = set(files)
    if any(path.startswith(f"{other}/") for path in paths for other in paths):
        return
    wheel = craft(tmp_path, "demo", files, piped=piped)
    found = content(pack([wheel], VENV)[0])
    with zipfile.ZipFile(wheel) as archive:
        wanted = {f"{SITE}/{name}": archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}
    assert wanted == {path: data for path, data in found.items() if data is not None and not path.endswith("/RECORD")}


def test_layers_of_wheels_travel_in_an_archive_that_proves_itself(tmp_path: Path) -> None:
    for name in ("aaa", "bbb"):
        craft(tmp_path, name, {f"{name}.so": noise(20 * TRANSPLANT, len(name)), f"{name}.py": "x"})
    store = BlobStore(folder=tmp_path / "blobs")
    layers = wheel_layers(wheel_set(tmp_path), VENV, store)
    config = config_of([gzip.decompress(store.verify(layer.diff_id).path.read_bytes()) for layer in layers])
    image = Image(name="stt-engine:1.0.0-cpu", config=config, layers=layers)
    made = write_archive(image, store=store, target=tmp_path / "stt.tar.gz")
    assert verify_archive(made.path) == made
    whole = made.path.read_bytes()
    for position in range(0, len(whole), len(whole) // 50):
        damaged = bytearray(whole)
        damaged[position] ^= 0x20
        made.path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"stt\.tar\.gz"):
            verify_archive(made.path)
