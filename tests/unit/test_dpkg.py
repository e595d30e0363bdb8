"""What a Debian system says of itself: its packages, whatever their state, and its name."""

from __future__ import annotations

import pytest

from torchferry.dpkg import DebianPackage, Distribution, parse_os_release, parse_status

STATUS = """\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Source: zlib
Version: 1:1.2.13.dfsg-1
Depends: libc6 (>= 2.14)
Description: compression library
 Version: 9 is in the description
 .
 and so is this

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: held
Status: hold ok installed
Architecture: amd64
Source: bash (5.2-2)
Version: 5.2-2+b7
Pre-Depends: libc6, debconf (>= 0.5) | debconf-2.0
Depends: python3:any (>= 3.3), perl:native
Provides: shell, sh-abi (= 2)

Package: half
Status: install ok half-configured
Version: 1
"""


def test_installed_packages_with_their_sources_and_relations() -> None:
    held, zlib = parse_status(STATUS)
    assert zlib == DebianPackage(
        name="zlib1g", version="1:1.2.13.dfsg-1", architecture="amd64", source="zlib",
        source_version="1:1.2.13.dfsg-1", depends=(("libc6",),),
    )
    assert held == DebianPackage(
        name="held", version="5.2-2+b7", architecture="amd64", source="bash", source_version="5.2-2",
        depends=(("libc6",), ("debconf", "debconf-2.0"), ("python3",), ("perl",)), provides=("shell", "sh-abi"),
    )


def test_a_paragraph_without_status_is_of_an_installed_package() -> None:
    (found,) = parse_status("Package: base-files\nVersion: 12.4\r\n\n\n")
    assert (found.name, found.version, found.architecture, found.source) == ("base-files", "12.4", "all", "base-files")


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", "Package: x\n", "Version: 1\n", " goes on\n: \n"])
def test_what_names_no_package_is_none(text: str) -> None:
    assert parse_status(text) == ()


@pytest.mark.parametrize("text, found", [
    ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n# ID=x\n',
     Distribution(id="debian", version="12", title="Debian GNU/Linux 12 (bookworm)")),
    ("ID=debian\nVERSION_CODENAME=sid\n", Distribution(id="debian", version="", title="debian")),
    ("ID='RHEL'\r\nVERSION_ID=9.4\r\n", Distribution(id="rhel", version="9.4", title="RHEL")),
    ('ID=debian\nPRETTY_NAME="open\n', Distribution(id="debian", version="", title="open")),
    ("NAME=Nameless\n", None), ("", None),
])
def test_os_release_names_the_distribution(text: str, found: Distribution | None) -> None:
    assert parse_os_release(text) == found
