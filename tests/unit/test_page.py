"""index.html as a text: the same each time, complete, of one piece, and with nothing from elsewhere."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.ferry import COMPAT, RULES, script
from support.page import BOMS, REVISION, document, html

from torchferry import guide_words, manifest, page, page_words, smi, verdict_korean, verdict_text
from torchferry.errors import IntegrityError
from torchferry.release_facts import parse
from torchferry.said import Said
from torchferry.templates import TEMPLATES

VOID = {"meta", "input", "br", "img", "link"}
PARTS = sorted((TEMPLATES / "page").glob("*.js"))
TEMPLATE = (TEMPLATES / page.TEMPLATE).read_text(encoding="utf-8")


class Outline(HTMLParser):
    """The elements of a page: whether each is closed by its own end, and the text of some."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def outline(text: str) -> Outline:
    made = Outline()
    made.feed(text)
    made.close()
    assert made.open == []
    return made


def test_the_same_in_the_same_out() -> None:
    assert html() == html()
    assert html(boms={name: BOMS[name][::-1] for name in sorted(BOMS)}) == html()


def test_every_element_ends_where_it_must() -> None:
    assert {"main", "table", "form", "script"} <= {tag for tag, _ in outline(html()).seen}


def test_nothing_in_it_comes_from_elsewhere() -> None:
    found = outline(html())
    addresses = [value for _, values in found.seen for name, value in values.items()
                 if name in ("src", "href", "action", "srcset", "data", "poster") and value]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in found.seen}
    assert not any(name == "style" or name.startswith("on") for _, values in found.seen for name in values)
    assert not re.search(r"(?i)url\(|@import|https?://(?!127\.0\.0\.1)", html())


def test_the_policy_names_the_one_script_and_the_one_style() -> None:
    text = html()
    policy = next(values["content"] or "" for tag, values in outline(text).seen
                  if values.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        made = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{made}'" in policy


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.stem)
def test_no_part_of_the_script_can_end_it(part: Path) -> None:
    text = part.read_text(encoding="utf-8")
    assert not re.search(r"(?i)</script|<!--|\{\{|\{%|\{#|\beval\b|innerHTML|document\.write|new Function", text)
    assert f'{{% include "page/{part.name}" %}}' in TEMPLATE
    assert len(text.splitlines()) <= 300


def test_it_knows_the_very_tables_of_ferry_sh() -> None:
    assert f"\nFERRY_TABLES={shlex.quote(page.judge_data(RULES, COMPAT)['tables'])}\n" in script()
    baked = json.loads("".join(outline(html()).texts["script"]).partition("(() =>")[0])
    assert baked == page.judge_data(RULES, COMPAT)


def test_it_judges_by_the_images_that_are_there_as_ferry_sh_does() -> None:
    made = document()
    made["images"] = [one for one in made["images"] if one["variant"] in ("cu121", "cpu")]
    text = html(made)
    assert '<th scope="row">cu121</th>' in text
    assert "cu124" not in re.sub(r"<script.*", "", text, flags=re.DOTALL)
    assert "rule|cu124" not in text


def test_what_the_release_is_and_every_file_with_size_and_hash() -> None:
    made = document()
    text = html(made)
    (parts,) = [one for image in made["images"] if len(one := image["archive"]["parts"]) > 1]
    exact = f"{parts[0]['size']:,}"
    for said in ("stt 1.0.0", ">7<", REVISION, "torchferry 0.1.0", exact, "1.39 GB", "2.78 GB", "5.05 GB"):
        assert said in text
    others = {"ferry.sh": "x\n", "sbom/engine-cpu.cdx.json": "{}"}
    text = html(made, texts=others)
    listed = [line.split("  ", 1) for line in manifest.sums(made, others).splitlines()]
    assert len(listed) > 10
    for digest, name in listed:
        assert re.search(rf'<td class="name">{re.escape(name)}</td>.*{digest}', text), name
    shown = re.findall(r'<td class="name">(.*?)</td>', text)
    assert sorted(shown) == sorted(name for _, name in listed)


def test_every_component_stands_once_with_the_images_that_hold_it() -> None:
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td>.*<td>(engine[^/]*(?:<br>[^/]*)?)</td>', html())
    both = "engine-cpu<br>engine-cu121"
    assert rows == [
        ("numpy", "1.26.4", both), ("torch", "2.1.2", "engine-cu121"), ("torch", "2.1.2+cpu", "engine-cpu"),
        ("libc6", "2.36-9+deb12u9", both),
    ]
    assert all(row.sha256 in html() for rows in BOMS.values() for row in rows)


