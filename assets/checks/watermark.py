"""Check ``watermark`` of each table that the stream writes: the newest event time of an hour."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, hourly_check
from mmplatform.events import utc_now
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE
from quality.checks.backlog import Backlog, combine_backlogs
from quality.checks.result import CheckResult
from quality.checks.watermark import check_watermark, lags_source
from resources.readers.hours import HourReader
from resources.readers.subscriptions import TABLE_SUBSCRIPTIONS

WATERMARK: Final = "watermark"

_SOURCES: Final[dict[str, tuple[str, ...]]] = {
    **{spec.raw_table: () for spec in MODALITIES.values()},
    **{spec.derived_table: (spec.raw_table,) for spec in MODALITIES.values()},
    PASSAGES_TABLE: tuple(spec.derived_table for spec in MODALITIES.values()),
}


def watermark_checks() -> list[dg.AssetChecksDefinition]:
    """One for each raw and derived table and ``passages``."""
    return [_watermark_check(table, sources) for table, sources in _SOURCES.items()]


def _watermark_check(table: str, sources: tuple[str, ...]) -> dg.AssetChecksDefinition:
    def check(reader: HourReader, hour: datetime, resources: CheckResources) -> CheckResult:
        watermarks = [reader.watermark(source, hour) for source in sources]
        source_watermark = max((watermark for watermark in watermarks if watermark is not None), default=None)
        watermark = reader.watermark(table, hour)
        backlog = Backlog(0)
        if lags_source(watermark, source_watermark):
            backlog = combine_backlogs(resources.stack.backlog(TABLE_SUBSCRIPTIONS[table]).values())
        return check_watermark(watermark, source_watermark, backlog, utc_now())

    return hourly_check(
        table,
        WATERMARK,
        check,
        requires=("stack",),
        hours_of=sources[0] if len(sources) == 1 else table,
        description=(
            "The newest event time of the hour is up to that of the source table, or the backlog of the table's "
            "writers has not stalled; and it is not in the future."
        ),
    )
