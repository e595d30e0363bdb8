"""What a machine has, what it lacks, and how it gets it; the programs on PATH are small scripts of the test's own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from torchferry import host, provision
from torchferry.errors import ToolMissing
from torchferry.host import (
    CLIENT,
    DAEMON,
    DockerClient,
    Host,
    Need,
    docker_clients,
    endpoint,
    find_docker,
    missing,
    parse_os_release,
    this_host,
)
from torchferry.model import Base

DEBIAN = Base(debian="bookworm")
IMAGE = Base(image="python:3.11-slim-bookworm")
ROOT = Host(system="linux", distribution="debian", root=True)
USER = replace(ROOT, root=False)
UBUNTU = Host(system="linux", distribution="ubuntu", like=("debian",), supervised=True)
MINT = Host(system="linux", distribution="linuxmint", like=("ubuntu", "debian"), supervised=True)
FEDORA = Host(system="linux", distribution="fedora", supervised=True)
ROCKY = Host(system="linux", distribution="rocky", like=("rhel", "centos", "fedora"), supervised=True)
ARCH = Host(system="linux", distribution="arch", supervised=True)
MAC = Host(system="darwin")

NO_CLIENT = Need(what=CLIENT, found="none on PATH that runs", packages=("docker.io", "docker-cli", "docker-buildx"))
NO_DAEMON = Need(what=DAEMON, found="none answers at unix:///var/run/docker.sock", packages=("docker.io",))
NO_MMDEBSTRAP = Need(what="mmdebstrap", found="not on PATH", packages=("mmdebstrap",))


class Machine:
    """Folders that are the whole PATH, and scripts in them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.socket = root / "docker.sock"
        self.log = root / "log.txt"
        self._monkeypatch = monkeypatch
        self.bin = root / "bin"
        self.bin.mkdir()
        monkeypatch.setenv("PATH", str(self.bin))
        for name in ("DOCKER_HOST", "DEBIAN_FRONTEND"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(host, "DEFAULT_ENDPOINTS", (self.where,))
        monkeypatch.setattr(provision, "DEFAULT_ENDPOINTS", (self.where,))
        monkeypatch.setattr(host, "DEBIAN_KEYRING", root / "keyring.gpg")

    @property
    def where(self) -> str:
        """The endpoint that counts as the usual one."""
        return f"unix://{self.socket}"

    def folder(self, name: str) -> Path:
        """One more folder of PATH, after those that are there."""
        place = self.root / name
        place.mkdir()
        self._monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(place)]))
        return place

    def script(self, name: str, *lines: str, folder: Path | None = None) -> Path:
        path = (folder or self.bin) / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
        path.chmod(0o755)
        return path

    def docker(
        self, *, version: str = "28.5.2", buildx: bool = True, daemon: str = "", says: str = "",
        folder: Path | None = None,
    ) -> Path:
        """A docker client; ``daemon`` is shell text that prints the daemon's version or fails (empty: none answers)."""
        return self.script(
            "docker",
            f"echo \"$*\" >>{self.root}/asked.txt",
            'case "$1 $2" in',
            f"'--version '*) echo '{says or f'Docker version {version}, build abc1234'}' ;;",
            f"'buildx version') exit {0 if buildx else 1} ;;",
            f"'version --format') {daemon or 'echo Cannot connect >&2; exit 1'} ;;",
            f"'context inspect') echo {self.where} ;;",
            "*) exit 64 ;;",
            "esac",
            folder=folder,
        )

    def asked(self) -> list[str]:
        place = self.root / "asked.txt"
        return place.read_text(encoding="utf-8").splitlines() if place.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


# os-release and hosts


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
         {"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}),
        ("ID='ol'\nID_LIKE=\"fedora\"\n", {"ID": "ol", "ID_LIKE": "fedora"}),
        ("# a comment = no field\n\nID=arch\n  # another = one\n", {"ID": "arch"}),
        ("NAME=\"a \\\"quoted\\\" name\"\n", {"NAME": 'a "quoted" name'}),
        ("HOME_URL=\"https://example.org/?a=b\"\n", {"HOME_URL": "https://example.org/?a=b"}),
        ("BUILD_ID=\nnonsense\n", {"BUILD_ID": ""}),
        ("", {}),
    ],
)
def test_os_release_is_read_as_a_shell_reads_it(text: str, fields: dict[str, str]) -> None:
    assert parse_os_release(text) == fields


