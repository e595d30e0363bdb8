"""The carrier to other machines: plain sh on the far side, reached by `ssh.py`.

Bytes go through `ssh HOST` rather than sftp, whose batch mode shows no progress and resumes by size alone: so a
transfer goes on at any byte, and only after a beginning that proved right.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torchferry.carriers import Begun, Busy, Garbled, Item, Survey
from torchferry.errors import DiskFull, FerryError, ShipError
from torchferry.patience import Transient
from torchferry.ssh import Ssh, last_line
from torchferry.templates import TEMPLATES

FAR = TEMPLATES / "far.sh"
MARK = "ferry\t"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A host as ssh takes it, and the folder there: absolute, or below the home."""

    host: str
    folder: str

    def __str__(self) -> str:
        return self.host


class OpenSsh:
    """Carries to one server. Each request is a command of its own, so what one leaves behind hinders no other."""

    def __init__(self, server: Server, ssh: Ssh) -> None:
        self._server, self._ssh = server, ssh

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
            busy={name: int(said[0]) for (state, name), said in found.items() if state == "busy"},
        )

    def send(self, item: Item, start: int, passed: Callable[[int], object]) -> None:
        words = (self._folder, f"./{item.name}", str(item.size), item.sha256, str(start), "x" * item.executable)
        answers = self._ask("send", *words, blocks=item.blocks(start, passed))
        if ("arrived",) not in answers:
            raise Transient("the connection ended before the file was whole")

    def remove(self, name: str) -> None:
        self._ask("remove", self._folder, f"./{name}")

    def ferry(self, words: Sequence[str], heard: Callable[[str], object], script: Path | None = None) -> int:
        if script is not None:
            return self._ssh.run(shlex.join(["sh", "-s", *words]), [script.read_bytes()], heard=heard).status
        return self._ssh.run(*_far("ferry", self._folder, *words), heard=heard).status

    @property
    def _folder(self) -> str:
        folder = self._server.folder
        return folder if folder.startswith("/") else f"./{folder}"

    def _ask(self, *words: str, blocks: Iterable[bytes] = ()) -> list[tuple[str, ...]]:
        """One request: the answers' parts. A refusal among them is raised."""
        command, told = _far(*words)
        done = self._ssh.run(command, chain(told, blocks), enough=f"{MARK}arrived")
        answers = [tuple(line.split("\t")[1:]) for line in done.stdout.splitlines() if line.startswith(MARK)]
        for answer in answers:
            if answer[0] == "refused":
                raise self._refusal(answer[1], answer[2], done.stderr)
        if not answers:
            raise ShipError(
                f"the host lets us in but runs no commands: {last_line(done.stderr or done.stdout)}",
                cure=f"the account needs a POSIX shell; try: ssh {self._server} sh -c true",
            )
        return answers

    def _refusal(self, what: str, said: str, errors: str) -> Exception:
        place = self._server.folder
        if what == "hash":
            return ShipError(
                "nothing there knows SHA-256: no sha256sum, shasum, openssl or busybox",
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
            return Busy(int(said)) if what == "busy" else Garbled()
        return Transient({
            "taken": "another ship took this file over",
            "moved": "what was there changed meanwhile", "short": f"the connection ended after {said} bytes",
        }[what])


def _far(*words: str) -> tuple[str, list[bytes]]:
    """The command for a far side, the same words in every log-in shell, and what it first reads: our script."""
    lines = FAR.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.strip() for line in lines if not line.strip().startswith("#"))
    script = f"set -- {shlex.join(words)}\n{text}\n".encode()
    return f"exec sh -c 'eval \"$(dd bs=1 count={len(script)} 2>/dev/null)\"'", [script]


def _stopped(place: str, free: str, errors: str) -> FerryError:
    """Why the far side took no more."""
    if free in ("", "0") or "No space" in errors or "quota" in errors:
        return DiskFull(
            f"{place}: its disk is full: {last_line(errors)}",
            cure="free space there and run it again; it goes on from here",
        )
    return ShipError(f"{place}: cannot be written: {last_line(errors)}", cure="mend it there and run it again")
