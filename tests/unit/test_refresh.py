"""The torch rows beside what indexes offer: each difference is told once, and silence is never one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheel_factory import make_torch, make_wheel

from torchferry import web
from torchferry.compat import load
from torchferry.compat_rows import Table
from torchferry.drift import Offers, compare, releases, required_torch, versions
from torchferry.errors import SourceError
from torchferry.index import Sources
from torchferry.refresh import builds, look

QUICK = web.Patience(attempts=2, sleep=lambda seconds: seconds)


def small_table(*names: str) -> Table:
    """The real table with these releases alone, each for one Python."""
    table = load().table
    return replace(table, torch=tuple(
        replace(row, pythons=("3.11",)) for row in table.torch if row.version in names
    ))


TABLE = small_table("2.1.2", "2.11.0")
ROWS = {"2.1.2": frozenset({"3.11"}), "2.11.0": frozenset({"3.11"})}
AGREED = Offers(
    default=ROWS,
    builds={
        "cu118": {"2.1.2": ROWS["2.1.2"]}, "cu121": {"2.1.2": ROWS["2.1.2"]}, "cpu": ROWS,
        **{build: {"2.11.0": ROWS["2.11.0"]} for build in ("cu126", "cu128", "cu129", "cu130")}, "cu131": {},
    },
    pins={
        "torchvision": {"0.16.2": "==2.1.2", "0.26.0": "==2.11.0"}, "torchaudio": {"2.1.2": "==2.1.2", "2.11.0": ""},
    },
)


def told(offers: Offers, table: Table = TABLE) -> list[str]:
    return [f"{one.torch}: {one.said}" for one in compare(table, offers)]


# comparing


def test_what_agrees_is_no_difference() -> None:
    assert told(AGREED) == []


def test_what_nobody_answered_is_no_difference() -> None:
    assert told(Offers()) == []


def test_a_new_release_is_told_with_its_pythons_builds_and_companions() -> None:
    found = {"2.15.0": frozenset({"3.12", "3.11"})}
    offers = replace(
        AGREED, default={**ROWS, **found}, builds={**AGREED.builds, "cu131": found},
        pins={**AGREED.pins, "torchvision": {**AGREED.pins["torchvision"], "0.30.0": "==2.15.0", "0.29.2": ">=2.14"}},
    )
    assert told(offers) == [
        "2.15.0: has no row: on the default index, cu131, for Python 3.11, 3.12; "
        "torchvision 0.30.0 asks for torch ==2.15.0; no torchaudio asks for it"
    ]


def test_releases_before_the_first_row_are_of_no_interest() -> None:
    assert told(replace(AGREED, default={**ROWS, "1.13.1": frozenset({"3.11"})})) == []


def test_a_release_between_two_rows_is_told() -> None:
    (line,) = told(replace(AGREED, default={**ROWS, "2.3.2": frozenset({"3.11"})}))
    assert line.startswith("2.3.2: has no row")


def test_releases_stand_in_order_of_their_numbers() -> None:
    more = {"2.10.0": frozenset({"3.11"}), "2.9.0": frozenset({"3.11"})}
    assert [line.split(":")[0] for line in told(replace(AGREED, default={**ROWS, **more}))] == ["2.9.0", "2.10.0"]


def test_a_release_that_vanished_and_builds_that_came_and_went() -> None:
    offers = replace(
        AGREED, default={"2.11.0": ROWS["2.11.0"]},
        builds={**AGREED.builds, "cu118": {}, "cu126": {**ROWS}},
    )
    assert told(offers) == [
        "2.1.2: the default index no longer has it",
        "2.1.2: cu118 is gone from its index",
        "2.1.2: cu126 is new: its index has it for Python 3.11",
    ]


def test_pythons_that_came_and_went() -> None:
    offers = replace(
        AGREED, default={"2.1.2": frozenset({"3.12", "3.13"}), "2.11.0": ROWS["2.11.0"]},
        builds={**AGREED.builds, "cu121": {"2.1.2": frozenset({"3.12"})}},
    )
    assert told(offers) == [
        "2.1.2: the default index also has it for Python 3.12, 3.13",
        "2.1.2: the default index lacks it for Python 3.11",
        "2.1.2: the index of cu121 lacks it for Python 3.11",
    ]


@pytest.mark.parametrize(("pins", "line"), [
    ({"0.26.0": "==2.11.0"}, "2.1.2: torchvision 0.16.2 is not on the default index"),
    ({"0.16.2": "==2.1.1", "0.26.0": "==2.11.0"}, "2.1.2: torchvision 0.16.2 asks for torch ==2.1.1"),
    ({"0.16.2": "==2.1.2", "0.16.10": "==2.1.2", "0.26.0": "==2.11.0"},
     "2.1.2: torchvision 0.16.10 is made for it, the table has 0.16.2"),
])
def test_pairs_that_differ(pins: dict[str, str], line: str) -> None:
    assert told(replace(AGREED, pins={"torchvision": pins})) == [line]


@pytest.mark.parametrize("torch", [">=2.1.0", "", None])
def test_pairs_that_do_not_contradict(torch: str | None) -> None:
    assert told(replace(AGREED, pins={"torchvision": {"0.16.2": torch, "0.26.0": "==2.11.0"}})) == []


def test_a_torchaudio_for_a_release_that_has_none_in_the_table() -> None:
    offers = Offers(pins={"torchaudio": {"2.14.0": "==2.14.0"}})
    assert told(offers, small_table("2.14.0")) == ["2.14.0: torchaudio 2.14.0 is made for it, the table has none"]


# reading names and metadata


def test_only_final_wheels_for_this_platform_count() -> None:
    names = [
        "torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl", "torch-2.1.2-3-cp312-cp312-manylinux_2_28_x86_64.whl",
        "torch-2.1.2-cp313-cp313t-manylinux_2_28_x86_64.whl", "torch-2.1.2-cp310-none-macosx_11_0_arm64.whl",
        "torch-2.1.2-cp39-cp39-manylinux_2_28_aarch64.whl", "torch-2.1.2-cp38-cp38-win_amd64.whl",
        "torch-2.2.0rc1-cp311-cp311-linux_x86_64.whl", "torch-2.1.2.tar.gz", "torch-2.1.2-what.whl",
        "torch-2.1.2+cu121-cp310-cp310-linux_x86_64.whl",
        "torch-2.1.2+cu121.with.pypi.cudnn-cp39-cp39-linux_x86_64.whl",
    ]
    assert releases(names) == {"2.1.2": {"3.11", "3.12"}}
    assert releases(names, "cu121") == {"2.1.2": {"3.10"}}


def test_a_companion_may_be_for_any_python() -> None:
    assert versions(["torchvision-0.29.2-py3-none-manylinux_2_28_x86_64.whl", "x-1-py3-none-any.whl"]) == {"0.29.2"}


@pytest.mark.parametrize(("line", "asked"), [
    ("torch==2.1.2", "==2.1.2"), ("torch (==2.1.2)", "==2.1.2"), ("torch (>=2.14.0)", ">=2.14.0"), ("torch", ""),
    ("torchtext==0.1", ""), ("torch==2.1.2 ; extra == 'all'", ""), ("not a requirement", ""),
])
def test_what_a_companion_asks_of_torch(line: str, asked: str) -> None:
    assert required_torch(f"Metadata-Version: 2.1\nRequires-Dist: numpy\nRequires-Dist: {line}\n\nx".encode()) == asked


# asking


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    """An index as TABLE says, for each of both releases."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    root = tmp_path / "served"
    for row in TABLE.torch:
        cuda = row.pypi["x86_64"]
        make_torch(root / "pypi", row.version, None, f"{cuda[2:-1]}.{cuda[-1]}")
        for build in row.builds:
            make_torch(root / "whl" / build, row.version, build, None if build == "cpu" else f"{build[2:-1]}.0")
        tag = "cp311-cp311-manylinux1_x86_64"
        for name, version in (("torchvision", row.torchvision), ("torchaudio", str(row.torchaudio))):
            make_wheel(root / "pypi", name, version, tag=tag, requires=[f"torch=={row.version}"])
    with IndexServer(root) as running:
        yield running