@pytest.mark.parametrize(
    ("wanted", "debian", "redhat"),
    [
        (ROOT, True, False), (UBUNTU, True, False), (MINT, True, False), (FEDORA, False, True), (ROCKY, False, True),
        (Host(system="linux", distribution="rhel"), False, True), (ARCH, False, False), (MAC, False, False),
    ],
    ids=lambda value: value.distribution or value.system if isinstance(value, Host) else None,
)
def test_families_of_distributions(wanted: Host, debian: bool, redhat: bool) -> None:
    assert (wanted.debian_family, wanted.redhat_family) == (debian, redhat)


@pytest.mark.parametrize(
    ("wanted", "install", "start"),
    [
        (ROOT, True, True), (USER, False, False), (replace(ROOT, supervised=True), True, False),
        (replace(FEDORA, root=True, supervised=False), False, True), (replace(MAC, root=True), False, False),
    ],
)
def test_only_root_on_debian_installs_and_only_where_nothing_supervises_a_daemon_is_started(
    wanted: Host, install: bool, start: bool
) -> None:
    assert (wanted.may_install, wanted.may_start_daemon) == (install, start)


def test_a_machine_is_described_by_its_os_release_and_what_runs(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=linuxmint\nID_LIKE='ubuntu debian'\n", encoding="utf-8")
    found = this_host(os_release=tmp_path / "os-release", run=tmp_path)
    assert (found.distribution, found.like, found.supervised) == ("linuxmint", ("ubuntu", "debian"), False)
    assert found.root == (os.geteuid() == 0)
    assert found.system == os.uname().sysname.lower()


@pytest.mark.parametrize(("folder", "file"), [("systemd/system", None), ("openrc", "openrc/softlevel")])
def test_systemd_and_openrc_supervise(tmp_path: Path, folder: str, file: str | None) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert this_host(os_release=tmp_path / "absent", run=tmp_path).supervised == (file is None)
    if file:
        (tmp_path / file).touch()
    assert this_host(os_release=tmp_path / "absent", run=tmp_path).supervised


def test_a_machine_without_os_release_is_of_no_distribution(tmp_path: Path) -> None:
    found = this_host(os_release=tmp_path / "absent", run=tmp_path)
    assert (found.distribution, found.like, found.debian_family) == ("", (), False)


# Docker clients


@pytest.mark.parametrize(
    ("version", "buildx", "can_build"),
    [
        ("28.5.2", True, True), ("28.5.2", False, False), ("23.0.0", False, False), ("22.06.0-beta.0", False, True),
        ("20.10.24+dfsg1", False, True), ("20.10.0", False, True),
        ("19.03.15", True, False), ("19.03.15", False, False),
    ],
)
def test_a_client_builds_with_buildx_or_with_a_buildkit_of_its_own(
    machine: Machine, version: str, buildx: bool, can_build: bool
) -> None:
    path = machine.docker(version=version, buildx=buildx)
    assert docker_clients() == (DockerClient(path=str(path), version=version, can_build=can_build),)
    assert "version" not in " ".join(machine.asked()).replace("--version", "").replace("buildx version", "")


def test_no_docker_on_path_is_told(machine: Machine) -> None:
    assert machine.asked() == []
    with pytest.raises(ToolMissing) as caught:
        find_docker()
    assert caught.value.message == "docker: no such program on PATH"
    assert caught.value.cure == "install Docker 20.10 or newer with buildx, or run: inv setup"


def test_a_client_without_buildx_is_told_apart_from_an_absent_one(machine: Machine) -> None:
    path = machine.docker(buildx=False)
    with pytest.raises(ToolMissing, match=f"no client on PATH can build images \\({path} 28.5.2\\)") as caught:
        find_docker()
    assert "buildx plugin" in caught.value.cure


@pytest.mark.parametrize(
    "says", ["podman version 4.3.1", "Emulate Docker CLI using podman.\npodman version 4.3.1", "nerdctl version 2.0.0"]
)
def test_a_podman_under_the_name_of_docker_is_no_client(machine: Machine, says: str) -> None:
    path = machine.docker(says=says)
    assert docker_clients() == ()
    with pytest.raises(ToolMissing, match=f"docker: {path} is no Docker client that runs"):
        find_docker()


def test_the_first_client_that_can_build_is_taken_wherever_on_path_it_is(machine: Machine) -> None:
    machine.docker(version="23.0.1", buildx=False)
    second = machine.docker(version="27.0.0", folder=machine.folder("second"))
    machine.docker(version="28.0.0", folder=machine.folder("third"))
    assert find_docker() == DockerClient(path=str(second), version="27.0.0", can_build=True)


@pytest.mark.parametrize(
    "lines", [["#!/no/such/interpreter"], ["#!/bin/sh", "exit 3"], ["\x7fELF for another machine"], [""]]
)
def test_a_broken_docker_hides_no_good_one_behind_it(machine: Machine, lines: list[str]) -> None:
    broken = machine.bin / "docker"
    broken.write_text("\n".join(lines), encoding="utf-8")
    broken.chmod(0o755)
    assert docker_clients() == ()
    good = machine.docker(folder=machine.folder("second"))
    assert [client.path for client in docker_clients()] == [str(good)]


def test_a_link_to_the_same_client_is_no_second_client(machine: Machine) -> None:
    path = machine.docker()
    (machine.folder("second") / "docker").symlink_to(path)
    assert [client.path for client in docker_clients()] == [str(path)]


@pytest.mark.parametrize("told", [None, "tcp://build.example:2376"])
def test_the_endpoint_is_docker_host_or_that_of_the_context(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    client = DockerClient(path=str(machine.docker()), version="28.5.2", can_build=True)
    if told:
        monkeypatch.setenv("DOCKER_HOST", told)
    assert endpoint(client) == (told or machine.where)


def test_a_client_without_contexts_is_at_the_usual_place(machine: Machine) -> None:
    path = machine.script("docker", "exit 1")
    assert endpoint(DockerClient(path=str(path), version="19.03.1", can_build=False)) == machine.where


# What is missing


def test_nothing_is_missing_where_a_client_builds_and_its_daemon_answers(machine: Machine) -> None:
    machine.docker(daemon="echo 28.5.2")
    assert missing(ROOT, engine="docker", bases=[IMAGE]) == ()


def test_without_docker_client_and_daemon_are_missing(machine: Machine) -> None:
    needs = missing(ROOT, engine="docker", bases=[IMAGE])
    assert needs == (NO_CLIENT, replace(NO_DAEMON, found=f"none answers at {machine.where}"))


@pytest.mark.parametrize("engine", ["auto", "direct"])
def test_an_engine_without_docker_misses_no_docker_but_skopeo_for_a_registry(machine: Machine, engine: str) -> None:
    (need,) = missing(ROOT, engine=engine, bases=[IMAGE])
    assert (need.what, need.packages) == ("skopeo", ("skopeo",))
    machine.script("skopeo")
    assert missing(ROOT, engine=engine, bases=[IMAGE]) == ()
    assert machine.asked() == []


def test_a_daemon_that_is_installed_needs_no_package(machine: Machine) -> None:
    machine.docker()
    machine.script("dockerd", "exit 1")
    (need,) = missing(ROOT, engine="docker", bases=[IMAGE])
    assert (need.what, need.packages, need.advice) == (DAEMON, (), ())


def test_a_client_without_buildx_beside_a_daemon_gets_the_plugin_and_no_second_daemon(machine: Machine) -> None:
    path = machine.docker(buildx=False, daemon="echo 28.5.2")
    (need,) = missing(ROOT, engine="docker", bases=[IMAGE])
    assert (need.what, need.found, need.packages) == (CLIENT, f"{path} 28.5.2 has no buildx", ("docker-buildx",))
    assert need.advice[0].startswith(f"# the buildx plugin for {path}: https://docs.docker.com/")


def test_a_client_without_buildx_and_without_daemon_misses_both(machine: Machine) -> None:
    path = machine.docker(buildx=False)
    needs = missing(ROOT, engine="docker", bases=[IMAGE])
    assert [(need.what, need.found) for need in needs] == [
        (CLIENT, f"{path} 28.5.2 has no buildx"), (DAEMON, f"none answers at {machine.where}"),
    ]
    assert needs[0].packages == NO_CLIENT.packages


def test_a_builder_that_reaches_another_daemon_than_the_one_that_answers_is_told(machine: Machine) -> None:
    old = machine.docker(version="23.0.1", buildx=False, daemon="echo 23.0.1")
    new = machine.docker(folder=machine.folder("second"))
    (need,) = missing(ROOT, engine="docker", bases=[IMAGE])
    assert (need.what, need.found) == (CLIENT, f"{new} 28.5.2 does not reach the daemon that {old} reaches")


def test_a_daemon_that_answers_with_nothing_does_not_answer(machine: Machine) -> None:
    machine.docker(daemon="echo")
    assert [need.what for need in missing(ROOT, engine="docker", bases=[IMAGE])] == [DAEMON]


def test_a_daemon_elsewhere_is_for_a_person_and_no_package_cures_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.docker()
    monkeypatch.setenv("DOCKER_HOST", "tcp://build.example:2376")
    (need,) = missing(ROOT, engine="docker", bases=[IMAGE])
    assert need == Need(
        what=DAEMON, found="none answers at tcp://build.example:2376",
        advice=("# start the daemon at tcp://build.example:2376, or: unset DOCKER_HOST; docker context use default",),
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="no socket is closed to root")
def test_a_socket_that_is_closed_to_this_user_is_told(machine: Machine) -> None:
    machine.docker()
    machine.socket.touch(mode=0o000)
    (need,) = missing(USER, engine="docker", bases=[IMAGE])
    assert need.found == f"{machine.socket} is closed to this user"
    assert need.advice[0].startswith('sudo usermod -aG docker "$USER"')


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (ROOT, ["mmdebstrap", "Debian's keys"]), (USER, ["mmdebstrap", "Debian's keys", "newuidmap"]),
        (UBUNTU, ["mmdebstrap", "Debian's keys", "newuidmap"]), (replace(FEDORA, root=True), ["mmdebstrap"]),
        (MAC, ["mmdebstrap"]),
    ],
    ids=["root", "user", "ubuntu", "fedora", "mac"],
)
def test_a_debian_base_needs_its_tools(machine: Machine, wanted: Host, names: list[str]) -> None:
    assert [need.what for need in missing(wanted, engine="direct", bases=[DEBIAN])] == names
    assert [need.what for need in missing(wanted, engine="direct", bases=[IMAGE, DEBIAN])] == ["skopeo", *names]
    (machine.root / "keyring.gpg").touch()
    for name in ("mmdebstrap", "newuidmap"):
        machine.script(name)
    assert missing(wanted, engine="direct", bases=[DEBIAN]) == ()


