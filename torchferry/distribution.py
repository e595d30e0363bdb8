"""A registry that images are put into (OCI distribution spec): what it has, uploads, manifests.

A blob goes up as Docker sends it, one PATCH with all of its bytes and a PUT that names its digest. After a break the
registry is asked how much it has, and the rest is sent; docker's own registry does not know when the break was in the
PATCH, and gets that blob anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from torchferry import web
from torchferry.errors import ShipError
from torchferry.oci import Descriptor, Document
from torchferry.patience import Patience, Transient, patiently
from torchferry.registry_keys import Keys
from torchferry.registry_refusals import refusal
from torchferry.web import Answer

Body = Callable[[int], Iterator[bytes]]
"""Gives the bytes of a blob from some byte on."""

_BYTES = "application/octet-stream"
_CURES = {
    True: "a registry without TLS is asked for with --plain-http; else check name and port",
    False: "check name and port, certificates and proxies",
}


@dataclass(frozen=True, kw_only=True)
class Registry:
    """One registry: its name as people write it, its address, and the keys to it."""

    domain: str
    url: str
    http: web.Client
    keys: Keys
    patience: Patience = field(default_factory=Patience)

    def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """Whether a repository has a blob."""
        answer = self._ask("HEAD", repository, f"blobs/{blob.digest}", good=(200, 404))
        return answer.status == 200

    def digest_of(self, repository: str, tag: str, media_type: str) -> str | None:
        """The digest that a tag stands for now, or None."""
        answer = self._ask("HEAD", repository, f"manifests/{tag}", good=(200, 404), headers={"Accept": media_type})
        return answer.headers.get("docker-content-digest") if answer.status == 200 else None

    def put_manifest(self, repository: str, tag: str, document: Document) -> None:
        """Store a manifest or an index under a tag, or its own digest; all that it names must be there."""
        self._ask(
            "PUT", repository, f"manifests/{tag}", good=(201,), headers={"Content-Type": document.media_type},
            body=lambda _: iter((document.data,)), size=len(document.data),
        )

    def mount(self, repository: str, blob: Descriptor, source: str) -> bool:
        """Let a repository have a blob that another one of this registry has; False where the registry does not."""
        answer = self._ask(
            "POST", repository, f"blobs/uploads/?mount={blob.digest}&from={source}", good=(201, 202, 404, 405),
            also=source,
        )
        if answer.status == 202:  # an upload was begun instead
            self._once("DELETE", answer.link("location"), repository, good=None)
        return answer.status == 201

    def upload(self, repository: str, blob: Descriptor, body: Body) -> None:
        """Bring a blob into a repository; after a break what the registry knows to have is not sent again."""
        upload = _Upload(registry=self, repository=repository, blob=blob, body=body)
        try:
            patiently(upload.go_on, self.patience)
        except Transient as error:
            raise self._silent(repository, error) from error

    def _ask(
        self, method: str, repository: str, path: str, *, good: tuple[int, ...],
        headers: Mapping[str, str] | None = None, body: Body | None = None, size: int = 0, also: str = "",
    ) -> Answer:
        """One request that may be tried again as a whole."""
        def once() -> Answer:
            return self._once(
                method, f"{self.url}/v2/{repository}/{path}", repository, good=good, headers=headers, body=body,
                size=size, also=also)

        try:
            return patiently(once, self.patience)
        except Transient as error:
            raise self._silent(repository, error) from error

    def _once(
        self, method: str, url: str, repository: str, *, good: tuple[int, ...] | None,
        headers: Mapping[str, str] | None = None, body: Body | None = None, size: int = 0, start: int = 0,
        also: str = "",
    ) -> Answer:
        """One request, authorized; once more where the registry asks for a key. ``good`` None: whatever it says.

        Raises Transient for what may work in a moment, and the FerryError of a refusal.
        """
        for renewed in (False, True):
            said = {"Content-Length": str(size - start), **(headers or {}), **self.keys.header(repository, also)}
            if method in ("HEAD", "GET", "DELETE"):
                del said["Content-Length"]
            try:
                answer = web.send(self.http, method, url, headers=said, body=body(start) if body else b"")
            except web.Refused as error:
                raise ShipError(f"{self.domain}: {error}", cure=_CURES["TLS: " in str(error)]) from error
            if answer.status != 401 or renewed:
                break
            self.keys.renew(self.http, answer, repository, also)
        if good is not None and answer.status not in good:
            raise refusal(answer, self.domain, repository)
        return answer

    def _silent(self, repository: str, error: Transient) -> ShipError:
        return ShipError(
            f"{self.domain}/{repository}: {error}, {self.patience.attempts} times in a row",
            cure="run the same command again when the registry and the way to it are well; what is there is not sent "
                 "twice",
        )


@dataclass(kw_only=True)
class _Upload:
    """How far one blob is: where the registry wants the rest, and how many bytes it has."""

    registry: Registry
    repository: str
    blob: Descriptor
    body: Body
    place: str = ""
    have: int = 0

    def go_on(self) -> None:
        """Begin, or take up again, and bring it to its end. Raises Transient where another try may help."""
        ask = self.registry._once
        if self.place:
            self._look()
        if not self.place:
            begin = f"{self.registry.url}/v2/{self.repository}/blobs/uploads/"
            answer = ask("POST", begin, self.repository, good=(202,))
            self.place, self.have = answer.link("location"), 0
        if self.have < self.blob.size:
            place = self.place
            headers = {"Content-Type": _BYTES}
            if self.have:
                headers["Content-Range"] = f"{self.have}-{self.blob.size - 1}"
            answer = ask(
                "PATCH", place, self.repository, good=(202,), headers=headers, body=self.body, size=self.blob.size,
                start=self.have,
            )
            self.place, self.have = answer.link("location"), self.blob.size
        joint = "&" if "?" in self.place else "?"
        ask("PUT", f"{self.place}{joint}digest={self.blob.digest}", self.repository, good=(201,),
            headers={"Content-Type": _BYTES})

    def _look(self) -> None:
        """Ask how much arrived; a registry that cannot say begins anew."""
        answer = self.registry._once("GET", self.place, self.repository, good=None)
        said = re.fullmatch(r"(?:bytes=)?0-([0-9]+)", answer.headers.get("range", ""))
        if answer.status == 204 and said and 0 < int(said[1]) < self.blob.size:
            self.place = answer.link("location") if "location" in answer.headers else self.place
            self.have = int(said[1]) + 1
        else:
            self.place, self.have = "", 0
