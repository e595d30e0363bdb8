"""A release on a server: it comes up, is replaced, comes back, and leaves; on real parts, with nothing broken."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from support.site import SERVICES, Releases, Site
from support.smi import NAMES

from torchferry import receipts, site_report
from torchferry.manifest import chain_ids

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("site")]

EXPECTED = dict.fromkeys(SERVICES, "running")


def inspected(site: Site, container: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(site.docker("inspect", "--format", "{{json .HostConfig}}", container))
    return found


def environment(site: Site, container: str) -> list[str]:
    return site.docker("inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", container).splitlines()


# Coming up


def test_two_services_come_up_and_talk_to_each_other(site: Site, releases: Releases) -> None:
    site.clear()
    said = site.up(releases.folder("1.0.0"))
    assert site.answers() == ["1.0.0"] * 3
    assert site.containers() == EXPECTED
    assert re.search(r"^all \d+ files are those of the release$", said.stdout, re.MULTILINE)
    assert f"model words-1: copying 33 B to {site.data}/models/words-1" in said.stdout
    assert "engine: answered its own request" in said.stdout
    assert re.search(r"^engine: duo 1\.0\.0 \(cpu, CPU\), well, since ", said.stdout, re.MULTILINE)


def test_containers_are_started_as_a_server_needs_them(old: Site) -> None:
    for service, port in SERVICES.items():
        host = inspected(old, service)
        assert host["Init"] is True
        assert host["RestartPolicy"] == {"Name": "unless-stopped", "MaximumRetryCount": 0}
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "20m"}}
        assert host["PortBindings"] == {f"{port}/tcp": [{"HostIp": "", "HostPort": str(port)}]}
        assert not host["DeviceRequests"]
    binds = inspected(old, "engine")["Binds"]
    assert isinstance(binds, list)
    assert f"{old.data}/logs:/app/logs:rw" in binds
    assert f"{old.data}/rules:/app/rules:ro" in binds


def test_up_again_starts_nothing_anew(old: Site, releases: Releases) -> None:
    before = old.ids()
    said = old.up(releases.folder("1.0.0"))
    assert old.ids() == before
    assert "load engine:1.0.0-cpu: it is here already" in said.stdout
    assert "engine: runs already with these settings, and is well" in said.stdout


def test_a_service_that_was_restarted_once_and_is_well_stays(old: Site, releases: Releases) -> None:
    old.docker("exec", "engine", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
    asked = ("inspect", "--format", "{{.RestartCount}}", "engine")
    while old.docker(*asked) == "0" or not old.ask(SERVICES["engine"], "/health"):
        time.sleep(0.1)
    before = old.ids()
    old.up(releases.folder("1.0.0"))
    assert old.ids() == before


def test_a_service_whose_settings_changed_is_the_only_one_started_anew(old: Site, releases: Releases) -> None:
    before = old.ids()
    old.up(releases.folder("1.0.0"), "--env", "engine:ENGINE_MODE=fast")
    assert "ENGINE_MODE=fast" in environment(old, "engine")
    assert old.ids()["page"] == before["page"]
    assert old.ids()["engine"] != before["engine"]


def test_stopped_it_starts_again_with_run(old: Site, releases: Releases) -> None:
    release = releases.folder("1.0.0")
    assert old.ferry(release, "stop").ok
    assert old.containers() == dict.fromkeys(SERVICES, "exited")
    assert re.search(r"^engine: .* stopped, ", old.ferry(release, "status").stdout, re.MULTILINE)
    before = set(old.docker("ps", "--all", "--quiet").split())
    assert old.ferry(release, "run").ok
    assert old.answers() == ["1.0.0"] * 3
    assert set(old.docker("ps", "--all", "--quiet").split()) == before  # the very containers


def test_logs_are_those_of_the_services(old: Site, releases: Releases) -> None:
    release = releases.folder("1.0.0")
    assert "engine 1.0.0 starts" in old.ferry(release, "logs", "engine").stdout
    assert "engine 1.0.0 starts" not in old.ferry(release, "logs", "page").stdout
    assert "engine 1.0.0 starts" in old.ferry(release, "logs").stdout
    nobody = old.ferry(release, "logs", "nobody")
    assert (nobody.status, nobody.stderr) == (12, "ferry.sh: there is no nobody here\n")


# Updates and the ways back


def test_an_update_and_the_way_back(old: Site, releases: Releases) -> None:
    first, second = releases.folder("1.0.0"), releases.folder("1.1.0")
    said = old.up(second)
    assert old.answers() == ["1.1.0"] * 3
    assert old.containers() == {**EXPECTED, "engine.gen1": "exited", "page.gen1": "exited"}
    assert "engine: before the update: python -m engine.migrate" in said.stdout
    assert (old.data / "logs" / "migrated").exists()
    assert not (old.data / "logs.before-2" / "migrated").exists()  # the copy is of what was before
    assert "rollback: 1.0.0" in said.stdout

    before = old.ids()
    refused = old.ferry(first, "up")
    assert refused.status == 10
    assert "is older (sequence 1000000) than what this server had (sequence 1001000)" in refused.stderr
    assert "--allow-downgrade" in refused.stderr
    assert old.ids() == before

    assert old.ferry(second, "rollback").ok
    assert old.answers() == ["1.0.0"] * 3
    assert old.containers() == EXPECTED
    again = old.ferry(second, "rollback")
    assert (again.status, again.stderr) == (12, "ferry.sh: there is nothing to go back to\n")
    before = old.ids()
    old.up(first)  # no downgrade: it is what runs
    assert (old.answers(), old.ids()) == (["1.0.0"] * 3, before)


def test_back_twice_over_three_releases(old: Site, releases: Releases) -> None:
    first, second, third = (releases.folder(version) for version in ("1.0.0", "1.1.0", "1.2.0"))
    old.up(second)
    old.up(third)
    assert old.ferry(third, "rollback").ok
    assert old.answers() == ["1.1.0"] * 3
    old.up(first, "--allow-downgrade")
    assert old.answers() == ["1.0.0"] * 3
    before = old.ids()
    old.up(first)  # it runs: to say so again needs no permission
    assert old.ids() == before
    for version in ("1.1.0", "1.0.0"):
        assert old.ferry(third, "rollback").ok
        assert old.answers() == [version] * 3
    assert old.containers() == EXPECTED


def test_the_settings_of_the_old_come_back(site: Site, releases: Releases, tmp_path: Path) -> None:
    site.clear()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "other.txt").touch()
    first = ("--port", "engine=9003", "--env", "engine:ENGINE_MODE=first", "--env", "BOTH=1")
    site.up(releases.folder("1.0.0"), *first)
    assert (site.ask(9003, "/health") or {})["words"] == "words of model 1"
    site.up(releases.folder("1.1.0"), "--env", "engine:ENGINE_MODE=second", "--mount", f"rules={tmp_path}/rules")
    assert site.answers() == ["1.1.0"] * 3
    assert site.ask(9003) is None
    assert (site.ask(SERVICES["engine"], "/health") or {})["words"] == "words of model 2"
    assert "ENGINE_MODE=second" in environment(site, "engine")
    assert site.ferry(releases.folder("1.1.0"), "rollback").ok
    assert (site.ask(9003, "/health") or {})["words"] == "words of model 1"
    assert site.ask(SERVICES["engine"]) is None
    assert {"ENGINE_MODE=first", "BOTH=1"} <= set(environment(site, "engine"))
    assert "BOTH=1" in environment(site, "page")
    assert "ENGINE_MODE=first" not in environment(site, "page")
    assert f"{site.data}/rules:/app/rules:ro" in inspected(site, "engine")["Binds"]  # type: ignore[operator]


def test_an_older_container_that_no_longer_starts_leaves_what_runs(old: Site, releases: Releases) -> None:
    old.up(releases.folder("1.1.0"))
    (old.data / "rules").rename(old.data / "away")
    old.docker("rm", "--force", "engine.gen1")
    old.docker("create", "--name", "engine.gen1", *_labels(old, "page.gen1", "engine"), "page:1.0.0-any", "false")
    failed = old.ferry(releases.folder("1.1.0"), "rollback")
    (old.data / "away").rename(old.data / "rules")
    assert failed.status == 11
    assert "what ran until now was started again" in failed.stderr
    assert old.answers() == ["1.1.0"] * 3


def _labels(site: Site, like: str, service: str) -> list[str]:
    labels: dict[str, str] = json.loads(site.docker("inspect", "--format", "{{json .Config.Labels}}", like))
    labels["io.torchferry.service"] = service
    return [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]


# What is told


def test_the_receipt_names_the_layers_by_their_chains(old: Site, releases: Releases) -> None:
    text = old.ferry(releases.folder("1.0.0"), "receipt").stdout
    assert {image.name for image in receipts.parse(text, file="receipt").images} >= {"page:1.0.0-any"}
    said = text.splitlines()
    assert said[0] == "torchferry receipt 1"
    assert {"release duo", "instance duo", "sequence 1000000", "service engine 1.0.0 cpu running",
            "service page 1.0.0 any running"} <= set(said)
    document = json.loads((releases.folder("1.0.0") / "manifest.json").read_text(encoding="utf-8"))
    for row in document["images"]:
        if row["variant"] == "cu121":
            continue
        diff_ids = [layer["diff_id"] for layer in row["layers"]]
        expected = [f"layer {chain} {diff}" for chain, diff in zip(chain_ids(diff_ids), diff_ids, strict=True)]
        start = said.index(f"image {row['image']} {row['config']} raw") + 1
        assert said[start:start + len(expected)] == expected


def test_the_receipt_of_a_server_on_which_nothing_runs_says_so(site: Site, releases: Releases) -> None:
    site.clear()
    told = receipts.parse(site.ferry(releases.folder("1.0.0"), "receipt").stdout, file="receipt")
    assert told.services == ()


SECRETS = ("hunter2", "s3cr3t", "blue horse", "p4ss")


def test_a_report_tells_no_secrets(site: Site, releases: Releases) -> None:
    site.clear()
    release = releases.folder("1.0.0")
    site.up(release, "--env", "engine:DB_PASSWORD=hunter2", "--env", "engine:PLAIN=s3cr3t", "--env", "WORDS=blue horse",
            "--env", "engine:URL=postgres://me:p4ss@db/x")
    told = site.ferry(release, "report")
    assert told.ok, told.stderr
    assert [secret for secret in SECRETS if secret in told.stdout + told.stderr] == []
    for wanted in ("torchferry report 1", "release duo 1.0.0", "=== doctor ===", "=== container engine ===",
                   "env DB_PASSWORD", "engine 1.0.0 starts", "engine: duo 1.0.0 (cpu, CPU), well"):
        assert wanted in told.stdout
    read = site_report.parse(told.stdout, NAMES, place="report.txt")
    assert sorted((one.service, one.version, one.state) for one in read.containers) == [
        ("engine", "1.0.0", "running"), ("page", "1.0.0", "running"),
    ]
    assert read.engine is not None
    assert read.engine.root is not None
    assert read.disk_of(read.engine.root) is not None
    assert read.here[0] == f"docker: {read.engine.version}"


# Beside each other, elsewhere, in Korean


def test_a_second_instance_runs_beside_the_first(old: Site, releases: Releases, tmp_path: Path) -> None:
    before = old.ids()
    second = releases.folder("1.1.0")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rules.txt").touch()
    taken = old.ferry(second, "up", "--name", "trial", "--data", str(tmp_path))
    assert taken.status == 10
    assert "port 8003 of engine is taken by container engine" in taken.stderr
    old.up(second, "--name", "trial", "--data", str(tmp_path), "--port", "engine=9003", "--port", "page=9100")
    assert old.answers() == ["1.0.0"] * 3
    assert (old.ask(9100, "/engine") or {})["release"] == "1.1.0"  # each page finds the engine of its own network
    assert {name: old.ids()[name] for name in before} == before
    assert old.ferry(second, "uninstall", "--name", "trial").ok
    assert old.ids() == before
    assert old.ferry(releases.folder("1.0.0"), "status").stdout.count("well") == 2


def test_the_data_may_lie_elsewhere(site: Site, releases: Releases, tmp_path: Path) -> None:
    site.clear()
    (tmp_path / "rules of mine").mkdir()
    (tmp_path / "rules of mine" / "a").touch()
    site.up(releases.folder("1.0.0"), "--data", str(tmp_path), "--mount", f"rules={tmp_path}/rules of mine",
            "--logs", f"{tmp_path}/some/logs", "--models", f"{tmp_path}/shelf")
    binds = inspected(site, "engine")["Binds"]
    assert isinstance(binds, list)
    assert {f"{tmp_path}/rules of mine:/app/rules:ro", f"{tmp_path}/some/logs:/app/logs:rw",
            f"{tmp_path}/shelf/words-1:/app/models/words:ro"} == set(binds)
    assert (tmp_path / "some" / "logs").stat().st_uid == 10001


def test_in_korean(old: Site, releases: Releases) -> None:
    said = old.ferry(releases.folder("1.0.0"), "status", env={"LANG": "ko_KR.UTF-8"})
    assert re.search(r"^engine: duo 1\.0\.0 \(cpu, CPU\), 정상, 시작 .* UTC; 되돌리기: 없음\n", said.stdout)
    refused = old.ferry(releases.folder("1.0.0"), "logs", "nobody", env={"LC_ALL": "ko_KR.utf8"})
    assert (refused.status, refused.stderr) == (12, "ferry.sh: nobody 이(가) 없습니다\n")


@pytest.mark.parametrize(
    "words",
    [("up", "--port", "70000"), ("up", "--port", "engine="), ("up", "--env", "no value"), ("up", "--name", "A b"),
     ("up", "--mount", "rules"), ("up", "--data"), ("up", "--data", "/a:b"), ("status", "--port", "1"),
     ("up", "--env", "A=1\nB=2"), ("rollback", "now")],
)
def test_a_command_line_that_is_not_understood_changes_nothing(
    old: Site, releases: Releases, words: tuple[str, ...]
) -> None:
    before = old.ids()
    refused = old.ferry(releases.folder("1.0.0"), *words)
    assert refused.status == 2
    assert refused.stderr.startswith("ferry.sh: ")
    assert old.ids() == before


# Leaving


def test_uninstall_leaves_what_is_the_sites(old: Site, releases: Releases) -> None:
    release = releases.folder("1.0.0")
    (old.data / "logs" / "engine.log").write_text("of the site\n", encoding="utf-8")
    kept = sorted(path for path in old.data.rglob("*") if path.is_file())
    assert old.ferry(release, "uninstall").ok
    assert old.containers() == {}
    assert old.docker("image", "ls", "--quiet", "engine") == old.docker("image", "ls", "--quiet", "page") == ""
    assert "duo" not in old.docker("network", "ls", "--format", "{{.Name}}").split()
    assert sorted(path for path in old.data.rglob("*") if path.is_file()) == kept
    assert not (old.state / "duo").exists()
    status = old.ferry(release, "status")
    assert (status.status, status.stdout) == (0, "nothing of duo runs here\n")