# What a person is told


def test_root_on_debian_types_without_sudo() -> None:
    assert provision.commands(ROOT, [NO_CLIENT, NO_DAEMON, NO_MMDEBSTRAP]) == (
        "apt-get update", "apt-get install -y docker-buildx docker-cli docker.io mmdebstrap", "dockerd &",
    )


def test_a_user_on_debian_types_sudo_and_joins_the_group() -> None:
    assert provision.commands(UBUNTU, [NO_CLIENT, NO_DAEMON]) == (
        "sudo apt-get update", "sudo apt-get install -y docker-buildx docker-cli docker.io",
        "sudo systemctl start docker", 'sudo usermod -aG docker "$USER"    # then log in again',
    )


def test_on_debian_a_daemon_that_only_has_to_be_started_brings_no_packages() -> None:
    assert provision.commands(replace(ROOT, supervised=True), [replace(NO_DAEMON, packages=())]) == (
        "systemctl start docker",
    )


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        (FEDORA, ["sudo dnf install -y moby-engine docker-buildx", "sudo systemctl enable --now docker"]),
        (ROCKY, ["# Docker Engine with buildx: https://docs.docker.com/engine/install/rhel/",
                 "sudo systemctl enable --now docker"]),
        (ARCH, ["# Docker Engine 20.10 or newer with buildx: https://docs.docker.com/engine/install/"]),
        (MAC, ["brew install colima docker docker-buildx && colima start    # or: brew install --cask docker-desktop"]),
    ],
    ids=["fedora", "rocky", "arch", "mac"],
)
def test_elsewhere_docker_comes_from_where_the_distribution_has_it(wanted: Host, lines: list[str]) -> None:
    assert provision.commands(wanted, [NO_CLIENT, NO_DAEMON]) == tuple(lines)
    assert provision.commands(wanted, [NO_DAEMON]) == tuple(lines)
    debian = "# a Debian base needs mmdebstrap: build on Debian or Ubuntu, or set base: {image: ...}"
    assert provision.commands(wanted, [NO_MMDEBSTRAP]) == (debian,)
    assert provision.commands(wanted, [NO_CLIENT, NO_MMDEBSTRAP]) == (*lines, debian)


