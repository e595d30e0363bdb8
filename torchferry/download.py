"""One file from the network to the disk: resumed, hashed while the bytes pass, whole or not there at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from torchferry import files, web
from torchferry.errors import IntegrityError, SourceError

AGAIN = "run the same command again; if it stays so, name another source (UV_DEFAULT_INDEX, TORCHFERRY_TORCH_INDEX)"


class _Short(web.Transient):
    """The answer was complete, but smaller than the file is."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file as it must be: its final place, bytes and hex SHA-256."""

    target: Path
    size: int
    sha256: str

    @property
    def partial(self) -> Path:
        """What came so far; a later run goes on from there."""
        return self.target.with_name(f".{self.target.name}.partial")

    @property
    def validator(self) -> Path:
        """Names the version of the remote file that ``partial`` is the beginning of."""
        return self.target.with_name(f".{self.target.name}.version")


@contextmanager
def claimed(wanted: Wanted, *, waiting: Callable[[], object]) -> Iterator[BinaryIO]:
    """Open the partial file for this holder alone; another run that wants the same file calls ``waiting`` meanwhile.

    Whoever waited should look whether ``target`` is there by now.
    """
    wanted.target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(wanted.partial, waiting) as partial:
        try:
            yield partial
        finally:
            if _is_still(wanted.partial, partial) and os.fstat(partial.fileno()).st_size == 0:
                wanted.partial.unlink()
                wanted.validator.unlink(missing_ok=True)


def download(
    wanted: Wanted, url: str, partial: BinaryIO, *, http: web.Client, patience: web.Patience,
    passed: Callable[[int], object],
) -> None:
    """Bring ``url`` to its final place through the ``partial`` that `claimed` opened.

    ``passed`` hears the bytes as they come, and a negative count where a beginning had to be given up.
    Raises SourceError (no answer, a page instead of the file) and IntegrityError (truncated, too long, other bytes).
    """
    transfer = _Transfer(wanted, url, partial, passed)
    failures, furthest, truncated = 0, 0, None
    while True:
        try:
            return transfer.go_on(http)
        except web.Refused as error:
            raise SourceError(transfer.says(str(error)), cure=AGAIN) from error
        except (web.Transient, web.RangeIgnored) as error:
            # A slow line that brings something each time is not given up on.
            failures = 1 if transfer.have > furthest + files.CHUNK else failures + 1
            furthest = max(furthest, transfer.have)
            truncated = error if isinstance(error, _Short) else truncated
            if failures >= patience.attempts:
                if truncated:
                    raise IntegrityError(transfer.says(f"{truncated}, it is truncated there"), cure=AGAIN) from error
                raise SourceError(transfer.says(f"{error}, {failures} times in a row"), cure=AGAIN) from error
            patience.pause(failures, getattr(error, "retry_after", None))


class _Transfer:
    """How far one file is: ``have`` bytes of it lie in the partial file and went into the digest."""

    def __init__(self, wanted: Wanted, url: str, partial: BinaryIO, passed: Callable[[int], object]) -> None:
        self._wanted, self._url, self._partial, self._passed = wanted, url, partial, passed
        self._digest = hashlib.sha256()
        self.have = 0
        self._reported = 0

    def says(self, text: str) -> str:
        """A message that names the file and where it comes from."""
        return f"{self._wanted.target.name}: {web.shown(self._url)}: {text}"

    def go_on(self, http: web.Client) -> None:
        """One request, from where the partial file ends; then the final check and the final name."""
        version = self._read_beginning()
        resumed = self.have > 0
        if self.have < self._wanted.size:
            try:
                with web.open_part(http, self._url, start=self.have, validator=version) as part:
                    resumed = self._agree(part) and resumed
                    self._receive(part)
            except web.RangeIgnored:
                self._start_again()
                raise
        self._finish(resumed)

    def _read_beginning(self) -> str | None:
        """Take in what is there already; returns the version of the remote file that it is of."""
        place = self._wanted.validator
        version = place.read_text(encoding="utf-8") if place.is_file() else None
        size = os.fstat(self._partial.fileno()).st_size
        if size > self._wanted.size or not version:
            self._start_again()
        self._digest, self.have = hashlib.sha256(), 0
        self._partial.seek(0)
        while block := self._partial.read(files.CHUNK):
            self._take(block)
        self._report()
        return version

    def _agree(self, part: web.Part) -> bool:
        """Make the partial file end where the answer starts; False where that meant to start again."""
        if part.start == self.have > 0:
            return True
        # Range ignored, or another version by now: what came so far is no beginning of this.
        self._start_again()
        if part.start != 0:
            raise web.Transient(f"the answer starts at byte {part.start}, which nobody asked for")
        if part.validator:
            files.write_text(self._wanted.validator, part.validator)
        return False

    def _receive(self, part: web.Part) -> None:
        try:
            for block in part.blocks:
                if self.have == 0:
                    self._refuse_page(part.content_type, block)
                if self.have + len(block) > self._wanted.size:
                    self._start_again()
                    raise IntegrityError(self.says(f"larger than the locked {self._wanted.size} bytes"), cure=AGAIN)
                self._partial.write(block)
                self._take(block)
                self._report()
        finally:
            self._partial.flush()

    def _finish(self, resumed: bool) -> None:
        if self.have < self._wanted.size:
            raise _Short(f"ended after {self.have} of {self._wanted.size} bytes")
        found = self._digest.hexdigest()
        if found != self._wanted.sha256:
            self._start_again()
            if resumed:
                raise web.Transient("what was resumed did not fit together")
            raise IntegrityError(
                self.says(f"right size, other bytes (tampered with, or replaced): sha256 {found}, "
                          f"the lock says {self._wanted.sha256}"),
                cure="do not use that source; name another one, or make the lock anew if the change is known and meant",
            )
        os.fsync(self._partial.fileno())
        self._wanted.partial.replace(self._wanted.target)
        self._wanted.validator.unlink(missing_ok=True)

    def _take(self, block: bytes) -> None:
        self._digest.update(block)
        self.have += len(block)

    def _report(self) -> None:
        self._passed(self.have - self._reported)
        self._reported = self.have

    def _start_again(self) -> None:
        self._partial.seek(0)
        self._partial.truncate(0)
        self._wanted.validator.unlink(missing_ok=True)
        self._digest, self.have = hashlib.sha256(), 0
        self._report()

    def _refuse_page(self, content_type: str, block: bytes) -> None:
        beginning = block.lstrip()[:15].lower()
        if content_type == "text/html" or beginning.startswith((b"<!doctype html", b"<html")):
            raise SourceError(
                self.says("answered with an HTML page instead of the file"),
                cure="a proxy or a guest network asks for a log-in there: open the URL in a browser, or name a mirror",
            )


@contextmanager
def _locked(path: Path, waiting: Callable[[], object]) -> Iterator[BinaryIO]:
    while True:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as handle:
            # Once we hold the lock, the holder before us may have given this file its final name, or removed it.
            if _try_lock(handle) and _is_still(path, handle):
                yield handle
                return
        waiting()


def _try_lock(handle: BinaryIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, handle: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False
