"""index.html as a text: the same each time, complete, of one piece, and with nothing from elsewhere."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.ferry import COMPAT, script
from support.page import COMPONENTS, document, html

from torchferry import page, page_words, smi, verdict_korean, verdict_text
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
    assert html(components=COMPONENTS[::-1]) == html()


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
    data = page.judge_data(parse(document()), page.rules(page_variants(), COMPAT), COMPAT)
    assert f"FERRY_TABLES='{data['tables']}'".replace("'", "") in script().replace("'\"'\"'", "").replace("'", "")


def page_variants() -> Any:
    from support.ferry import project

    return project().variants


def test_what_the_release_is_and_every_file_with_size_and_hash() -> None:
    made = document()
    text = html(made)
    for said in ("stt 1.0.0", ">7<", "c0ffee" + "0" * 34, "torchferry 0.1.0", "1,390,061,728", "1.39 GB"):
        assert said in text
    files = [file for one in (made["images"][0]["archive"]["parts"], made["images"][1:]) for file in one]
    names = [(file.get("name") or file["archive"]["name"], (file.get("sha256") or file["archive"]["sha256"]))
             for file in files]
    names += [(f"models/whisper-3/{file['path']}", file["sha256"]) for file in made["models"][0]["files"]]
    names += [(name, hashlib.sha256(text.encode()).hexdigest()) for name, text in {"ferry.sh": "x\n"}.items()]
    text = html(made, texts={"ferry.sh": "x\n"})
    for name, digest in names:
        assert re.search(rf"{re.escape(name)}</td>.*{digest}", text), name
    assert made["images"][0]["archive"]["sha256"] not in text  # of an archive in parts only the parts are files
    for one in COMPONENTS:
        assert one.license in text
        assert one.sha256 in text


def test_parts_that_a_manifest_need_not_have() -> None:
    made = document()
    for name in ("sequence", "services", "models"):
        del made[name]
    for one in made["images"]:
        one["archive"].pop("parts", None)
        one.pop("revision")
        one.pop("smoke")
    found = outline(html(made, components=(), texts={}))
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
    assert parse(document()).unpacked() == {"cu121": 10_100_000_000, "cpu": 10_100_000_000}
    made = document()
    made["images"] = made["images"][2:]
    assert parse(made).unpacked() == {"any": 5_050_000_000}


# Words


def texts() -> dict[str, Said]:
    return {**page_words.PAGE, **page_words.SCRIPT}


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


@pytest.mark.parametrize("name", [*page_words.PAGE, *page_words.SCRIPT])
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
