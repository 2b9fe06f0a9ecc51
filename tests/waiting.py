"""Waits for a condition in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

V = TypeVar("V")


def eventually(check: Callable[[], Any], within_s: float = 60.0, every_s: float = 0.3) -> Any:
    """Poll until ``check`` returns a true value; the failure shows its last value."""
    deadline = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s; last: {found!r}")
        time.sleep(every_s)


def eventually_equal(probe: Callable[[], V], wanted: V, within_s: float = 60.0, every_s: float = 1.0) -> None:
    """Poll until ``probe`` returns ``wanted``; the failure shows the difference."""
    deadline = time.monotonic() + within_s
    while (found := probe()) != wanted and time.monotonic() <= deadline:
        time.sleep(every_s)
    assert found == wanted
