"""Runs inside the finished image, as its user, without network: tells what is really in there.

    python -c THIS-FILE JSON

The argument is {"torch": bool, "module": NAME or null}; the answer is one JSON object on the last line of stdout.
It only reports; the judgement is made outside (smoke.py), where the lock and the tables are.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import traceback
from typing import Any


def torch_facts() -> dict[str, Any]:
    """What the installed torch says about itself, or how its import failed."""
    try:
        import torch  # type: ignore[import-not-found]
    except BaseException:
        return {"error": traceback.format_exc(limit=-3)}
    flags = torch._C._cuda_getArchFlags() if torch.version.cuda else ""
    return {"version": torch.__version__, "cuda": torch.version.cuda, "architectures": (flags or "").split()}


def import_error(name: str | None) -> str | None:
    """How importing the service's module fails, or None. Libraries that switch torch off only say so in a log line."""
    if name is None:
        return None
    try:
        importlib.import_module(name)
    except BaseException:
        return traceback.format_exc(limit=-3)
    return None


def cuda_runtimes() -> list[str]:
    """Every copy of the CUDA runtime library below /: a second one wastes gigabytes and can be found first."""
    library = re.compile(r"libcudart(-[0-9a-f]+)?\.so[.\d]*")
    found = []
    for top in ("/opt", "/usr", "/lib", "/lib64", "/app"):
        for where, _, names in os.walk(top):
            found += [f"{where}/{name}" for name in names if library.fullmatch(name)]
    return sorted({os.path.realpath(path) for path in found})


def main(asked: dict[str, Any]) -> None:
    """Collect the facts and print them."""
    print(json.dumps({
        "python": platform.python_version(),
        "machine": platform.machine(),
        "uid": os.getuid(),
        "installed": {
            dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions(path=[
                path for path in sys.path if path.startswith("/opt/venv")])
        },
        "torch": torch_facts() if asked["torch"] else None,
        "cuda_runtimes": cuda_runtimes(),
        "import_error": import_error(asked["module"]),
    }))


main(json.loads(sys.argv[1]))
