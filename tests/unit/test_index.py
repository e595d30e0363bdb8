"""Where wheels come from, and what a source that fails is called."""

import os
import ssl
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pypi_simple
import pytest
from support.index_server import Fault, IndexServer, Kind
from support.wheel_factory import locked, make_pure, make_torch, make_wheel

from torchferry import web
from torchferry.errors import ConfigError, IntegrityError, SourceError
from torchferry.index import (
    Link,
    Sources,
    find,
    open_wheel,
    parse_pip_config,
    parse_uv_config,
    pip_config,
    size_and_hash,
    sources_for,
    uv_config,
)
from torchferry.model import Base, Release, Service, Variant
from torchferry.remote import open_remote
from torchferry.wheels import inspect_torch

CU118 = Variant(
    release=Release(name="stt", version="1.0.0"), name="cu118", python="3.11", torch="2.1.2",
    service=Service(name="stt", source="app", requirements="r.in", command=("x",), base=Base(debian="bookworm")),
)
QUICK = web.Patience(attempts=3, sleep=lambda seconds: seconds)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IndexServer]:
    make_pure(tmp_path / "served" / "pypi")
    make_torch(tmp_path / "served" / "whl" / "cu118", "2.1.2", "cu118", "11.8")
    with IndexServer(tmp_path / "served") as running:
        yield running


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[web.Client]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with web.client() as opened:
        yield opened


def sources_of(server: IndexServer) -> Sources:
    return Sources(default_index=server.default_index, torch_index=f"{server.url}/whl/cu118")


def pure_of(server: IndexServer) -> Path:
    return server.root / "pypi" / "ferrypure-1.0.0-py3-none-any.whl"


def find_pure(server: IndexServer, http: web.Client, sources: Sources | None = None, sha256: str | None = None) -> Link:
    wheel = locked(pure_of(server))
    return find(
        "ferrypure", wheel.filename, sha256 or wheel.sha256, sources or sources_of(server), http=http, patience=QUICK
    )


class TestSources:
    def test_without_any_setting_they_are_the_public_ones(self) -> None:
        found = sources_for(CU118, {}, {})
        assert found.default_index == pypi_simple.PYPI_SIMPLE_ENDPOINT
        assert found.torch_index == "https://download.pytorch.org/whl/cu118"
        assert not found.torch_index_is_chosen
        assert found.find_links == ()

    def test_the_default_index_in_the_order_of_precedence(self) -> None:
        environ = {"UV_DEFAULT_INDEX": "https://a", "UV_INDEX_URL": "https://b", "PIP_INDEX_URL": "https://c"}
        configs = {"index-url": "https://e"}, {"index-url": "https://d"}
        seen = []
        for name in ("", *environ):
            environ[name] = ""
            seen.append(sources_for(CU118, environ, *configs).default_index)
        assert seen == ["https://a", "https://b", "https://c", "https://d"]
        assert sources_for(CU118, {}, {"index-url": "https://e"}).default_index == "https://e"

    def test_the_torch_index_in_the_order_of_precedence(self) -> None:
        environ = {"TORCHFERRY_TORCH_INDEX_CU118": "https://own/118", "TORCHFERRY_TORCH_INDEX": "https://all/{variant}"}
        named = replace(CU118, index="https://row/x")
        assert sources_for(named, environ, {}).torch_index == "https://row/x"
        assert sources_for(CU118, environ, {}).torch_index == "https://own/118"
        assert sources_for(replace(CU118, name="cpu"), environ, {}).torch_index == "https://all/cpu"
        assert sources_for(CU118, environ, {}).torch_index_is_chosen

    def test_a_service_without_torch_has_no_torch_index(self) -> None:
        found = sources_for(replace(CU118, name="any"), {"TORCHFERRY_TORCH_INDEX": "https://all/{variant}"}, {})
        assert (found.torch_index, found.torch_index_is_chosen) == (None, False)

    def test_find_links_of_all_tools_count_once(self) -> None:
        environ = {"UV_FIND_LINKS": "/a, https://b/", "PIP_FIND_LINKS": "/a /c"}
        found = sources_for(CU118, environ, {"find-links": "\n/c\nfile:///d%20d"})
        assert found.find_links == ("/a", "https://b/", "/c", "file:///d%20d")
        assert found.folders == (Path("/a"), Path("/c"), Path("/d d"))

    def test_an_extra_index_is_not_taken(self) -> None:
        environ = {"PIP_EXTRA_INDEX_URL": "https://extra", "UV_EXTRA_INDEX_URL": "https://extra", "UV_INDEX": "https://extra"}
        assert sources_for(CU118, environ, {"extra-index-url": "https://extra"}) == sources_for(CU118, {}, {})


