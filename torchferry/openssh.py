"""The door to other machines: `ssh` as the person set it up, plain sh on the far side, no prompt ever.

Bytes go through `ssh HOST` rather than sftp, whose batch mode shows no progress and resumes by size alone: so a
transfer goes on at any byte, and only after a beginning that proved right.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchferry import files, proc
from torchferry.carriers import Begun, Busy, Garbled, Item, Stopped, Survey
from torchferry.errors import DiskFull, FerryError, ShipError
from torchferry.patience import Transient
from torchferry.templates import TEMPLATES

FAR = TEMPLATES / "far.sh"
MARK = "ferry\t"
LOST = 255
"""The exit status of ssh itself, when it could not reach the host or lost it."""

HOPELESS = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED":
        "find out why; if the host was really set up anew, remove its old key with ssh-keygen -R",
    "Host key verification failed": "run ssh once by hand and compare the host's key, so that it is known here",
    "Permission denied": "let ssh log in without a question: a key in your agent or ~/.ssh/config, known to the host",
    "Too many authentication failures": "name the one key for this host in ~/.ssh/config, with IdentitiesOnly yes",
    "Could not resolve hostname": "write the host as ssh takes it, or give it a Host entry in ~/.ssh/config",
    "Unable to negotiate": "the two OpenSSH versions have no method in common; ssh by hand says which to allow",
    "Bad owner or permissions": "make your ssh configuration yours alone: chmod 600",
    "Bad configuration option": "mend your ssh configuration",
    "Can't open user config file": "name a configuration that is there",
}
"""What ssh says when another try would end the same, and what to do."""

UNREACHABLE = ("Connection refused", "No route to host", "Network is unreachable", "timed out")
"""Worth another try only where the host answered before."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A host as ssh takes it, and the folder there: absolute, or below the home."""

    host: str
    folder: str

    def __str__(self) -> str:
        return self.host


