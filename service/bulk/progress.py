"""The progress of a job on standard error: rows, rows per second and time left."""

import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """A line that is replaced on a terminal, and a new line every 10 seconds elsewhere."""

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic):
        self._stream = stream
        self._clock = clock
        self._on_terminal = stream.isatty()
        self._interval_s = 0.2 if self._on_terminal else 10.0
        self._since = self._shown = clock()
        self._rows = 0
        self._share = self._skipped = 0.0

    def skip(self, share: float) -> None:
        """A block that was finished before. share: its share of the input."""
        self._skipped += share

    def advance(self, rows: int, share: float) -> None:
        """A block that is finished now. share: its share of the input."""
        self._rows += rows
        self._share += share
        now = self._clock()
        if now - self._shown >= self._interval_s:
            self._shown = now
            self._stream.write(f"\r{self.line()}\033[K" if self._on_terminal else f"{self.line()}\n")
            self._stream.flush()

    def line(self) -> str:
        """The present state. The time left is that of the rest of the input at the speed of this run."""
        seconds = max(1e-9, self._clock() - self._since)
        left = (1 - self._skipped - self._share) * seconds / self._share if self._share else float("inf")
        done = 100 * (self._skipped + self._share)
        return f"{done:5.1f} %  {self._rows:,} rows  {self._rows / seconds:,.0f} rows/s  {duration(left)} left"

    def close(self) -> None:
        """Leave the line on a terminal."""
        if self._on_terminal:
            self._stream.write("\r\033[K")
            self._stream.flush()


def duration(seconds: float) -> str:
    """`42 s`, `5 min` or `3 h 20 min`."""
    if seconds == float("inf"):
        return "?"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
