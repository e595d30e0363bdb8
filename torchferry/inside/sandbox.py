"""Runs as PID 1 of fresh namespaces, as root: turns an unpacked image into a container, and becomes its program.

    unshare --mount --pid --net --ipc --fork --kill-child python sandbox.py ROOT OWNER WORKDIR WORD...

Loopback comes up and is all the network there is; /proc, /dev and /tmp are those of a container; then the program runs
in ROOT as user and group OWNER, with this process's environment.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

DEVICES = ("null", "zero", "full", "random", "urandom")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def raise_loopback() -> None:
    """Bring the loopback interface up, as every container has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(door, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(door, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def furnish(root: str) -> None:
    """The kernel's folders, in a mount namespace that ends with us."""
    mount("--make-rprivate", "/")
    for folder in ("proc", "dev", "tmp"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/dev")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/tmp")
    for name in DEVICES:
        with open(f"{root}/dev/{name}", "wb"):
            pass
        mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")


def main(root: str, owner: int, workdir: str, words: list[str]) -> None:
    raise_loopback()
    furnish(root)
    os.chroot(root)
    os.chdir(workdir)
    os.setgroups([])
    os.setgid(owner)
    os.setuid(owner)
    os.execvpe(words[0], words, os.environ)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
