"""May the service's user use its folders? Tried as that user, in a container that is gone afterwards.

    python -c "$program" WRITTEN... -- READ...

Exit status 0, or 1 and a line `POINT<tab>what is wrong` for each folder.
"""

import os
import sys


def written(folder: str) -> str | None:
    """Write, rename and remove a file; what is wrong."""
    place = os.path.join(folder, f".ferry-{os.getpid()}")
    try:
        with open(place, "wb") as sink:
            sink.write(b"ferry")
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(place, place + "2")
        os.unlink(place + "2")
    except OSError as error:
        return f"cannot be written by UID {os.getuid()}: {error.strerror}"
    return None


def read(folder: str) -> str | None:
    """List a folder and open one of its files; what is wrong."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
        if not found:  # the server has files in it: ferry.sh looked
            return "is empty in the container"
        for entry in [entry for entry in found if entry.is_file()][:1]:
            with open(entry.path, "rb") as source:
                source.read(1)
    except OSError as error:
        return f"cannot be read by UID {os.getuid()}: {error.strerror}"
    return None


if __name__ == "__main__":
    cut = sys.argv.index("--")
    found = [(name, written(name)) for name in sys.argv[1:cut]] + [(name, read(name)) for name in sys.argv[cut + 1:]]
    wrong = [f"{name}\t{problem}" for name, problem in found if problem]
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)