@pytest.mark.parametrize("wanted", [ROOT, FEDORA, MAC], ids=["debian", "fedora", "mac"])
def test_a_need_with_advice_is_cured_by_that_alone(wanted: Host) -> None:
    need = Need(what=CLIENT, found="no buildx", packages=("docker-buildx",), advice=("# do this", "and that"))
    assert provision.commands(wanted, [need]) == ("# do this", "and that")


# install


def _apt(machine: Machine, *, update: str = ":", install: str = ":", unknown: str = "none") -> None:
    for name in ("apt-get", "apt-cache"):
        machine.script(
            name,
            f'echo "{name} $* ${{DEBIAN_FRONTEND:-}}" >>{machine.root}/asked.txt',
            'case "$*" in',
            f"*update) {update} ;;",
            f"*install*) {install} ;;",
            f"show*' {unknown}') exit 100 ;;",
            "esac",
        )


def test_packages_are_installed_without_questions_and_unknown_names_left_out(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    _apt(machine, unknown="docker-cli", install="echo Setting up docker.io")
    provision.install(["docker.io", "docker-cli", "docker-buildx"], log=machine.log)
    assert machine.asked() == [
        "apt-get -q update noninteractive",
        *(f"apt-cache show --no-all-versions {name} " for name in ("docker.io", "docker-cli", "docker-buildx")),
        "apt-get -q install -y --no-install-recommends docker.io docker-buildx noninteractive",
    ]
    assert machine.log.read_text(encoding="utf-8") == "Setting up docker.io\n"
    said = capsys.readouterr()
    assert said.out == ""
    assert f"apt-get: installing docker.io, docker-cli, docker-buildx (log: {machine.log})" in said.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ({"update": "echo no route to mirror; exit 100"}, "apt-get -q update"),
        ({"install": "echo no route to mirror; exit 100"}, "apt-get -q install -y --no-install-recommends mmdebstrap"),
    ],
    ids=["update", "install"],
)
def test_an_apt_that_fails_is_quoted(machine: Machine, words: dict[str, str], command: str) -> None:
    _apt(machine, **words)
    with pytest.raises(ToolMissing) as caught:
        provision.install(["mmdebstrap"], log=machine.log)
    assert caught.value.message == f"{command} failed:\nno route to mirror"
    assert "then: inv setup" in caught.value.cure


