"""A docker that does something at one chosen call: it counts, so that every call can be chosen.

    faults = EngineFaults(site, tmp_path)
    faults.plan(7, "before", KILL)           # all of ferry.sh is killed just before its 7th call
    assert faults.run(release, "run").status == -9
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.site import Site, write_program
from torchferry.proc import Finished

KILL = "kill -9 -$group $$"
INTERRUPT = "kill -INT -$group"
HANG_UP = "kill -HUP -$group"
FAIL = "echo 'Error response from daemon: a stand-in for trouble' >&2; exit 1"
"""What may happen; $group is ferry.sh with all that it started, and $$ this docker, which may stand apart."""

PROGRAM = """\
place='{place}'
read -r at way <"$place/plan"
count=$(($(cat "$place/count") + 1))
if [ -s "$place/since" ]; then
  count=0
  case "${{1-}} ${{2-}}" in "$(cat "$place/since")") count=1; : >"$place/since" ;; esac
fi
echo "$count" >"$place/count"
[ "$count" = 0 ] || echo "$*" | tr '\\n' ' ' | sed 's/$/\\n/' >>"$place/calls"
act() {{
  group=$(ps -o pgid= -p "$PPID" | tr -d ' ')
  . "$place/deed"
}}
case "$count $way" in
  "$at before") act ;;
  "$at during") (sleep 0.2; act) >/dev/null 2>&1 & ;;
esac
{real} "$@"
status=$?
[ "$count $way" != "$at during" ] || wait  # a quick call is under way until then, too
[ "$count $way" != "$at after" ] || act
exit $status
"""


class EngineFaults:
    """Puts the program before the site's PATH; without a plan it only counts."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        site.path = (write_program(folder, "docker", PROGRAM.format(place=folder, real=shutil.which("docker"))),)
        self.plan()

    def plan(self, at: int = 0, way: str = "never", deed: str = "", *, since: str = "") -> None:
        """What happens before, during or after the n-th call from now; or from a call of these two words, the 1st."""
        for name, text in (("plan", f"{at} {way}\n"), ("count", "0\n"), ("since", since), ("deed", f"{deed}\n")):
            (self.folder / name).write_text(text, encoding="utf-8")
        (self.folder / "calls").unlink(missing_ok=True)

    def run(self, release: Path, *words: str) -> Finished:
        """One command to its end in a session of its own; what it said on stdout and stderr is one text."""
        said = self.folder / "said"
        with said.open("wb") as output:
            process = self.site.start(release, *words, stdout=output.fileno())
        return Finished(argv=words, status=process.wait(), stdout=said.read_text(encoding="utf-8"), stderr="")

    def calls(self) -> list[str]:
        """What the engine was asked."""
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()

    def end(self) -> None:
        """The site has its own docker again."""
        self.site.path = ()


def processes_of(session: int) -> list[int]:
    """Every process that lives and descends from this one, itself included: docker may have a session of its own."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
    found = [session]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found
