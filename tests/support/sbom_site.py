"""A project that has wheels and an image on a small Debian, for tests of SBOMs; nothing here loads cyclonedx."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support import nouns
from support.saved_images import Entries, config_of, file, special, stored_image, tar_of
from support.wheel_factory import locked
from torchferry import sbom
from torchferry.blobs import BlobStore
from torchferry.layout import Layout
from torchferry.model import Image, Lock

VARIANT = nouns.variant("cu121")

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u14
Depends: libgcc-s1

Package: libgcc-s1
Status: install ok installed
Architecture: amd64
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14+b1
Depends: libc6

Package: python3.11
Status: install ok installed
Architecture: amd64
Version: 3.11.2-6
Depends: libc6 (>= 2.36)
"""
OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
DEBIAN: Entries = [
    file("./usr/lib/os-release", OS_RELEASE.encode()),
    special("./etc/os-release", tarfile.SYMTYPE, "../usr/lib/os-release"),
    file("./var/lib/dpkg/status", STATUS.encode()), file("./usr/bin/python3.11", b"\x7fELF\x003.11.2\x00"),
]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A project with wheels, and a store with an image."""

    layout: Layout

    @property
    def folder(self) -> Path:
        return self.layout.wheel_folder(VARIANT)

    @property
    def lock(self) -> Lock:
        wheels = tuple(locked(path) for path in sorted(self.folder.glob("*.whl")))
        return Lock(fingerprint="f" * 64, wheels=wheels, installer=nouns.wheel("uv", "1.0"))

    def image(self, *layers: Entries, **config: Any) -> Image:
        """An image of these layers; ``config`` is more of its config."""
        store = BlobStore(folder=self.layout.blobs)
        tars = [tar_of(layer) for layer in layers]
        image = stored_image(store, tars, name=VARIANT.image_name)
        return replace(image, config=config_of(tars, **config))

    def text(self, image: Image, lock: Lock | None = None) -> str:
        """The SBOM of an image; ``lock`` in place of the one of what lies in the folder."""
        return sbom.text(VARIANT, lock or self.lock, image, self.layout)
