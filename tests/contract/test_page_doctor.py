"""The judge of the release page, in a real browser, says what `inv doctor` says: facts, verdicts, reasons, status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.chromium import Page, chromium
from support.ferry import NAMES, judged
from support.hosts import hosts
from support.page import JUDGED, judged_bytes, judged_texts, release
from support.smi import DAMAGE, csv, narrow, queried, wide, xml

from torchferry.doctor import Asked, by_hand
from torchferry.server import Server
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
    texts = [None, *({"text": decoded(data)} for data in samples().values())]
    servers = [Server(), *(read(data, NAMES) for data in samples().values())]
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