def test_nothing_is_installed_where_no_name_is_known(machine: Machine) -> None:
    _apt(machine, unknown="mmdebstrap")
    provision.install(["mmdebstrap"], log=machine.log)
    assert not [line for line in machine.asked() if "install" in line]


# start_daemon


@pytest.fixture
def daemon_pids(machine: Machine) -> Iterator[Path]:
    """The file into which the fake dockerd writes its id; what still runs at the end of the test is ended."""
    place = machine.root / "dockerd.pid"
    yield place
    if place.exists():
        pid = int(place.read_text(encoding="utf-8"))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _living_daemon(machine: Machine, pids: Path, *, ready: bool = True) -> None:
    machine.script(
        "dockerd", f"echo $$ >{pids}.new; /bin/mv {pids}.new {pids}", "echo dockerd is up",
        f"echo 1 >{machine.socket}" if ready else ":", "exec /bin/sleep 60",
    )


def _client(machine: Machine) -> DockerClient:
    path = machine.docker(daemon=f"[ -e {machine.socket} ] && echo 28.5.2")
    return DockerClient(path=str(path), version="28.5.2", can_build=True)


def test_a_daemon_that_is_started_is_waited_for_and_outlives_the_call(machine: Machine, daemon_pids: Path) -> None:
    _living_daemon(machine, daemon_pids)
    pid = provision.start_daemon(_client(machine), ("dockerd",), log=machine.log, patience=30)
    assert pid == int(daemon_pids.read_text(encoding="utf-8"))
    os.kill(pid, 0)
    assert os.getsid(pid) == pid  # no Ctrl-C of ours reaches it


def test_a_daemon_that_ends_is_told_with_its_status_and_the_end_of_its_log(machine: Machine) -> None:
    machine.log.write_text("from an earlier day\n" * 30, encoding="utf-8")
    said = [f"echo line {number}" for number in range(30)]
    machine.script("dockerd", *said, "echo overlay is not supported >&2; exit 1")
    started = time.monotonic()
    with pytest.raises(ToolMissing) as caught:
        provision.start_daemon(_client(machine), ("dockerd",), log=machine.log, patience=60)
    assert time.monotonic() - started < 30
    head, _, tail = caught.value.message.partition("\n")
    assert head == f"the Docker daemon ended with status 1; the end of {machine.log}:"
    assert tail.splitlines() == [*(f"line {number}" for number in range(11, 30)), "overlay is not supported"]
    assert "--privileged" in caught.value.cure


