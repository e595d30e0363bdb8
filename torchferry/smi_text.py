"""Pasted text, freed from what terminals, mail, wikis and editors did to it: bytes or text in, plain lines out."""

from __future__ import annotations

import html
import re

LONGEST = 2_000_000
"""Characters that are looked at: `nvidia-smi -q -x` of sixteen GPUs has a quarter of that."""

_ESCAPE = re.compile(r"(?a)\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad\0\x01-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")
_SPACES = re.compile("[\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_ENTITY = re.compile(r"(?a)&(?:lt|gt|amp|nbsp|quot|#\d{1,6}|#x[0-9a-fA-F]{1,6});")
_BREAK = re.compile(r"(?ai)<(?:br|/p|/div|/tr|/li|/pre)\b[^<>\n]{0,300}>")
_TAG = re.compile(r"(?ai)</?[a-z][a-z0-9]{0,20}(?:\s[^<>\n]{0,500})?/?>")
_XML = re.compile(r"(?a)<(?:nvidia_smi_log|driver_version|product_name|kmd_version)\b")
_BBCODE = re.compile(
    r"(?ai)\[/?(?:code|quote|pre|b|i|u|s|size|color|font|url|img|spoiler|hide|cut|list|table|tr|td|tt|mono|noparse)"
    r"(?:[=\s][^\]\n]{0,100})?\]"
)
_FENCE = re.compile(r"(?am)^[ >]{0,40}(?:```|~~~)[\w-]{0,40} {0,40}$")
_BORDERS = str.maketrans({
    **dict.fromkeys("│┃║┆┊┇┋▏▕|", "|"), **dict.fromkeys("─━═┄┈―—–", "-"), **dict.fromkeys("┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬", "+"),
})


def decoded(data: bytes) -> str:
    """Bytes of a file as text: UTF-8, UTF-16 with or without its mark (PowerShell's >), else Latin-1."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    head = data[:4096]
    if len(head) > 3 and head.count(0) > len(head) // 4:
        return data.decode("utf-16-le" if head[1::2].count(0) >= head[0::2].count(0) else "utf-16-be", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def cleaned(text: str) -> str:
    """The text without colours, markup, fences and odd spaces, its lines ended by newlines; XML stays XML."""
    text = _ESCAPE.sub("", text[:LONGEST]).replace("\r\n", "\n").replace("\r", "\n")
    text = _SPACES.sub(" ", text.replace("\t", "    "))
    for _ in range(2):  # pasted twice through a web form: &amp;lt;
        text = _SPACES.sub(" ", _ENTITY.sub(lambda found: html.unescape(found[0]), text))
    if not _XML.search(text):
        text = _TAG.sub("", _BREAK.sub("\n", text))
    text = _FENCE.sub("", _BBCODE.sub("", text))
    return _INVISIBLE.sub("", text.translate(_BORDERS))


def unwrapped(text: str) -> str:
    """Table lines that a narrow terminal broke in two, joined again; nothing else is touched."""
    done: list[str] = []
    for line in text.split("\n"):
        if done and _is_open(done[-1]) and _goes_on(line, done[-1]):
            done[-1] += line
        else:
            done.append(line)
    return "\n".join(done)


_NARROW = range(60, 133)
"""Columns at which terminals break lines."""


def _is_open(line: str) -> bool:
    return "|" in line[:40] and not line.rstrip().endswith(("|", "+")) and len(line) in _NARROW


def _goes_on(line: str, before: str) -> bool:
    # A new row has its own frame at the start and at the end; the rest of a broken one has none at the start.
    end = line.rstrip()
    return end.endswith("|") and not line.lstrip().startswith(("|", "+")) and len(before) + len(end) < 200