class TestConfiguration:
    def test_pip_says_install_before_global(self) -> None:
        text = "global.index-url='https://g'\ninstall.index-url='https://i'\n:env:.index-url='https://e'\nglobal.x=\"it's\"\n"
        assert parse_pip_config(text) == {"index-url": "https://i", "x": "it's"}

    def test_the_real_pip_is_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = "[global]\nindex-url = https://mirror/simple\nfind-links =\n    /a\n    /b c\n"
        (tmp_path / "pip.conf").write_text(text)
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        found = pip_config()
        assert found["index-url"] == "https://mirror/simple"
        assert found["find-links"].split("\n") == ["", "/a", "/b c"]

    def test_uv_says_default_index_and_find_links(self) -> None:
        text = 'find-links = ["/a", "/b"]\n[[index]]\nurl = "https://x"\n[[index]]\nurl = "https://m"\ndefault = true\n'
        assert parse_uv_config(text, file="uv.toml") == {"index-url": "https://m", "find-links": "/a\n/b"}
        assert parse_uv_config('index-url = "https://o"', file="uv.toml") == {"index-url": "https://o"}

    def test_uv_files_are_found_and_may_be_switched_off(self, tmp_path: Path) -> None:
        (tmp_path / "uv").mkdir()
        (tmp_path / "uv" / "uv.toml").write_text('index-url = "https://o"')
        assert uv_config({"XDG_CONFIG_HOME": str(tmp_path)})["index-url"] == "https://o"
        assert uv_config({"UV_CONFIG_FILE": str(tmp_path / "uv" / "uv.toml")}) == {"index-url": "https://o"}
        assert uv_config({"XDG_CONFIG_HOME": str(tmp_path), "UV_NO_CONFIG": "1"}) == {}

    def test_a_broken_uv_file_is_named(self) -> None:
        with pytest.raises(ConfigError, match=r"/etc/uv/uv\.toml"):
            parse_uv_config("index-url = ", file="/etc/uv/uv.toml")