def sources_of(server: IndexServer, *, default: str = "", torch: str = "") -> dict[str, Sources]:
    template = torch or server.torch_index
    return {
        build: Sources(default_index=default or server.default_index, torch_index=template.format(variant=build))
        for build in builds(TABLE)
    }


def test_an_index_as_the_table_says(server: IndexServer) -> None:
    looked = look(TABLE, sources_of(server), patience=QUICK)
    assert compare(TABLE, looked.offers) == ()
    assert looked.silent == ()
    assert set(looked.offers.builds) == {build for row in TABLE.torch for build in row.builds}
    assert looked.offers.pins["torchvision"] == {"0.16.2": "==2.1.2", "0.26.0": "==2.11.0"}


def test_an_index_that_moved_on(server: IndexServer) -> None:
    make_torch(server.root / "pypi", "2.15.0", None, "13.2", python="3.12")
    make_torch(server.root / "whl" / "cu131", "2.11.0", "cu131", "13.1")
    (wheel,) = (server.root / "whl" / "cu121").glob("*.whl")
    wheel.rename(wheel.with_name("unrelated-1.0-py3-none-any.whl"))
    make_torch(server.root / "whl" / "cu121", "2.0.0", "cu121", "12.1")
    looked = look(TABLE, sources_of(server), patience=QUICK)
    assert [f"{one.torch}: {one.said}" for one in compare(TABLE, looked.offers)] == [
        "2.1.2: cu121 is gone from its index",
        "2.11.0: cu131 is new: its index has it for Python 3.11",
        "2.15.0: has no row: on the default index, for Python 3.12; no torchvision asks for it; "
        "no torchaudio asks for it",
    ]


