"""Windows for the tests of checks: an hour, and the same hour of earlier days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from quality.windows.baseline import Window
from quality.windows.figures import WindowFigures

HOUR = datetime(2026, 3, 5, 12, tzinfo=UTC)


def window(**figures):
    return Window(HOUR, WindowFigures(**{"volume": 100} | figures))


def days(count, **figures):
    """The same hour of earlier days; a list gives each day its own value."""
    return [
        Window(
            HOUR - timedelta(days=count - day),
            WindowFigures(**{"volume": 100} | {n: v[day] if isinstance(v, list) else v for n, v in figures.items()}),
        )
        for day in range(count)
    ]