class OpenSsh:
    """Carries to one server; every request is an `ssh` of its own, which the person's ControlMaster may join.

    ``config`` is an ssh configuration in place of the person's own. ``stopped`` ends what is under way.
    """

    def __init__(self, server: Server, *, config: Path | None, stopped: Callable[[], bool]) -> None:
        self._server, self._config, self._stopped = server, config, stopped
        self._answered = False

    def survey(self, items: Sequence[Item]) -> Survey:
        listed = [f"{at}\t{one.size}\t{one.sha256}\t./{one.name}\n".encode() for at, one in enumerate(items)]
        answers = self._ask("survey", self._folder, blocks=listed)
        if answers[-1:] != [("end",)]:
            raise Transient("the connection ended before the answer did")
        place, free = next(answer[1:] for answer in answers if answer[0] == "place")
        found = {(answer[0], items[int(answer[1])].name): answer[2:] for answer in answers[1:-1]}
        return Survey(
            place=place, free=int(free) * 1024 if free else None,
            whole=frozenset(name for state, name in found if state == "whole"),
            begun={name: Begun(size=int(said[0]), sha256=said[1])
                   for (state, name), said in found.items() if state == "begun"},
            busy=frozenset(name for state, name in found if state == "busy"),
        )

    def send(self, item: Item, start: int, passed: Callable[[int], object]) -> None:
        words = (self._folder, f"./{item.name}", str(item.size), item.sha256, str(start), "x" * item.executable)
        answers = self._ask("send", *words, blocks=files.blocks(item.path, start=start, passed=passed))
        if ("arrived",) not in answers:
            raise Transient("the connection ended before the file was whole")

    def remove(self, name: str) -> None:
        self._ask("remove", self._folder, f"./{name}")

    def ferry(self, words: Sequence[str], heard: Callable[[str], object], script: Path | None = None) -> int:
        if script is not None:
            done = self._run(shlex.join(["sh", "-s", *words]), [script.read_bytes()], heard)
        else:
            done = self._run(*_far("ferry", self._folder, *words), heard)
        return done.status

    @property
    def _folder(self) -> str:
        folder = self._server.folder
        return folder if folder.startswith("/") else f"./{folder}"

    def _ask(self, *words: str, blocks: Sequence[bytes] | Iterator[bytes] = ()) -> list[tuple[str, ...]]:
        """One request: the answers' parts. A refusal among them is raised."""
        command, told = _far(*words)
        done = self._run(command, _chained(told, blocks), proc.ignore_line)
        answers = [tuple(line.split("\t")[1:]) for line in done.stdout.splitlines() if line.startswith(MARK)]
        for answer in answers:
            if answer[0] == "refused":
                raise self._refusal(answer[1], answer[2], done.stderr)
        if not answers:
            raise ShipError(
                f"{self._server}: the host lets us in but runs no commands: {_last(done.stderr or done.stdout)}",
                cure=f"the account needs a POSIX shell; try: ssh {self._server} sh -c true",
            )
        return answers

    def _run(
        self, command: str, blocks: Sequence[bytes] | Iterator[bytes], heard: Callable[[str], object],
    ) -> proc.Finished:
        if self._stopped():
            raise Stopped
        argv = ["ssh", *(["-F", str(self._config)] if self._config else []), *OPTIONS, "--", self._server.host, command]
        done = proc.feed(argv, blocks, heard=heard, stopped=self._stopped)
        if self._stopped():
            raise Stopped
        if done.status == LOST and MARK + "arrived" not in done.stdout:
            raise self._lost(done.stderr)
        self._answered = True
        return done

    def _lost(self, said: str) -> Exception:
        for sign, cure in HOPELESS.items():
            if sign in said:
                return ShipError(f"{self._server}: {_last(said)}", cure=cure)
        if not self._answered and any(sign in said for sign in UNREACHABLE):
            return ShipError(
                f"{self._server}: {_last(said)}",
                cure=f"is it on, and its sshd reachable from here? try: ssh {self._server}",
            )
        return Transient(_last(said))

    def _refusal(self, what: str, said: str, errors: str) -> Exception:
        place = f"{self._server}:{self._server.folder}"
        if what == "hash":
            return ShipError(
                f"{self._server}: nothing there knows SHA-256: no sha256sum, shasum, openssl or busybox",
                cure="install coreutils, openssl or busybox there; what cannot be checked there is not sent",
            )
        if what in ("folder", "write"):
            return ShipError(
                f"{place}: cannot be written: {said}",
                cure="name a folder that this user may write: HOST:/path/to/folder",
            )
        if what == "stopped":
            return _stopped(place, said, errors)
        if what in ("busy", "wrong"):
            return Busy() if what == "busy" else Garbled()
        return Transient({
            "taken": "another ship took this file over",
            "moved": "what was there changed meanwhile", "short": f"the connection ended after {said} bytes",
        }[what])


OPTIONS = (
    "-T", "-o", "BatchMode=yes", "-o", "ClearAllForwardings=yes", "-o", "LogLevel=INFO",
)


def _far(*words: str) -> tuple[str, list[bytes]]:
    """The command for a far side, the same words in every log-in shell, and what it first reads: our script."""
    script = f"set -- {shlex.join(words)}\n{FAR.read_text(encoding='utf-8')}".encode()
    return f"exec sh -c 'eval \"$(dd bs=1 count={len(script)} 2>/dev/null)\"'", [script]


def _chained(first: Sequence[bytes], rest: Sequence[bytes] | Iterator[bytes]) -> Iterator[bytes]:
    yield from first
    yield from rest


def _last(said: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _stopped(place: str, free: str, errors: str) -> FerryError:
    """Why the far side took no more."""
    if free in ("", "0") or "No space" in errors or "quota" in errors:
        return DiskFull(
            f"{place}: its disk is full: {_last(errors)}",
            cure="free space there and run it again; it goes on from here",
        )
    return ShipError(f"{place}: cannot be written: {_last(errors)}", cure="mend it there and run it again")
