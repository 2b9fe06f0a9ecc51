"""From commits to closed hours that got rows: the rows to report, and the hours to check later. Pure.

An import of old history is late too, by thousands of hours. So each table has a bounded number of waiting hours, the
newest first; the number of skipped hours is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from mmplatform.land.lakehouse.hour_partition import HOUR, hour_number, hour_start
from resources.iceberg_commits import TableCommits
from sensors.cursors import FrozenRecord, TablePosition, TablesCursor

CLOSE_DELAY: Final = timedelta(minutes=5)
"""After the hour's end: the archiver commits every 15 s, and a busy log may hold a minute's rows."""

SETTLE_DELAY: Final = timedelta(minutes=2)
"""After the last late rows: an offline phone sends many events, and the stream derives them first."""

FIRST_LOOKBACK: Final = timedelta(hours=1)
"""Age of the oldest commit that the first tick reports: earlier ones are no news."""

MAX_WAITING_HOURS: Final = 48
"""Hours of a table that wait for a check."""

TableHour = tuple[str, datetime]


class WaitingHour(FrozenRecord):
    """An hour with late rows: the snapshot that has the last of them, and its time."""

    snapshot_id: int
    committed_at: AwareDatetime


class LateDataPosition(TablePosition):
    """Position in one table, and its waiting hours, by their number since 1970."""

    waiting: dict[int, WaitingHour] = Field(default_factory=dict)


class LateDataCursor(TablesCursor):
    """Positions by table."""

    version: Literal[1] = 1
    tables: dict[str, LateDataPosition] = Field(default_factory=dict)

    def settled(self, now: datetime, limit: int) -> list[tuple[str, datetime, WaitingHour]]:
        """Tables and hours whose last late rows have settled, the oldest rows first."""
        hours = [
            (waiting.committed_at, table, hour_start(number), waiting)
            for table, position in self.tables.items()
            for number, waiting in position.waiting.items()
            if waiting.committed_at + SETTLE_DELAY <= now
        ]
        hours.sort(key=lambda entry: entry[:3])
        return [(table, hour, waiting) for _, table, hour, waiting in hours[:limit]]

    def without(self, checked: Collection[TableHour]) -> LateDataCursor:
        """The cursor after a check of some hours."""
        removed = {(table, hour_number(hour)) for table, hour in checked}
        return LateDataCursor(
            tables={
                table: position.model_copy(
                    update={"waiting": {n: hour for n, hour in position.waiting.items() if (table, n) not in removed}}
                )
                for table, position in self.tables.items()
            }
        )


@dataclass(frozen=True, slots=True)
class LateRows:
    """Rows that came for closed hours of a table since the last tick.

    Attributes:
        rows: by hour.
        skipped: hours beyond :data:`MAX_WAITING_HOURS`, which are never checked.
    """

    rows: Mapping[datetime, int]
    skipped: int


def diff_late_hours(
    commits: Mapping[str, TableCommits], cursor: LateDataCursor, now: datetime
) -> tuple[dict[str, LateRows], LateDataCursor]:
    """Late rows by table, and the cursor after them; rows that were only replaced are not late."""
    positions, late_rows = dict(cursor.tables), {}
    for table, table_commits in commits.items():
        position = positions.get(table)
        same_table = position is not None and position.table_uuid == table_commits.table_uuid
        waiting = dict(position.waiting) if position is not None and same_table else {}
        rows: Counter[datetime] = Counter()
        for commit in table_commits.commits:
            if not same_table and commit.committed_at < now - FIRST_LOOKBACK:
                continue
            for hour, count in commit.rows.items():
                if count and hour + HOUR + CLOSE_DELAY <= commit.committed_at:
                    rows[hour] += count
                    waiting[hour_number(hour)] = WaitingHour(
                        snapshot_id=commit.snapshot_id, committed_at=commit.committed_at
                    )
        newest = {number: waiting[number] for number in sorted(waiting, reverse=True)[:MAX_WAITING_HOURS]}
        positions[table] = LateDataPosition(
            table_uuid=table_commits.table_uuid, sequence=table_commits.sequence, waiting=newest
        )
        if rows:
            late_rows[table] = LateRows(rows, len(waiting) - len(newest))
    return late_rows, LateDataCursor(tables=positions)
