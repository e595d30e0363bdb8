"""INSTALL.txt of a release folder: the steps of the page for a terminal, English, then Korean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torchferry.guide import chapters, checklists
from torchferry.guide_words import OPTIONS, STATUSES
from torchferry.page_words import PAGE
from torchferry.release_facts import ReleaseFacts, parse
from torchferry.said import LANGUAGES, columns, folded, folded_command
from torchferry.wording import size

_INDENT = "    "


def text(document: Mapping[str, Any]) -> str:
    """The text for a parsed manifest.json; IntegrityError where it is none. The same in, the same out."""
    facts = parse(document)
    parts = ["\n".join(_language(facts, language)) for language in LANGUAGES]
    return "\n\n\n".join(parts) + "\n"


def _language(facts: ReleaseFacts, language: str) -> Iterator[str]:
    yield from _heading(facts.title, "=")
    yield from folded(PAGE["about_text"].text(language))
    yield ""
    yield from _facts(facts, language)
    yield ""
    which = "which_text" if any(image.torch for image in facts.images) else "no_variants"
    yield from folded(PAGE[which].text(language))
    for chapter in chapters(facts):
        yield ""
        yield from _heading(chapter.title.text(language), "-")
        for number, step in enumerate(chapter.steps, start=1):
            yield ""
            yield from folded(step.what.text(language), first=f"{number}. ", rest="   ")
            for command in step.run:
                yield from folded_command(command, indent=" " * 7)
    yield ""
    yield from _heading(PAGE["options"].text(language), "-")
    for option, meaning in OPTIONS:
        yield from folded(meaning.text(language), first=f"{option:<28}", rest=" " * 28)
    yield ""
    yield from _heading(PAGE["exit_statuses"].text(language), "-")
    for status, meaning in STATUSES:
        yield from folded(meaning.text(language), first=f"{status:>3}  ", rest=" " * 5)
    for checklist in checklists(facts):
        yield ""
        yield from _heading(f"{PAGE['checklist'].text(language)}: {checklist.title.text(language)}", "-")
        for item in checklist.items:
            yield from folded(item.text(language), first="[ ] ", rest=_INDENT)


def _heading(text: str, line: str) -> Iterator[str]:
    folds = folded(text)
    yield from folds
    yield line * max(map(columns, folds))


def _facts(facts: ReleaseFacts, language: str) -> Iterator[str]:
    """What the release is and what there is to carry."""
    sequence = PAGE["unknown"].text(language) if facts.sequence is None else str(facts.sequence)
    revision = ", ".join(facts.revisions) or PAGE["unknown"].text(language)
    for name, value in (
        ("sequence", sequence), ("revision", revision), ("made_by", f"torchferry {facts.torchferry}"),
    ):
        yield from folded(value, first=f"{PAGE[name].text(language)}: ", rest=_INDENT)
    for image in facts.images:
        said = PAGE["carried"].text(language).format(packed=size(image.packed), unpacked=size(image.size))
        yield from folded(said, first=f"{image.image}: ", rest=_INDENT)
