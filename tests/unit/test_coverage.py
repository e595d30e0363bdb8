"""The picture of what runs where: the same in every cell as the verdict, drawn whole, and safe to open."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from support import nouns

from torchferry import coverage_report
from torchferry.compat import load
from torchferry.coverage import Cell, Coverage, Span, columns, coverages, joined, row_of, spans, summary, text_table
from torchferry.coverage_page import PAD, page, picture
from torchferry.errors import ConfigError
from torchferry.fleet import fleet, parse
from torchferry.gpus import GpuNames
from torchferry.model import Variant
from torchferry.pipeline import Road
from torchferry.server import Gpu, Server, version
from torchferry.templates import TEMPLATES
from torchferry.verdict import judge

SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"
SHIPPED = tuple(nouns.variant(name) for name in ("cu118", "cu121", "cu124", "cpu"))
EVIL = '<script>alert(1)</script>&"\' ]]> </svg>'


def drawn(*variants: Variant) -> Coverage:
    (found,) = coverages(variants, load())
    return found


def cell(found: Coverage, driver: str, generation: str) -> Cell:
    row = row_of(found, driver)
    assert row is not None
    return next(one for one in found.rows[row] if one.generation == generation)


def labels(found: Coverage, driver: str, generation: str) -> list[str]:
    return [run.label for run in cell(found, driver, generation).runs]


# what it says


@pytest.mark.parametrize(("driver", "generation", "runs"), [
    ("470.82.01", "Kepler", ["cu118~ (3.7)"]),
    ("470.82.01", "Turing", ["cu118~"]),
    ("520.61.05", "Ada", ["cu118"]),
    ("535.104.05", "Ampere", ["cu118", "cu121", "cu124~"]),
    ("575.57.08", "Hopper", ["cu118", "cu121", "cu124"]),
    ("575.57.08", "Blackwell", []),
    ("700.1", "Turing", ["cu118", "cu121", "cu124"]),
])
def test_cells_of_the_shipped_variants(driver: str, generation: str, runs: list[str]) -> None:
    assert labels(drawn(*SHIPPED), driver, generation) == runs


@pytest.mark.parametrize(("driver", "generation", "state"), [
    ("440.33", "Volta", "none"), ("450.80.02", "Turing", "one"), ("535.54", "Turing", "several"),
    ("470.1", "Hopper", "absent"), ("590.44", "Volta", "absent"), ("535.1", "Kepler", "absent"),
    ("580.65", "Blackwell", "none"),
])
def test_states(driver: str, generation: str, state: str) -> None:
    assert cell(drawn(*SHIPPED), driver, generation).state == state


def test_blackwell_in_part_and_whole() -> None:
    found = drawn(nouns.variant("cu128", torch="2.7.1"))
    assert labels(found, "570.26", "Blackwell") == ["cu128"]
    assert cell(found, "570.26", "Maxwell").state == "none"


def test_every_cell_says_what_the_verdict_says_of_the_newest_driver_of_each_of_its_branches() -> None:
    found = drawn(*SHIPPED, nouns.variant("cu128", torch="2.8.0"))
    seen = 0
    for span in spans(load()):
        for column in found.columns:
            for capability in column.capabilities:
                server = Server(
                    driver=f"{span.first}.999", arch="x86_64", gpus=(Gpu(index=0, name="x", capability=capability),))
                verdicts = judge(server, found.rules, load()).verdicts
                shown = cell(found, f"{span.first}.1", column.generation)
                runs = {run.variant: run.full for run in shown.runs if capability in (run.only or shown.capabilities)}
                wanted = {
                    rule.name: verdicts[rule.name].full_support for rule in found.cuda
                    if verdicts[rule.name].runs == "yes" and capability in shown.capabilities
                }
                assert runs == wanted, (span.label, capability)
                seen += len(runs)
    assert seen > 400


def test_no_floor_and_no_generation_begins_inside_a_span() -> None:
    table, found = load().table, spans(load())
    begins = {version(row.floor)[0] for row in table.cuda} | {version(row.toolkit_driver)[0] for row in table.cuda}
    begins |= {row.first_branch for row in table.generations if (row.first_branch or 0) >= found[0].first}
    begins |= {row.last_branch + 1 for row in table.generations if (row.last_branch or 0) >= found[0].first}
    assert begins - {None} <= {span.first for span in found}
    assert all(one.last is not None and one.last + 1 == after.first for one, after in pairwise(found))
    assert found[-1].last is None


def test_only_what_x86_servers_can_have_and_some_build_has_code_for() -> None:
    found = {column.generation: column.capabilities for column in columns(load())}
    assert "Fermi" not in found
    assert found["Ampere"] == ("8.0", "8.6")  # 8.7 is Orin
    assert "12.1" not in found["Blackwell"]


def test_rows_that_are_alike_are_one() -> None:
    found = drawn(*SHIPPED)
    assert len(found.spans) < len(spans(load()))
    assert all(one != after for one, after in pairwise(found.rows))
    assert [span.label for span in found.spans][:3] == ["410-449", "450-470", "471-519"]
    assert found.spans[-1].label == "581 and newer"


def test_services_with_the_same_variants_share_a_picture_and_those_without_cuda_have_none() -> None:
    twin = replace(nouns.SERVICE, name="twin")
    other = replace(nouns.SERVICE, name="other")
    variants = [
        *SHIPPED, *(replace(one, service=twin) for one in SHIPPED), nouns.variant("any"),
        nouns.variant("cpu", service=replace(nouns.SERVICE, name="plain")),
        nouns.variant("cu118", service=other),
    ]
    assert [one.services for one in coverages(variants, load())] == [("stt-engine", "twin"), ("other",)]
    assert coverages([nouns.variant("any"), nouns.variant("cpu")], load()) == ()


def test_summary_of_alone_several_and_none() -> None:
    alone, several, none = summary(drawn(*SHIPPED))
    assert alone.startswith("cu118 alone: Kepler on drivers 450-470; ")
    assert "Ampere on drivers 450-524" in alone
    assert several == (
        "covered by 3 (cu118, cu121, cu124): Maxwell, Pascal, Volta on drivers 525-580; "
        "Turing, Ampere, Ada, Hopper on drivers 525 and newer"
    )
    assert none.endswith("Kepler (3.0 3.5) on drivers 450-470; Blackwell on drivers 570 and newer")


def test_neighbouring_spans_are_told_as_one() -> None:
    found = joined([Span(first=1, last=4), Span(first=5, last=7), Span(first=9, last=9), Span(first=10, last=None)])
    assert [span.label for span in found] == ["1-7", "9 and newer"]
    assert Span(first=580, last=580).label == "580"


def test_text_table_has_every_generation_once_and_a_row_a_span() -> None:
    found = drawn(*SHIPPED)
    header, rows = text_table(found)
    assert [name for head in header[1:] for name in head.split(", ")] == [one.generation for one in found.columns]
    assert [row[0] for row in rows] == [span.label for span in found.spans]
    assert {len(row) for row in rows} == {len(header)}
    assert rows[0][1:] == ["NONE", "NONE", "NONE", ".", ".", "."]


# what it draws


def html(*variants: Variant, hosts: str | None = None, file: str = "fleet.csv") -> ET.Element:
    found = coverages(variants, load())
    listed = None if hosts is None else parse(hosts, file=file, names=GpuNames(table=load().table))
    pictures = [
        picture(one, None if listed is None else fleet(listed, one.rules, load())) for one in found
    ]
    text = page(pictures, load(), templates=TEMPLATES, release="stt-1.0.0", hosts_file=None if hosts is None else file)
    return ET.fromstring(text)


def texts(root: ET.Element) -> list[str]:
    return [text.strip() for text in root.itertext() if text.strip()]


def test_every_cell_is_drawn_once_in_its_place_and_with_its_variants() -> None:
    found = drawn(*SHIPPED)
    root = html(*SHIPPED)
    groups = root.findall(f".//{SVG}g")
    assert len(groups) == len(found.spans) * len(found.columns)
    places = Counter((rect.get("x"), rect.get("y")) for rect in root.iter(f"{SVG}rect"))
    assert set(places.values()) == {1}
    cells = [one for row in found.rows for one in row]
    spans_of = [span for span in found.spans for _ in found.columns]
    for group, one, span in zip(groups, cells, spans_of, strict=True):
        shown = [text.text for text in group.findall(f"{SVG}text")]
        assert shown == ([run.label for run in one.runs] or (["none"] if one.exists else []))
        assert group.get("class") == f"cell {one.state}"
        title = group.findtext(f"{SVG}title") or ""
        assert title.startswith(f"{one.generation}, drivers {span.label}: ")
    minor = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "minor"]
    assert minor
    assert all("~" in str(text) for text in minor)


def test_heads_and_sides_are_named_and_everything_lies_inside_the_picture() -> None:
    root, found = html(*SHIPPED), drawn(*SHIPPED)
    heads = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "head"]
    sides = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "side"]
    assert (heads, sides) == ([one.generation for one in found.columns], [span.label for span in found.spans])
    (svg,) = root.iter(f"{SVG}svg")
    _, _, width, height = map(int, str(svg.get("viewBox")).split())
    for rect in svg.iter(f"{SVG}rect"):
        right, bottom = (int(str(rect.get(a))) + int(str(rect.get(b))) for a, b in (("x", "width"), ("y", "height")))
        assert (right <= width, bottom <= height) == (True, True)


def test_text_lies_inside_its_cell() -> None:
    for group in html(*SHIPPED, hosts="a,535.1,Tesla T4\nb,580.1,NVIDIA B200\n").iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        top, height = int(str(rect.get("y"))), int(str(rect.get("height")))
        for text in group.findall(f"{SVG}text"):
            assert top + PAD + 10 <= int(str(text.get("y"))) <= top + height - PAD


def test_nothing_is_loaded_or_run() -> None:
    root = html(*SHIPPED, hosts=f'"{EVIL.replace(chr(34), chr(34) * 2)}",535.1,Tesla T4\n')
    tags = {one.tag.rpartition("}")[2] for one in root.iter()}
    assert tags & {"script", "link", "img", "iframe", "object", "image", "use", "foreignObject"} == set()
    policy = [one.get("content") for one in root.iter(f"{XHTML}meta") if one.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    attributes = {name.rpartition("}")[2] for one in root.iter() for name in one.attrib}
    assert not [name for name in attributes if name.startswith("on") or name in ("href", "src")]


def test_hosts_stand_in_their_cells() -> None:
    root = html(*SHIPPED, hosts="a,535.1,Tesla T4\nb,545.2,NVIDIA T4\nc,580.65,NVIDIA B200\nd,580.65,NVIDIA B200\n")
    badges = {
        str(group.findtext(f"{SVG}title")).partition(":")[0]: text.text
        for group in root.iter(f"{SVG}g") for text in group.findall(f"{SVG}text") if text.get("class") == "hosts"
    }
    assert badges == {"Turing, drivers 530-549": "2 hosts", "Blackwell, drivers 570-580": "2 hosts"}
    titles = [text.text or "" for text in root.iter(f"{SVG}title")]
    assert any(title.endswith("hosts: a, b") for title in titles)


def test_a_long_list_of_hosts_is_shortened_in_the_tooltip() -> None:
    root = html(*SHIPPED, hosts="\n".join(f"h{number},535.1,Tesla T4" for number in range(20)))
    titles = [text.text or "" for text in root.iter(f"{SVG}title")]
    assert any(title.endswith("h11 and 8 more") for title in titles)


@pytest.mark.parametrize("name", [EVIL, "{{ 7 * 7 }}", "a\u0000b\u001b[31m", "höst\ufffe", "\U0001f680"])
def test_hostile_names_come_out_as_text(name: str) -> None:
    quoted = name.replace('"', '""')
    root = html(*SHIPPED, hosts=f'"{quoted}",580.65,NVIDIA B200\n', file=EVIL)
    seen = "".join(texts(root))
    shown = "".join(character if character.isprintable() and character != "\ufffe" else "\ufffd" for character in name)
    assert shown in seen
    assert f"The fleet of {EVIL}" in seen


def test_a_page_without_a_fleet_speaks_of_none() -> None:
    assert not [text for text in texts(html(*SHIPPED)) if "fleet" in text or "host" in text.partition("{")[0]]


def test_the_page_has_a_picture_for_each_set_of_variants() -> None:
    other = replace(nouns.SERVICE, name="other")
    root = html(*SHIPPED, nouns.variant("cu118", service=other))
    assert [one.text for one in root.iter(f"{XHTML}h2")] == ["stt-engine", "other"]
    assert len(list(root.iter(f"{SVG}svg"))) == 2


# the task


@pytest.fixture
def road(tmp_path: Path) -> Road:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/requirements.in").write_text("torch\n", encoding="utf-8")
    (tmp_path / "variants.yaml").write_text(
        'release: {name: stt, version: 1.0.0}\npython: "3.11"\nbase: {debian: bookworm}\n'
        "services:\n  stt:\n    source: app\n    requirements: app/requirements.in\n    command: [python, -m, stt]\n"
        "    variants: {cu121: {torch: 2.1.2}, cpu: {torch: 2.1.2}}\n", encoding="utf-8")
    return Road.open(tmp_path / "variants.yaml")


def test_the_page_lies_in_build_or_where_it_is_told(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    coverage_report.show(road, road.project.variants, hosts=None, out=None)
    first = capsys.readouterr()
    assert "cu121 alone: " in first.out
    assert first.err == f"the picture: {road.layout.coverage}\n"
    out = road.project.root / "new folder" / "page.html"
    coverage_report.show(road, road.project.variants, hosts=None, out=str(out))
    assert out.read_bytes() == road.layout.coverage.read_bytes()


def test_the_fleet_is_told_in_the_terminal(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = road.project.root / "hosts.csv"
    hosts.write_bytes(b"\xef\xbb\xbfHost;Driver;GPU\r\na;535.1;Tesla T4\r\nb;470.1;Tesla T4\r\n")
    coverage_report.show(road, road.project.variants, hosts=str(hosts), out=None)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "2 hosts" in lines
    assert "cu121 1 1 a needed" in lines
    assert "cpu 2 2 b needed" in lines
    assert any(line.startswith("b 470.1 Tesla T4 none cu121: driver 470.1 is older than 525.60.13") for line in lines)


@pytest.mark.parametrize("hosts", ["missing.csv", "."])
def test_a_fleet_that_cannot_be_read_is_refused(road: Road, hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(road.project.root)
    with pytest.raises(ConfigError, match="--hosts"):
        coverage_report.show(road, road.project.variants, hosts=hosts, out=None)
    assert not road.layout.coverage.exists()


def test_a_place_that_cannot_be_written_is_refused(road: Road) -> None:
    with pytest.raises(ConfigError, match="--out"):
        coverage_report.show(road, road.project.variants, hosts=None, out=str(road.project.root))


def test_without_cuda_variants_there_is_nothing_to_draw(road: Road) -> None:
    cpu = [variant for variant in road.project.variants if variant.name == "cpu"]
    with pytest.raises(ConfigError, match="no service here has a CUDA variant"):
        coverage_report.show(road, cpu, hosts=None, out=None)
