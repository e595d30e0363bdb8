"""Signatures of a release, by OpenSSH's `ssh-keygen -Y`: over SHA256SUMS, which names every other file by its hash.

The key's place is TORCHFERRY_SIGNING_KEY, else ~/.config/torchferry/release_key. A `.pub` there signs by the agent or a
FIDO token. Whom a receiver trusts stands in TORCHFERRY_ALLOWED_SIGNERS, else ~/.config/torchferry/allowed_signers, and
never in the release.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torchferry import console, files, proc
from torchferry.errors import ConfigError, IntegrityError, SigningError, ToolMissing
from torchferry.layout import SIGNATURE, SIGNATURE_NAMESPACE

NO_QUESTIONS = {"SSH_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "force"}
"""ssh-keygen asks for a passphrase by a program that has no answer, rather than at the terminal."""
OUT_OF_BAND = """\
Put this line into the file that says whom a site trusts, {file} there. Bring it by another
way than the releases: by hand, on paper, through who runs the site. Whoever can change both can sign anything.
The key has no passphrase, so whoever reads {place} signs as you; it stays on this machine.\
"""


def configured(name: str, variable: str, environ: Mapping[str, str]) -> Path:
    """The place that a variable names, else a file of our own in the person's configuration."""
    if environ.get(variable):
        return Path(environ[variable]).expanduser()
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "torchferry" / name


def key_place(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the signing key lies, or would."""
    return configured("release_key", "TORCHFERRY_SIGNING_KEY", environ)


def key(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The signing key that is set up; SigningError where one is named but not there."""
    place = key_place(environ)
    if place.is_file():
        return place
    if environ.get("TORCHFERRY_SIGNING_KEY"):
        raise SigningError(
            f"{place}: TORCHFERRY_SIGNING_KEY names this, and it is not there",
            cure="inv key makes it, or unset the variable",
        )
    return None


def allowed_signers(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file of whom this machine trusts; ConfigError where one is named but not there."""
    place = configured("allowed_signers", "TORCHFERRY_ALLOWED_SIGNERS", environ)
    if place.is_file():
        return place
    if environ.get("TORCHFERRY_ALLOWED_SIGNERS"):
        raise ConfigError(
            f"{place}: TORCHFERRY_ALLOWED_SIGNERS names this, and it is not there",
            cure="put the line there that inv key showed, got from its owner and not with the release",
        )
    return None


def make(place: Path) -> bool:
    """Make an ed25519 key; False where one lies there already, which is left alone."""
    if place.exists() or _public(place).exists():
        return False
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    done = proc.run([
        "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "torchferry release key", "-f", place,
    ])
    if not done.ok:
        raise SigningError(
            f"{place}: no key could be made: {done.tail(1)}", cure="name another place: TORCHFERRY_SIGNING_KEY",
        )
    place.chmod(0o600)
    return True


def introduce(place: Path, principal: str) -> None:
    """Make the key where there is none, and show the line by which sites trust it."""
    line_of = "made" if make(place) else "there already, and left alone"
    console.say(f"{place}: {line_of}")
    console.show(signer(place, principal))
    console.say(OUT_OF_BAND.format(file="/etc/torchferry/allowed_signers", place=place))


def signer(place: Path, principal: str) -> str:
    """The line for allowed_signers by which a site trusts this key, for releases and nothing else."""
    if not principal or any(sign.isspace() or sign in ',"!*?' or not sign.isprintable() for sign in principal):
        raise ConfigError(f"--principal {principal!r}: not one name", cure="write it like an e-mail address")
    try:
        kind, blob = _public(place).read_text(encoding="utf-8").split()[:2]
    except (OSError, ValueError) as error:
        raise SigningError(
            f"{_public(place)}: no public key can be read: {error}",
            cure=f"ssh-keygen -y -f {place} > {_public(place)} makes it of the private one",
        ) from error
    return f'{principal} namespaces="{SIGNATURE_NAMESPACE}" {kind} {blob}'


def sign(sums: Path, place: Path) -> bool:
    """Write SHA256SUMS.sig beside SHA256SUMS; False where the one there is of this key and these bytes."""
    target = sums.with_name(SIGNATURE)
    if _is_ours(sums, place):
        return False
    if signer(place, "release@torchferry").split()[2].startswith("sk-"):
        console.say("sign: touch the security key when it blinks")
    done = _keygen(["sign", "-q", "-f", place], sums)
    if not done.ok or not done.stdout.startswith("-----BEGIN SSH SIGNATURE-----"):
        raise SigningError(
            f"{place}: cannot sign: {done.tail(1)}",
            cure="a key with a passphrase goes into the agent (ssh-add), and TORCHFERRY_SIGNING_KEY names its .pub",
        )
    files.write_text(target, done.stdout)
    return True


def settle(sums: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Sign a closed release where a key is set up; else say that it is not signed, and leave no stale signature."""
    target, place = sums.with_name(SIGNATURE), key(environ)
    if place is not None:
        if sign(sums, place):
            console.say(f"{sums.parent.name}: signed with {place}")
        return
    if target.is_file() and proc.which("ssh-keygen") and _keygen(["check-novalidate", "-s", target], sums).ok:
        console.say(f"{sums.parent.name}: signed as it is, by a key that is not set up here")
        return
    target.unlink(missing_ok=True)
    console.say(f"{sums.parent.name}: not signed; inv key makes a key for that")


def verify(sums: Path, allowed: Path) -> str:
    """Who signed SHA256SUMS, by ``allowed``; IntegrityError where nobody did whom it trusts for releases."""
    signature = sums.with_name(SIGNATURE)
    if not signature.is_file():
        raise IntegrityError(
            f"{sums.parent}: not signed, and {allowed} says who must have", cure="ask its owner where it came from",
        )
    said = "it names nobody"
    for principal in _principals(allowed):
        done = _keygen(["verify", "-f", allowed, "-I", principal, "-s", signature], sums)
        if done.ok:
            return principal
        said = done.tail(1)
    raise IntegrityError(
        f"{signature}: not a signature of this release by anyone in {allowed}: {said}",
        cure="do not use this release; ask its owner which key it is signed with, and how it came here",
    )


def _keygen(words: list[str | Path], sums: Path) -> proc.Finished:
    """`ssh-keygen -Y` over SHA256SUMS, for the one purpose that our signatures have."""
    argv = ["ssh-keygen", "-Y", words[0], "-n", SIGNATURE_NAMESPACE, *words[1:]]
    done = proc.feed(argv, files.blocks(sums), env=NO_QUESTIONS)
    if "option -- Y" in done.stderr:
        raise ToolMissing("ssh-keygen: too old for signatures", cure="OpenSSH 8.1 or newer has them")
    return done


def _principals(allowed: Path) -> list[str]:
    """The names in a file of allowed signers: one key may have several lines, each for another purpose."""
    lines = [line.split() for line in allowed.read_text(encoding="utf-8").splitlines()]
    fields = [words[0].strip('"') for words in lines if words and not words[0].startswith("#")]
    return list(dict.fromkeys(name for field in fields for name in field.split(",") if name and name[0] not in "!-"))


def _is_ours(sums: Path, place: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="torchferry-") as folder:
        allowed = Path(folder, "allowed_signers")
        allowed.write_text(signer(place, "release@torchferry") + "\n", encoding="utf-8")
        try:
            verify(sums, allowed)
        except IntegrityError:
            return False
    return True


def _public(place: Path) -> Path:
    return place if place.suffix == ".pub" else place.with_name(f"{place.name}.pub")