class TestFind:
    def test_json_pages_tell_url_and_size(self, server: IndexServer, http: web.Client) -> None:
        link = find_pure(server, http)
        assert link == Link(url=server.file_url(pure_of(server).name), size=pure_of(server).stat().st_size)
        assert link.path is None

    def test_html_pages_of_the_torch_index_come_first_for_local_versions(
        self, server: IndexServer, http: web.Client
    ) -> None:
        wheel = locked(next(server.root.rglob("torch-*")))
        link = find("torch", wheel.filename, wheel.sha256, sources_of(server), http=http, patience=QUICK)
        assert link == Link(url=server.file_url(wheel.filename))
        assert not server.asked("/pypi/simple/torch/")

    def test_folders_come_before_the_network(self, server: IndexServer, http: web.Client) -> None:
        sources = replace(sources_of(server), find_links=(str(server.root / "pypi"),))
        assert find_pure(server, http, sources).path == pure_of(server)
        assert server.requests == []

    def test_a_folder_with_another_file_of_this_name_is_passed_over(
        self, server: IndexServer, http: web.Client, tmp_path: Path
    ) -> None:
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / pure_of(server).name).write_bytes(b"other")
        sources = replace(sources_of(server), find_links=(f"file://{tmp_path}/links",))
        assert find_pure(server, http, sources).url == server.file_url(pure_of(server).name)

    def test_find_links_may_be_a_page(self, server: IndexServer, http: web.Client) -> None:
        page = f"{server.url}/pypi/simple/ferrypure/"
        sources = Sources(default_index=f"{server.url}/whl/cu118", find_links=(page,))
        assert find_pure(server, http, sources).url == server.file_url(pure_of(server).name)

    def test_an_index_may_lie_on_a_disk(self, server: IndexServer, http: web.Client, tmp_path: Path) -> None:
        wheel = pure_of(server)
        (tmp_path / "disk" / "ferrypure").mkdir(parents=True)
        page = f'<a href="../../served/pypi/{wheel.name}#sha256={locked(wheel).sha256}">{wheel.name}</a>'
        (tmp_path / "disk" / "ferrypure" / "index.html").write_text(page)
        found = find_pure(server, http, Sources(default_index=f"file://{tmp_path}/disk"))
        assert found.path is not None and found.path.samefile(wheel)

    def test_another_hash_is_told_from_not_there(self, server: IndexServer, http: web.Client) -> None:
        with pytest.raises(SourceError) as refusal:
            find_pure(server, http, sha256="0" * 64)
        assert f"{server.default_index}: has a file of this name with another hash" in refusal.value.message
        assert f"{server.url}/whl/cu118: answered 404" in refusal.value.message
        assert "UV_DEFAULT_INDEX" in refusal.value.cure and "TORCHFERRY_TORCH_INDEX" in refusal.value.cure

    def test_a_log_in_page_lists_nothing(self, server: IndexServer, http: web.Client) -> None:
        server.fail("/simple/ferrypure/", Fault(kind="page"))
        with pytest.raises(SourceError, match="lists 0 files, not this one"):
            find_pure(server, http)

    def test_a_busy_index_is_asked_again(self, server: IndexServer, http: web.Client) -> None:
        server.fail("/simple/ferrypure/", Fault(kind="status", status=503, times=2))
        assert find_pure(server, http).size
        assert [request.status for request in server.asked("/simple/ferrypure/")] == [503, 503, 200]

    def test_a_refusal_is_not_asked_again(self, server: IndexServer, http: web.Client) -> None:
        server.fail("/simple/ferrypure/", Fault(kind="status", status=403))
        with pytest.raises(SourceError, match="answered 403"):
            find_pure(server, http)
        assert len(server.asked("/simple/ferrypure/")) == 1

    def test_nobody_there_names_the_source_without_its_password(self, server: IndexServer, http: web.Client) -> None:
        with IndexServer(server.root) as gone:
            url = gone.default_index.replace("http://", "http://user:secret@")
        with pytest.raises(SourceError) as refusal:
            find_pure(server, http, Sources(default_index=url))
        assert f"{gone.default_index}: ConnectError" in refusal.value.message
        assert "secret" not in str(refusal.value)

    def test_the_password_of_an_index_goes_with_its_files_and_with_no_others(
        self, server: IndexServer, http: web.Client
    ) -> None:
        url = server.default_index.replace("http://", "http://user:secret@")
        link = find_pure(server, http, Sources(default_index=url))
        assert link.url.startswith("http://user:secret@127.0.0.1")
        assert "authorization" in server.asked("/simple/ferrypure/")[0].headers
        assert web.with_credentials("https://elsewhere/a.whl", url) == "https://elsewhere/a.whl"


