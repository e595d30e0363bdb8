"""A ProxyCommand for ssh that breaks: it carries so many bytes to the server as its turn allows, then is gone.

    ProxyCommand python leaky.py PORT FOLDER RATE

It carries RATE bytes a second at most. Each connection takes the next file of FOLDER, by name, which holds a number of
bytes; with none left it does not break.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path


def turn(folder: Path) -> int | None:
    """How many bytes this connection may carry."""
    for place in sorted(folder.glob("[0-9]*")):
        mine = place.with_name(f".{place.name}")
        try:
            place.rename(mine)
        except FileNotFoundError:  # another connection was faster
            continue
        return int(mine.read_text(encoding="ascii"))
    return None


def main(port: str, folder: str, rate: str) -> None:
    left = turn(Path(folder))
    server = socket.create_connection(("127.0.0.1", int(port)))

    def back() -> None:
        with suppress(OSError):
            while block := server.recv(65536):
                os.write(1, block)
        os._exit(0)

    threading.Thread(target=back, daemon=True).start()
    while block := os.read(0, 16384):
        time.sleep(len(block) / float(rate))
        if left is not None and len(block) >= left:
            server.sendall(block[:left])
            os._exit(1)
        left = None if left is None else left - len(block)
        server.sendall(block)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
