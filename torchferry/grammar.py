"""What the words of a variants.yaml may look like: names, versions, paths, URLs, image references.

Everything here ends in a Dockerfile, a file name or an argument list, so each takes a closed set of characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from torchferry.fields import Spot, matching, text
from torchferry.model import APP, VENV
from torchferry.yamlpos import Scalar, quoted

# Grammar of image references: distribution, reference/regexp.go; a service names a repository of its own.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?:localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?:\.{_LABEL})*:[0-9]{{1,5}}|localhost:[0-9]{{1,5}})"
_NAME_SAYS = "a name of a-z, 0-9 and single . _ - between them (63 at most)"
_NAME = re.compile(rf"(?=.{{1,63}}\Z){_COMPONENT}")
_IMAGE = re.compile(
    rf"(?=.{{1,400}}\Z)(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
_SUITE = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DEB = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_PYTHON = re.compile(r"3\.(?:0|[1-9][0-9]?)")
_SEGMENT = r"(?!-)[A-Za-z0-9._@+-]{1,255}"
_RELATIVE = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,63}}/?")
_ABSOLUTE = re.compile(rf"(?:/{_SEGMENT}){{1,64}}/?")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~%/?&=+-]{0,1023}")
_URL = re.compile(r"(?:https?|file)://[A-Za-z0-9._~:/@%+\[\]-]{1,1000}")
_SIZE = re.compile(r"([1-9][0-9]{0,5})(KiB|MiB|GiB|KB|MB|GB)")
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_FIRST_OF_SEQUENCE = 2146
"""With it a sequence stays below 2**31, which every shell can count."""
_SPAN = re.compile(r"([1-9][0-9]{0,3})([sm])")
_ROW = re.compile(r"cpu|cu[1-9][0-9]{2}")

_SYSTEM = frozenset({
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "opt", "proc", "root", "run", "sbin", "sys", "tmp", "usr",
    "var",
})
_ASKED: dict[str, Callable[[str], tuple[str, ...]]] = {
    "file": lambda path: (path,),
    "folder": lambda path: (f"{path}/",),
    "path": lambda path: (path, f"{path}/"),
}
_KERNEL = frozenset({"dev", "proc", "sys"})


def name(spot: Spot) -> str:
    """A name that can stand in an image name and a file name."""
    return matching(spot, _NAME, expected=_NAME_SAYS, cure="choose such a name, like stt-engine")


def service_name(spot: Spot, value: str) -> None:
    """Refuse a key that is no `name`."""
    if not _NAME.fullmatch(value):
        spot.refuse(f"{quoted(value)} is not {_NAME_SAYS}", cure="choose such a name, like stt-engine")


def version(spot: Spot) -> str:
    """A PEP 440 version that can stand in an image tag, so without epoch and local part."""
    expected = "a version such as 1.0.0"
    value = matching(spot, _VERSION, expected=expected, cure="write it with digits and dots; + ! and spaces cannot be"
                     " in an image tag")
    if value and not _is_version(value):
        spot.refuse(f"{quoted(value)} is not {expected}", cure="write it the way PEP 440 does: 1.2.0, 1.2.0rc1")
        return ""
    return value


def sequence(value: str) -> int | None:
    """The number that a version gives by itself: 1.2.3 is 1002003; None where its parts are too many or too large."""
    parts = [*Version(value).release, 0, 0]
    first, second, third = parts[:3]
    fits = first <= _FIRST_OF_SEQUENCE and max(second, third) < 1000 and not any(parts[3:])
    return first * 1_000_000 + second * 1_000 + third if fits else None


def label(spot: Spot) -> str:
    """The version of what has its own manner of counting: a model."""
    return matching(spot, _VERSION, expected="a version such as 1.0 or 2024-05-01",
                    cure="write letters, digits, dots and hyphens, in quotes")


def byte_count(spot: Spot) -> int:
    """A size as 2GiB or 700MB, in bytes; from 64 KiB to 1 TiB."""
    value = text(spot, expected="a size such as 2GiB", whole_numbers=True)
    found = _SIZE.fullmatch(value)
    count = int(found[1]) * _UNITS[found[2]] if found else 0
    if value and not 64 << 10 <= count <= 1 << 40:
        spot.refuse(f"{quoted(value)} is not a size from 64KiB to 1TiB", cure="write 2GiB, 700MB or the like")
    return count


def torch(spot: Spot) -> str:
    """The exact torch version of a row; which CUDA build of it is the row's name's to say."""
    value = text(spot, expected="an exact version such as 2.1.2")
    public, plus, _ = value.removeprefix("==").strip().partition("+")
    plain = bool(_VERSION.fullmatch(value)) and _is_version(value)
    if value and not plain:
        nearest = public if _VERSION.fullmatch(public) and _is_version(public) else "2.1.2"
        cure = f"write torch: {nearest}"
        spot.refuse(f"{quoted(value)} is not an exact version such as 2.1.2",
                    cure=f"{cure}; the row's name says which CUDA build" if plus else cure)
    return value


def _is_version(value: str) -> bool:
    try:
        Version(value)
    except InvalidVersion:
        return False
    return True


def python(spot: Spot) -> str:
    """The Python of the images, as 3.N."""
    return matching(spot, _PYTHON, expected='a Python such as "3.11"', cure='write major and minor: "3.11"')


def row_name(spot: Spot, value: str) -> None:
    """Refuse a key that is no variant's name, and say which was meant."""
    if _ROW.fullmatch(value):
        return
    digits = "".join(re.findall(r"[0-9]", value[:80]))
    meant = f"cu{digits}" if _ROW.fullmatch(f"cu{digits}") else "cpu" if value.lower() == "cpu" else ""
    hint = f", did you mean {meant}" if meant else ""
    cure = "leave out variants for a service without torch" if value == "any" else "rename the row"
    spot.refuse(f"{quoted(value)} is not a variant, expected cpu, or cu and three digits like cu121{hint}", cure=cure)


