"""Where a release goes: what is a host, what is a folder, and what is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchferry.destinations import parse
from torchferry.errors import ConfigError
from torchferry.folder import Place
from torchferry.openssh import Server

T = "tiny-1.0.0"


@pytest.mark.parametrize(("text", "host", "folder"), [
    ("gpu1", "gpu1", T), ("me@gpu1", "me@gpu1", T), ("gpu1:", "gpu1", T), ("gpu1:~", "gpu1", T), ("gpu1:~/", "gpu1", T),
    ("gpu1:releases", "gpu1", f"releases/{T}"), ("gpu1:~/releases/", "gpu1", f"releases/{T}"),
    ("gpu1:/srv/my stuff", "gpu1", f"/srv/my stuff/{T}"), (f"gpu1:/srv/{T}", "gpu1", f"/srv/{T}"),
    (f"gpu1:{T}", "gpu1", T), ("gpu1:-x/한", "gpu1", f"-x/한/{T}"), ("gpu1:a:b", "gpu1", f"a:b/{T}"),
    ("[fe80::1%eth0]:/srv", "fe80::1%eth0", f"/srv/{T}"), ("me@[::1]", "me@::1", T),
    ("10.0.0.1:/", "10.0.0.1", f"/{T}"), ("me@corp@gpu1:x", "me@corp@gpu1", f"x/{T}"),
])
def test_hosts(text: str, host: str, folder: str) -> None:
    assert parse(text, T) == Server(host=host, folder=folder)


@pytest.mark.parametrize(("text", "folder"), [
    ("./out", f"out/{T}"), ("/media/usb", f"/media/usb/{T}"), ("a/b:c", f"a/b:c/{T}"), (".", T), ("..", f"../{T}"),
    (f"./{T}", T), ("./out/", f"out/{T}"),
])
def test_folders(text: str, folder: str) -> None:
    assert parse(text, T) == Place(folder=Path(folder))


@pytest.mark.parametrize("text", [
    "", " ", "-oProxyCommand=evil", "ssh://gpu1", "me@", "@gpu1", "gpu1:a\nb", "gpu1:~other/x", ":x", "a b", "[::1",
])
def test_neither(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, T)
