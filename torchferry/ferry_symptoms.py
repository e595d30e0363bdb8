"""The catalogue of messages as ferry.sh knows it, one fact a line; templates/ferry/explain.awk reads it.

Case does not count, so all that is looked for stands in small letters. A message that is letters and nothing else is
looked for as such; another one has steps for the matcher, numbered behind those of the reader (`ferry_tables`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torchferry.ferry_patterns import Compiler, Program
from torchferry.ferry_tables import reader, step_lines
from torchferry.symptoms import Symptom


def tables(catalogue: Sequence[Symptom]) -> str:
    """Everything that ferry.sh has to know to explain a message."""
    compiler = reader()
    steps, sets = len(compiler.steps), len(compiler.alphabet.sets)
    lines = [line for one in catalogue for line in _symptom(one, compiler)]
    new = list(compiler.alphabet.sets.items())[sets:]
    lines = [*(("set", str(number), one.ranges) for one, number in new), *step_lines(compiler.steps[steps:]), *lines]
    return "\n".join("|".join(line) for line in lines)


def _symptom(one: Symptom, compiler: Compiler) -> Iterator[tuple[str, ...]]:
    yield "symptom", one.name, one.failure or "", " ".join(one.over)
    yield "cause", one.cause
    yield from (("good", text) for text in [one.good_driver] if text)
    yield from (("remedy", text) for text in one.remedy)
    yield from (("settle", text) for text in one.settle)
    for expression in one.says:
        kept = list(compiler.steps)
        compiler.add(one.name, expression, small=True)
        made = compiler.programs.pop()
        if len(compiler.steps) == len(kept) + len(made.needs) + 1:  # a step a letter, and the end
            compiler.steps = kept
            yield "says", made.needs
        else:
            yield from _pattern(made)


def _pattern(made: Program) -> Iterator[tuple[str, ...]]:
    assert made.begins and made.needs, f"{made.name}: a message begins with letters, and has some that are always there"
    yield "pattern", str(made.start), str(made.longest), made.needs
    yield from (("begins", letters) for letters in made.begins)
