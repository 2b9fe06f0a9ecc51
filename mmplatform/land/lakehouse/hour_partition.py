"""Hour numbers of Iceberg's hour transform, since 1970: the tables are partitioned by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


def hour_number(moment: datetime) -> int:
    """The hour number of a time, aware of its zone."""
    return (moment - _EPOCH) // HOUR


def hour_start(number: int) -> datetime:
    """The start of an hour."""
    return _EPOCH + number * HOUR
