"""The release page in a real Chromium, opened from a folder: languages, no network, no script, copying, searching."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chromium import Browser, Page, chromium
from support.ferry import COMPAT, NAMES, RULES
from support.page import digest, document, html, release

from torchferry import guide
from torchferry.release_facts import parse
from torchferry.smi import read
from torchferry.verdict import judge
from torchferry.verdict_korean import REASONS

SAMPLES = Path(__file__).parents[1] / "smi"
A100 = SAMPLES / "002_a100-sxm4-40gb-550.txt"
TROUBLE = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
SEEN = "(selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility()).length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with chromium(folder) as made:
        yield made


@pytest.fixture(scope="module")
def place(folder: Path) -> Path:
    return release(folder)


@pytest.fixture
def page(browser: Browser, place: Path) -> Page:
    return browser.page().open(place)


def paste(page: Page, text: str) -> None:
    """Into the box, as from the clipboard, until the verdict stands there."""
    page.run("document.getElementById('smi-text').focus()")
    page.type(text)
    page.until("document.querySelector('#verdict h4')")


def test_nothing_is_asked_of_any_network_and_nothing_goes_wrong(page: Page, place: Path) -> None:
    paste(page, A100.read_text(encoding="utf-8"))
    page.click("label[for=language-ko]")
    page.click(".command button")
    asked = [one["request"]["url"] for one in page.told("Network.requestWillBeSent")]
    assert asked == [place.as_uri()]
    assert page.told(*TROUBLE) == []
    assert page.run("performance.getEntriesByType('resource').length") == 0


def test_the_policy_takes_no_other_script_style_or_image(page: Page) -> None:
    refused = page.run(
        "new Promise((done) => { const seen = [];"
        " addEventListener('securitypolicyviolation', (event) => {"
        "  seen.push(event.effectiveDirective); if (seen.length === 4) done(seen.sort()); });"
        " const make = (tag, set) => Object.assign(document.createElement(tag), set);"
        " const add = (tag, set) => document.body.append(make(tag, set));"
        " add('script', { textContent: 'window.stolen = 1' }); add('style', { textContent: 'b { color: red }' });"
        " add('img', { src: 'data:image/gif;base64,R0lGODlhAQABAAAAACw=' });"
        " fetch('http://127.0.0.1:9/').catch(() => 0); })"
    )
    assert refused == ["connect-src", "img-src", "script-src-elem", "style-src-elem"]
    assert page.run("typeof window.stolen") == "undefined"


@pytest.mark.parametrize(
    ("tags", "language"), [("ko-KR,ko,en", "ko"), ("en-GB,en", "en"), ("fr-FR,fr", "en"), ("fr,ko", "ko")],
)
def test_the_language_is_that_of_the_browser(browser: Browser, place: Path, tags: str, language: str) -> None:
    page = browser.page()
    page.ask("Emulation.setUserAgentOverride", userAgent="tests", acceptLanguage=tags)
    page.open(place)
    assert page.run("document.documentElement.lang") == language
    assert page.run("document.querySelector('input[name=language]:checked').value") == language


def languages_seen(page: Page) -> tuple[int, int]:
    """How many texts of English and of Korean are to be seen, the two names of languages apart."""
    english, korean = (page.call(SEEN, f"body :not(label)[lang={language}]") for language in ("en", "ko"))
    return english, korean


def test_one_language_at_a_time_and_all_of_it(page: Page) -> None:
    english, korean = (page.run(f"document.querySelectorAll('span[lang={one}]').length") for one in ("en", "ko"))
    assert english == korean > 150
    page.click("label[for=language-ko]")
    assert page.run("document.documentElement.lang") == "ko"
    english, korean = languages_seen(page)
    assert english == 0
    assert korean > 150
    page.click("label[for=language-en]")
    assert page.run("document.documentElement.lang") == "en"
    english, korean = languages_seen(page)
    assert korean == 0
    assert english > 150


def test_the_language_is_chosen_with_the_keyboard_too(page: Page) -> None:
    page.run("document.getElementById('language-en').focus()")
    page.press("ArrowRight", 39)
    assert page.run("document.activeElement.id") == "language-ko"
    assert page.run("document.documentElement.lang") == "ko"


def test_without_script_all_but_the_box_the_buttons_and_the_search_is_there(browser: Browser, place: Path) -> None:
    page = browser.page()
    page.ask("Emulation.setScriptExecutionDisabled", value=True)
    page.open(place)
    page.click("label[for=language-ko]")
    seen = {name: page.call(SEEN, selector) for name, selector in {
        "korean": "main span[lang=ko]", "english": "main span[lang=en]", "box": "#judge-form", "search": "#search",
        "buttons": "button", "commands": ".command code", "hashes": ".hash", "no script": "noscript p",
        "ticks": "input[type=checkbox]",
    }.items()}
    assert {name for name, count in seen.items() if count == 0} == {"english", "box", "search", "buttons"}
    page.click("label[for=language-en]")
    assert languages_seen(page)[1] == 0
    page.click("#check-1-1")
    assert page.run("document.getElementById('check-1-1').checked")


def test_a_pasted_text_gets_the_verdict_of_python_in_both_languages(page: Page) -> None:
    text = A100.read_text(encoding="utf-8")
    paste(page, text)
    expected = judge(read(text, NAMES), RULES, COMPAT)
    shown = page.run(
        "(() => { const texts = (all) => [...all].map((one) => one.textContent);"
        " const place = document.getElementById('verdict');"
        " return { headline: place.querySelector('h4').innerText, status: place.dataset.status,"
        "  rows: [...place.querySelectorAll('tbody tr')].map((row) =>"
        "   [row.querySelector('th').textContent, row.dataset.runs, texts(row.querySelectorAll('ul[lang=en] li'))]),"
        "  korean: texts(place.querySelectorAll('ul[lang=ko] li')) }; })()"
    )
    assert shown["headline"] == f"Run {expected.pick}"
    assert shown["status"] == str(expected.status)
    assert shown["rows"] == [
        [name, verdict.runs, [reason.text for reason in verdict.reasons]] for name, verdict in expected.verdicts.items()
    ]
    assert shown["korean"] == [
        REASONS[reason.code].format_map(reason.values)
        for verdict in expected.verdicts.values() for reason in verdict.reasons
    ]


def test_the_pick_is_among_the_variants_that_the_folder_holds(browser: Browser, folder: Path, page: Page) -> None:
    made = document()
    made["images"] = [one for one in made["images"] if one["variant"] != "cu124"]
    for one, pick in ((page, "cu124"), (browser.page().open(release(folder / "no cu124", made)), "cu121")):
        paste(one, A100.read_text(encoding="utf-8"))
        line = one.run("document.querySelector('#verdict .command code').textContent")
        assert line == f"sh ferry.sh up --variant {pick}"


def test_some_gpus_alone_are_named_in_the_command(browser: Browser, folder: Path) -> None:
    page = browser.page().open(release(folder))
    paste(page, "Driver Version: 535.54.03\nGPU 0: Tesla K80 (UUID: GPU-a)\nGPU 1: Tesla T4 (UUID: GPU-b)\n"
                "GPU 2: Tesla T4 (UUID: GPU-c)\n")
    assert page.run("document.querySelector('#verdict h4').innerText") == "Run cu121 on GPU 1, 2 only"
    line = page.run("document.querySelector('#verdict .command code').textContent")
    assert line == "sh ferry.sh up --variant cu121 --gpus '\"device=1,2\"'"


def test_a_text_that_tells_nothing_says_what_was_looked_for(page: Page) -> None:
    paste(page, "all is well")
    assert page.run("document.querySelector('#verdict').dataset.status") == "4"
    assert "NVIDIA-SMI and Driver Version" in page.run("document.querySelector('#verdict').innerText")


def test_a_saved_file_is_read_byte_by_byte(page: Page, tmp_path: Path) -> None:
    saved = tmp_path / "smi from windows.txt"
    saved.write_bytes("Driver Version: 550.54.15\nGPU 0: NVIDIA® A100-SXM4-40GB (UUID: GPU-1)".encode("cp1252"))
    node = page.ask("DOM.getDocument")["root"]["nodeId"]
    field = page.ask("DOM.querySelector", nodeId=node, selector="#smi-file")["nodeId"]
    page.ask("DOM.setFileInputFiles", files=[str(saved)], nodeId=field)
    assert page.until("document.querySelector('#verdict h4')?.innerText") == "Run cu124"
    assert "smi from windows.txt" in page.run("document.getElementById('judge-note').innerText")
    assert "0: NVIDIA® A100-SXM4-40GB" in page.run("document.getElementById('verdict').innerText")


def test_what_is_typed_goes_before_what_is_pasted_and_a_wrong_driver_is_told(page: Page) -> None:
    paste(page, A100.read_text(encoding="utf-8"))
    page.run("document.getElementById('typed-driver').focus()")
    page.type("470.82.01")
    page.until("document.querySelector('#verdict h4').innerText === 'Run cu118'")
    page.type(".9")
    page.until("document.getElementById('judge-note').innerText !== ''")
    assert page.run("document.getElementById('typed-driver').getAttribute('aria-invalid')") == "true"
    assert page.run("document.querySelector('#verdict').childElementCount") == 0
    page.click("#judge-form button[type=reset]")
    page.until("document.getElementById('judge-note').innerText === ''")
    assert page.run("document.getElementById('smi-text').value") == ""


def test_every_command_of_the_release_is_there_and_copied_as_it_is(page: Page) -> None:
    wanted = [one.line for chapter in guide.chapters(parse(document())) for step in chapter.steps for one in step.run]
    assert page.run("[...document.querySelectorAll('#steps ~ ol code')].filter((one) => one.closest('pre'))"
                    ".map((one) => one.textContent)") == wanted
    page.browser.ask("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.run("document.querySelectorAll('#steps ~ ol .command').forEach((one, i) => { one.dataset.place = i; })")
    for place, line in enumerate(wanted):
        page.click(f"[data-place='{place}'] button")
        page.until(f"document.querySelector('[data-place=\"{place}\"] button').dataset.state === 'done'")
        assert page.run("navigator.clipboard.readText()") == line


def test_a_browser_without_clipboard_access_copies_the_old_way(page: Page) -> None:
    page.browser.ask("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.run("navigator.clipboard.writeText('before')")
    page.run("Clipboard.prototype.writeText = () => Promise.reject(new Error('no'))")
    page.click("#steps ~ ol .command button")
    page.until("document.querySelector('#steps ~ ol .command button').dataset.state === 'done'")
    assert page.run("navigator.clipboard.readText()") == "scp -r stt-1.0.0 SERVER:"


def test_the_search_shows_the_rows_that_hold_every_word(page: Page) -> None:
    def search(words: str) -> tuple[list[str], str]:
        page.run("document.getElementById('search').focus(); document.getElementById('search').select()")
        page.type(words)
        return page.run(
            "[[...document.querySelectorAll('#components tbody tr')].filter((row) => row.checkVisibility())"
            ".map((row) => row.cells[0].textContent), document.getElementById('search-count').innerText]"
        )

    assert page.run("document.getElementById('search-count').innerText") == "4 of 4"
    assert search("BSD") == [["numpy", "torch", "torch"], "3 of 4"]
    assert search("bsd wheel 2.1 CU121") == [["torch"], "1 of 4"]
    assert search("engine-cpu") == [["numpy", "torch", "libc6"], "3 of 4"]
    assert search(digest("libc6")[:12]) == [["libc6"], "1 of 4"]
    assert search("nothing like it") == [[], "0 of 4"]
    assert search(" ") == [["numpy", "torch", "torch", "libc6"], "4 of 4"]


NAUGHTY = "</title></style></textarea></script><img src=x onerror=\"stolen=1\">'`{{7*7}}<!--"


def structure(page: Page) -> Any:
    """Every element with the names of its attributes, in order."""
    return page.run("[...document.querySelectorAll('*')].map((one) => `${one.tagName} ${one.getAttributeNames()}`)")


def test_hostile_names_stay_names(browser: Browser, folder: Path, page: Page) -> None:
    made = document(NAUGHTY, NAUGHTY)
    made["models"][0]["name"] = made["images"][0]["image"] = made["images"][0]["archive"]["head"]["name"] = NAUGHTY
    hostile = browser.page().open(release(folder / "hostile", made))
    assert structure(hostile) == structure(page)
    assert hostile.run("typeof stolen") == "undefined"
    assert hostile.run("document.title") == f"{NAUGHTY} 1.0.0"
    assert hostile.run("document.querySelector('.images td').textContent") == NAUGHTY
    assert hostile.told(*TROUBLE) == []
    assert hostile.run("document.querySelectorAll('.command button').length") > 10
    paste(hostile, "Driver Version: 535.54.03\nGPU 0: NVIDIA <img src=x onerror=stolen=1> T4 (UUID: GPU-1)")
    assert hostile.run("document.querySelectorAll('#verdict img').length") == 0


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_nothing_stands_out_to_the_side(browser: Browser, place: Path, width: int, language: str) -> None:
    page = browser.page(width=width).open(place)
    page.click(f"label[for=language-{language}]")
    paste(page, A100.read_text(encoding="utf-8"))
    assert page.run("document.documentElement.scrollWidth") <= width


def test_every_field_has_a_label_and_every_id_is_there_once(page: Page) -> None:
    paste(page, A100.read_text(encoding="utf-8"))
    fields = "[...document.querySelectorAll('input, textarea')]"
    assert page.run(f"{fields}.filter((one) => !one.labels.length).map((one) => one.id)") == []
    assert page.run("[...document.querySelectorAll('button')].filter((one) => !one.innerText.trim()).length") == 0
    ids = page.run("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    named = page.run(
        "[...document.querySelectorAll('*')].flatMap((one) => ['for', 'aria-labelledby', 'aria-describedby']"
        ".map((name) => one.getAttribute(name))).concat([...document.querySelectorAll('a[href^=\"#\"]')]"
        ".map((one) => one.getAttribute('href').slice(1))).filter(Boolean)"
    )
    assert set(named) - set(ids) == set()


CONTRAST = """() => {
  const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (one) => { for (; one; one = one.parentElement) {
    const colour = numbers(getComputedStyle(one).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour; }
    return [255, 255, 255]; };
  const worst = [];
  for (const one of document.querySelectorAll('body *')) {
    const told = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!told || !one.checkVisibility()) continue;
    const pair = [light(numbers(getComputedStyle(one).color)), light(ground(one))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) worst.push(`${one.tagName}.${one.className}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(worst)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser: Browser, place: Path, scheme: str) -> None:
    page = browser.page()
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.open(place)
    paste(page, A100.read_text(encoding="utf-8"))
    grounds = page.run("getComputedStyle(document.documentElement).getPropertyValue('--ground')")
    assert grounds == {"light": "#ffffff", "dark": "#15191d"}[scheme]
    assert page.call(CONTRAST) == []


def test_paper_gets_the_facts_and_none_of_the_controls(page: Page) -> None:
    page.ask("Emulation.setEmulatedMedia", media="print")
    seen = {name: page.call(SEEN, selector) for name, selector in {
        "nav": "nav", "form": "form", "buttons": "button", "labels": "label[for^=language]",
        "commands": ".command code", "ticks": "input[type=checkbox]", "hashes": ".hash",
    }.items()}
    assert {name for name, count in seen.items() if count == 0} == {"nav", "form", "buttons", "labels"}
    page.ask("Emulation.setEmulatedMedia", media="")
    assert page.run("document.querySelector('details').open") is False
    assert len(page.ask("Page.printToPDF")["data"]) > 10_000
    assert page.run("document.querySelector('details').open") is True  # what is folded away would be missing on paper


def test_a_release_without_variants_asks_for_no_driver(browser: Browser, folder: Path) -> None:
    made = document()
    made["images"] = [one for one in made["images"] if one["variant"] == "any"]
    page = browser.page().open(release(folder / "plain", made))
    assert page.call(SEEN, "#judge-form, #needs, .picture, noscript") == 0
    assert "no variants" in page.run("document.querySelector('#which').parentElement.innerText")
    assert page.told(*TROUBLE) == []


def test_an_empty_bill_of_materials_is_said_to_be_empty(browser: Browser, folder: Path) -> None:
    place = folder / "empty.html"
    place.write_text(html(boms={}), encoding="utf-8")
    page = browser.page().open(place)
    assert page.call(SEEN, "#components") == 0
    assert page.told(*TROUBLE) == []
