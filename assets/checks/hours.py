"""The hours of a check: the configured one, else those of its run's partitions, else the newest."""
# No deferred annotations here: Dagster reads those of a check's configuration as they are.

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import dagster as dg
from pydantic import Field

from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.hour_partition import HOUR
from quality.checks.result import MAX_NAMED_IDS, CheckResult, RawMetadataValue
from resources.readers.hours import HourReader

PARTITION_TAG: Final = "dagster/partition"
RANGE_TAGS: Final = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_KEY_FORMAT: Final = "%Y-%m-%d-%H:00"

SETTLE_S: Final = 120.0
"""Younger rows may still be under way: the archiver commits every 15 s, and a call's last words wait for silence."""


class HourConfig(dg.Config):
    """The hour that a check reads."""

    hour: str = Field(
        default="", description="Hour of event time, such as `2026-08-01-10:00`; empty: the run's, else the newest."
    )

    def resolve(self, reader: HourReader, table: str, run: dg.DagsterRun) -> list[datetime]:
        """Starts of the hours; none when the table is empty and no hour is configured.

        Raises:
            dagster.Failure: the configured hour is none.
        """
        if self.hour:
            try:
                return [_parse_hour(self.hour)]
            except Rejected as error:
                raise dg.Failure(f"`hour`: {error}", allow_retries=False) from None
        with suppress(Rejected):  # a run on another partition than hours, such as a bucket of the index
            first, last = (_parse_hour(run.tags.get(tag, run.tags.get(PARTITION_TAG, ""))) for tag in RANGE_TAGS)
            return [first + n * HOUR for n in range((last - first) // HOUR + 1)]
        newest = reader.newest_hour(table)
        return [] if newest is None else [newest]


def check_hours(hours: Iterable[datetime], check: Callable[[datetime], CheckResult]) -> CheckResult:
    """Checks each hour and joins the results: passes when all pass, and names those that fail."""
    results = {f"{hour:{_KEY_FORMAT}}": check(hour) for hour in hours}
    if len(results) == 1:
        [(key, result)] = results.items()
        return CheckResult(result.passed, result.description, {"hour": key, **result.metadata}, result.severity)
    failed = {key: result for key, result in results.items() if not result.passed}
    metadata: dict[str, RawMetadataValue] = {"hours": list(results)[:MAX_NAMED_IDS], "hours_that_fail": len(failed)}
    for key, result in (failed or results).items():
        metadata |= {f"{key} {name}": value for name, value in result.metadata.items()}
    reasons = "; ".join(f"{key}: {result.description}" for key, result in failed.items())
    warned = bool(failed) and all(result.severity == "WARN" for result in failed.values())
    description = reasons or f"passed in each of {len(results)} hours"
    return CheckResult(not failed, description, metadata, "WARN" if warned else "ERROR")


def current_hour() -> datetime:
    """Start of the hour that is running."""
    return utc_now().replace(minute=0, second=0, microsecond=0)


def settled_before() -> datetime:
    """Rows with a later stamp may still be under way."""
    return utc_now() - timedelta(seconds=SETTLE_S)


def _parse_hour(text: str) -> datetime:
    """Raises Rejected for a text that is no whole hour, or an hour that has not begun."""
    from mmplatform.pipeline.reprocess.reprocess import check_hour, parse_hour  # imports the derivers too

    hour = parse_hour(text)
    check_hour(hour, utc_now())
    return hour
