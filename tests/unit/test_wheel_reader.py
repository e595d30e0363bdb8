"""Hostile wheels: each is refused by name and cause, and none is read in two ways."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.awkward_wheels import Item, Pipe, craft

from torchferry import wheel_reader, zipdir
from torchferry.errors import IntegrityError
from torchferry.wheel_reader import open_wheel
from torchferry.zipdir import BadZip

FILES: dict[str, bytes | str | Item] = {"pkg/a.py": "print('a')\n" * 20, "pkg/b.bin": Item(content=b"b" * 40, method=0)}
LOCAL = {"flags": (6, "<H"), "method": (8, "<H"), "crc": (14, "<I"), "packed": (18, "<I"), "size": (22, "<I")}
CENTRAL = {"flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<I"), "packed": (20, "<I"), "size": (24, "<I"),
           "disk": (34, "<H"), "mode": (40, "<H"), "header": (42, "<I")}
END = {"disk": (4, "<H"), "here": (8, "<H"), "entries": (10, "<H"), "size": (12, "<I"), "start": (16, "<I"),
       "comment": (20, "<H")}


def local(data: bytes, name: str) -> int:
    return data.index(name.encode()) - 30


def central(data: bytes, name: str) -> int:
    return data.rindex(name.encode(), 0, data.rindex(b"PK\x05\x06")) - 46


def poke(data: bytearray, at: int, field: tuple[int, str], change: Callable[[int], int]) -> None:
    offset, form = field
    (value,) = struct.unpack_from(form, data, at + offset)
    struct.pack_into(form, data, at + offset, change(value))


def changed(wheel: Path, *, name: str = "pkg/a.py", **changes: Callable[[int], int]) -> Path:
    """The wheel with fields of one entry, or of the end record, changed: local_size, central_size, end_size ..."""
    data = bytearray(wheel.read_bytes())
    for key, change in changes.items():
        where, _, field = key.partition("_")
        if where == "end":
            poke(data, data.rindex(b"PK\x05\x06"), END[field], change)
        elif where == "local":
            poke(data, local(bytes(data), name), LOCAL[field], change)
        else:
            poke(data, central(bytes(data), name), CENTRAL[field], change)
    wheel.write_bytes(data)
    return wheel


def read_all(wheel: Path) -> dict[str, bytes]:
    with open_wheel(wheel) as opened:
        return {name: b"".join(opened.chunks(entry)) for name, entry in opened.entries.items() if not entry.is_folder}


def refused(wheel: Path, cause: str) -> None:
    with pytest.raises(IntegrityError, match=cause) as caught:
        read_all(wheel)
    assert caught.value.message.startswith(f"{wheel.name}: ")
    assert "inv fetch" in caught.value.cure


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return craft(tmp_path, "demo", FILES)


def test_a_plain_wheel_is_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert read_all(wheel) == {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(("name", "cause"), [
    ("../evil", "leads elsewhere"), ("pkg/../../evil", "leads elsewhere"), ("/etc/passwd", "absolute"),
    ("pkg/./x", "leads elsewhere"), ("pkg//x", "leads elsewhere"), ("C:evil", "absolute"), ("pkg\\x", "backslash"),
    ("..", "leads elsewhere"), ("pkg/\x07bell", "nobody can see"), ("pkg/\u202egnp.exe", "nobody can see"),
    ("pkg/..", "leads elsewhere"),
])
def test_names_that_lead_elsewhere_are_refused(name: str, cause: str, tmp_path: Path) -> None:
    refused(craft(tmp_path, "demo", {name: "x"}), cause)


def test_a_name_cut_by_a_zero_byte_is_refused(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes().replace(b"pkg/a.py", b"pkg/a\0py"))
    refused(wheel, "nobody can see")


@pytest.mark.parametrize("name", ["pkg/a.py", "pkg", "pkg/a.py/below"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_things_on_one_path_are_refused(name: str, tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", FILES)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(name, "other")
    refused(wheel, "two entries for one path|which is a file")


@pytest.mark.parametrize("kind", [0o120777, 0o020666, 0o060660, 0o010644, 0o140755, 0o040755])
def test_links_devices_and_other_special_files_are_refused(kind: int, tmp_path: Path) -> None:
    for system in (0, 3, 19):
        item = Item(content=b"/etc/passwd", mode=kind, system=system)
        refused(craft(tmp_path, "demo", {"pkg/x": item}), "special file")


@pytest.mark.parametrize(("change", "cause"), [
    ({"local_flags": lambda v: v | 1, "central_flags": lambda v: v | 1}, "encrypted"),
    ({"local_flags": lambda v: v | 64, "central_flags": lambda v: v | 64}, "encrypted"),
    ({"local_flags": lambda v: v | 8192, "central_flags": lambda v: v | 8192}, "encrypted"),
    ({"local_flags": lambda v: v | 32, "central_flags": lambda v: v | 32}, "patch"),
    ({"local_method": lambda _: 9, "central_method": lambda _: 9}, "method 9"),
    ({"local_method": lambda _: 93, "central_method": lambda _: 93}, "method 93"),
    ({"local_method": lambda _: 0, "central_method": lambda _: 0}, "two sizes"),
    ({"local_size": lambda v: v + 1}, "different things"), ({"central_size": lambda v: v - 1}, "different things"),
    ({"local_crc": lambda v: v ^ 1}, "different things"), ({"central_method": lambda _: 0}, "different things"),
    ({"central_flags": lambda v: v | 8}, "different things"),
    ({"local_flags": lambda v: v | 8, "central_flags": lambda v: v | 8}, "data descriptor"),
    ({"local_crc": lambda v: v ^ 1, "central_crc": lambda v: v ^ 1}, "CRC-32"),
    ({"local_size": lambda v: v + 1, "central_size": lambda v: v + 1}, "pkg/a.py has 221 bytes, listed are 220"),
    ({"local_size": lambda v: v << 12, "central_size": lambda v: v << 12}, "cannot inflate to"),
    ({"local_packed": lambda v: v + 1, "central_packed": lambda v: v + 1}, "overlaps"),
    ({"local_packed": lambda v: v - 1, "central_packed": lambda v: v - 1}, "a gap"),
    ({"central_header": lambda v: v + 1}, "before its first entry"), ({"central_disk": lambda _: 1}, "damaged"),
    ({"end_entries": lambda v: v - 1, "end_here": lambda v: v - 1}, "more than its entries"),
    ({"end_entries": lambda v: v + 1, "end_here": lambda v: v + 1}, "cut"), ({"end_here": lambda v: v - 1}, "several"),
    ({"end_disk": lambda _: 1}, "several"), ({"end_size": lambda v: v - 1}, "not right before"),
    ({"end_start": lambda v: v + 1}, "not right before"), ({"end_comment": lambda _: 3}, "after its end"),
    ({"end_start": lambda _: 0xFFFFFFFF}, "not right before"), ({"end_size": lambda _: 0xFFFFFFF0}, "too many"),
])
def test_a_directory_that_contradicts_itself_is_refused(
    change: dict[str, Callable[[int], int]], cause: str, wheel: Path
) -> None:
    refused(changed(wheel, **change), cause)


@pytest.mark.parametrize(("header", "cause"), [
    (lambda value: value + 1, "gap"), (lambda value: value - 1, "overlaps"), (lambda _: 0, "overlaps"),
    (lambda _: 1 << 30, "overlaps|gap"), (lambda _: 0xFFFFFFFF, "overlaps|gap"),
])
def test_entries_that_do_not_lie_side_by_side_are_refused(
    header: Callable[[int], int], cause: str, wheel: Path
) -> None:
    refused(changed(wheel, name="pkg/b.bin", central_header=header), cause)


def test_another_local_name_is_refused(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes().replace(b"pkg/a.py", b"pkg/z.py", 1))
    refused(wheel, "another name")


@pytest.mark.parametrize(("change", "cause"), [
    (lambda data: b"#!/bin/sh\n" + data, "not right before"), (lambda data: data + b"\0", "bytes after its end"),
    (lambda data: data[:-1], "no end"), (lambda data: data[:40], "no end"), (lambda _: b"", "no end"),
    (lambda _: b"PK\x05\x06" + bytes(18), "no .dist-info"), (lambda data: data + data, "not right before"),
    (lambda data: bytes(9) + data[:-6] + struct.pack("<I", int.from_bytes(data[-6:-2], "little") + 9) + data[-2:],
     "bytes before its first entry"),
])
def test_a_file_that_is_more_or_less_than_a_zip_is_refused(
    change: Callable[[bytes], bytes], cause: str, wheel: Path
) -> None:
    whole = wheel.read_bytes()
    wheel.write_bytes(change(whole))
    if cause.startswith("bytes before"):
        for name in zipfile.ZipFile(io.BytesIO(whole)).namelist():
            changed(wheel, name=name, central_header=lambda value: value + 9)
    refused(wheel, cause)


def test_a_comment_is_fine_and_a_second_zip_in_it_is_not(wheel: Path) -> None:
    plain = read_all(wheel)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.comment = b"made by hand"
    assert read_all(wheel) == plain
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18)
    refused(wheel, "not right before|no .dist-info")


def test_every_damaged_byte_is_noticed_or_changes_nothing(wheel: Path) -> None:
    # A flipped bit may sit where nobody looks: a time, a version, a system. Then the wheel still reads as before.
    whole, plain = wheel.read_bytes(), read_all(wheel)
    silent = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        wheel.write_bytes(damaged)
        try:
            assert read_all(wheel) == plain, position
            silent += 1
        except IntegrityError:
            pass
    assert silent < 0.15 * len(whole)


def test_every_cut_is_noticed(wheel: Path) -> None:
    whole = wheel.read_bytes()
    for length in range(len(whole)):
        wheel.write_bytes(whole[:length])
        with pytest.raises(IntegrityError, match=wheel.name):
            read_all(wheel)


def test_a_second_name_in_an_extra_field_is_refused(tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", FILES)
    with zipfile.ZipFile(wheel, "a") as archive:
        entry = zipfile.ZipInfo("pkg/c.py")
        entry.extra = struct.pack("<HHBI", 0x7075, 5 + 4, 1, 0) + b"evil"
        archive.writestr(entry, "c")
    refused(wheel, "second name")


def end64(data: bytes) -> int:
    return data.rindex(b"PK\x06\x06")


ENDS = {"length": (4, "<Q"), "disk": (16, "<I"), "here": (24, "<Q"), "entries": (32, "<Q"), "size": (40, "<Q"),
        "start": (48, "<Q"), "locator_disk": (60, "<I"), "locator_place": (64, "<Q"), "locator_disks": (72, "<I"),
        "short_size": (88, "<I"), "short_start": (92, "<I")}


@pytest.mark.parametrize("field", [None, *ENDS])
def test_a_zip64_end_record_must_be_plain(field: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    wheel = craft(tmp_path, "demo", FILES)
    data = bytearray(wheel.read_bytes())
    assert end64(bytes(data)) == len(data) - 98
    if field is None:
        assert "pkg/a.py" in read_all(wheel)
        return
    poke(data, end64(bytes(data)), ENDS[field], lambda value: value + 2)
    wheel.write_bytes(data)
    refused(wheel, "zip64 end record|two end records|right before|several files|cut")


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", {"pkg/sub/": Item(content=b"x", mode=0o40755)})
    refused(wheel, "a folder with content")


@pytest.mark.parametrize("size", [200, 300_000])
def test_bytes_behind_a_deflate_stream_are_refused(size: int, tmp_path: Path) -> None:
    data, hidden = bytes(size), b"hidden"
    stream = zlib.compress(data, wbits=-15) + hidden
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    wheel = craft(tmp_path, "demo", {"pkg/a.py": Item(content=stream, method=0)}, record=lambda text: (
        f"pkg/a.py,sha256={digest},{size}\n{text.partition(chr(10))[2]}"
    ))
    fields = {"method": 8, "crc": zlib.crc32(data), "size": size}
    changed(wheel, **{
        f"{where}_{field}": (lambda _, value=value: value)  # type: ignore[misc]
        for where in ("local", "central") for field, value in fields.items()
    })
    refused(wheel, "pkg/a.py: it inflates to another length|before its stated length")


def test_a_name_that_is_not_said_to_be_utf8_is_refused(tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", {"pkg/é.py": "x"})
    for name, where in (("pkg/é.py", "local"), ("pkg/é.py", "central")):
        changed(wheel, name=name, **{f"{where}_flags": lambda v: v & ~0x800})
    refused(wheel, "not said to be UTF-8")


def test_sizes_beyond_the_limits_are_refused(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, limit, cause in (
        (zipdir, "ENTRIES_LIMIT", "too many"), (zipdir, "DIRECTORY_LIMIT", "too many"),
        (wheel_reader, "INFLATED_LIMIT", "too many for a wheel"), (wheel_reader, "DOCUMENT_LIMIT", "too many for such"),
    ):
        with monkeypatch.context() as lower:
            lower.setattr(module, limit, 1)
            refused(wheel, cause)
    monkeypatch.setattr(wheel_reader, "RATIO_FREE", 0)
    monkeypatch.setattr(wheel_reader, "RATIO_LIMIT", 0.1)
    refused(wheel, "too many for a wheel")


def test_a_file_that_inflates_to_more_than_it_states_is_refused(tmp_path: Path) -> None:
    wheel = craft(tmp_path, "demo", {"pkg/a.py": bytes(3 << 20)}, record=lambda text: text.replace("145728", "145720"))
    refused(changed(wheel, local_size=lambda v: v - 8, central_size=lambda v: v - 8), "more bytes than it states")


@pytest.mark.parametrize(("record", "cause"), [
    (lambda text: text.replace("pkg/a.py", "pkg/c.py"), "pkg/c.py is listed and not in the wheel"),
    (lambda text: "\n".join(text.split("\n")[1:]), r"pkg/a.py \(1 such\) is in the wheel and not listed"),
    (lambda text: text + text, "listed twice"),
    (lambda text: text.replace(",220", ",221"), "220 bytes, listed are 221"),
    (lambda text: text.replace("sha256=", "md5="), "unknown kind"),
    (lambda text: text.replace(",220", ",-1"), "no number"),
    (lambda text: text.replace(",220", ",0220"), "no number"), (lambda text: text.replace(",220", ",220,"), "4 fields"),
    (lambda text: text.replace("pkg/a.py,", 'pkg/"a.py"x,').replace('pkg/"', '"pkg/'), "cannot be read"),
    (lambda text: text.rsplit("demo", 1)[0], "RECORD .* not listed"), (lambda _: "", "not listed"),
    (lambda text: text.replace("pkg/a.py", "./pkg/a.py"), "listed and not in"),
    (lambda text: text.replace("sha256", "x", 1).replace("x=", "", 1), "unknown kind"),
])
def test_a_record_that_does_not_match_is_refused(record: Callable[[str], str], cause: str, tmp_path: Path) -> None:
    refused(craft(tmp_path, "demo", FILES, record=record), cause)


def test_a_file_without_a_hash_is_refused(tmp_path: Path) -> None:
    def bare(text: str) -> str:
        return "\n".join("pkg/a.py,," if line.startswith("pkg/a.py") else line for line in text.split("\n"))

    refused(craft(tmp_path, "demo", FILES, record=bare), "without a hash")


def test_a_wheel_without_record_or_info_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    for names, cause in (((), "no .dist-info"), (("demo-1.0.dist-info/METADATA",), "RECORD is missing"),
                         (("a.dist-info/x", "b.dist-info/x"), "exactly one")):
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in names:
                archive.writestr(name, "x")
        refused(wheel, cause)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_zipfile_writes_is_read_alike_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.sampled_from(["a/b", "a/c", "d/"])
    written = data.draw(st.dictionaries(names, st.tuples(
        st.binary(max_size=300) | st.integers(0, 600_000).map(bytes), st.sampled_from([0, 8]), st.booleans(),
    ), max_size=6))
    sink = io.BytesIO()
    with zipfile.ZipFile(Pipe(sink) if data.draw(st.booleans()) else sink, "w") as archive:  # type: ignore[arg-type]
        for name, (content, method, wide) in written.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            with archive.open(entry, "w", force_zip64=wide) as target:
                target.write(content)
        archive.comment = data.draw(st.binary(max_size=5).filter(lambda comment: b"PK" not in comment))
    path = tmp_path / "any.zip"
    path.write_bytes(sink.getvalue())
    with path.open("rb") as source, zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        try:
            found = zipdir.read_directory(source)
        except BadZip:
            assert any(info.filename.endswith("/") or "\0" in info.orig_filename for info in infos)
            return
        opened = wheel_reader.OpenZip(path=path, source=source, entries={})
        assert [entry.name for entry in found] == [info.orig_filename for info in infos]
        for entry, info in zip(found, infos, strict=True):
            assert b"".join(opened.chunks(entry)) == archive.read(info)
