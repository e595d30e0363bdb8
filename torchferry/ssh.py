"""The ssh program, as the person set it up: one command on one host, no prompt ever, and what its failures mean."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torchferry import proc
from torchferry.carriers import Stopped
from torchferry.errors import ShipError
from torchferry.patience import Transient

LOST = 255
"""The exit status of ssh itself, when it could not reach the host or lost it."""

ALWAYS = ("-T", "-o", "BatchMode=yes", "-o", "ClearAllForwardings=yes", "-o", "LogLevel=INFO")
DEFAULTS = {
    "serveraliveinterval": ("0", ("-o", "ServerAliveInterval=15")),  # a dead line is noticed within a minute
    "connecttimeout": ("none", ("-o", "ConnectTimeout=20")),
}
"""What ssh would do if nobody said anything, and what is better for long transfers."""
SHARED = ("-o", "ControlMaster=auto", "-o", "ControlPersist=60")

LONGEST = 55
"""Bytes of a folder's path in which a socket still fits."""

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


class Ssh:
    """One host as ssh takes it; ``stopped`` ends what is under way. Made by `connection`."""

    def __init__(self, host: str, options: tuple[str, ...], stopped: Callable[[], bool]) -> None:
        self.host, self._options, self._stopped = host, options, stopped
        self._answered = False

    def run(
        self, command: str, blocks: Iterable[bytes], *, heard: Callable[[str], object] = proc.ignore_line,
        enough: str | None = None,
    ) -> proc.Finished:
        """Run a command for the log-in shell there, fed with ``blocks``; its status is a value.

        Raises Transient for a connection that was lost, unless a line was said that is ``enough``, and ShipError for a
        host that does not let us in.
        """
        if self._stopped():
            raise Stopped
        done = proc.feed(
            ["ssh", *self._options, "--", self.host, command], blocks, heard=heard, stopped=self._stopped,
        )
        if self._stopped():
            raise Stopped
        if done.status == LOST and enough not in done.stdout.splitlines():
            raise self._lost(done.stderr)
        self._answered = True
        return done

    def _lost(self, said: str) -> Exception:
        for sign, cure in HOPELESS.items():
            if sign in said:
                return ShipError(last_line(said), cure=cure)
        if not self._answered and any(sign in said for sign in UNREACHABLE):
            return ShipError(
                last_line(said),
                cure=f"is it on, and its sshd reachable from here? try: ssh {self.host}",
            )
        return Transient(last_line(said))


@contextmanager
def connection(host: str, *, config: Path | None, stopped: Callable[[], bool]) -> Iterator[Ssh]:
    """A host for a while. Where the person's configuration shares no connections, ours are one: one log-in for all."""
    chosen = ("-F", str(config)) if config else ()
    said = _settings(host, chosen)
    better = [word for name, (value, words) in DEFAULTS.items() if said.get(name, value) == value for word in words]
    options = (*chosen, *ALWAYS, *better)
    if said.get("controlpath", "none") != "none":
        yield Ssh(host, options, stopped)
        return
    with tempfile.TemporaryDirectory(prefix="torchferry-", dir=_place_of_sockets()) as folder:
        path = ("-o", f"ControlPath={folder}/s")
        try:
            yield Ssh(host, (*options, *SHARED, *path), stopped)
        finally:
            proc.run(["ssh", *chosen, *path, "-O", "exit", "--", host])


def _place_of_sockets() -> str:
    """A folder for temporary files whose path is short: a socket's holds about a hundred bytes, ssh adds twenty."""
    usual = tempfile.gettempdir()
    return usual if len(usual.encode()) <= LONGEST else "/tmp"


def last_line(said: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _settings(host: str, chosen: tuple[str, ...]) -> Mapping[str, str]:
    """What ssh would do for this host, as far as it tells: option to value, in small letters."""
    done = proc.run(["ssh", *chosen, "-G", "--", host])
    return dict(line.lower().split(" ", 1) for line in done.stdout.splitlines() if " " in line)
