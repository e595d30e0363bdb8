"""The judge of the release page, in a real browser, says what `inv doctor` says: facts, verdicts, reasons, status."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.chromium import Page, chromium
from support.ferry import COMPAT, NAMES, judged
from support.hosts import hosts
from support.near_matches import near_matches
from support.page import JUDGED, facts, judged_bytes, judged_texts, release
from support.smi import CAPABILITIES, DAMAGE, csv, host, narrow, prefixed, queried, wide, wrapped, xml

from torchferry import ferry_tables
from torchferry.doctor import Asked, by_hand
from torchferry.server import FAILURES, Server
from torchferry.smi import read
from torchferry.smi_text import decoded

SAMPLES = Path(__file__).parents[1] / "smi"
HOSTS, SEED = 1200, 20261125
NAMES_OF_GPUS = ("NVIDIA A100-SXM4-40GB", "NVIDIA GeForce RTX 3090", "Tesla K80", "NVIDIA GeForce RTX 2080 Ti")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    with chromium(folder) as browser:
        yield browser.page().open(release(folder))


def of_python(content: bytes | str) -> str:
    """What Python says, without the line that names the host."""
    return judged("", read(content, NAMES)).split("\n", 1)[1]


def different(found: Mapping[str, str], expected: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(name, found[name], expected[name]) for name in expected if found[name] != expected[name]][:3]


def samples() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(SAMPLES.glob("*.txt"))}


def test_every_sample(page: Page) -> None:
    texts = samples()
    assert len(texts) >= 15
    assert different(judged_bytes(page, texts), {name: of_python(data) for name, data in texts.items()}) == []


def test_hundreds_of_servers_from_files_and_pasted(page: Page) -> None:
    files = dict(hosts(SEED, HOSTS))
    expected = {name: of_python(data) for name, data in files.items()}
    assert different(judged_bytes(page, files), expected) == []
    pasted = {name: decoded(data) for name, data in files.items()}
    assert different(judged_texts(page, pasted), {name: of_python(text) for name, text in pasted.items()}) == []
    picks = [block.rsplit("\n", 1)[1] for block in expected.values()]
    for pick in ("cu118\t0", "cu121\t0", "cu124\t0", "cu128\t0", "cpu\t3", "\t4"):  # the servers differ enough
        assert picks.count(f"pick\t{pick}") > 10


def test_every_layout_with_every_damage(page: Page) -> None:
    layouts = {
        "wide": wide("550.54.15", "12.4", NAMES_OF_GPUS), "kmd": wide("610.43.02", "13.0", NAMES_OF_GPUS, kmd=True),
        "narrow": narrow("470.82.01", "11.4", NAMES_OF_GPUS), "csv": csv("535.104.05", NAMES_OF_GPUS),
        "queried": queried("525.60.13", "12.0", NAMES_OF_GPUS), "xml": xml("535.54.03", "12.2", NAMES_OF_GPUS),
    }
    files = {}
    for layout, text in layouts.items():
        for damage, change in DAMAGE.items():
            made = change(text)
            files[f"{layout}, {damage}"] = made if isinstance(made, bytes) else made.encode()
    assert len(files) > 100
    assert different(judged_bytes(page, files), {name: of_python(data) for name, data in files.items()}) == []


def test_every_beginning_and_end_of_a_sample(page: Page) -> None:
    data = samples()["058_a100-mig-devices-535.txt"]
    places = range(0, len(data), 17)
    cut = {f"to {at}": data[:at] for at in places} | {f"from {at}": data[at:] for at in places}
    assert different(judged_bytes(page, cut), {name: of_python(part) for name, part in cut.items()}) == []


@pytest.mark.parametrize("columns", [59, 60, 61, 91, 100, 131, 132, 133])
def test_tables_behind_a_long_prefix_wrapped_at_any_width(page: Page, columns: int) -> None:
    tables = (wide("550.54.15", "12.4", NAMES_OF_GPUS), narrow("470.82.01", "11.4", NAMES_OF_GPUS))
    marks = ("> ", "2024-05-01 10:00:00 node-17 nvidia-smi ", "engine-1 | " + "." * 65)
    texts = {f"{mark}{place}": wrapped(prefixed(mark)(made), columns)
             for mark in marks for place, made in enumerate(tables)}
    assert different(judged_texts(page, texts), {name: of_python(text) for name, text in texts.items()}) == []


def test_files_and_texts_that_told_two_readers_apart(page: Page) -> None:
    as_many_zeros = "Driver Version: 535.54.03\n" + "\u0100" * 26  # at even as at odd places
    texts = {
        "zeros": as_many_zeros.encode("utf-16-le"),
        "two drivers": b"NVIDIA A100-SXM4-40GB, 535.104.05\nNVIDIA A100-SXM4-40GB, 550.54.14\n",
        "kmd": b"<nvidia_smi_log>\n<kmd_version>610.43.02</kmd_version>\n<cuda_umd_version>13.0 [Deprecated]",
        "cp1252": "GPU 0: NVIDIA® A100-SXM4-40GB (UUID: GPU-1)\nDriver Version: 535.54.03".encode("cp1252"),
        "nothing": b"all is well",
    }
    assert different(judged_bytes(page, texts), {name: of_python(data) for name, data in texts.items()}) == []


class Recorder:
    """Every expression of the reader by its name."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[re.Pattern[str], bool]] = {}

    def add(self, name: str, expression: re.Pattern[str] | str, *, full: bool = False) -> None:
        self.found[name] = (re.compile(expression), full)


def expressions() -> dict[str, tuple[re.Pattern[str], bool]]:
    recorder = Recorder()
    ferry_tables._expressions(recorder)  # type: ignore[arg-type]
    return recorder.found


