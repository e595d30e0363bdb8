"""A real Chromium without a window, spoken to over two pipes: no driver, no port, no library of its own."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0
"""Seconds after which a browser that does not answer counts as broken."""


@dataclass(kw_only=True)
class Browser:
    """One browser process: what it is asked it answers, what it tells meanwhile stays in ``events``."""

    reads: int
    writes: int
    events: list[dict[str, Any]] = field(default_factory=list)
    number: int = 0
    rest: bytes = b""

    def ask(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command and its result; AssertionError with what the browser says where it refuses."""
        self.number += 1
        wanted = self.number
        message = {"id": wanted, "method": method, "params": parameters}
        self._send({**message, **({"sessionId": session} if session else {})})
        answer = self.wait(lambda one: one.get("id") == wanted)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message of this kind; others become events."""
        end = time.monotonic() + PATIENCE
        while not wanted(message := self._next(end)):
            self.events.append(message)
        return message

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.writes, data):]

    def _next(self, end: float) -> dict[str, Any]:
        parts = [self.rest]
        while b"\0" not in parts[-1]:
            ready, _, _ = select.select([self.reads], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            parts.append(os.read(self.reads, 1 << 20))
            assert parts[-1], "the browser is gone"
        message, _, self.rest = b"".join(parts).partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def page(self, *, width: int = 1200, height: int = 900) -> Page:
        """A new, empty page."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(browser=self, session=session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        page.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        return page


@dataclass(kw_only=True)
class Page:
    """One page of a browser."""

    browser: Browser
    session: str

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.ask(method, session=self.session, **parameters)

    def open(self, place: Path) -> Page:
        """Load a file, until everything in it has run."""
        self.ask("Page.navigate", url=place.as_uri())
        self.browser.wait(
            lambda one: one.get("method") == "Page.loadEventFired" and one.get("sessionId") == self.session
        )
        return self

    def run(self, expression: str) -> Any:
        """The value of an expression, awaited; AssertionError with what it throws."""
        made = self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        return made["result"].get("value")

    def call(self, function: str, *values: Any) -> Any:
        """The result of a JavaScript function on plain values."""
        return self.run(f"({function})({', '.join(json.dumps(value) for value in values)})")

    def click(self, selector: str) -> None:
        """A click of the mouse on the middle of the first element that a selector finds."""
        x, y = self.call(
            "(selector) => { const one = document.querySelector(selector); one.scrollIntoView({ block: 'center' });"
            " const box = one.getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; }", selector,
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Text into what has the focus, as from the keyboard or the clipboard."""
        self.ask("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """One key, by its name and its virtual key code."""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def until(self, expression: str) -> Any:
        """Wait until an expression is true; its value."""
        return self.run(
            f"new Promise((done) => {{ const look = () => {{ const found = ({expression});"
            " found ? done(found) : setTimeout(look, 20); }; look(); })"
        )

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """What the browser told of this page so far, of these kinds."""
        self.run("0")
        return [one["params"] for one in self.browser.events
                if one.get("sessionId") == self.session and one.get("method") in methods]

    def picture(self, place: Path, *, whole: bool = True) -> None:
        """A PNG of the page."""
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        place.write_bytes(base64.b64decode(data))


@contextmanager
def chromium(folder: Path, *, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser with its profile in ``folder``, gone afterwards; skips the test where there is none."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    profile = folder / "profile"
    to_it, from_it = os.pipe(), os.pipe()
    words = [program, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    # It reads commands from file 3 and answers in file 4.
    pid = os.posix_spawn(program, words, {**os.environ, "HOME": str(folder)}, setpgroup=0, file_actions=[
        (os.POSIX_SPAWN_DUP2, to_it[0], 100), (os.POSIX_SPAWN_DUP2, from_it[1], 101),
        (os.POSIX_SPAWN_DUP2, 100, 3), (os.POSIX_SPAWN_DUP2, 101, 4),
        (os.POSIX_SPAWN_OPEN, 1, str(folder / "log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2), (os.POSIX_SPAWN_CLOSE, 100), (os.POSIX_SPAWN_CLOSE, 101),
    ])
    os.close(to_it[0])
    os.close(from_it[1])
    try:
        yield Browser(reads=from_it[0], writes=to_it[1])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(to_it[1])
        os.close(from_it[0])
        shutil.rmtree(profile, ignore_errors=True)
