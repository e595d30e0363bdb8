"""What packages declare as their license, brought down to SPDX where that says the same and to plain names elsewhere.

Nothing is concluded: "BSD License" names three licenses, so it stays that text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

LONGEST = 100
"""Characters that a name may have; what is longer, or has several lines, is the text of a license."""

CLASSIFIERS = {
    "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "Zero-Clause BSD (0BSD)": "0BSD",
}
"""Classifiers that name one license of one version, by their last part; all others (BSD, Apache, PSF) leave it open."""


def declared(expression: str, text: str, classifiers: Iterable[str]) -> tuple[str, ...]:
    """What License-Expression, License and Classifier of a METADATA declare; the first that does counts, as in PEP 639.

    One SPDX expression or name, or the names of several classifiers, which leave open how they belong together. An
    absent field is an empty text.
    """
    found = next((names for names in _statements(expression, text, classifiers) if names), ())
    return tuple(spdx(name) or name for name in found)


def spdx(text: str) -> str | None:
    """The SPDX expression that a text is, in its canonical spelling; None for any other text."""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None


def _statements(expression: str, text: str, classifiers: Iterable[str]) -> Iterator[tuple[str, ...]]:
    yield (expression.strip(),) if expression.strip() else ()
    name = text.strip()
    is_name = "\n" not in name and len(name) <= LONGEST and name.upper() not in ("", "UNKNOWN")
    yield (CLASSIFIERS.get(name, name),) if is_name else ()
    lasts = sorted({line.rpartition("::")[2].strip() for line in classifiers if line.startswith("License ::")})
    yield tuple(CLASSIFIERS.get(last, last) for last in lasts if last != "OSI Approved")
