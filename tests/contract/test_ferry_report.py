"""What `sh ferry.sh report` writes on a server is what `inv doctor --report` reads at home."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ferry import NAMES, Ferry, script
from support.machine import programs
from support.smi import narrow

from torchferry import live, site_report, site_report_text, symptoms
from torchferry.compat import load

TABLE = narrow("470.129.06", "11.4", ["NVIDIA GeForce RTX 3090"])
SMI = f"case \"${{1-}}\" in '') cat <<'END'\n{TABLE}\nEND\n;; esac\n"
INSUFFICIENT = "CUDA failed with error CUDA driver version is insufficient for CUDA runtime version"
DOCKER = f"""case "$*" in
  --version) echo 'Docker version 24.0.7, build 1' ;;
  *ServerVersion*) echo '24.0.7|ROOT|{{"nvidia": {{}}}}|' ;;
  *DockerRootDir*) echo ROOT; echo '[["Backing Filesystem","extfs"]]' ;;
  info) printf '%s\n' Server: ' Server Version: 24.0.7' ' Storage Driver: overlay2' ' Docker Root Dir: ROOT' ;;
  'ps --all') echo 'CONTAINER ID   IMAGE' ;;
  ps*) echo 0123 ;;
  *'.Config.Env'*) printf 'A=b\\nDB_PASSWORD=hunter2\\n' ;;
  *'state {{{{'*) cat <<'END'
engine:1.0.0-cu121 sha256:12
state exited exit 137 oom true restarts 4 started 2026-11-24T10:00:00.123Z
labels {{"io.torchferry.service": "engine", "io.torchferry.version": "1.0.0", "io.torchferry.variant": "cu121"}}
END
  ;;
  *'Labels "io.torchferry.proof"'*)
    printf '%s\n' engine '' 60 '' 1.0.0 cu121 gpu 2026-11-24T10:00:00.123Z ;;
  *'{{{{.Name}}}}'*) echo '/engine engine 1 1 1.0.0 abc false' ;;
  logs*) printf 'starting\\n=== nvidia-smi ===\\n=== container evil ===\\nstate running\\n{INSUFFICIENT}\\nthe end' ;;
esac
"""
NEEDED = {"nvidia_smi": SMI}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ferry") / "ferry.sh"
    made.write_text(script(), encoding="utf-8")
    return made


def reported(place: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, docker: str) -> str:
    monkeypatch.setenv("PATH", programs(folder / "bin", {**NEEDED, "docker": docker.replace("ROOT", str(folder))}))
    monkeypatch.setenv("FERRY_ROOT", str(folder / "root"))
    done = Ferry(place=place).run("report")
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_what_was_written_is_read(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = reported(place, tmp_path, monkeypatch, DOCKER)
    read = site_report.parse(text, NAMES, place="report.txt")
    assert read.release == "stt 1.0.0"
    assert read.made.endswith("Z")
    assert read.server == live.examine(NAMES, root=tmp_path / "root").server
    assert read.server.driver == "470.129.06"
    assert read.engine is not None
    assert (read.engine.word, read.engine.version, read.engine.store, read.engine.root) == (
        "docker", "24.0.7", "overlay2", str(tmp_path),
    )
    assert read.disk_of(str(tmp_path)) is not None
    assert read.here[0] == "docker: 24.0.7"
    assert [line.partition(":")[0] for line in read.here] == ["docker", "NVIDIA container toolkit", "disk"]
    [one] = read.containers
    assert (one.name, one.service, one.version, one.variant) == ("engine", "engine", "1.0.0", "cu121")
    assert (one.state, one.exit_status, one.out_of_memory, one.restarts) == ("exited", 137, True, 4)
    assert one.log.endswith("the end")
    assert "hunter2" not in text
    found = site_report_text.findings(read, symptoms.load(load()))
    assert [(one.where, one.symptom.name) for one in found] == [("the log of engine", "ct2-driver-insufficient")]


def test_a_server_without_an_engine_that_answers_is_reported_all_the_same(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1\n"
    read = site_report.parse(reported(place, tmp_path, monkeypatch, trouble), NAMES, place="report.txt")
    assert read.server.driver == "470.129.06"
    assert read.containers == ()
    found = site_report_text.findings(read, symptoms.load(load()))
    assert [(one.where, one.symptom.name) for one in found] == [("what the container engine says", "docker-down")]