class TestRemoteFiles:
    def test_a_wheel_is_read_without_fetching_it(self, server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        folder = server.root / "whl" / "cu118"
        content = os.urandom(4_000_000)
        path = make_wheel(folder, "torch", "2.1.2+cu118", tag="cp311-cp311-linux_x86_64", files={
            "torch/lib/big.so": content, "torch/version.py": "__version__ = '2.1.2+cu118'\ncuda = '11.8'\n",
        })
        with open_wheel(server.file_url(path.name), sources_of(server)) as wheel:
            assert wheel is not None
            assert inspect_torch(wheel).cuda == "11.8"
        asked = server.asked(path.name)
        spans = [request.headers["range"].removeprefix("bytes=").split("-") for request in asked]
        assert sum(int(last) - int(first) + 1 for first, last in spans) < 1_000_000

    def test_it_reads_what_the_file_has(self, server: IndexServer, http: web.Client) -> None:
        expected = pure_of(server).read_bytes()
        with open_remote(http, server.file_url(pure_of(server).name), patience=QUICK) as remote:
            assert remote.read() == expected
            assert remote.seek(-10, os.SEEK_END) == len(expected) - 10
            assert remote.read(4) == expected[-10:-6]
            assert remote.seek(5) == 5 and remote.seek(3, os.SEEK_CUR) == 8
            assert remote.read(3) == expected[8:11]
            assert remote.seek(10, os.SEEK_END) == len(expected) + 10 and remote.read() == b""

    def test_a_short_answer_is_asked_again(self, server: IndexServer, http: web.Client) -> None:
        name = pure_of(server).name
        with open_remote(http, server.file_url(name), patience=QUICK) as remote:
            server.fail(name, Fault(kind="cut", after=10, times=1))
            server.fail(name, Fault(kind="reset", after=10, times=1))
            assert remote.read() == pure_of(server).read_bytes()

    def test_a_server_without_ranges_skips_the_early_look(
        self, server: IndexServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        server.fail(".whl", Fault(kind="ignore-range"))
        with open_wheel(server.file_url(pure_of(server).name), sources_of(server)) as wheel:
            assert wheel is None

    @pytest.mark.parametrize("kind", ["ignore-range", "wrong-offset"])
    def test_a_server_that_stops_serving_ranges_is_a_clear_signal(
        self, server: IndexServer, http: web.Client, kind: Kind
    ) -> None:
        name = pure_of(server).name
        with open_remote(http, server.file_url(name), patience=QUICK) as remote:
            server.fail(name, Fault(kind=kind))
            remote.seek(100)
            with pytest.raises(web.RangeIgnored):
                remote.read(10)

    def test_what_is_no_wheel_is_said(self, server: IndexServer, tmp_path: Path) -> None:
        (tmp_path / "a.whl").write_text("<html>")
        opened = open_wheel(f"file://{tmp_path}/a.whl", sources_of(server))
        with pytest.raises(IntegrityError, match=r"a\.whl: not a wheel"), opened:
            pass

    def test_an_unreachable_wheel_is_a_source_error(self, server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        opened = open_wheel(f"{server.url}/pypi/packages/none-1-py3-none-any.whl", sources_of(server))
        with pytest.raises(SourceError, match="answered 404"), opened:
            pass

    def test_wheels_on_a_disk_are_opened_there(self, server: IndexServer) -> None:
        for place in (str(pure_of(server)), pure_of(server).as_uri()):
            with open_wheel(place, sources_of(server)) as wheel:
                assert isinstance(wheel, zipfile.ZipFile) and "ferrypure/__init__.py" in wheel.namelist()


class TestSizeAndHash:
    def test_a_known_hash_needs_no_body(self, server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        wheel = locked(next(server.root.rglob("torch-*")))
        url = server.file_url(wheel.filename)
        known = size_and_hash(url, {"sha256": wheel.sha256}, sources_of(server))
        assert known == {"size": wheel.size, "hashes": {"sha256": wheel.sha256}}
        assert [request.headers["range"] for request in server.asked(wheel.filename)] == ["bytes=0-0"]

    @pytest.mark.parametrize("fault", [None, "ignore-range", "refuse-range"])
    def test_an_unknown_hash_is_learned(
        self, server: IndexServer, monkeypatch: pytest.MonkeyPatch, fault: Kind | None
    ) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        wheel = locked(pure_of(server))
        if fault:
            server.fail(wheel.filename, Fault(kind=fault))
        hashes = {"sha256": wheel.sha256}
        for known in ({}, hashes):
            found = size_and_hash(server.file_url(wheel.filename), known, sources_of(server))
            assert found == {"size": wheel.size, "hashes": hashes}

    def test_a_file_on_a_disk_is_measured(self, server: IndexServer) -> None:
        wheel = locked(pure_of(server))
        expected = {"size": wheel.size, "hashes": {"sha256": wheel.sha256}}
        assert size_and_hash(str(pure_of(server)), {}, sources_of(server)) == expected


class TestClient:
    def test_verification_is_on_whatever_the_environment(self) -> None:
        with web.client({}) as plain:
            context = plain._transport._pool._ssl_context  # type: ignore[attr-defined]
        assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname

    @pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"])
    def test_a_missing_ca_bundle_is_named(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ConfigError, match=f"{name}=.*/none.pem"):
            web.client({name: str(tmp_path / "none.pem")})

    def test_an_unusable_proxy_is_a_clear_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "ftp://proxy:1")
        with pytest.raises(ConfigError, match="proxy settings"):
            web.client({})

    def test_netrc_is_used_and_a_broken_one_is_named(self, server: IndexServer, tmp_path: Path) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
        with web.client({"NETRC": str(tmp_path / "netrc")}) as http:
            find_pure(server, http)
        assert server.requests[0].headers["authorization"].startswith("Basic ")
        (tmp_path / "netrc").write_text("mashine x\n")
        with pytest.raises(ConfigError, match="netrc: line 1"):
            web.client({"NETRC": str(tmp_path / "netrc")})

    def test_pauses_double_and_heed_the_server(self) -> None:
        slept: list[float] = []
        patience = web.Patience(attempts=5, first=1, longest=6, sleep=slept.append)
        for failures in (1, 2, 3, 4):
            patience.pause(failures, None)
        patience.pause(1, 5.0)
        patience.pause(1, 3600.0)
        bounds = [(0.5, 1), (1, 2), (2, 4), (4, 6), (5, 5), (6, 6)]
        assert all(low <= pause <= high for pause, (low, high) in zip(slept, bounds, strict=True)), slept
