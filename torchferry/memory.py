"""Which files were read and had the right SHA-256, so that nobody reads gigabytes again to learn the same."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from torchferry import files


class Memory:
    """What is known of the files near ``place``, where it is kept: by path, size, modification time, inode and hash.

    Whoever touches a file makes it unknown. Several threads may use one Memory.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._changed = False
        try:
            self._rows: dict[str, list[int | str]] = dict(json.loads(place.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._rows = {}

    def knows(self, path: Path, sha256: str) -> bool:
        """Whether the file lies there as it was when its hash was found to be this one."""
        return path.is_file() and self._rows.get(self._name(path)) == _row(path, sha256)

    def recall(self, path: Path) -> str | None:
        """The hash of the file, if it lies there as it was when that was found."""
        digest = str(self._rows.get(self._name(path), [""])[-1])
        return digest if self.knows(path, digest) else None

    def below(self, folder: Path) -> tuple[Path, ...]:
        """The files below a folder whose hashes were learned, whatever became of them."""
        places = (self._place.parent / name for name in self._rows)  # an absolute name stays what it is
        return tuple(place for place in places if place.is_relative_to(folder))

    def learn(self, path: Path, sha256: str) -> None:
        """The file's hash was found to be this one just now."""
        with self._lock:
            self._rows[self._name(path)] = _row(path, sha256)
            self._changed = True

    def forget(self, path: Path) -> None:
        """The file is no more, or no longer ours."""
        with self._lock:
            self._changed = self._rows.pop(self._name(path), None) is not None or self._changed

    def save(self) -> None:
        """Write what was learned."""
        if self._changed:
            files.write_text(self._place, json.dumps(self._rows, indent=1, sort_keys=True) + "\n")

    def checked(self, path: Path, sha256: str) -> bool:
        """Whether the file has this hash: known, or read and then remembered for the next time."""
        if self.knows(path, sha256):
            return True
        if not path.is_file() or files.sha256(path) != sha256:
            return False
        self.learn(path, sha256)
        self.save()
        return True

    def _name(self, path: Path) -> str:
        folder = self._place.parent
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _row(path: Path, sha256: str) -> list[int | str]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino, sha256]
