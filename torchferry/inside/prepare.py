"""Runs as root inside the image while it is built: the service's user, and the folders that user may write.

    python prepare.py UID FOLDER...

Plain Python because a base may lack useradd (UBI minimal has none), and because a base may have given
the UID to somebody already: then that user is kept and nothing is added.
"""

import os
import sys


def add_line(path: str, key: int, line: str) -> None:
    """Append ``line`` to a passwd-like file unless its third field already holds the number ``key``."""
    try:
        with open(path, encoding="utf-8") as source:
            text = source.read()
    except FileNotFoundError:
        text = ""
    if any(row.split(":")[2:3] == [str(key)] for row in text.splitlines()):
        return
    name = line.split(":", 1)[0]
    if any(row.split(":")[0] == name for row in text.splitlines()):
        line = f"{name}-{key}:{line.split(':', 1)[1]}"
    with open(path, "a", encoding="utf-8") as target:
        target.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")


def main(uid: int, folders: list[str]) -> None:
    """Add user and group ``uid`` where they are free, and hand the folders over."""
    add_line("/etc/group", uid, f"service:x:{uid}:")
    add_line("/etc/passwd", uid, f"service:x:{uid}:{uid}:torchferry service:/tmp:/usr/sbin/nologin")
    for folder in folders:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        for where, _, names in os.walk(folder):
            for path in (where, *(os.path.join(where, name) for name in names)):
                os.chown(path, uid, uid, follow_symlinks=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
