"""The door to the network: one HTTP client, and what its failures mean.

`Transient` is worth another try, `Refused` is not; both are turned into a FerryError by whoever knows what was wanted.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from netrc import NetrcParseError
from pathlib import Path

import httpx
from httpx import Client as Client

from torchferry.errors import ConfigError
from torchferry.patience import Patience as Patience
from torchferry.patience import Transient as Transient
from torchferry.patience import patiently as patiently

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "SSL_CERT_DIR")


class Refused(Exception):
    """The answer would be the same next time."""


class RangeIgnored(Exception):
    """The server does not serve parts of this file."""


def client(environ: Mapping[str, str] = os.environ, *, proxied: bool = True) -> Client:
    """An HTTP client for use from many threads: proxies, CA bundle and netrc as the environment says.

    Not ``proxied``: past any proxy, as a server on this machine is asked. Certificates are always verified.
    Raises ConfigError where a proxy or a CA bundle cannot be used.
    """
    try:
        return Client(
            verify=_tls(environ), auth=_netrc(environ), follow_redirects=True, max_redirects=10,
            timeout=httpx.Timeout(30.0, connect=15.0, pool=None), headers={"User-Agent": "torchferry"},
            trust_env=proxied,
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"the proxy settings of this machine cannot be used: {error}",
            cure="set HTTPS_PROXY, HTTP_PROXY and ALL_PROXY to http:// or https:// URLs, or unset them",
        ) from error


def shown(url: str) -> str:
    """A URL fit for people and logs: without user, password and query."""
    try:
        clean = httpx.URL(url).copy_with(userinfo=b"", query=None, fragment=None)
    except httpx.InvalidURL:
        return "(not a URL)"
    return str(clean)


def with_credentials(url: str, source: str) -> str:
    """``url`` with the user and password of ``source``, where both are of one host and ``url`` has none."""
    link, known = httpx.URL(url), httpx.URL(source)
    same = (link.scheme, link.host, link.port) == (known.scheme, known.host, known.port)
    return str(link.copy_with(userinfo=known.userinfo)) if same and known.userinfo and not link.userinfo else url


@dataclass(frozen=True, kw_only=True)
class Page:
    """A small answer, read whole; ``url`` is where redirects ended."""

    url: str
    content_type: str
    charset: str | None
    body: bytes


def get(http: Client, url: str, *, accept: str) -> Page:
    """Read a page; raises Transient or Refused."""
    with _response(http, url, {"Accept": accept}) as response:
        body = response.read()
        kind = response.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
        return Page(url=str(response.url), content_type=kind, charset=response.charset_encoding, body=body)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The body of an answer from byte ``start`` on; ``validator`` names this very version of the file.

    Not ``ranged``: the server sends the whole file.
    """

    start: int
    ranged: bool
    total: int | None
    validator: str | None
    content_type: str
    blocks: Iterator[bytes]


