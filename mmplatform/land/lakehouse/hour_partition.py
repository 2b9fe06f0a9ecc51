"""Hours as Iceberg's hour transform counts them, from 1970: by them the tables are partitioned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


def hour_number(moment: datetime) -> int:
    """Which hour a moment, aware of its zone, lies in."""
    return (moment - _EPOCH) // HOUR


def hour_at(number: int) -> datetime:
    """When an hour begins."""
    return _EPOCH + number * HOUR
