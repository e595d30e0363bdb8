"""Log-ins to registries from where docker, skopeo and credential helpers keep them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from support.site import write_program

from torchferry import registry_login
from torchferry.errors import ConfigError, ToolMissing
from torchferry.registry_login import Login, find

HOST = "registry.corp:5000"


def kept(place: Path, **said: object) -> tuple[Path, ...]:
    place.write_text(json.dumps(said), encoding="utf-8")
    return (place,)


def word(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_the_places_are_those_of_skopeo_and_docker() -> None:
    home = {"HOME": "/h"}
    assert registry_login.places(home) == (Path("/h/.config/containers/auth.json"), Path("/h/.docker/config.json"))
    all_of_them = {**home, "REGISTRY_AUTH_FILE": "/a", "XDG_RUNTIME_DIR": "/run/u", "DOCKER_CONFIG": "/d"}
    assert list(map(str, registry_login.places(all_of_them)))[::3] == ["/a", "/d/config.json"]
    assert str(registry_login.places(all_of_them)[1]) == "/run/u/containers/auth.json"


def test_the_nearest_name_and_the_first_file_that_has_it(tmp_path: Path) -> None:
    first = kept(tmp_path / "1", auths={f"{HOST}/team": word("team", "p:w"), HOST: word("all", "x")})
    second = kept(tmp_path / "2", auths={"other.corp": word("other", "y"), HOST: word("late", "z")})
    both = (*first, *second, tmp_path / "absent")
    assert find(HOST, "team/engine", both) == Login(user="team", password="p:w")
    assert find(HOST, "teams/engine", both) == Login(user="all", password="x")
    assert find("other.corp", "a", both) == Login(user="other", password="y")
    assert find("nobody.corp", "a", both) is None


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    place = kept(tmp_path / "1", auths={"https://index.docker.io/v1/": {**word("me", ""), "identitytoken": "T"}})
    assert find("docker.io", "team/engine", place) == Login(user="me", password="", token="T")


def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"ServerURL": HOST, "Username": "help", "Secret": "s"})
    write_program(tmp_path / "bin", "docker-credential-safe",
                  f"read -r name; [ \"$1 $name\" = 'get {HOST}' ] && echo '{answer}'")
    write_program(tmp_path / "bin", "docker-credential-none", "echo credentials not found in native keychain; exit 1")
    write_program(tmp_path / "bin", "docker-credential-ill", "echo locked; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    place = tmp_path / "1"
    assert find(HOST, "a", kept(place, credHelpers={HOST: "safe"})) == Login(user="help", password="s")
    assert find(HOST, "a", kept(place, auths={HOST: {}}, credsStore="safe")) == Login(user="help", password="s")
    assert find(HOST, "a", kept(place, auths={}, credsStore="ill")) is None  # Docker notes there what the store has
    assert find(HOST, "a", kept(place, credHelpers={HOST: "none"})) is None
    with pytest.raises(ConfigError, match="locked"):
        find(HOST, "a", kept(place, credHelpers={HOST: "ill"}))
    with pytest.raises(ToolMissing, match="docker-credential-gone"):
        find(HOST, "a", kept(place, credHelpers={HOST: "gone"}))


@pytest.mark.parametrize("text", ["{", "[]x", '{"auths": {"registry.corp:5000": {"auth": "%%%"}}}', '{"auths": 7}'])
def test_a_file_that_cannot_be_read_is_named(text: str, tmp_path: Path) -> None:
    place = tmp_path / "config.json"
    place.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json"):
        find(HOST, "a", (place,))
