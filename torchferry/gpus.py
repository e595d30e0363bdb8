"""What a GPU's name says: its compute capability, and whether its board exists only beside an Arm CPU.

The table's names are words that stand side by side in the printed name. Whole words count, most words win, then those
that begin first: "Quadro RTX 6000", "RTX 6000 Ada" and "RTX PRO 6000" are three generations, a bare "RTX 6000" is none.
In a name that was cut ("NVIDIA GeForce ...") an entry may run past the end, and the last word may go on; several
entries that are equally good must then agree, or the name says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from torchferry.compat_rows import GpuRow, Table

LONGEST = 200
"""Characters of a name that are looked at; NVML gives 96 at most."""

_WORD = re.compile(r"[a-z0-9]+")
CUT = re.compile(r"(?a)(?:\.\.|…)\s*$")
TYPED_APART = re.compile(r"(?ai)(?<=\d)(?=(?:ti|super)\b)")
TYPED_BEHIND = re.compile(r"(?ai)\b(rtx|gtx|gt)(?=\d)")


@dataclass(frozen=True, kw_only=True)
class GpuNames:
    """The GPU names of one table."""

    table: Table

    @cached_property
    def entries(self) -> tuple[tuple[tuple[str, ...], GpuRow], ...]:
        """Every name as its words in lower case, with the row it stands in."""
        return tuple((words(name), row) for row in self.table.gpus for name in row.names)

    @cached_property
    def _by_first_word(self) -> dict[str, list[tuple[tuple[str, ...], GpuRow]]]:
        found: dict[str, list[tuple[tuple[str, ...], GpuRow]]] = {}
        for entry, row in self.entries:
            found.setdefault(entry[0], []).append((entry, row))
        return found

    def row(self, name: str) -> GpuRow | None:
        """The row that a printed name belongs to; None where it is unknown, or cut so that several remain."""
        said, cut = words(name), is_cut(name)
        best, found = (0, 0), list[GpuRow]()
        for start, word in enumerate(said):
            for entry, row in self.entries if cut else self._by_first_word.get(word, ()):
                rank = (_covered(said[start:], entry, cut=cut), -start)
                if rank[0] and rank > best:
                    best, found = rank, [row]
                elif rank[0] and rank == best:
                    found.append(row)
        return found[0] if len({(row.capability, row.arch, row.tegra) for row in found}) == 1 else None

    def by_hand(self, name: str) -> GpuRow | None:
        """As `row`, also for what people type without blanks: RTX3090, GTX1080Ti."""
        apart = TYPED_APART.sub(" ", name)
        return self.row(name) or self.row(apart) or self.row(TYPED_BEHIND.sub(r"\1 ", apart))


def words(name: str) -> tuple[str, ...]:
    """The words of a name: runs of letters and digits, in lower case."""
    return tuple(_WORD.findall(name[:LONGEST].lower()))


def is_cut(name: str) -> bool:
    """Whether nvidia-smi's column was too narrow for the name."""
    return CUT.search(name[:LONGEST]) is not None


def _covered(said: tuple[str, ...], entry: tuple[str, ...], *, cut: bool) -> int:
    """How many words of ``said``, from its first on, ``entry`` accounts for; 0 when it does not fit there."""
    if said[:len(entry)] == entry:
        return len(entry)
    last = len(said) - 1
    if cut and last < len(entry) and entry[:last] == said[:last] and entry[last].startswith(said[last]):
        return len(said)
    return 0