def test_parts_that_a_manifest_need_not_have() -> None:
    made = document()
    for name in ("sequence", "services", "models", "revision"):
        del made[name]
    for one in made["images"]:
        one["archive"] = {name: one["archive"][name] for name in ("name", "size", "sha256")}
        one.pop("revision")
        one.pop("smoke")
    found = outline(html(made, boms={}, texts={}))
    assert "not recorded" in found.texts["span"]
    assert parse(made).sequence is None
    assert [one.name for one in parse(made).services] == ["engine", "web"]


@pytest.mark.parametrize("missing", ["release", "version", "images", "torchferry"])
def test_what_every_manifest_has_is_missed(missing: str) -> None:
    made = document()
    del made[missing]
    with pytest.raises(IntegrityError, match=missing):
        html(made)


@pytest.mark.parametrize(("place", "value"), [("archive", None), ("size", "much"), ("smoke", [{}]), ("archive", {})])
def test_damaged_images_are_refused(place: str, value: Any) -> None:
    made = copy.deepcopy(document())
    made["images"][0][place] = value
    with pytest.raises(IntegrityError):
        html(made)


def test_room_on_the_disk_counts_what_every_choice_needs() -> None:
    image = 5_050_000_000
    assert parse(document()).unpacked() == {
        "cpu": 2 * image, "cu118": 2 * image, "cu121": 2 * image, "cu124": 2 * image, "cu128": 2 * image,
    }  # that of one platform, and the one of the service that has no variants
    made = document()
    made["images"] = [one for one in made["images"] if one["service"] == "web"]
    assert parse(made).unpacked() == {"any": image}


# Words


def texts() -> dict[str, Said]:
    options = dict(guide_words.OPTIONS) | {str(status): said for status, said in guide_words.STATUSES}
    doctor = {f"doctor {status}": said for status, said in guide_words.DOCTOR.items()}
    return {**page_words.PAGE, **page_words.SCRIPT, **page_words.KINDS, **options, **doctor}


def test_every_text_of_the_page_is_said_somewhere() -> None:
    used = set(re.findall(r"\bsay\.(\w+)", TEMPLATE))
    install = (Path(page.__file__).parent / "install_text.py").read_text(encoding="utf-8")
    assert used - page_words.PAGE.keys() == set()
    assert page_words.PAGE.keys() - used - set(re.findall(r"['\"](\w+)['\"]", install)) == set()
    screen = (TEMPLATES / "page" / "screen.js").read_text(encoding="utf-8")
    named = set(re.findall(r"\bwords\.(\w+)", screen))
    verdicts = {"yes", "some_gpus", "unknown", "no"}  # words[runs]
    assert named - page_words.SCRIPT.keys() == set()
    assert page_words.SCRIPT.keys() - named - verdicts == set()


@pytest.mark.parametrize("name", texts())
def test_both_languages_hold_the_same_values_and_code(name: str) -> None:
    said = texts()[name]
    assert said.en.strip()
    assert said.ko.strip()
    assert sorted(re.findall(r"\{\w+\}", said.en)) == sorted(re.findall(r"\{\w+\}", said.ko))
    assert sorted(re.findall(r"`[^`]*`", said.en)) == sorted(re.findall(r"`[^`]*`", said.ko))


def test_every_reason_has_its_korean_sentence_with_the_same_values() -> None:
    assert verdict_korean.REASONS.keys() == verdict_text.REASONS.keys()
    for code, english in verdict_text.REASONS.items():
        values = set(re.findall(r"\{\w+\}", english))
        korean = set(re.findall(r"\{\w+\}", verdict_korean.REASONS[code]))
        assert korean == values, code
    assert len(verdict_korean.LOOKED_FOR) == len(smi.LOOKED_FOR)


# ferry.sh decides


def test_every_command_option_and_exit_status_is_one_of_ferry_sh() -> None:
    text = script()
    (line,) = re.findall(r"^  (verify \| .*?)\) \"\$command\"", text, re.MULTILINE)
    commands = {"doctor", "help", *line.split(" | ")}
    said = re.findall(r"sh\s+ferry\.sh\s+(\w+)", re.sub(r"<[^>]+>", " ", html()))
    assert commands - {*said} == set()
    assert {*said} - commands == set()
    known = re.findall(r"^run_options='(.*?)'|options '(--variant --require.*?)'", text, re.MULTILINE)
    options = {word for pair in known for part in pair for word in part.split()}
    assert {option.split()[0] for option, _ in guide_words.OPTIONS} == options
    statuses = {int(number) for number in re.findall(r"^[a-z_]+=(\d+)$", text, re.MULTILINE)}
    assert {status for status, _ in guide_words.STATUSES} == statuses
    assert guide_words.DOCTOR.keys() <= statuses
