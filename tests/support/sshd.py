"""An sshd of a test's own, on localhost, for the user who runs the tests; and an ssh configuration that reaches it.

    with Sshd(folder) as far:
        subprocess.run(["ssh", "-F", far.config, "far", "true"], check=True)

Nothing of the person's own ssh is read or written. The far side's home is `far.home`; what is there of programs, which
shell logs in and what it may do is said by the environment variables and shell lines of `login`.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

SSHD = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
PRIVILEGE_SEPARATION = Path("/run/sshd")
"""An empty folder that sshd wants when root starts it; the system's own sshd makes and keeps it as well."""
PATIENCE = 20.0
"""Seconds an sshd may take to answer."""

LOGIN = """\
#!/bin/sh
# sshd runs this for every command; what comes before the last line is the test's
HOME={home}
export HOME
cd "$HOME" || exit 1
{lines}
exec {shell} -c "$SSH_ORIGINAL_COMMAND"
"""


def unavailable() -> str | None:
    """Why this machine cannot run an sshd of our own, or None where it can."""
    absent = [name for name in ("ssh", "ssh-keygen") if shutil.which(name) is None]
    absent += ["sshd"] if SSHD is None else []
    return f"needs {', '.join(absent)}" if absent else None


class Sshd:
    """One sshd, alive inside a ``with`` block, keeping everything below ``folder``.

    ``inside`` is put before every command line, ``nsenter --net=...`` to live in a network namespace.
    ``shell`` is what logs in, ``lines`` are run by sh before it: ``PATH=...; export PATH``, ``umask 077``.
    """

    def __init__(
        self, folder: Path, *, inside: Sequence[str] = (), shell: str = "sh", lines: Sequence[str] = (),
    ) -> None:
        self.folder, self.inside = folder, tuple(inside)
        self._shell, self._lines = shell, tuple(lines)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sshd:
        reason = unavailable()
        if reason:
            raise RuntimeError(reason)
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self.home.mkdir(parents=True)
        for name in ("host_key", "user_key"):
            _must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name))
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        login = self.folder / "login"
        login.write_text(LOGIN.format(
            home=shlex.quote(str(self.home)), lines="\n".join(self._lines), shell=self._shell,
        ), encoding="utf-8")
        login.chmod(0o755)
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def home(self) -> Path:
        """Where a log-in begins."""
        return self.folder / "home"

    @property
    def config(self) -> Path:
        """The configuration for `ssh -F` in which this host is called `far`."""
        return self.folder / "config"

    @property
    def log(self) -> Path:
        return self.folder / "sshd.log"

    def host(self, name: str, **settings: str) -> None:
        """Add a host of another name to the configuration, the same sshd with other settings (ProxyCommand=...)."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        said = {
            "HostName": "127.0.0.1", "Port": str(self.port), "User": user, "IdentitiesOnly": "yes",
            "IdentityFile": f'"{self.folder / "user_key"}"', "UserKnownHostsFile": f'"{self.folder / "known_hosts"}"',
            "GlobalKnownHostsFile": "/dev/null", "HostKeyAlias": "far", "IdentityAgent": "none", **settings,
        }
        with self.config.open("a", encoding="utf-8") as sink:
            sink.write("\n".join([f"Host {name}", *(f"  {key} {value}" for key, value in said.items()), ""]))

    def ssh(self, *words: str, host: str = "far", said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """One command over there, as a person would run it, with ``said`` on its stdin."""
        argv = [*self.inside, "ssh", "-F", str(self.config), host, *words]
        return subprocess.run(argv, input=said, capture_output=True, check=False, timeout=60)

    def sessions(self) -> list[int]:
        """The process ids of the connections that are open now, each of a child of this sshd."""
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        return [int(word) for word in listed.split()]

    def _start(self) -> None:
        for _ in range(20):  # between a port that was free and sshd's taking it, another may
            self.port = _free_port(self.inside)
            settings: Mapping[str, str] = {
                "Port": str(self.port), "ListenAddress": "127.0.0.1", "HostKey": f'"{self.folder / "host_key"}"',
                "PidFile": "none", "AuthorizedKeysFile": f'"{self.folder / "authorized_keys"}"', "StrictModes": "no",
                "UsePAM": "no", "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no",
                "PermitRootLogin": "yes", "PrintMotd": "no", "MaxStartups": "100", "LogLevel": "VERBOSE",
                "ForceCommand": shlex.quote(str(self.folder / "login")),
            }
            place = self.folder / "sshd_config"
            place.write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*self.inside, str(SSHD), "-D", "-e", "-f", str(place)], stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log,
                )
            if self._answers():
                break
        else:
            raise RuntimeError(f"sshd does not start: {self.log.read_text(encoding='utf-8', errors='replace')}")
        key = (self.folder / "host_key.pub").read_text(encoding="ascii").split()
        (self.folder / "known_hosts").write_text(f"far {key[0]} {key[1]}\n", encoding="ascii")
        self.config.unlink(missing_ok=True)
        self.host("far")

    def _answers(self) -> bool:
        """Whether it listens, before it ends itself."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            if b"Server listening" in self.log.read_bytes():
                return True
            time.sleep(0.02)
        self.end()
        self.log.unlink()
        return False

    def end(self) -> None:
        """End it and every connection; also on leaving the block."""
        if self._process is None:
            return
        for pid in [*self.sessions_or_none(), self._process.pid]:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        self._process.wait()
        self._process = None

    def sessions_or_none(self) -> list[int]:
        try:
            return self.sessions()
        except OSError:
            return []


def _free_port(inside: Sequence[str]) -> int:
    if inside:  # a namespace of its own has nobody else in it
        return 2222
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _must(*argv: str) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True)