def test_a_daemon_that_a_signal_ends_is_told(machine: Machine) -> None:
    machine.script("dockerd", "kill -9 $$")
    with pytest.raises(ToolMissing, match="ended with status -9"):
        provision.start_daemon(_client(machine), ("dockerd",), log=machine.log)


def test_a_daemon_that_never_answers_is_told_when_patience_ends(machine: Machine, daemon_pids: Path) -> None:
    _living_daemon(machine, daemon_pids, ready=False)
    client = _client(machine)
    with pytest.raises(ToolMissing, match="the Docker daemon does not answer"):
        provision.start_daemon(client, ("dockerd",), log=machine.log, patience=0.5)
    _wait_for(daemon_pids)


def test_a_daemon_that_is_not_there_is_told(machine: Machine) -> None:
    with pytest.raises(ToolMissing, match="dockerd: no such program"):
        provision.start_daemon(_client(machine), ("dockerd",), log=machine.log)


def _wait_for(place: Path) -> None:
    deadline = time.monotonic() + 30
    while not place.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# setup


def test_a_ready_machine_is_told_so_and_left_alone(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    path = machine.docker(daemon="echo 28.5.1")
    _apt(machine)
    provision.setup(ROOT, engine="docker", bases=[IMAGE], logs=machine.root)
    assert capsys.readouterr().err == f"docker: {path} 28.5.2 builds, daemon 28.5.1 answers\n"
    assert not [line for line in machine.asked() if line.startswith("apt")]


def test_root_on_debian_gets_all_that_is_missing(machine: Machine, daemon_pids: Path) -> None:
    spare = machine.root / "spare"
    spare.mkdir()
    machine.script("mmdebstrap", folder=spare)
    machine.docker(daemon=f"[ -e {machine.socket} ] && echo 28.5.2", folder=spare)
    _living_daemon(machine, daemon_pids)
    (machine.bin / "dockerd").rename(spare / "dockerd")
    (machine.root / "keyring.gpg").touch()
    _apt(machine, install=f"/bin/cp {spare}/* {machine.bin}/")
    provision.setup(ROOT, engine="docker", bases=[DEBIAN], logs=machine.root / "logs")
    assert sorted(place.name for place in (machine.root / "logs").iterdir()) == [
        "apt-get-update.log", "apt-get.log", "dockerd.log"]
    assert [line for line in machine.asked() if "install" in line] == [
        "apt-get -q install -y --no-install-recommends docker.io docker-cli docker-buildx mmdebstrap noninteractive"
    ]
    assert missing(ROOT, engine="docker", bases=[DEBIAN]) == ()


def test_what_root_installs_in_vain_is_still_missing(machine: Machine) -> None:
    _apt(machine)
    with pytest.raises(ToolMissing, match="this machine lacks:\n  mmdebstrap: not on PATH"):
        provision.setup(ROOT, engine="direct", bases=[DEBIAN], logs=machine.root)


def test_a_user_is_told_what_is_missing_and_what_to_type(machine: Machine) -> None:
    _apt(machine)
    with pytest.raises(ToolMissing) as caught:
        provision.setup(replace(UBUNTU), engine="docker", bases=[IMAGE], logs=machine.root)
    assert caught.value.message == (
        f"this machine lacks:\n  {CLIENT}: none on PATH that runs\n  {DAEMON}: none answers at {machine.where}"
    )
    assert caught.value.cure.splitlines()[:2] == ["run this, then inv setup again:", "  sudo apt-get update"]
    assert machine.asked() == []


def test_a_supervised_daemon_is_not_started_by_us(machine: Machine) -> None:
    machine.docker()
    machine.script("dockerd", f"echo started >>{machine.root}/asked.txt; exit 1")
    with pytest.raises(ToolMissing) as caught:
        provision.setup(replace(ROOT, supervised=True), engine="docker", bases=[IMAGE], logs=machine.root)
    assert "systemctl start docker" in caught.value.cure
    assert "started" not in machine.asked()


def test_a_daemon_elsewhere_is_not_started_here(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.docker()
    machine.script("dockerd", f"echo started >>{machine.root}/asked.txt; exit 1")
    monkeypatch.setenv("DOCKER_HOST", "tcp://build.example:2376")
    with pytest.raises(ToolMissing, match=r"none answers at tcp://build\.example:2376"):
        provision.setup(ROOT, engine="docker", bases=[IMAGE], logs=machine.root)
    assert "started" not in machine.asked()
