"""What happens when nobody reads what is said: `inv doctor | head` ends quietly, and talk is no reason to stop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from torchferry import console

ROOT = Path(__file__).parents[2]
INVOKE = (sys.executable, "-m", "invoke", "--search-root", str(ROOT))
NOBODY = """
import sys
sys.path.insert(0, {root!r})
import tasks
from invoke import Context, Exit, task
{body}
"""


def unread(words: tuple[str, ...], *, stream: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program of which nobody reads stdout or stderr: its pipe has no other end."""
    read, write = os.pipe()
    os.close(read)
    other = "stderr" if stream == "stdout" else "stdout"
    try:
        return subprocess.run(words, check=False, env={**os.environ, **env}, timeout=120, stdin=subprocess.DEVNULL,
                              **{stream: write, other: subprocess.PIPE})
    finally:
        os.close(write)


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", [("doctor", "--scenarios"), ("variants", "--json"), ("doctor", "--driver", "410.79")])
def test_a_task_that_nobody_listens_to_ends_quietly(words: tuple[str, ...], buffered: str) -> None:
    done = unread((*INVOKE, *words), stream="stdout", PYTHONUNBUFFERED=buffered)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reader_that_has_enough_is_no_error() -> None:
    task = subprocess.Popen((*INVOKE, "doctor", "--scenarios"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert task.stdout is not None
    assert task.stdout.readline()
    task.stdout.close()
    _, talk = task.communicate(timeout=120)
    assert (talk, task.returncode in (0, 141)) == (b"", True)


def test_talk_that_nobody_reads_changes_nothing() -> None:
    refused = unread((*INVOKE, "doctor", "--driver", "new"), stream="stderr")
    assert (refused.returncode, refused.stdout) == (2, b"")


def test_a_broken_pipe_to_another_program_keeps_its_traceback() -> None:
    body = "@tasks.ferry\ndef broken(context):\n    raise BrokenPipeError('to ssh')\nbroken(Context())"
    done = subprocess.run((sys.executable, "-c", NOBODY.format(root=str(ROOT), body=body)), check=False,
                          capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"BrokenPipeError: to ssh" in done.stderr


def test_what_is_read_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console.show("words")
    console.show_json({"a": "한"})
    assert capsys.readouterr().out == 'words\n{\n  "a": "한"\n}\n'
