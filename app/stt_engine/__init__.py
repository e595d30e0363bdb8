"""stt-engine: speech to text over HTTP, with a TorchScript CTC model that lies in a folder beside it."""

from __future__ import annotations


class Refusal(Exception):
    """Why the service does not start: a sentence for the person who started it."""
