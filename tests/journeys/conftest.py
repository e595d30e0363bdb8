"""What the journeys share: an index on localhost, a Debian base, private daemons."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.daemon import PrivateDaemon, unavailable
from support.delta_site import Deltas, make_deltas
from support.engine_faults import EngineFaults
from support.index_server import IndexServer
from support.project import Project, make_project
from support.site import Releases, Site, make_releases
from support.site_project import project_env
from support.sshd import Sshd
from support.wheel_factory import stand_in_indexes

from torchferry import base
from torchferry.errors import FerryError
from torchferry.layout import Layout
from torchferry.model import Base

BOOKWORM = (Base(debian="bookworm"), "x86_64")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in_indexes(tmp_path_factory.mktemp("indexes")).root


@pytest.fixture
def index(wheels: Path, tmp_path: Path) -> Iterator[IndexServer]:
    """An index of a test's own: it may change the wheels and let requests fail."""
    with IndexServer(shutil.copytree(wheels, tmp_path / "indexes")) as server:
        yield server


@pytest.fixture
def project(index: IndexServer, tmp_path: Path) -> Project:
    """A project whose Docker is nobody's: steps that need a daemon fail."""
    return make_project(tmp_path / "my project", index, env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A Debian base, made by torchferry itself once for all workers; they share their parent's folder."""
    shared = tmp_path_factory.getbasetemp().parent / "debian"
    shared.mkdir(exist_ok=True)
    layout = Layout(root=shared)
    with (shared / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            base.debian_base(BOOKWORM[0], layout, architecture=BOOKWORM[1])
        except FerryError as error:
            pytest.skip(f"no Debian base can be made here: {error.message}")
    return layout


@pytest.fixture(scope="session")
def give_base(debian: Layout) -> Callable[[Project], None]:
    """Put the shared base where a project would have made its own."""

    def give(project: Project) -> None:
        own = Layout(root=project.folder)
        for place, target in (
            (debian.base_tar(*BOOKWORM), own.base_tar(*BOOKWORM)),
            (debian.base_lock(*BOOKWORM), own.base_lock(*BOOKWORM)),
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(place, target)

    return give


@pytest.fixture
def daemon() -> Iterator[PrivateDaemon]:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with PrivateDaemon() as started:
        yield started


@pytest.fixture(scope="session")
def releases(
    wheels: Path, give_base: Callable[[Project], None], tmp_path_factory: pytest.TempPathFactory
) -> Releases:
    """The releases of the stand-in project, packaged once for all workers of a session."""
    with made_once(tmp_path_factory, "releases") as (shared, new):
        if new:
            with IndexServer(wheels) as server:
                make_releases(shared / "project", server, give_base)
    return Releases(root=shared / "project" / "dist")


@pytest.fixture(scope="session")
def deltas(
    wheels: Path, give_base: Callable[[Project], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deltas]:
    """A whole release and deltas of it, packaged once for all workers; tests of one worker may make more of them."""
    with IndexServer(wheels) as server:
        with made_once(tmp_path_factory, "deltas") as (shared, new):
            project = Project(folder=shared / "project", env=project_env(shared / "project", server, None))
            if new:
                make_deltas(project, server, give_base)
        yield Deltas(project=project)


@contextmanager
def made_once(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder for all workers of a session, and whether it is this one that has to fill it."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = shared / "done"
        yield shared, not done.exists()
        done.touch()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for all tests of a module, one after another: images that one of them loaded stay."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with PrivateDaemon() as started:
        yield Site(daemon=started, folder=tmp_path_factory.mktemp("site"))


@pytest.fixture
def old(site: Site, releases: Releases) -> Site:
    """The server with the first release on it, and nothing else."""
    site.settle(releases.folder("1.0.0"), "1.0.0")
    return site


@pytest.fixture
def new(releases: Releases) -> Path:
    """The release after the one that `old` has."""
    return releases.folder("1.1.0")


@pytest.fixture
def faults(old: Site, new: Path, tmp_path: Path) -> Iterator[EngineFaults]:
    """A docker that fails or is killed where a test says; the new release is loaded already."""
    assert old.ferry(new, "load").ok
    made = EngineFaults(old, tmp_path / "faults")
    yield made
    made.end()


@pytest.fixture
def server(daemon: PrivateDaemon, tmp_path: Path) -> Site:
    """A server of a test's own, with nothing on it."""
    return Site(daemon=daemon, folder=tmp_path / "the server")


@pytest.fixture
def far(server: Site, tmp_path: Path) -> Iterator[Sshd]:
    """An sshd in the daemon's network, whose log-ins find that daemon and the server's folders."""
    said = {**server.daemon.env, "FERRY_STATE": str(server.state), "FERRY_DATA": str(server.data)}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in said.items()]
    with Sshd(tmp_path / "far", inside=server.daemon.inside(), lines=lines) as started:
        yield started
