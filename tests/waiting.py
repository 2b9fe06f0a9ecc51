"""Waiting for what happens in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

V = TypeVar("V")


def eventually(check: Callable[[], Any], within_s: float = 60.0, every_s: float = 0.3) -> Any:
    """Poll until ``check`` gives something true; what it last gave is in the failure."""
    deadline = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s; last: {found!r}")
        time.sleep(every_s)


def eventually_equal(look: Callable[[], V], wanted: V, within_s: float = 60.0, every_s: float = 1.0) -> None:
    """Poll until ``look`` gives what is wanted; the difference is in the failure."""
    with suppress(AssertionError):
        eventually(lambda: look() == wanted, within_s, every_s)
    assert look() == wanted
