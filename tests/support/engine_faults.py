"""A docker that fails, or takes ferry.sh with it, at one chosen call; it counts, so that every call can be chosen.

    faults = EngineFaults(site, tmp_path)
    faults.plan(7, "before")         # the whole session of ferry.sh is killed just before its 7th call
"""

from __future__ import annotations

import shutil
from pathlib import Path

from support.site import Site, write_program

WAYS = ("before", "after", "fails")
"""Killed before the engine is asked, killed when it has done it, or told that it did not do it."""

PROGRAM = """\
place='{place}'
count=$(($(cat "$place/count") + 1))
echo "$count" >"$place/count"
echo "$count ${{1-}} ${{2-}}" | head -n 1 >>"$place/calls"
read -r at way <"$place/plan"
if [ "$count" = "$at" ]; then
  case $way in
    before) kill -9 0 ;;
    fails) echo 'Error response from daemon: a stand-in for trouble' >&2; exit 1 ;;
  esac
fi
{real} "$@"
status=$?
[ "$count $way" != "$at after" ] || kill -9 0
exit $status
"""


class EngineFaults:
    """Puts the program before the site's PATH; without a plan it only counts."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.folder = folder
        site.path = (write_program(folder, "docker", PROGRAM.format(place=folder, real=shutil.which("docker"))),)
        self.plan(0, "never")

    def plan(self, at: int, way: str) -> None:
        """What happens at the n-th call from now."""
        (self.folder / "plan").write_text(f"{at} {way}\n", encoding="ascii")
        (self.folder / "count").write_text("0\n", encoding="ascii")
        (self.folder / "calls").unlink(missing_ok=True)

    def calls(self) -> list[str]:
        """What the engine was asked, by its first two words."""
        lines = (self.folder / "calls").read_text(encoding="utf-8").splitlines()
        return [line.partition(" ")[2].strip() for line in lines]
