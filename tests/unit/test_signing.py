"""Signatures of a release, by the OpenSSH that is here: made, left alone, refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from torchferry import signing
from torchferry.errors import ConfigError, IntegrityError, SigningError

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    place = tmp_path / "tiny-1.0.0" / "SHA256SUMS"
    place.parent.mkdir()
    place.write_text(f"{'0' * 64}  manifest.json\n")
    return place


@pytest.fixture
def key(tmp_path: Path) -> Path:
    place = tmp_path / "my keys" / "release_key"
    assert signing.make(place)
    return place


@pytest.fixture
def allowed(tmp_path: Path, key: Path) -> Path:
    place = tmp_path / "allowed_signers"
    place.write_text("# whom we trust\n\n" + signing.signer(key, "release@tiny") + "\n")
    return place


def trusting(place: Path, line: str) -> Path:
    place.write_text(line + "\n")
    return place


# The key


def test_a_key_is_for_its_owner_alone_and_never_made_twice(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert not signing.make(key)
    assert key.read_bytes() == before


def test_a_public_half_that_is_left_over_is_not_overwritten(key: Path) -> None:
    key.unlink()
    assert not signing.make(key)
    assert not key.exists()


def test_the_line_for_sites_trusts_the_key_for_releases_alone(key: Path) -> None:
    kind, blob = key.with_name("release_key.pub").read_text().split()[:2]
    assert signing.signer(key, "release@tiny") == f'release@tiny namespaces="torchferry-release" {kind} {blob}'


@pytest.mark.parametrize("principal", ["", "a b", "a,b", 'a"b', "*@site", "!me", "a\nb"])
def test_a_principal_that_is_a_pattern_or_several_is_refused(key: Path, principal: str) -> None:
    with pytest.raises(ConfigError, match="principal"):
        signing.signer(key, principal)


def test_the_places_of_keys_come_from_the_environment(tmp_path: Path) -> None:
    assert signing.key_place({"XDG_CONFIG_HOME": "/x"}) == Path("/x/torchferry/release_key")
    assert signing.key_place({"TORCHFERRY_SIGNING_KEY": "/k.pub"}) == Path("/k.pub")
    empty = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert signing.key(empty) is None
    assert signing.allowed_signers(empty) is None


def test_a_place_that_is_named_but_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="TORCHFERRY_SIGNING_KEY"):
        signing.key({"TORCHFERRY_SIGNING_KEY": str(tmp_path / "none")})
    with pytest.raises(ConfigError, match="TORCHFERRY_ALLOWED_SIGNERS"):
        signing.allowed_signers({"TORCHFERRY_ALLOWED_SIGNERS": str(tmp_path / "none")})


# Signing


def test_what_is_signed_is_verified(sums: Path, key: Path, allowed: Path) -> None:
    assert signing.sign(sums, key)
    assert signing.verify(sums, allowed) == "release@tiny"


def test_what_is_signed_already_stays_as_it_is(sums: Path, key: Path) -> None:
    signing.sign(sums, key)
    before = sums.with_name("SHA256SUMS.sig").stat().st_mtime_ns
    assert not signing.sign(sums, key)
    assert sums.with_name("SHA256SUMS.sig").stat().st_mtime_ns == before


def test_changed_sums_and_damaged_signatures_are_signed_anew(sums: Path, key: Path, allowed: Path) -> None:
    signing.sign(sums, key)
    sums.write_text(f"{'1' * 64}  manifest.json\n")
    assert signing.sign(sums, key)
    sums.with_name("SHA256SUMS.sig").write_text("")
    assert signing.sign(sums, key)
    assert signing.verify(sums, allowed)


def test_another_key_signs_anew(sums: Path, key: Path, tmp_path: Path) -> None:
    signing.sign(sums, key)
    signing.make(tmp_path / "second")
    assert signing.sign(sums, tmp_path / "second")


def test_a_key_with_a_passphrase_is_refused_without_a_question(sums: Path, tmp_path: Path) -> None:
    place = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", place], check=True, capture_output=True)
    with pytest.raises(SigningError, match="cannot sign"):
        signing.sign(sums, place)
    assert not sums.with_name("SHA256SUMS.sig").exists()


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="needs ssh-agent")
def test_a_key_in_the_agent_signs_through_its_public_half(
    sums: Path, key: Path, allowed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket = f"/tmp/torchferry-agent-{os.getpid()}"  # a socket's path has to be short
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        while subprocess.run(["ssh-add", "-q", key], capture_output=True, check=False).returncode:
            assert agent.poll() is None
        key.rename(tmp_path / "away")
        assert signing.sign(sums, key.with_name("release_key.pub"))
        assert signing.verify(sums, allowed)
    finally:
        agent.terminate()
        agent.wait()
        Path(socket).unlink(missing_ok=True)


# Closing a release


def environ(key: Path | None, folder: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(folder / "none"), **({"TORCHFERRY_SIGNING_KEY": str(key)} if key else {})}


def test_a_release_is_signed_where_a_key_is_set_up(
    sums: Path, key: Path, allowed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    signing.settle(sums, environ(key, tmp_path))
    assert signing.verify(sums, allowed)
    assert "tiny-1.0.0: signed with" in capsys.readouterr().err


def test_without_a_key_a_stale_signature_goes_and_the_person_is_told(
    sums: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    signing.sign(sums, key)
    sums.write_text(f"{'1' * 64}  manifest.json\n")
    signing.settle(sums, environ(None, tmp_path))
    assert not sums.with_name("SHA256SUMS.sig").exists()
    assert "tiny-1.0.0: not signed" in capsys.readouterr().err


def test_without_a_key_a_signature_of_these_very_bytes_stays(sums: Path, key: Path, tmp_path: Path) -> None:
    signing.sign(sums, key)
    signing.settle(sums, environ(None, tmp_path))
    assert sums.with_name("SHA256SUMS.sig").exists()


# Verifying: whatever is not right is refused


def test_a_key_with_lines_for_other_purposes_is_found(sums: Path, key: Path, allowed: Path) -> None:
    line = signing.signer(key, "git@tiny").replace("torchferry-release", "git")
    allowed.write_text(f"{line}\n{allowed.read_text()}")
    signing.sign(sums, key)
    assert signing.verify(sums, allowed) == "release@tiny"


def refused(sums: Path, allowed: Path, *, match: str = "not a signature of this release") -> None:
    with pytest.raises(IntegrityError, match=match):
        signing.verify(sums, allowed)


def test_one_other_byte_is_refused(sums: Path, key: Path, allowed: Path) -> None:
    signing.sign(sums, key)
    sums.write_bytes(sums.read_bytes().replace(b"0", b"1", 1))
    refused(sums, allowed)


def test_other_line_ends_are_other_bytes(sums: Path, key: Path, allowed: Path) -> None:
    signing.sign(sums, key)
    sums.write_bytes(sums.read_bytes().replace(b"\n", b"\r\n"))
    refused(sums, allowed)


def test_the_signature_of_another_release_is_refused(sums: Path, key: Path, allowed: Path, tmp_path: Path) -> None:
    other = tmp_path / "SHA256SUMS"
    other.write_text(f"{'2' * 64}  manifest.json\n")
    signing.sign(other, key)
    shutil.copy(other.with_name("SHA256SUMS.sig"), sums.with_name("SHA256SUMS.sig"))
    refused(sums, allowed)


def test_an_unlisted_key_is_refused(sums: Path, allowed: Path, tmp_path: Path) -> None:
    signing.make(tmp_path / "stranger")
    signing.sign(sums, tmp_path / "stranger")
    refused(sums, allowed)


def test_a_signature_for_another_purpose_is_refused(sums: Path, key: Path, allowed: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "git", sums], check=True, capture_output=True)
    refused(sums, allowed)
    allowed.write_text(allowed.read_text().replace("torchferry-release", "git"))
    refused(sums, allowed)


@pytest.mark.parametrize("limit", ['valid-before="20200101"', 'valid-after="20990101"'])
def test_a_key_outside_its_time_is_refused(sums: Path, key: Path, allowed: Path, limit: str) -> None:
    signing.sign(sums, key)
    allowed.write_text(allowed.read_text().replace("namespaces=", f"{limit},namespaces="))
    refused(sums, allowed)


@pytest.mark.parametrize("keep", [0, 40, 200])
def test_a_truncated_signature_is_refused(sums: Path, key: Path, allowed: Path, keep: int) -> None:
    signing.sign(sums, key)
    signature = sums.with_name("SHA256SUMS.sig")
    signature.write_bytes(signature.read_bytes()[:keep])
    refused(sums, allowed)


def test_a_missing_signature_is_refused(sums: Path, allowed: Path) -> None:
    refused(sums, allowed, match="not signed")


def test_an_empty_list_of_signers_trusts_nobody(sums: Path, key: Path, tmp_path: Path) -> None:
    signing.sign(sums, key)
    refused(sums, trusting(tmp_path / "nobody", "# none"))