@contextmanager
def open_part(
    http: Client, url: str, *, start: int = 0, stop: int | None = None, validator: str | None = None
) -> Iterator[Part]:
    """Ask for bytes ``start`` to ``stop`` (excluded) of a file, if it still is the version of ``validator``.

    A server that ignores Range, or has another version, answers with a Part that starts at 0.
    Raises Transient or Refused, also while blocks are read; RangeIgnored where the range cannot be had.
    """
    headers = {"Accept-Encoding": "identity"}
    if start or stop is not None:
        headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        if validator:
            headers["If-Range"] = validator
    with _response(http, url, headers) as response:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused("answered with a compressed body, which no file has the right hash of")
        first, total = _position(response)
        yield Part(
            start=first, ranged=response.status_code == 206, total=total, validator=_validator(response),
            content_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
            # Blocks as they come: a chunk size would hold back, and lose, the bytes before an interruption.
            blocks=response.iter_raw(),
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said to a request, whatever its status; header names are in lower case."""

    status: int
    reason: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def link(self, name: str) -> str:
        """The absolute address in a header."""
        return str(httpx.URL(self.url).join(self.headers[name]))

    @property
    def retry_after(self) -> float | None:
        return _retry_after(self.headers.get("retry-after", ""))


PATIENT = 600.0
"""Seconds in which a server that took a body has to answer: it may hash gigabytes before, or move them."""


def send(
    http: Client, method: str, url: str, *, headers: Mapping[str, str], body: bytes | Iterator[bytes] = b"",
) -> Answer:
    """One request with a body and headers of the caller's own, netrc left alone; any status is an Answer.

    Raises Transient where no answer came, Refused where none can come.
    """
    with _failures_told():
        said = http.request(
            method, url, headers=dict(headers), content=body, auth=None,
            follow_redirects=isinstance(body, bytes),  # what has passed cannot be sent again
            timeout=httpx.Timeout(30.0, connect=15.0, read=PATIENT, pool=None),
        )
        return Answer(
            status=said.status_code, reason=said.reason_phrase, url=str(said.url), headers=dict(said.headers),
            body=said.content,
        )


@contextmanager
def _response(http: Client, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
    # The client's netrc must not outrank a user and password that stand in the URL itself.
    with _failures_told():
        auth = None if httpx.URL(url).userinfo else httpx.USE_CLIENT_DEFAULT
        with http.stream("GET", url, headers=dict(headers), auth=auth) as response:
            _refuse_failure(response)
            yield response


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.DecodingError) as error:
        raise Refused(str(error)) from error
    except httpx.TransportError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Refused(f"{error}; a company's own CA is taken from SSL_CERT_FILE") from error
        if "WRONG_VERSION_NUMBER" in str(error) or "record layer failure" in str(error):
            raise Refused(f"it does not speak TLS: {error}") from error
        raise Transient(f"{type(error).__name__}: {error}") from error


def _refuse_failure(response: httpx.Response) -> None:
    status = response.status_code
    if status == 416:
        raise RangeIgnored("the server has no such range")
    if status in (408, 425, 429) or status >= 500:
        retry_after = _retry_after(response.headers.get("retry-after", ""))
        raise Transient(f"answered {status} {response.reason_phrase}", retry_after=retry_after)
    if status not in (200, 206):
        raise Refused(f"answered {status} {response.reason_phrase}")


def _retry_after(told: str) -> float | None:
    told = told.strip()
    if told.isdigit():
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    now = datetime.now(timezone.utc)
    return (moment - (now if moment.tzinfo else now.replace(tzinfo=None))).total_seconds()


def _position(response: httpx.Response) -> tuple[int, int | None]:
    if response.status_code == 200:
        length = response.headers.get("content-length", "")
        return 0, int(length) if length.isdigit() else None
    unit, _, where = response.headers.get("content-range", "").partition(" ")
    first_last, _, total = where.partition("/")
    first = first_last.partition("-")[0]
    if unit != "bytes" or not first.isdigit():
        raise RangeIgnored("the server answers 206 without a usable Content-Range")
    return int(first), int(total) if total.isdigit() else None


def _validator(response: httpx.Response) -> str | None:
    etag: str = response.headers.get("etag", "")
    modified: str | None = response.headers.get("last-modified")
    # RFC 9110 section 13.1.5: a weak ETag must not be used in If-Range.
    return etag if etag and not etag.startswith("W/") else modified


def _tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    name = next((name for name in CA_VARIABLES if environ.get(name)), None)
    if name is None:
        context = httpx.create_ssl_context(trust_env=False)
        context.load_default_certs()
        return context
    place = Path(environ[name])
    try:
        if place.is_dir():
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except OSError as error:
        raise ConfigError(
            f"{name}={place}: no CA bundle can be read there: {error}", cure=f"correct {name}, or unset it"
        ) from error


def _netrc(environ: Mapping[str, str]) -> httpx.Auth | None:
    place = Path(environ.get("NETRC") or Path(environ.get("HOME", "/"), ".netrc"))
    if not place.is_file():
        return None
    try:
        return httpx.NetRCAuth(str(place))
    except NetrcParseError as error:
        raise ConfigError(
            f"{place}: line {error.lineno}: cannot be understood", cure=f"correct that line of {place}"
        ) from error
