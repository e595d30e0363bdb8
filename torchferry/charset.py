"""Sets of characters by number, and how plain extended regular expressions write them for any awk."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 128
"""The number of the first character that is not ASCII."""

SPACE, DIGIT = frozenset(map(ord, " \t\n\r\f\v")), frozenset(range(48, 58))
WORD = DIGIT | frozenset(range(65, 91)) | frozenset(range(97, 123)) | {95}
_PLAIN = frozenset(map(ord, " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-<>,;@#%=!~\"'`/&"))


@dataclass(frozen=True, kw_only=True)
class Charset:
    """Characters by number, or all but these."""

    codes: frozenset[int]
    negated: bool = False

    def holds(self, code: int) -> bool:
        return (code in self.codes) != self.negated

    @property
    def ranges(self) -> str:
        """'48-57 95', with a leading '!' for all but these."""
        found: list[list[int]] = []
        for code in sorted(self.codes):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
        said = [f"{first}-{last}" if last > first else f"{first}" for first, last in found]
        return " ".join((["!"] if self.negated else []) + said)


def bracket(one: Charset) -> str:
    """A set as ERE that every awk reads alike, or more than the set: '.' is any character, '@' any but a newline."""
    codes = sorted(one.codes)
    assert codes != [64], "awk reads @ as any character but a newline"
    if one.holds(10):
        return "."
    if one.negated or codes[-1] >= FIRST or codes[0] < 32 or (len(codes) > 1 and 92 in codes):
        return "@"
    if codes == [92]:
        return r"\\"
    if len(codes) == 1 and codes[0] in _PLAIN:
        return chr(codes[0])
    if codes == [94]:
        return r"\^"
    last = "".join(chr(code) for code in (94, 45) if code in codes)
    first = "]" if 93 in codes else ""
    middle = Charset(codes=frozenset(codes) - {93, 94, 45}).ranges.split()
    return "[" + first + "".join(_span(part) for part in middle) + last + "]"


def _span(part: str) -> str:
    first, _, last = part.partition("-")
    between = range(int(first), int(last or first) + 1)
    if len(between) < 4 or not WORD.issuperset(between):
        return "".join(map(chr, between))
    return f"{chr(between[0])}-{chr(between[-1])}"
