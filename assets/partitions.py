"""Partitions of the assets: tables by the hour of event time, the index by the bucket of the subject."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from mmplatform.buckets import BUCKET_NAMES

FIRST_HOUR: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""Older events land in the tables like any others; only Dagster has no partition key for their hour.

Dagster keeps at most 100,000 partitions for an asset: from here on that is until 2035.
"""

HOURLY: Final = dg.HourlyPartitionsDefinition(
    start_date=FIRST_HOUR,
    timezone="UTC",
    # The current hour has a partition too: fresh rows land in it.
    end_offset=1,
)
BY_BUCKET: Final = dg.StaticPartitionsDefinition(list(BUCKET_NAMES))


def hour_key(hour: datetime) -> str | None:
    """The partition key of an hour of event time; ``None`` before :data:`FIRST_HOUR`."""
    hour_utc = hour.astimezone(UTC)
    return hour_utc.strftime("%Y-%m-%d-%H:00") if hour_utc >= FIRST_HOUR else None
