"""The scripts that run inside an image: users and folders, and the health rule."""

import http.server
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest

from torchferry.inside import health, prepare


@contextmanager
def answering(status: int, body: bytes):
    """A server on localhost that gives one answer to everything."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/health"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status, body, expected, well", [
    (200, {"status": "ok"}, {"status": "ok"}, True),
    (200, {"status": "ok", "model": {"present": True, "x": 1}}, {"model": {"present": True}}, True),
    (200, {"status": "error"}, {"status": "ok"}, False),
    (200, {"status": "ok", "backend": None}, {"backend": "whisper"}, False),
    (200, {"ready": 1}, {"ready": True}, False),
    (200, {"model": "x"}, {"model": {"present": True}}, False),
    (200, {}, {"status": "ok"}, False),
    (500, {"status": "ok"}, {"status": "ok"}, False),
    (200, "anything", {}, True),
])
def test_only_the_content_counts(status, body, expected, well) -> None:
    with answering(status, json.dumps(body).encode()) as url:
        assert (health.check(url, expected) == []) is well


def test_an_answer_that_is_no_json_is_not_health() -> None:
    with answering(200, b"<html>ok</html>") as url:
        assert "not JSON" in health.check(url, {"status": "ok"})[0]


def test_as_docker_calls_it_the_exit_status_tells() -> None:
    script = str(resources.files("torchferry").joinpath("inside/health.py"))
    with answering(200, b'{"status": "ok"}') as url:
        good = subprocess.run([sys.executable, "-I", "-S", script, url, '{"status": "ok"}'], check=False)
    words = [sys.executable, "-I", "-S", script, url, '{"status": "ok"}']
    bad = subprocess.run(words, check=False, capture_output=True)
    assert (good.returncode, bad.returncode) == (0, 1)


def test_a_user_is_added_once_and_only_where_the_number_is_free(tmp_path: Path) -> None:
    place = tmp_path / "passwd"
    place.write_text("root:x:0:0:root:/root:/bin/sh", encoding="utf-8")
    for _ in range(2):
        prepare.add_line(str(place), 10001, "service:x:10001:10001::/tmp:/usr/sbin/nologin")
    assert place.read_text(encoding="utf-8").splitlines() == [
        "root:x:0:0:root:/root:/bin/sh", "service:x:10001:10001::/tmp:/usr/sbin/nologin"]


def test_a_taken_uid_keeps_its_user_and_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    place = tmp_path / "passwd"
    place.write_text("default:x:10001:0::/:/bin/sh\nservice:x:5:5::/:/bin/sh\n", encoding="utf-8")
    prepare.add_line(str(place), 10001, "service:x:10001:10001::/tmp:/bin/false")
    prepare.add_line(str(place), 10002, "service:x:10002:10002::/tmp:/bin/false")
    lines = place.read_text(encoding="utf-8").splitlines()
    assert lines[2:] == ["service-10002:x:10002:10002::/tmp:/bin/false"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hand files over")
def test_folders_are_handed_over_with_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "add_line", lambda *_: None)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "old.log").write_text("x", encoding="utf-8")
    prepare.main(10001, [str(tmp_path / "logs"), str(tmp_path / "deep" / "models")])
    owned = [tmp_path / "logs", tmp_path / "logs" / "old.log", tmp_path / "deep" / "models"]
    assert [(path.stat().st_uid, path.stat().st_gid) for path in owned] == [(10001, 10001)] * 3
