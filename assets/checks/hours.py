"""Which hours a check looks at: the one that is named, else those that its run has made, else the newest."""
# No deferred annotations here: Dagster looks at those of a check's configuration as they are.

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

import dagster as dg
from pydantic import Field

from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.hour_partition import HOUR
from quality.checks.verdict import MOST_NAMED, Figure, Verdict
from resources.readers.hours import Hours

PARTITION: Final = "dagster/partition"
RANGE: Final = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_KEY: Final = "%Y-%m-%d-%H:00"


class Hour(dg.Config):
    """Which hour is looked at."""

    hour: str = Field(
        default="", description="Hour of event time, such as `2026-08-01-10:00`; empty: the run's, else the newest."
    )

    def of(self, hours: Hours, table: str, run: dg.DagsterRun) -> list[datetime]:
        """Their starts; none where the table is empty and none was named. Raises ``dg.Failure`` for no hour."""
        if self.hour:
            try:
                return [_hour(self.hour)]
            except Rejected as error:
                raise dg.Failure(f"`hour`: {error}", allow_retries=False) from None
        with suppress(Rejected):  # a run on another partition than hours, such as a bucket of the index
            first, last = (_hour(run.tags.get(tag, run.tags.get(PARTITION, ""))) for tag in RANGE)
            return [first + n * HOUR for n in range((last - first) // HOUR + 1)]
        newest = hours.newest(table)
        return [] if newest is None else [newest]

    def over(
        self, hours: Hours, table: str, run: dg.DagsterRun, look: Callable[[datetime], Verdict], empty: Verdict
    ) -> Verdict:
        """The verdict on its hours; ``empty`` where there is none. Raises ``dg.Failure``, and what ``look`` raises."""
        asked = self.of(hours, table, run)
        return over(asked, look) if asked else empty


def over(asked: Iterable[datetime], look: Callable[[datetime], Verdict]) -> Verdict:
    """One verdict on several hours: it holds when all do, and names those that do not. Of one hour it is the hour's."""
    found = {f"{each:{_KEY}}": look(each) for each in asked}
    if len(found) == 1:
        [(key, verdict)] = found.items()
        return Verdict(verdict.holds, verdict.words, {"hour": key, **verdict.figures})
    broken = {key: verdict for key, verdict in found.items() if not verdict.holds}
    told = [f"{key}: {verdict.words}" for key, verdict in broken.items()]
    figures: dict[str, Figure] = {"hours": list(found)[:MOST_NAMED], "hours_that_fail": len(broken)}
    for key, verdict in (broken or found).items():
        figures |= {f"{key} {name}": figure for name, figure in verdict.figures.items()}
    return Verdict(not broken, "; ".join(told) if broken else f"holds in each of {len(found)} hours", figures)


def _hour(text: str) -> datetime:
    """Raises Rejected for what is no whole hour, or has not begun."""
    from mmplatform.pipeline.reprocess.reprocess import check_hour, parse_hour  # with it come the derivers

    hour = parse_hour(text)
    check_hour(hour, utc_now())
    return hour
