"""Who made a release: `ferry.sh verify` with real keys of ssh-keygen, and with one that is missing or too old."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.ferry import COMPAT, document, project

from torchferry import ferry
from torchferry.templates import TEMPLATES

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")

NAMESPACE = "torchferry-release"
GOOD, WRONG = 0, 6


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A release folder without images, a key, and what the site allows."""

    folder: Path
    keys: Path

    @property
    def allowed(self) -> Path:
        return self.keys / "allowed_signers"

    def key(self, name: str) -> Path:
        place = self.keys / name
        if not place.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", place], check=True)
        return place

    def allow(self, principal: str, key: str, *options: str) -> None:
        said = ",".join([f'namespaces="{NAMESPACE}"', *options])
        public = self.key(key).with_suffix(".pub").read_text(encoding="ascii")
        with self.allowed.open("a", encoding="ascii") as sink:
            sink.write(f"{principal} {said} {public}")

    def sign(self, key: str, namespace: str = NAMESPACE) -> None:
        place = self.folder / "SHA256SUMS"
        place.with_suffix(".sig").unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", self.key(key), "-n", namespace, place], check=True,
                       capture_output=True)

    def verify(self, *words: str, path: Path | None = None) -> tuple[int, str]:
        env = {**os.environ, "HOME": str(self.keys), "XDG_CONFIG_HOME": str(self.keys / "none"), "LANG": "C"}
        if path:
            env["PATH"] = f"{path}:{env['PATH']}"
        done = subprocess.run(
            ["sh", self.folder / "ferry.sh", "verify", *words], env=env, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr


def release(folder: Path, text: str = "one") -> None:
    """A folder with ferry.sh, one more file, and the list of both."""
    folder.mkdir(parents=True)
    (folder / "ferry.sh").write_text(bare(), encoding="utf-8")
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    rows = [(hashlib.sha256((folder / name).read_bytes()).hexdigest(), name) for name in ("ferry.sh", "manifest.json")]
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for digest, name in rows), encoding="ascii")


def bare() -> str:
    """ferry.sh of a release without images: what is asked here is who signed the list."""
    empty = {**document(), "images": [], "services": [], "models": []}
    return ferry.text(empty, project().variants, COMPAT, templates=TEMPLATES)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    made = Signed(folder=tmp_path / "a release", keys=tmp_path / "keys")
    made.keys.mkdir()
    release(made.folder)
    made.allow("release@corp", "good")
    made.sign("good")
    return made


def test_a_good_one_names_who_signed(signed: Signed) -> None:
    status, said = signed.verify("--signers", str(signed.allowed), "--require-signature")
    assert (status, "by release@corp" in said) == (GOOD, True), said


def test_a_byte_of_the_list_that_changed(signed: Signed) -> None:
    sums = signed.folder / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes().replace(b"  manifest", b"   manifest"))
    status, said = signed.verify("--signers", str(signed.allowed))
    assert status == WRONG, said
    assert str(signed.allowed) in said


def test_the_signature_of_another_release(signed: Signed, tmp_path: Path) -> None:
    other = Signed(folder=tmp_path / "other", keys=signed.keys)
    release(other.folder, "two")
    other.sign("good")
    shutil.copy(other.folder / "SHA256SUMS.sig", signed.folder / "SHA256SUMS.sig")
    assert signed.verify("--signers", str(signed.allowed))[0] == WRONG


def test_list_and_signature_of_another_release_do_not_fit_its_files(signed: Signed, tmp_path: Path) -> None:
    other = Signed(folder=tmp_path / "other", keys=signed.keys)
    release(other.folder, "two")
    other.sign("good")
    for name in ("SHA256SUMS", "SHA256SUMS.sig"):
        shutil.copy(other.folder / name, signed.folder / name)
    status, said = signed.verify("--signers", str(signed.allowed))
    assert (status, "manifest.json" in said) == (5, True), said


