"""The standard library of the Python in the image, which is not always the one that runs us."""

from __future__ import annotations

import sys

LEFT_STDLIB = {
    "formatter": 10, "parser": 10, "symbol": 10, "binhex": 11,
    **dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), 12),
    **dict.fromkeys((
        "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap", "msilib", "nis", "nntplib",
        "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib",
    ), 13),
}
"""Modules that are gone from the standard library as of this 3.x (What's New of each release, "Removed")."""

CAME_TO_STDLIB = {"graphlib": 9, "zoneinfo": 9, "tomllib": 11, "annotationlib": 14, "compression": 14}
"""Modules that the standard library has from this 3.x on (What's New of each release, "New Modules")."""

DISTRIBUTIONS = {
    "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "dateutil": "python-dateutil", "dotenv": "python-dotenv",
    "jwt": "pyjwt", "PIL": "pillow", "pkg_resources": "setuptools<82", "python_multipart": "python-multipart",
    "sklearn": "scikit-learn", "skimage": "scikit-image", "whisper": "openai-whisper", "yaml": "pyyaml",
}
"""Packages whose name is not that of their module, where only one is meant."""


def modules(python: str) -> frozenset[str]:
    """The top-level modules that Python ``python`` ("3.11") brings; known for 3.9 to 3.14."""
    minor = int(python.split(".")[1])
    ours = {*sys.stdlib_module_names, *LEFT_STDLIB, *CAME_TO_STDLIB, "__main__"}
    gone = {name for name, since in LEFT_STDLIB.items() if minor >= since}
    to_come = {name for name, since in CAME_TO_STDLIB.items() if minor < since}
    return frozenset(ours - gone - to_come)


def cure(name: str) -> str:
    """What to do about a module that is not there."""
    if name in LEFT_STDLIB:
        return f"it left Python's standard library in 3.{LEFT_STDLIB[name]}"
    if name in CAME_TO_STDLIB:
        return f"Python's standard library has it from 3.{CAME_TO_STDLIB[name]} on"
    known = DISTRIBUTIONS.get(name)
    return f"add {known} to the requirements" if known else "add the package that provides it to the requirements"
