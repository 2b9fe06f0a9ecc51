"""How the supervisor shows itself: a live table in a terminal, lines elsewhere, nothing in the background."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from mmplatform.local.status.live_table import StackSnapshot, render, summary_line

_PLAIN_S: Final = 10.0


class StackView(Protocol):
    """Who looks at the stack."""

    def open(self) -> None:
        """The stack starts."""

    def note(self, text: str) -> None:
        """Something happened."""

    def show(self, snapshot: StackSnapshot) -> None:
        """This is how it stands; called about once a second."""

    def close(self) -> None:
        """The stack has stopped."""


class LiveView:
    """Redraws one table in place."""

    def __init__(self, console: Console) -> None:
        # No refresh thread: a process with threads must not fork, and the supervisor forks its children.
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def open(self) -> None:
        """Take the terminal."""
        self._live.start()

    def note(self, text: str) -> None:
        """The picture's last lines tell."""

    def show(self, snapshot: StackSnapshot) -> None:
        """Redraw."""
        self._live.update(render(snapshot, self._live.console.width), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()


class PlainView:
    """Prints what happens, and one line on the whole every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + _PLAIN_S

    def open(self) -> None:
        """Nothing to prepare."""

    def note(self, text: str) -> None:
        """Print it."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, snapshot: StackSnapshot) -> None:
        """Print one line when it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_S
            self.note(summary_line(snapshot))

    def close(self) -> None:
        """Nothing to give back."""


class NoView:
    """For the background: the journal file tells everything."""

    def open(self) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def show(self, snapshot: StackSnapshot) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class GuardedView:
    """A view that may break without taking the stack with it; a broken one shows nothing more.

    A terminal is closed, the reader of a pipe ends, an encoding lacks a sign.
    """

    def __init__(self, view: StackView) -> None:
        self._view: StackView = view

    def open(self) -> None:
        """As the view does."""
        self._try(self._view.open)

    def note(self, text: str) -> None:
        """As the view does."""
        self._try(lambda: self._view.note(text))

    def show(self, snapshot: StackSnapshot) -> None:
        """As the view does."""
        self._try(lambda: self._view.show(snapshot))

    def close(self) -> None:
        """As the view does."""
        self._try(self._view.close)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (Exception, SystemExit):  # noqa: BLE001 - whatever it is; rich turns a broken pipe into SystemExit
            broken, self._view = self._view, NoView()
            with suppress(Exception, SystemExit):  # it may hold standard output
                broken.close()
