"""One real request to a started service, or one command in its container: what a proof asks (variants.yaml: prove).

    python -c "$program" JSON        the fields of torchferry.running.Proof, and the port

Exit status 0 when the answer is as expected, else 1 and what was wrong.
"""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

from torchferry.inside.health import differences


def run(asked: dict[str, Any]) -> list[str]:
    """The command of a proof; what is wrong, nothing when its exit status is 0."""
    try:
        done = subprocess.run(
            asked["command"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=asked["within"],
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    said = (done.stdout + done.stderr).strip().splitlines()[-8:]
    return [f"{asked['command'][0]}: exit status {done.returncode}", *said] if done.returncode else []


def request(asked: dict[str, Any]) -> list[str]:
    """The request of a proof; what is wrong with the answer."""
    url = f"http://127.0.0.1:{asked['port']}{asked['path']}"
    body = asked["body"].encode() if asked["body"] is not None else None
    if asked["file"]:
        with open(asked["file"], "rb") as source:
            body = source.read()
    headers = {"Content-Type": asked["content_type"]} if body is not None else {}
    sent = urllib.request.Request(url, data=body, method=asked["method"], headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(sent, timeout=asked["within"]) as answer:
            told = answer.read(10_000_000)
    except urllib.error.HTTPError as error:
        return [f"{asked['method']} {url}: HTTP {error.code}: {error.read(400)!r}"]
    except (urllib.error.URLError, OSError) as error:
        return [f"{asked['method']} {url}: {error}"]
    if not asked["expect"]:
        return []
    try:
        return differences(asked["expect"], json.loads(told))
    except ValueError:
        return [f"{url}: the answer is not JSON: {told[:200]!r}"]


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    problems = run(wanted) if wanted["command"] else request(wanted)
    print("\n".join(problems) or "ok")
    sys.exit(1 if problems else 0)
