"""The sensor that tells what was set aside: new quarantine rows by reason, and whether there are too many of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

import dagster as dg
from pydantic import Field

from assets.checks.live_checks import AN_HOUR, COLUMNS, CROWDED, evaluation
from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from mmplatform.modalities import QUARANTINE_TABLE
from quality.checks.quarantine_rate import by_reason, crowded, news
from quality.checks.verdict import Verdict
from resources.lakehouse import LakehouseResource
from resources.readers.hours import open_hours
from sensors.cursors import Remembered

EVERY_S: Final = 30
BEGINS: Final = timedelta(days=1)
"""How far back the first tick tells of."""


class Cursor(Remembered):
    """How far the quarantine topic was told of, in which table, and whether there were few. Lies in Dagster's database.

    Attributes:
        table_uuid: tells this table from an earlier one of the same name, whose offsets mean nothing here.
        seen: by topic partition, the offset after the last row that was told of.
        few: what the check last said.
    """

    version: Literal[1] = 1
    table_uuid: str = ""
    seen: dict[int, int] = Field(default_factory=dict)
    few: bool | None = None


@dg.sensor(
    name="quarantine",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads the new rows of the quarantine table and reports how many there are, by reason; when too many were set "
        "aside within an hour the check `quarantine_rate` fails, and passes again when that is over."
    ),
)
def quarantine_sensor(context: dg.SensorEvaluationContext, lakehouse: LakehouseResource) -> dg.SensorResult:
    """Report what was set aside since the last tick; says why when there is nothing to say."""
    cursor = Cursor.parse(context.cursor)
    try:
        hours = open_hours(lakehouse)
        uuid = hours.uuid(QUARANTINE_TABLE)
        seen = cursor.seen if cursor.table_uuid == uuid else {}
        now = utc_now()
        if seen:
            rows = hours.beyond(QUARANTINE_TABLE, min(seen.values()), COLUMNS)
        else:  # a whole history of bad events would be no news, and might be too much for one tick
            rows = hours.stamped(QUARANTINE_TABLE, "quarantined_at", now - BEGINS, COLUMNS)
        lately = crowded(hours.stamped(QUARANTINE_TABLE, "quarantined_at", now - AN_HOUR, COLUMNS))
    except PlatformError as error:
        return dg.SensorResult(skip_reason=f"the quarantine cannot be read: {type(error).__name__}: {error}")
    fresh, after = news(rows, seen)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
    if fresh:
        events.append(_observed(by_reason(fresh), len(fresh)))
    if cursor.few != lately.holds:
        events.append(_rated(lately))
    told = Cursor(table_uuid=uuid, seen=after, few=lately.holds).model_dump_json()
    if not events:
        return dg.SensorResult(skip_reason="nothing was set aside since the last tick", cursor=told)
    return dg.SensorResult(asset_events=events, cursor=told)


def _observed(reasons: dict[str, int], rows: int) -> dg.AssetObservation:
    return dg.AssetObservation(
        QUARANTINE_TABLE,
        description=f"{rows} events were set aside",
        metadata={"rows": dg.MetadataValue.int(rows), "reasons": dg.MetadataValue.json(reasons)},
    )


def _rated(verdict: Verdict) -> dg.AssetCheckEvaluation:
    return evaluation(QUARANTINE_TABLE, CROWDED, verdict)