def env_name(spot: Spot, value: str) -> bool:
    """Whether a key can name an environment variable; else it is refused."""
    if _ENV_NAME.fullmatch(value):
        return True
    spot.refuse(f"{quoted(value)} cannot name an environment variable, expected letters, digits and _",
                cure="rename it, like STT_DEVICE")
    return False


def suite(spot: Spot) -> str:
    """A Debian suite."""
    return matching(spot, _SUITE, expected="a Debian suite such as bookworm", cure="write its code name")


def deb(spot: Spot) -> str:
    """A Debian package."""
    return matching(spot, _DEB, expected="a Debian package such as libsndfile1", cure="write one name an item")


def package(spot: Spot) -> str:
    """A Python package, normalised."""
    value = matching(spot, _PACKAGE, expected="a package name such as openai-whisper",
                     cure="write the name alone; its version belongs into the requirements")
    return canonicalize_name(value)


def image(spot: Spot) -> str:
    """An image reference."""
    return matching(spot, _IMAGE, expected="an image such as python:3.11-slim-bookworm",
                    cure="write [host/]name[:tag][@sha256:digest], the name in lower case")


def url_path(spot: Spot) -> str:
    """The path of a URL on the service itself."""
    return matching(spot, _URL_PATH, expected="a path that begins with /, such as /health",
                    cure="write the path alone, without host and port")


