"""What a registry's refusals become: the right class, and a cure that fits; a place that is understood or refused."""

from __future__ import annotations

import json

import pytest

from torchferry import push
from torchferry.errors import ConfigError, DiskFull, FerryError, ShipError
from torchferry.patience import Transient
from torchferry.registry_refusals import refusal
from torchferry.web import Answer


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status=status, reason="So", url="https://r.corp/v2/", headers=headers, body=body)


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (answer(401), ShipError, "docker login r.corp"),
        (answer(403, errors("DENIED", "requested access")), ShipError, "let this log-in push to team/a"),
        (answer(404, errors("NAME_UNKNOWN", "no such project")), ShipError, "want a project made first"),
        (answer(405), ShipError, "mirror, or read-only"),
        (answer(413, b"<html>nginx</html>"), ShipError, "client_max_body_size"),
        (answer(400, b"Client sent an HTTP request to an HTTPS server."), ShipError, "leave --plain-http out"),
        (answer(418), ShipError, "see the registry's log"),
        (answer(507), DiskFull, "free room there"),
        (answer(500, errors("UNKNOWN", "write /x: no space left on device")), DiskFull, "garbage collection"),
    ],
)
def test_a_refusal_has_its_cure(said: Answer, kind: type[FerryError], words: str) -> None:
    made = refusal(said, "r.corp", "team/a")
    assert type(made) is kind
    assert isinstance(made, FerryError)
    assert words in made.cure
    assert f"r.corp/team/a: the registry answers {said.status} So" in made.message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    made = refusal(answer(status, **{"retry-after": "7"}), "r.corp", "a")
    assert isinstance(made, Transient)
    assert made.retry_after == 7


def test_the_registrys_own_words_are_told_on_one_line() -> None:
    made = refusal(answer(403, errors("DENIED", "not\n  yours")), "r.corp", "a")
    assert "403 So (DENIED not yours)" in str(made)


@pytest.mark.parametrize(
    ("text", "name", "plain"),
    [
        ("registry.corp", "registry.corp/e:1", False), ("https://registry.corp:5000/", "registry.corp:5000/e:1", False),
        ("registry.corp/team/a", "registry.corp/team/a/e:1", False), ("localhost:5000", "localhost:5000/e:1", True),
        ("127.0.0.1:5000/team", "127.0.0.1:5000/team/e:1", True), ("localhost", "localhost/e:1", True),
        ("127.0.0.1.evil.corp", "127.0.0.1.evil.corp/e:1", False), ("docker.io/team", "team/e:1", False),
    ],
)
def test_a_registry_is_understood(text: str, name: str, plain: bool) -> None:
    made = push.place(text, plain_http=False)
    assert (made.name("e:1").familiar, made.plain) == (name, plain)
    assert push.place(text, plain_http=True).plain


@pytest.mark.parametrize(
    "text", ["", "team", "team/a", "http://r.corp", "r.corp/Team", "r.corp//a", "r.corp:x/a", "user@r.corp/a",
             "r.corp/a:1", "r corp.x", "-.corp"],
)
def test_what_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a registry"):
        push.place(text, plain_http=False)
