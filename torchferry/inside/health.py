"""The image's HEALTHCHECK: asks the service how it is and believes only the answer's content.

    python health.py URL EXPECTED-JSON

Exit status 0 when the answer is JSON that holds every expected value (nested objects likewise), else 1.
An HTTP 200 with {"status": "error"} is not health, so the status code alone never counts.
"""

import json
import sys
import urllib.error
import urllib.request
from typing import Any


def differences(expected: Any, found: Any, where: str = "answer") -> list[str]:
    """Every place where ``found`` lacks what ``expected`` asks for, in words."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{where} is {found!r}, expected an object"]
        return [
            line for key, value in expected.items()
            for line in (
                differences(value, found[key], f"{where}.{key}") if key in found
                else [f"{where} has no {key!r}, expected {value!r}"]
            )
        ]
    same = type(expected) is type(found) and expected == found
    return [] if same else [f"{where} is {found!r}, expected {expected!r}"]


def check(url: str, expected: Any) -> list[str]:
    """Ask once; return what is wrong, nothing when all is well."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy never lies between us and ourselves
    try:
        with opener.open(url, timeout=5) as answer:
            body = answer.read(1_000_000)
    except (urllib.error.URLError, OSError) as error:
        return [f"{url}: {error}"]
    if not expected:
        return []
    try:
        return differences(expected, json.loads(body))
    except ValueError:
        return [f"{url}: the answer is not JSON: {body[:80]!r}"]


if __name__ == "__main__":
    problems = check(sys.argv[1], json.loads(sys.argv[2]))
    print("; ".join(problems) or "ok")
    sys.exit(1 if problems else 0)
