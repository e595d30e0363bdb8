"""Runs as root inside the image while it is built: the service's user, and the folders that user may write.

    python prepare.py UID FOLDER...

Plain Python because a base may lack useradd (UBI minimal has none), and because a base may have given
the UID to somebody already: then that user is kept and nothing is added.
"""

import os
import sys


def tables(uid: int) -> dict[str, str]:
    """The line of each user table that makes ``uid`` somebody."""
    return {
        "/etc/group": f"service:x:{uid}:",
        "/etc/passwd": f"service:x:{uid}:{uid}:torchferry service:/tmp:/usr/sbin/nologin",
    }


def with_line(text: str, key: int, line: str) -> str:
    """A passwd-like text with ``line`` at its end; unchanged where its third field already holds the number ``key``."""
    if any(row.split(":")[2:3] == [str(key)] for row in text.splitlines()):
        return text
    name = line.split(":", 1)[0]
    if any(row.split(":")[0] == name for row in text.splitlines()):
        line = f"{name}-{key}:{line.split(':', 1)[1]}"
    return text + ("" if not text or text.endswith("\n") else "\n") + line + "\n"


def add_line(path: str, key: int, line: str) -> None:
    """Do that to a file, which need not be there."""
    try:
        with open(path, encoding="utf-8") as source:
            text = source.read()
    except FileNotFoundError:
        text = ""
    made = with_line(text, key, line)
    if made != text:
        with open(path, "w", encoding="utf-8") as target:
            target.write(made)


def main(uid: int, folders: list[str]) -> None:
    """Add user and group ``uid`` where they are free, and hand the folders over."""
    for path, line in tables(uid).items():
        add_line(path, uid, line)
    for folder in folders:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        for where, _, names in os.walk(folder):
            for path in (where, *(os.path.join(where, name) for name in names)):
                os.chown(path, uid, uid, follow_symlinks=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
