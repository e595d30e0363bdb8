"""What makes images: one Protocol, and two that keep it (`daemon.DaemonEngine`, `direct.DirectEngine`)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from torchferry.model import BuiltImage, Image, Recipe, Variant, WheelSet
from torchferry.smoke import Runner, Unrunnable


class Engine(Protocol):
    """Whatever turns a recipe into an image; the archive is packed from the blob store whoever made it."""

    def present(self, variant: Variant) -> BuiltImage | None: ...
    def build(self, recipe: Recipe, wheels: WheelSet) -> BuiltImage: ...
    def take(self, built: BuiltImage, variant: Variant) -> Image: ...
    def runner(self, built: BuiltImage, variant: Variant) -> AbstractContextManager[Runner | Unrunnable]: ...
