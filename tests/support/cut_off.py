"""What has to be true of a site after ferry.sh was cut off while it took 1.1.0 in place of 1.0.0."""

from __future__ import annotations

from pathlib import Path

from support.site import SERVICES, Site

OLD, NEW = ["1.0.0"] * 3, ["1.1.0"] * 3
CUT_OFF = "a switch was cut off: sh ferry.sh run (or rollback) puts it right"


def pending(site: Site) -> bool:
    place = site.state / "duo" / "pending"
    return place.exists() and place.stat().st_size > 0


def forget(site: Site, version: str) -> None:
    """Remove the images of a release, so that it has to be loaded."""
    words = ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=*:{version}-*")
    if found := site.docker(*words).split():
        site.docker("image", "rm", "--force", *found)


def nothing_left(site: Site, hint: str) -> None:
    """Of what was cut off: no container, name, lock or file."""
    gone = {f"{service}.gen1" for service in SERVICES}
    assert set(site.containers()) - gone == set(SERVICES), hint
    assert "incoming" not in site.docker("image", "ls", "--format", "{{.Tag}}"), hint
    assert not pending(site) and not (site.state / "duo" / "lock").exists(), hint
    left = [path.name for place in (site.data, site.state) for path in place.rglob("*.partial")]
    assert left == [], hint


def arrives(site: Site, release: Path, hint: str, *words: str) -> None:
    """The same command again, to its end; and back, for the next test."""
    done = site.ferry(release, *(words or ("run",)))
    assert done.ok, f"{hint}: status {done.status}\n{done.stdout}{done.stderr}"
    assert site.answers() == NEW, hint
    nothing_left(site, hint)
    assert set(site.containers()) == {*SERVICES, *(f"{service}.gen1" for service in SERVICES)}, hint
    goes_back(site, release, hint)


def goes_back(site: Site, release: Path, hint: str) -> None:
    done = site.ferry(release, "rollback")
    assert done.ok, f"{hint}: status {done.status}\n{done.stdout}{done.stderr}"
    assert site.answers() == OLD, hint


def recovers(site: Site, release: Path, hint: str) -> None:
    """Of a switch that was cut off, `status` tells; any next command puts it right."""
    assert CUT_OFF in site.ferry(release, "status").stderr, hint
    done = site.ferry(release, "rollback")
    assert (done.status, "an earlier switch was cut off: putting back" in done.stderr) == (12, True), \
        f"{hint}: {done.stdout}{done.stderr}"
    assert site.answers() == OLD, hint
    nothing_left(site, hint)
