"""From commits to landings: what there is to report, and how far we are. Pure.

A landing belongs to one hour of event time. In each tick the newest hour of a table that has news is reported: that is
where people look. The others (a backfill, an import, late events) wait, and the oldest of them are reported with it, so
many and no more: each costs an event in Dagster's own database for ever. None is forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from mmplatform.land.lakehouse.hour_partition import hour_number, hour_start
from resources.iceberg_commits import TableLog
from sensors.cursors import Frozen, ReadTables, ReadTo

OLD_HOURS: Final = 100
"""Reported beside the newest, for each table and tick. An event takes about 10 ms and 3 kB in Dagster's database: a
year of history, 8,760 hours, is told within 45 minutes, and the newest hour never waits for it."""


class Landing(Frozen):
    """Rows that landed in one hour of one table since it was last reported.

    Attributes:
        rows: new ones; 0 where rows were only replaced.
        replaced: rows that took the place of one with their id.
        size: bytes of the files that all of them lie in.
        files: those of them that were read in this tick and that the stream wrote: what the gap can be told from.
        snapshot_id: the newest snapshot that was read and had rows: it holds these.
        committed_at: when that one was made.
        watermark: newest event time that the table was ever seen to hold.
        waiting: hours of the table that are still to be reported.
    """

    table: str
    hour: AwareDatetime
    rows: int
    replaced: int
    size: int
    files: tuple[str, ...]
    snapshot_id: int
    committed_at: AwareDatetime
    watermark: AwareDatetime | None
    waiting: int


class Newest(Frozen):
    """The newest snapshot that was read and had rows."""

    snapshot_id: int
    committed_at: AwareDatetime


def _all_new(value: Any) -> Any:
    """Cursors of before counted rows alone."""
    return (value, 0, 0) if isinstance(value, int) else value


Counts = Annotated[tuple[int, int, int], BeforeValidator(_all_new)]
"""New rows, replaced rows, bytes."""


class Place(ReadTo):
    """How far one table was read, and what waits.

    Attributes:
        pending: what nobody was told of yet, by the hours from 1970 to theirs. Dagster stores the cursor with every
            tick, so it is short: a year takes 200 kB.
    """

    newest: Newest | None = None
    watermark: AwareDatetime | None = None
    pending: dict[int, Counts] = Field(default_factory=dict)


class Cursor(ReadTables):
    """What the sensor remembers between ticks, by table; it lies in Dagster's database and survives restarts."""

    version: Literal[2] = 2
    tables: dict[str, Place] = Field(default_factory=dict)


def landings(logs: Mapping[str, TableLog], cursor: Cursor) -> tuple[list[Landing], Cursor]:
    """What to report now, in this order, and the cursor after it. A table that is not in ``logs`` keeps its place."""
    places = dict(cursor.tables)
    found: list[Landing] = []
    for table, log in logs.items():
        files = _files(log)
        place = _advance(places.get(table), log)
        due = _due(place.pending)
        places[table] = place.model_copy(update={"pending": _without(place.pending, due)})
        if place.newest is None:
            continue
        found += [
            Landing(
                table=table,
                hour=hour_start(hour),
                rows=rows,
                replaced=replaced,
                size=size,
                files=tuple(files[hour]),
                watermark=place.watermark,
                waiting=len(place.pending) - len(due),
                **place.newest.model_dump(),
            )
            for hour in due
            for rows, replaced, size in (place.pending[hour],)
        ]
    return found, cursor.model_copy(update={"tables": places})


def _files(log: TableLog) -> defaultdict[int, list[str]]:
    """What the stream wrote for each hour, newest first."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for commit in reversed(log.commits):
        for hour, paths in commit.files.items():
            found[hour_number(hour)] += paths
    return found


def _due(pending: Mapping[int, Counts]) -> list[int]:
    """The newest hour and the oldest of the others. The newest is told last: Dagster shows it as the latest then."""
    hours = sorted(pending)
    return [*hours[:-1][:OLD_HOURS], *hours[-1:]]


def _without(pending: Mapping[int, Counts], told: list[int]) -> dict[int, Counts]:
    return {hour: pending[hour] for hour in sorted(pending.keys() - set(told))}


def _advance(place: Place | None, log: TableLog) -> Place:
    """Take what was read in."""
    if place is None or place.table_uuid != log.table_uuid:
        place = Place(table_uuid=log.table_uuid, sequence=0)
    pending = dict(place.pending)
    marks = [mark for mark in (place.watermark, *(commit.watermark for commit in log.commits)) if mark is not None]
    for commit in log.commits:
        for hour, rows in commit.rows.items():
            known = pending.get(hour_number(hour), (0, 0, 0))
            replaced, size = commit.replaced.get(hour, 0), commit.sizes.get(hour, 0)
            pending[hour_number(hour)] = (known[0] + rows, known[1] + replaced, known[2] + size)
    last = log.commits[-1] if log.commits else None
    return Place(
        table_uuid=log.table_uuid,
        sequence=max(place.sequence, log.sequence),
        newest=Newest(snapshot_id=last.snapshot_id, committed_at=last.committed_at) if last else place.newest,
        watermark=max(marks, default=None),
        pending=pending,
    )