@pytest.mark.parametrize("namespace", ["git", "file", "torchferry"])
def test_a_signature_made_for_something_else(signed: Signed, namespace: str) -> None:
    signed.sign("good", namespace)
    assert signed.verify("--signers", str(signed.allowed))[0] == WRONG


def test_a_key_that_the_site_does_not_know(signed: Signed) -> None:
    signed.sign("stranger")
    assert signed.verify("--signers", str(signed.allowed))[0] == WRONG


@pytest.mark.parametrize(
    "option", ['valid-before="20200101"', 'valid-after="20990101"'], ids=["expired", "not yet valid"]
)
def test_a_key_out_of_its_time(signed: Signed, option: str) -> None:
    signed.allowed.unlink()
    signed.allow("release@corp", "good", option)
    status, said = signed.verify("--signers", str(signed.allowed))
    assert (status, "clock says" in said) == (WRONG, True), said


@pytest.mark.parametrize("data", [b"", b"-----BEGIN SSH SIGNATURE-----\n", b"\0" * 100], ids=["empty", "cut", "zeros"])
def test_a_signature_that_is_none(signed: Signed, data: bytes) -> None:
    (signed.folder / "SHA256SUMS.sig").write_bytes(data)
    assert signed.verify("--signers", str(signed.allowed))[0] == WRONG


def test_a_key_that_signs_git_on_an_earlier_line(signed: Signed) -> None:
    public = signed.key("good").with_suffix(".pub").read_text(encoding="ascii")
    lines = signed.allowed.read_text(encoding="ascii")
    signed.allowed.write_text(f'git@corp namespaces="git" {public}{lines}', encoding="ascii")
    status, said = signed.verify("--signers", str(signed.allowed))
    assert (status, "by release@corp" in said) == (GOOD, True), said


def test_who_removes_the_signature_gains_nothing(signed: Signed) -> None:
    (signed.folder / "SHA256SUMS.sig").unlink()
    status, said = signed.verify("--signers", str(signed.allowed))
    assert (status, "no SHA256SUMS.sig" in said) == (WRONG, True), said
    status, said = signed.verify("--signers", str(signed.allowed), "--insecure-skip-signature")
    assert (status, "not checked" in said) == (GOOD, True), said


def test_a_site_without_signers_is_told_what_is_not_checked(signed: Signed) -> None:
    if Path("/etc/torchferry/allowed_signers").exists():
        pytest.skip("this machine has signers of its own")
    status, said = signed.verify()
    assert (status, "not checked" in said) == (GOOD, True), said
    status, said = signed.verify("--require-signature")
    assert status == WRONG, said


@pytest.mark.parametrize("answer", ["unknown option -- Y", "illegal option -- Y", None], ids=["8.0", "bsd", "missing"])
def test_an_ssh_keygen_that_cannot_verify(signed: Signed, tmp_path: Path, answer: str | None) -> None:
    """Without one that can, nothing is refused unless the site asks for it, and nothing is called good."""
    tools = tmp_path / "tools"
    tools.mkdir()
    fake = tools / "ssh-keygen"
    if answer:
        fake.write_text(f'#!/bin/sh\necho "{answer}" >&2\nexit 1\n', encoding="utf-8")
        fake.chmod(0o755)
        path = tools
    else:
        for folder in os.environ["PATH"].split(":"):
            for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
                if program.name != "ssh-keygen" and not (tools / program.name).exists():
                    (tools / program.name).symlink_to(program)
        path = tools
    env_path = os.environ["PATH"]
    os.environ["PATH"] = str(path) if answer is None else env_path
    try:
        status, said = signed.verify("--signers", str(signed.allowed), path=path)
        assert (status, "too old" in said, "good" in said) == (GOOD, True, False), said
        assert signed.verify("--signers", str(signed.allowed), "--require-signature", path=path)[0] == WRONG
    finally:
        os.environ["PATH"] = env_path
