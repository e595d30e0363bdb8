"""Licenses as packages declare them: SPDX where that says the same, else the words of the package."""

from __future__ import annotations

import pytest
from cyclonedx import spdx

from torchferry import licenses
from torchferry.wheel_metadata import parse

MIT, BSD = "License :: OSI Approved :: MIT License", "License :: OSI Approved :: BSD License"


@pytest.mark.parametrize("expression, text, classifiers, declared", [
    ("MIT", "BSD", [BSD], ("MIT",)),
    ("mit or apache-2.0", "", [], ("MIT OR Apache-2.0",)),
    ("LicenseRef-Proprietary", "", [], ("LicenseRef-Proprietary",)),
    ("not a license", "", [], ("not a license",)),
    ("", "apache-2.0", [], ("Apache-2.0",)),
    ("", "MIT License", [], ("MIT",)),
    ("", " BSD-3 ", [BSD], ("BSD-3",)),
    ("", "LGPL with exceptions", [MIT], ("LGPL with exceptions",)),
    ("", "NVIDIA Proprietary Software", ["License :: Other/Proprietary License"], ("NVIDIA Proprietary Software",)),
    ("", "UNKNOWN", [BSD], ("BSD License",)),
    ("", "Copyright (c) 2005\nAll rights reserved.", [MIT], ("MIT",)),
    ("", "x" * 101, [], ()),
    ("", "x" * 100, [], ("x" * 100,)),
    ("", "", [MIT, "Programming Language :: Python", BSD, MIT], ("BSD License", "MIT")),
    ("", "", ["License :: OSI Approved"], ()),
    ("", "", [], ()),
])
def test_the_first_field_that_declares_one_counts(
    expression: str, text: str, classifiers: list[str], declared: tuple[str, ...],
) -> None:
    assert licenses.declared(expression, text, classifiers) == declared


def test_what_classifiers_stand_for_is_what_cyclonedx_knows_by_that_id() -> None:
    assert {name: found for name, found in licenses.CLASSIFIERS.items() if not spdx.is_supported_id(found)} == {}
    assert not {"BSD License", "Apache Software License"} & licenses.CLASSIFIERS.keys()  # each names several


def test_metadata_is_read_as_utf8_and_its_description_is_none_of_its_fields() -> None:
    said = parse("License: Licence créative\nRequires-Dist: a>=1\nRequires-Dist: b\n\nLicense: MIT\n".encode())
    assert (said.licenses, said.requires) == (("Licence créative",), ("a>=1", "b"))
    folded = parse(b"License: Copyright (c) 2005\n  All rights\n reserved.\nClassifier: " + MIT.encode() + b"\n\n")
    assert folded.licenses == ("MIT",)
    assert parse(b"License: \xff\n").licenses == ("\ufffd",)
