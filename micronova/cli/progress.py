"""What a person watching sees: one line per thing done, with its time."""

import contextlib
import sys
from collections.abc import Iterator
from typing import IO

from micronova.clock import SystemClock


class Progress:
    """Lines on a terminal, or in a log, as things happen."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self._clock = SystemClock()
        self._began = self._clock.monotonic()

    def line(self, text: str) -> None:
        """One line, now."""
        self._out.write(text + "\n")
        self._out.flush()

    def done(self, name: str, seconds: float, detail: str = "") -> None:
        """Something took `seconds`."""
        self.line(f"  {name:<28} {seconds:6.2f} s  {detail}".rstrip())

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside and say so."""
        began = self._clock.monotonic()
        yield
        self.done(name, self._clock.monotonic() - began)

    def now(self) -> float:
        return self._clock.monotonic()

    def total(self) -> str:
        """Time since the beginning."""
        return f"{self._clock.monotonic() - self._began:.2f} s"
