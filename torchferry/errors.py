"""Every way torchferry refuses, one class per cause; the exit code stands on the class.

A message names the thing and the cause; ``cure`` says what the person does next.
They are shown in exactly one place, `console.show_error`; any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations


class FerryError(Exception):
    """The root of all refusals that a person can cure."""

    exit_code = 1

    def __init__(self, message: str, *, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n\nhint: {self.cure}"


class ConfigError(FerryError):
    """variants.yaml, or a file it names, cannot be understood."""

    exit_code = 2


class CompatError(FerryError):
    """What is asked for does not exist: a torch without that CUDA build, say."""

    exit_code = 3


class LockError(FerryError):
    """No resolution, or a lock that is missing, stale or damaged."""

    exit_code = 4


class SourceError(FerryError):
    """An index, mirror or registry could not be reached or does not have the file."""

    exit_code = 5


class IntegrityError(FerryError):
    """Bytes are not the ones that were promised: hash, size, platform, or another CUDA build."""

    exit_code = 6


class ToolMissing(FerryError):
    """A program that this step needs is not on this machine."""

    exit_code = 7


class DiskFull(FerryError):
    """A place cannot hold the result."""

    exit_code = 8


class BuildError(FerryError):
    """The base or the image could not be built."""

    exit_code = 9


class SmokeError(FerryError):
    """The image was built, but does not do what its variant promises."""

    exit_code = 10


class ModelError(FerryError):
    """A model's files are missing, damaged, or such as no release can hold."""

    exit_code = 11


class ShipError(FerryError):
    """A release did not arrive, or not everywhere."""

    exit_code = 12


class SigningError(FerryError):
    """A key could not be made, or a release could not be signed with the one that is set up."""

    exit_code = 13