def index(spot: Spot) -> str:
    """The URL of a package index, or of a folder of wheels."""
    expected = "a URL such as https://download.pytorch.org/whl/cu121"
    cure = "write an https:, http: or file:/// URL"
    value = matching(spot, _URL, expected=expected, cure=cure)
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        usable = parts.path.startswith("/") if parts.scheme == "file" else bool(parts.hostname and parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        spot.refuse(f"{quoted(value)} is not {expected}", cure=cure)
    return value


def span(spot: Spot) -> int:
    """A time as 60s or 2m, in seconds; at most an hour."""
    value = text(spot, expected="a time such as 60s or 2m", whole_numbers=True)
    found = _SPAN.fullmatch(value)
    seconds = int(found[1]) * {"s": 1, "m": 60}[found[2]] if found else 0
    if value and not 0 < seconds <= 3600:
        spot.refuse(f"{quoted(value)} is not a time such as 60s or 2m, at most 60m",
                    cure=f"write {value}s" if re.fullmatch(r"[1-9][0-9]{0,2}", value) else "write 60s")
    return seconds


def json_scalar(spot: Spot) -> str | int | float | bool | None:
    """One JSON value that is no list and no object. What YAML and JSON spell differently has to be quoted."""
    node = spot.node
    if not isinstance(node, Scalar) or node.kind == "text":
        return text(spot, expected="one JSON value", empty=True)
    words: dict[str, bool | None] = {"true": True, "false": False, "null": None}
    if node.text in words:
        return words[node.text]
    if node.kind == "int" and re.fullmatch(r"-?(?:0|[1-9][0-9]{0,17})", node.text):
        return int(node.text)
    if node.kind == "float" and re.fullmatch(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,40}", node.text):
        return float(node.text)
    return text(spot, expected="one JSON value")


def path(spot: Spot, exists: Callable[[str], bool] | None = None, *, kind: str = "path") -> str:
    """A path inside the project, in its shortest spelling; ``kind`` is file, folder or (either) path."""
    value = text(spot, expected=f"a {kind} inside the project")
    if not value:
        return ""
    short = str(PurePosixPath(value))
    if value.startswith(("/", "~")) or ".." in PurePosixPath(value).parts:
        spot.refuse(f"{quoted(value)} leaves the project, expected a {kind} inside it",
                    cure="move it beside the variants.yaml and write its relative path")
    elif not _RELATIVE.fullmatch(value) or len(value) > 1024:
        spot.refuse(f"{quoted(value)} is not a relative path of letters, digits and . _ @ + - /",
                    cure="rename it so that it needs no other characters")
    elif short == ".":
        spot.refuse("is the whole project, wheels/ and dist/ included, expected a part of it",
                    cure="put what belongs to the service into a folder of its own")
    elif exists and not any(exists(asked) for asked in _ASKED[kind](short)):
        spot.refuse(f"{quoted(short)} is not there, expected a {kind} beside the variants.yaml",
                    cure="create it or correct the path")
    return short


def mounted_folder(spot: Spot, flag: str) -> tuple[str, bool]:
    """A relative folder on the server, and whether ``flag`` stands behind it."""
    node = spot.node
    if not isinstance(node, Scalar) or not node.text.endswith(flag) or node.kind != "text":
        return path(spot), False
    return path(replace(spot, node=replace(node, text=node.text.removesuffix(flag)))), True


def mount_point(spot: Spot, value: str) -> str:
    """An absolute folder of the image that the server's may cover; "" where it is refused."""
    parts = PurePosixPath(value).parts[1:]
    point = PurePosixPath("/", *parts)
    if not _ABSOLUTE.fullmatch(value) or ".." in parts or len(value) > 1024:
        spot.refuse(f"{quoted(value)} is not an absolute path of letters, digits and . _ @ + - /",
                    cure="write the folder in the image, like /app/models")
    elif VENV in (point, *point.parents) or any(point in (own, *own.parents) for own in (VENV, APP)):
        spot.refuse(f"{value} would cover the service or its packages ({APP}, {VENV})",
                    cure=f"mount below {APP}, like {APP}/models")
    elif parts[0] in _KERNEL or (len(parts) == 1 and parts[0] in _SYSTEM):
        spot.refuse(f"{value} belongs to the system in the image", cure=f"mount below {APP}, like {APP}/models")
    else:
        return str(point)
    return ""
