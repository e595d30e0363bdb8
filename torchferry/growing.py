"""A file that one thread reads while another writes it."""

from __future__ import annotations

from threading import Condition

from torchferry.members import Readable


class Growing:
    """The reader's end; what the writer raises, the reader raises. ``given_up``: the reader wants no more."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._condition = Condition()
        self._at = self._size = 0
        self._ended = False
        self._error: BaseException | None = None
        self.given_up = False

    def grown(self, size: int) -> None:
        """The file has ``size`` bytes now."""
        with self._condition:
            self._size = size
            self._condition.notify()

    def ended(self, error: BaseException | None = None) -> None:
        """It grows no more."""
        with self._condition:
            self._ended, self._error = True, error
            self._condition.notify()

    def read(self, count: int, /) -> bytes:
        with self._condition:
            self._condition.wait_for(lambda: self._size > self._at or self._ended)
            if self._error is not None:
                raise self._error
            there = self._size - self._at
        data = self._source.read(min(count, there))
        self._at += len(data)
        return data