SPANS = """(name, texts, full) => texts.map((text) => {
  const { matcher } = torchferry;
  const found = full ? [matcher.at(name, text, 0)].filter(Boolean) : [...matcher.findAll(name, text)];
  return found.map((one) => [one.start, one.end, one.group(1), one.group(2)]);
})"""


@pytest.mark.parametrize("name", sorted(expressions()))
def test_every_expression_matches_where_it_does_in_python(page: Page, name: str) -> None:
    """The matcher sees the empty match at the very end of a text as little as ferry.sh's: nobody asks for it."""
    expression, full = expressions()[name]
    texts = list(near_matches(expression, random.Random(name), 300))
    found = page.call(SPANS, name, texts, full)
    matches = [[expression.fullmatch(text)] if full else [*expression.finditer(text)] for text in texts]
    expected = [
        [[one.start(), one.end(), *_groups(one)] for one in ones if one and (full or one.start() < len(text))]
        for text, ones in zip(texts, matches, strict=True)
    ]
    assert [pair for pair in zip(texts, found, expected, strict=True) if pair[1] != pair[2]][:2] == []
    assert sum(map(bool, expected)) > 10


def _groups(found: re.Match[str]) -> list[str]:
    return [(found[number] or "") if number <= (found.re.groups or 0) else "" for number in (1, 2)]


def edges() -> list[str | None]:
    """Drivers on both sides of every floor and of every branch with which a generation begins or ends."""
    drivers = {row.floor for row in COMPAT.table.cuda} | {row.toolkit_driver for row in COMPAT.table.cuda}
    for row in COMPAT.table.cuda:
        drivers |= {one for one in (row.windows.floor, row.windows.toolkit_driver, row.windows.doubtful_from) if one}
    near = {f"{one[:-1]}{digit}" for one in drivers for digit in range(10) if abs(digit - int(one[-1])) < 2}
    branches = {branch for row in COMPAT.table.generations for branch in (row.first_branch, row.last_branch) if branch}
    near |= {f"{branch + step}.10" for branch in branches for step in (-1, 0, 1, 9, 10)}
    return [None, *sorted(near)]


def test_the_judgement_of_bare_facts_at_every_edge(page: Page) -> None:
    gpus = [[one] for one in CAPABILITIES] + [[], [None], ["7.5", "3.7"], ["3.7", None, "3.7"], ["13.0", "8.6"]]
    servers = [host(driver, *some, platform=platform) for driver in edges() for some in gpus
               for platform in ("linux", "windows")]
    servers += [host("535.54.03", "8.6", failure=failure, arch=arch, platform=platform)
                for failure in (None, *FAILURES) for arch in (None, "x86_64", "aarch64", "riscv64")
                for platform in ("linux", "wsl", "tegra")]
    assert len(servers) > 4000
    found = page.call(JUDGED, [{"server": facts(server)} for server in servers])
    expected = [judged("", server).split("\n", 1)[1] for server in servers]
    assert [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]][:2] == []


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"\x00", b"\xff\xfe", b"\xff\xfe\x00", b"\xef\xbb\xbf", b"\xc3", b"\x80" * 9,
        b"GPU 0: \xf0\x9f\x90\xb1", "GPU 0: NVIDIA 🐱 A100 (UUID: GPU-1)".encode(),
        "GPU 0: NVIDIA \ue0b0 T4 (UUID: GPU-1)".encode(), b"&#0;&#55296;&#1114112;&#x81;&#xfdd0;&#13;&#9;",
        b"GPU 0: NVIDIA &#x1f408; T4 (UUID: x)\nDriver Version: 535.54.03",
    ],
)
def test_odd_bytes(page: Page, data: bytes) -> None:
    assert judged_bytes(page, {"odd": data})["odd"] == of_python(data)


@pytest.mark.parametrize(
    ("driver", "gpus"),
    [
        ("535.104.05", ("Tesla T4",)), ("470.82.01", ("RTX3090", "gtx1080ti")), ("528.24", ()),
        (None, ("NVIDIA GH200 480GB",)), ("580.00", ("NVIDIA Thor",)), (None, ("what's this?",)),
        ("525.60.11", ("T4",)), ("575.57.08", ("rtx4070super", "RTX 2080Ti", "K80")),
    ],
)
def test_what_is_typed_alone_and_over_a_text(page: Page, driver: str | None, gpus: tuple[str, ...]) -> None:
    typed = Asked(driver=driver, gpus=gpus)
    read_too = [*samples().values(), b"all is well"]
    texts = [None, *({"text": decoded(data)} for data in read_too)]
    servers = [Server(), *(read(data, NAMES) for data in read_too)]
    expected = [judged("", by_hand(typed, server, NAMES)).split("\n", 1)[1] for server in servers]
    assert page.call(JUDGED, texts, driver, list(gpus)) == expected


def test_korean_reasons_are_of_the_same_codes_with_the_same_values(page: Page) -> None:
    """Every reason of every sample, in both languages: no brace is left over, and no value is lost."""
    texts = [{"text": decoded(data)} for data in samples().values()]
    pairs = page.call(
        "(texts) => texts.flatMap(({ text }) => torchferry.doctor(text).verdicts).flatMap(({ reasons }) => reasons)"
        ".map((reason) => [torchferry.reasonText(reason, 'en'), torchferry.reasonText(reason, 'ko')])", texts,
    )
    assert len(pairs) > 50
    for english, korean in pairs:
        assert not {"{", "}"} & {*english, *korean}
        assert "undefined" not in english + korean
        assert any("가" <= character <= "힣" for character in korean)
