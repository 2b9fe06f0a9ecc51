"""Views of the supervisor: a live table in a terminal, lines elsewhere, nothing in the background."""

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
    """Output of the supervisor."""

    def open(self) -> None:
        """Start the output."""

    def note(self, text: str) -> None:
        """Show a line of the journal."""

    def show(self, snapshot: StackSnapshot) -> None:
        """Show the current state; called about once a second."""

    def close(self) -> None:
        """End the output."""


class LiveView:
    """Redraws one table in place."""

    def __init__(self, console: Console) -> None:
        # No refresh thread: a process with threads must not fork, and the supervisor forks its children.
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def open(self) -> None:
        """Start the live display."""
        self._live.start()

    def note(self, text: str) -> None:
        """Do nothing: the snapshot contains the last lines."""

    def show(self, snapshot: StackSnapshot) -> None:
        """Redraw the table."""
        self._live.update(render(snapshot, self._live.console.width), refresh=True)

    def close(self) -> None:
        """Stop the live display."""
        self._live.stop()


class PlainView:
    """Prints each line of the journal, and a summary every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + _PLAIN_S

    def open(self) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Print the line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, snapshot: StackSnapshot) -> None:
        """Print a summary line every ten seconds."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_S
            self.note(summary_line(snapshot))

    def close(self) -> None:
        """Do nothing."""


class NoView:
    """View of a background process: the journal file has everything."""

    def open(self) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def show(self, snapshot: StackSnapshot) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class GuardedView:
    """Wraps a view whose failure must not end the stack; a failed view shows nothing more.

    For example when a terminal is closed, a pipe's reader ends, or an encoding lacks a character.
    """

    def __init__(self, view: StackView) -> None:
        self._view: StackView = view

    @property
    def is_visible(self) -> bool:
        """False in the background: measuring all processes for it takes 1% of a core."""
        return not isinstance(self._view, NoView)

    def open(self) -> None:
        """Delegate to the view."""
        self._try(self._view.open)

    def note(self, text: str) -> None:
        """Delegate to the view."""
        self._try(lambda: self._view.note(text))

    def show(self, snapshot: StackSnapshot) -> None:
        """Delegate to the view."""
        self._try(lambda: self._view.show(snapshot))

    def close(self) -> None:
        """Delegate to the view."""
        self._try(self._view.close)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (Exception, SystemExit):  # noqa: BLE001 - any error; rich turns a broken pipe into SystemExit
            broken, self._view = self._view, NoView()
            with suppress(Exception, SystemExit):  # it may have redirected standard output
                broken.close()