def plain_index(server: IndexServer) -> str:
    """The default index again, as a server without METADATA files shows it."""
    (server.root / "whl" / "all").mkdir()
    for wheel in (server.root / "pypi").glob("*.whl"):
        (server.root / "whl" / "all" / wheel.name).write_bytes(wheel.read_bytes())
    return f"{server.url}/whl/all"


def test_metadata_is_read_out_of_the_wheels_where_the_index_does_not_serve_it(server: IndexServer) -> None:
    looked = look(TABLE, sources_of(server, default=plain_index(server)), patience=QUICK)
    assert looked.offers.pins["torchaudio"] == {"2.1.2": "==2.1.2", "2.11.0": "==2.11.0"}
    assert not server.asked(".metadata")


def test_a_torch_index_that_does_not_answer_is_one_line_and_asked_once(server: IndexServer) -> None:
    waits: list[float] = []
    patience = web.Patience(attempts=2, sleep=waits.append)
    looked = look(TABLE, sources_of(server, torch="http://127.0.0.1:9/whl/{variant}"), patience=patience)
    (line,) = looked.silent
    assert line.startswith("the torch index does not answer, cu118, cu121, cu126, cu128, cu129, cu130, cpu were not")
    assert "http://127.0.0.1:9/whl/" in line
    assert len(waits) == 1
    assert looked.offers.builds == {}
    assert compare(TABLE, looked.offers) == ()


def test_a_default_index_that_does_not_answer_leaves_the_builds(server: IndexServer) -> None:
    server.fail("/pypi/simple/torch/", Fault(kind="status", status=503))
    looked = look(TABLE, sources_of(server), patience=QUICK)
    assert (looked.offers.default, looked.offers.pins) == (None, {})
    assert len(looked.silent) == 1
    assert "503" in looked.silent[0]
    assert looked.offers.builds["cu118"] == {"2.1.2": {"3.11"}}


def test_the_index_of_a_known_build_that_is_gone_is_said_not_taken_for_empty(server: IndexServer) -> None:
    server.fail("/whl/cu118/torch/", Fault(kind="status", status=403))
    looked = look(TABLE, sources_of(server), patience=QUICK)
    assert len(looked.silent) == 1
    assert "cu118" in looked.silent[0]
    assert compare(TABLE, looked.offers) == ()


def test_a_companion_whose_metadata_does_not_come_is_not_compared(server: IndexServer) -> None:
    server.fail("torchaudio-2.1.2-cp311-cp311-manylinux1_x86_64.whl", Fault(kind="status", status=404))
    looked = look(TABLE, sources_of(server, default=plain_index(server)), patience=QUICK)
    assert set(looked.offers.pins) == {"torchvision"}
    assert any("torchaudio" in line for line in looked.silent)


def test_wheels_that_are_not_served_in_parts_leave_the_pair_untold(server: IndexServer) -> None:
    server.fail("torchaudio-2.1.2-cp311-cp311-manylinux1_x86_64.whl", Fault(kind="ignore-range"))
    looked = look(TABLE, sources_of(server, default=plain_index(server)), patience=QUICK)
    assert looked.offers.pins["torchaudio"] == {"2.1.2": None, "2.11.0": "==2.11.0"}
    assert looked.silent == ("what torchaudio 2.1.2 asks of torch cannot be read there",)


def test_an_index_in_a_folder_and_a_release_that_was_withdrawn(tmp_path: Path) -> None:
    folder = tmp_path / "simple"
    names = [f"torch-{version}-cp311-cp311-manylinux1_x86_64.whl" for version in ("2.1.2", "2.1.3")]
    torch = f'<a href="{names[0]}">{names[0]}</a><a href="{names[1]}" data-yanked="broken">{names[1]}</a>'
    for name, links in (("torch", torch), ("torchvision", "")):
        (folder / name).mkdir(parents=True)
        (folder / name / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>", encoding="utf-8")
    places = {"cu118": Sources(default_index=folder.as_uri(), torch_index=f"{folder}/none")}
    looked = look(TABLE, places, patience=QUICK)
    assert looked.offers.default == {"2.1.2": {"3.11"}}
    assert looked.offers.pins == {"torchvision": {}}
    assert ["torchaudio" in line for line in looked.silent] == [True, False]
    assert "cu118" in looked.silent[1]


def test_where_nothing_answers_it_is_an_error(server: IndexServer) -> None:
    nowhere = sources_of(server, default="http://127.0.0.1:9/simple", torch="http://127.0.0.1:9/whl/{variant}")
    with pytest.raises(SourceError, match=r"no index says what there is of torch(?s:.*)127\.0\.0\.1:9/simple"):
        look(TABLE, nowhere, patience=QUICK)
