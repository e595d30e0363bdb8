"""The one door to other programs: every subprocess of torchferry starts here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torchferry.errors import ToolMissing

TIMED_OUT = 124
"""The status of a program that was killed for taking too long, as timeout(1) has it."""
STOP_WITHIN = 0.2
"""Seconds after which a program that is fed notices that it has to stop."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A program that ended: its arguments, exit status and text."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    def tail(self, lines: int = 20) -> str:
        """The last ``lines`` lines it said, stderr after stdout."""
        said = (self.stdout.rstrip() + "\n" + self.stderr.rstrip()).strip()
        return "\n".join(said.splitlines()[-lines:])


def ignore_line(line: str) -> None:
    """A listener for what nobody wants to hear."""


def never() -> bool:
    """Whether to stop, for what is not stopped."""
    return False


def which(name: str) -> str | None:
    """The full path of a program on PATH, or None."""
    return shutil.which(name)


def on_path(name: str) -> tuple[str, ...]:
    """Every program of this name on PATH, first one first, without doubles."""
    found: list[str] = []
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = shutil.which(name, path=folder or ".")
        if path and os.path.realpath(path) not in {os.path.realpath(seen) for seen in found}:
            found.append(path)
    return tuple(found)


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    log: Path | None = None,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end and return what it said; a non-zero status is a value, not an exception.

    ``env`` is added to the environment. ``log`` receives stdout and stderr as they come (stdout and
    stderr of the result are then that text and empty). stdin is closed unless given.
    A program that is not done after ``timeout`` seconds is killed and has the status TIMED_OUT.
    Raises ToolMissing when the program is not there.
    """
    words = tuple(str(word) for word in argv)
    full_env = {**os.environ, **(env or {})}
    try:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as sink:
                done = subprocess.run(
                    words, env=full_env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink,
                    stderr=subprocess.STDOUT, timeout=timeout, check=False,
                )
            text = log.read_text(encoding="utf-8", errors="replace")
            return Finished(argv=words, status=done.returncode, stdout=text, stderr="")
        told = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        said = subprocess.run(
            words, env=full_env, cwd=cwd, capture_output=True, text=True, encoding="utf-8",
            errors="replace", timeout=timeout, check=False, **told,
        )
    except FileNotFoundError as error:
        raise ToolMissing(f"{words[0]}: no such program", cure=f"install {words[0]}, or run: inv setup") from error
    except subprocess.TimeoutExpired:
        return Finished(argv=words, status=TIMED_OUT, stdout="", stderr=f"{words[0]}: no answer within {timeout} s")
    return Finished(argv=words, status=said.returncode, stdout=said.stdout, stderr=said.stderr)


@contextmanager
def stream(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program whose stdout is read as it comes; it is ended when the block is left early."""
    words = [str(word) for word in argv]
    try:
        process = subprocess.Popen(
            words, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise ToolMissing(f"{words[0]}: no such program", cure=f"install {words[0]}, or run: inv setup") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def feed(
    argv: Sequence[str | Path], blocks: Iterable[bytes], *, env: Mapping[str, str] | None = None,
    heard: Callable[[str], object] = ignore_line, stopped: Callable[[], bool] = never,
) -> Finished:
    """Run a program, its stdin the blocks as fast as it takes them; ``heard`` gets each line of its stdout at once.

    A program that ends before it took all is no error here: its status and its words say why. It is ended when
    a block cannot be had, and when ``stopped`` turns true. Raises ToolMissing when the program is not there.
    """
    words = tuple(str(word) for word in argv)
    # A file for stderr: what an ssh leaves behind in the background (ControlPersist) may keep a pipe open.
    with tempfile.TemporaryFile() as errors, futures.ThreadPoolExecutor(max_workers=1) as reader:
        try:
            process = subprocess.Popen(
                words, env={**os.environ, **(env or {})}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )
        except FileNotFoundError as error:
            raise ToolMissing(f"{words[0]}: no such program", cure=f"install {words[0]}, or run: inv setup") from error
        assert process.stdin and process.stdout
        said = reader.submit(_lines, process.stdout, heard)
        try:
            _pour(blocks, process.stdin)
            while not futures.wait([said], timeout=STOP_WITHIN).done:
                if stopped():
                    process.terminate()
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        errors.seek(0)
        told = errors.read().decode("utf-8", errors="replace")
        return Finished(argv=words, status=status, stdout=said.result(), stderr=told)


def _pour(blocks: Iterable[bytes], sink: IO[bytes]) -> None:
    """Write what is taken; who closes its stdin early has a reason, which its status tells."""
    try:
        for block in blocks:
            try:
                sink.write(block)
                sink.flush()
            except BrokenPipeError:
                return
    finally:
        with suppress(BrokenPipeError):
            sink.close()


def _lines(source: IO[bytes], heard: Callable[[str], object]) -> str:
    """All that comes, told line by line."""
    lines = []
    with source:
        for line in source:
            lines.append(line.decode("utf-8", errors="replace"))
            heard(lines[-1].rstrip("\r\n"))
    return "".join(lines)


def start(argv: Sequence[str | Path], *, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program that the caller ends, stdin closed, its output into ``log``."""
    try:
        return subprocess.Popen(
            [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
        )
    except FileNotFoundError as error:
        raise ToolMissing(f"{argv[0]}: no such program", cure=f"install {argv[0]}, or run: inv setup") from error


def terminate(pid: int) -> None:
    """Send SIGTERM to a program; one that has ended by now is fine."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def start_detached(argv: Sequence[str | Path], *, log: Path) -> int:
    """Start a program that outlives us, its output appended to ``log``; returns its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    try:
        with log.open("ab") as sink:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
            )
    except FileNotFoundError as error:
        raise ToolMissing(f"{words[0]}: no such program", cure=f"install {words[0]}, or run: inv setup") from error
    process.returncode = 0  # Popen warns of a child that it outlived; this one is meant to be
    return process.pid


def exit_status(pid: int) -> int | None:
    """The exit status of a program that we started detached (negative: the signal that ended it); None: it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None
