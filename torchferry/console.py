"""The one place that talks to people: stdout is data, all talk goes to stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from torchferry.errors import FerryError
from torchferry.wording import size as size  # those who speak of sizes find it here

NOT_READ = 141
"""The status of a program that SIGPIPE ended, as shells tell it."""


class NotReadError(Exception):
    """Nobody reads stdout any more, as behind `| head`: no refusal and no bug, but nothing is left to be done."""


def say(text: str) -> None:
    """One line of talk, on stderr; that nobody reads it any more is no reason to stop halfway."""
    with suppress(BrokenPipeError), tqdm.external_write_mode(file=sys.stderr):
        print(text, file=sys.stderr, flush=True)


def show_error(error: FerryError) -> None:
    """The message and the cure of a refusal, on stderr."""
    say(f"error: {error}")


def show_json(document: Any) -> None:
    """One JSON document on stdout."""
    show(json.dumps(document, indent=2, sort_keys=False, ensure_ascii=False))


def show(text: str) -> None:
    """Data for people or pipes, on stdout; NotReadError when nobody reads it any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError as error:
        # what is left in the buffer would break the pipe once more when Python ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise NotReadError from error


@dataclass(kw_only=True)
class Progress:
    """How far one step is; ``advance`` may be called from any thread."""

    title: str
    total: int | None
    done: int = 0
    bar: tqdm[Any] | None = None

    def advance(self, count: int) -> None:
        """``count`` more bytes are done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)

    def note(self, text: str) -> None:
        """What is done just now: at the end of the bar, elsewhere a line."""
        if self.bar is not None:
            self.bar.set_postfix_str(text)
        else:
            say(f"{self.title}: {text}")


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Progress]:
    """Show a step's bytes, rate and time left on a terminal; elsewhere one plain line when it is done."""
    started = time.monotonic()
    step = Progress(title=title, total=total)
    if sys.stderr.isatty():
        with tqdm(total=total, desc=title, unit="B", unit_scale=True, leave=False, file=sys.stderr) as bar:
            step.bar = bar
            yield step
    else:
        yield step
    seconds = time.monotonic() - started
    amount = f"{size(step.done)}, " if step.done else ""
    say(f"{title}: {amount}{seconds:.1f} s")


@contextmanager
def side_by_side() -> Iterator[Callable[[str, int], Progress]]:
    """Several things at once: hands out a maker of lines, each with a title and the bytes to be done."""
    bars: list[tqdm[Any]] = []

    def line(title: str, total: int) -> Progress:
        step = Progress(title=title, total=total)
        if sys.stderr.isatty():
            step.bar = tqdm(
                total=total, desc=title, unit="B", unit_scale=True, leave=False, file=sys.stderr, position=len(bars),
            )
            bars.append(step.bar)
        return step

    try:
        yield line
    finally:
        for bar in reversed(bars):
            bar.close()


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str]) -> str:
    """Rows under a header, columns aligned with spaces."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
