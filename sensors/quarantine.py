"""The sensor ``quarantine``: reports new quarantine rows by reason, and when there are too many of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

import dagster as dg
from pydantic import Field

from assets.checks.factory import to_evaluation
from assets.checks.quarantine_rate import QUARANTINE_COLUMNS, QUARANTINE_RATE, RATE_WINDOW
from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from mmplatform.modalities import QUARANTINE_TABLE
from quality.checks.quarantine_rate import check_quarantine_rate, count_reasons, new_rows
from resources.lakehouse import LakehouseResource
from resources.readers.hours import open_hour_reader
from sensors.cursors import SensorCursor
from sensors.ticks import SLOW_INTERVAL_S, skip_unreadable

FIRST_LOOKBACK: Final = timedelta(days=1)
"""Age of the oldest rows that the first tick reports."""


class QuarantineCursor(SensorCursor):
    """Reported offsets of the quarantine topic, and the last reported outcome of the check.

    Attributes:
        table_uuid: distinguishes this table from an earlier one of the same name, whose offsets mean nothing here.
        seen: the offset after the last reported row, by topic partition.
        few: whether the check passed.
    """

    version: Literal[1] = 1
    table_uuid: str = ""
    seen: dict[int, int] = Field(default_factory=dict)
    few: bool | None = None


@dg.sensor(
    name="quarantine",
    minimum_interval_seconds=SLOW_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads the new rows of the quarantine table and reports their number by reason. When too many events were "
        "quarantined within an hour the check `quarantine_rate` fails, and passes again when that is over."
    ),
)
def quarantine_sensor(context: dg.SensorEvaluationContext, lakehouse: LakehouseResource) -> dg.SensorResult:
    """Report the rows since the last tick; the skip reason says why there is nothing to report."""
    cursor = QuarantineCursor.parse(context.cursor)
    try:
        reader = open_hour_reader(lakehouse)
        table_uuid = reader.table_uuid(QUARANTINE_TABLE)
        seen = cursor.seen if cursor.table_uuid == table_uuid else {}
        now = utc_now()
        if seen:
            rows = reader.rows_from_offset(QUARANTINE_TABLE, min(seen.values()), QUARANTINE_COLUMNS)
        else:  # a whole history of bad events would be no news, and might be too much for one tick
            since = now - FIRST_LOOKBACK
            rows = reader.rows_since(QUARANTINE_TABLE, "quarantined_at", since, QUARANTINE_COLUMNS)
        recent = reader.rows_since(QUARANTINE_TABLE, "quarantined_at", now - RATE_WINDOW, QUARANTINE_COLUMNS)
    except PlatformError as error:
        return skip_unreadable("the quarantine cannot be read", error)
    rate = check_quarantine_rate(recent)
    fresh, seen = new_rows(rows, seen)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
    if fresh:
        events.append(_observation(count_reasons(fresh), len(fresh)))
    if cursor.few != rate.passed:
        events.append(to_evaluation(QUARANTINE_TABLE, QUARANTINE_RATE, rate))
    after = QuarantineCursor(table_uuid=table_uuid, seen=seen, few=rate.passed).to_json()
    if not events:
        return dg.SensorResult(skip_reason="no event was quarantined since the last tick", cursor=after)
    return dg.SensorResult(asset_events=events, cursor=after)


def _observation(reasons: dict[str, int], rows: int) -> dg.AssetObservation:
    return dg.AssetObservation(
        QUARANTINE_TABLE,
        description=f"{rows} events were quarantined",
        metadata={"rows": dg.MetadataValue.int(rows), "reasons": dg.MetadataValue.json(reasons)},
    )
