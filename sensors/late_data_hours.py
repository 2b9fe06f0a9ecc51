"""From commits to hours that got rows after they had closed: what is told, and which are to be looked at. Pure.

Old history that is imported is late too, by thousands of hours. So each table has so many hours waiting and no more,
the newest first; how many were left out is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from mmplatform.land.lakehouse.hour_partition import HOUR, hour_number, hour_start
from resources.iceberg_commits import TableLog
from sensors.cursors import Frozen, ReadTables, ReadTo

CLOSES: Final = timedelta(minutes=5)
"""After the hour's end: the archiver commits every 15 s, and a busy log may hold a minute's rows."""

SETTLES: Final = timedelta(minutes=2)
"""After the last late rows: an offline phone sends many pieces, and the stream wants to derive them first."""

BEGINS: Final = timedelta(hours=1)
"""How far back the first tick looks: earlier commits are no news."""

MOST_WAITING: Final = 48
"""Hours of a table that wait to be looked at."""


class Waiting(Frozen):
    """An hour that got late rows: the snapshot that has the last of them, and when that was made."""

    snapshot_id: int
    committed_at: AwareDatetime


class Place(ReadTo):
    """How far one table was read, and which of its hours wait, by the hours from 1970 to them."""

    waiting: dict[int, Waiting] = Field(default_factory=dict)


class Cursor(ReadTables):
    """What the sensor remembers between ticks, by table; it lies in Dagster's database."""

    version: Literal[1] = 1
    tables: dict[str, Place] = Field(default_factory=dict)

    def settled(self, now: datetime, most: int) -> list[tuple[str, datetime, Waiting]]:
        """Tables and hours whose last late rows came a while ago, the oldest rows first."""
        found = [
            (each.committed_at, table, hour_start(number), each)
            for table, place in self.tables.items()
            for number, each in place.waiting.items()
            if each.committed_at + SETTLES <= now
        ]
        found.sort(key=lambda entry: entry[:3])
        return [(table, hour, each) for _, table, hour, each in found[:most]]

    def without(self, looked_at: list[tuple[str, datetime]]) -> Cursor:
        """After hours were looked at."""
        gone = {(table, hour_number(hour)) for table, hour in looked_at}
        return Cursor(
            tables={
                table: place.model_copy(
                    update={"waiting": {n: each for n, each in place.waiting.items() if (table, n) not in gone}}
                )
                for table, place in self.tables.items()
            }
        )


@dataclass(frozen=True, slots=True)
class Late:
    """Rows that came for closed hours of a table since the last tick.

    Attributes:
        rows: by hour.
        left_out: hours that are not looked at, for there are too many.
    """

    rows: Mapping[datetime, int]
    left_out: int


def arrived(logs: Mapping[str, TableLog], cursor: Cursor, now: datetime) -> tuple[dict[str, Late], Cursor]:
    """What came late, by table, and the cursor after it; rows that were only replaced are not late."""
    places, found = dict(cursor.tables), {}
    for table, log in logs.items():
        known = places.get(table)
        same = known is not None and known.table_uuid == log.table_uuid
        waiting = dict(known.waiting) if known is not None and same else {}
        rows: Counter[datetime] = Counter()
        for commit in log.commits:
            if not same and commit.committed_at < now - BEGINS:
                continue
            for hour, count in commit.rows.items():
                if count and hour + HOUR + CLOSES <= commit.committed_at:
                    rows[hour] += count
                    waiting[hour_number(hour)] = Waiting(
                        snapshot_id=commit.snapshot_id, committed_at=commit.committed_at
                    )
        kept = {number: waiting[number] for number in sorted(waiting, reverse=True)[:MOST_WAITING]}
        places[table] = Place(table_uuid=log.table_uuid, sequence=log.sequence, waiting=kept)
        if rows:
            found[table] = Late(rows, len(waiting) - len(kept))
    return found, Cursor(tables=places)
