"""ferry.sh in every shell that a server may have: the same answers, the same exit statuses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from support.daemon import PrivateDaemon, unavailable
from support.site import Releases, Site

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site-shells")]

SHELLS = {
    "dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh"), "ksh": ("ksh",), "mksh": ("mksh",),
    "yash": ("yash", "--posix"), "zsh": ("zsh", "--emulate", "sh"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with PrivateDaemon() as daemon:
        yield Site(daemon=daemon, folder=tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_release_lives_in_this_shell(shell: str, shared: Site, releases: Releases) -> None:
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"no {shell} here")
    shared.clear()
    shared.shell = SHELLS[shell]
    first, second = releases.folder("1.0.0"), releases.folder("1.1.0")
    said = shared.ferry(first, "verify")
    assert (said.status, "are those of the release" in said.stdout) == (0, True), f"{said.stdout}{said.stderr}"
    shared.up(first)
    assert shared.answers() == ["1.0.0"] * 3
    failed = shared.ferry(second, "up", "--env", "engine:FACTOR=3")
    assert (failed.status, "what ran before runs on" in failed.stderr) == (11, True), failed.stderr
    assert shared.answers() == ["1.0.0"] * 3
    shared.up(second)
    assert shared.answers() == ["1.1.0"] * 3
    older = shared.ferry(first, "up")
    assert (older.status, "is older" in older.stderr) == (10, True), older.stderr
    receipt = shared.ferry(second, "receipt")
    assert receipt.ok and "model words-2" in receipt.stdout.splitlines(), f"{receipt.stdout}{receipt.stderr}"
    assert shared.ferry(second, "rollback").ok
    assert shared.answers() == ["1.0.0"] * 3
    assert shared.ferry(second, "stop").ok
    assert shared.answers() == [None] * 3
    assert shared.ferry(second, "nothing").status == 2
