"""Image names are read as Docker reads them."""

from __future__ import annotations

import pytest

from torchferry.errors import ConfigError
from torchferry.reference import parse_reference

SHORT, LONG = "stt-engine:1.0.0-cu121", "docker.io/library/stt-engine:1.0.0-cu121"


@pytest.mark.parametrize(("name", "full", "familiar"), [
    (SHORT, LONG, SHORT),
    (LONG, LONG, SHORT),
    ("index.docker.io/stt:1", "docker.io/library/stt:1", "stt:1"),
    ("stt", "docker.io/library/stt:latest", "stt:latest"),
    ("team/stt:1", "docker.io/team/stt:1", "team/stt:1"),
    ("docker.io/library/team/stt:1", "docker.io/library/team/stt:1", "library/team/stt:1"),
    ("registry.corp:5000/stt:1", "registry.corp:5000/stt:1", "registry.corp:5000/stt:1"),
    ("localhost/stt:1", "localhost/stt:1", "localhost/stt:1"),
    ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"),
])
def test_names(name: str, full: str, familiar: str) -> None:
    reference = parse_reference(name)
    assert (reference.full, reference.familiar) == (full, familiar)
    assert parse_reference(familiar) == reference


@pytest.mark.parametrize("name", [
    "", ":1", "stt:", "STT:1", "stt:1:2", "stt@sha256:" + 64 * "0", "a//b:1", "/stt:1", "stt:1\n", "../stt:1",
    "stt:" + 129 * "x", "-corp.example/stt:1", "stt:ä",
])
def test_names_that_docker_refuses(name: str) -> None:
    with pytest.raises(ConfigError, match="not an image name"):
        parse_reference(name)
