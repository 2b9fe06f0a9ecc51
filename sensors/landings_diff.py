"""From commits to landings: the hours to report, and the cursor after them. Pure.

A landing belongs to one hour of event time. Each tick reports the newest changed hour of a table: that is where users
look. The others (a backfill, an import, late events) wait, and a bounded number of the oldest is reported with it: each
costs an event in Dagster's own database for ever. No hour is forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from mmplatform.land.lakehouse.hour_partition import hour_number, hour_start
from resources.iceberg_commits import TableCommits
from sensors.cursors import FrozenRecord, TablePosition, TablesCursor

MAX_OLD_HOURS: Final = 100
"""Hours reported besides the newest, for each table and tick. An event takes about 10 ms and 3 kB in Dagster's
database: a year of history, 8,760 hours, is reported within 45 minutes, and the newest hour never waits for it."""


class HourLanding(FrozenRecord):
    """Rows that landed in one hour of one table since it was last reported.

    Attributes:
        rows: new ones; 0 where rows were only replaced.
        replaced: rows that replaced one with the same id.
        size: bytes of the files that all of them lie in.
        files: those of them that were read in this tick and that the stream wrote: the gap is measured in them.
        snapshot_id: the newest snapshot that was read and had rows: it holds these.
        committed_at: when that one was made.
        watermark: newest event time that was ever read from the table.
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


class NewestSnapshot(FrozenRecord):
    """The newest snapshot that was read and had rows."""

    snapshot_id: int
    committed_at: AwareDatetime


def _all_new(value: Any) -> Any:
    """Accept the cursors of earlier versions, which counted rows alone."""
    return (value, 0, 0) if isinstance(value, int) else value


RowCounts = Annotated[tuple[int, int, int], BeforeValidator(_all_new)]
"""New rows, replaced rows, bytes."""


class LandingsPosition(TablePosition):
    """Position in one table, and the hours that wait.

    Attributes:
        pending: unreported hours, by their number since 1970. Dagster stores the cursor with every tick, so it is
            short: a year takes 200 kB.
    """

    newest: NewestSnapshot | None = None
    watermark: AwareDatetime | None = None
    pending: dict[int, RowCounts] = Field(default_factory=dict)


class LandingsCursor(TablesCursor):
    """Positions by table."""

    version: Literal[2] = 2
    tables: dict[str, LandingsPosition] = Field(default_factory=dict)


def diff_landings(
    commits: Mapping[str, TableCommits], cursor: LandingsCursor
) -> tuple[list[HourLanding], LandingsCursor]:
    """The landings to report now, in this order, and the cursor after them. An unread table keeps its position."""
    positions = dict(cursor.tables)
    landings: list[HourLanding] = []
    for table, table_commits in commits.items():
        files = _files_by_hour(table_commits)
        position = _advance(positions.get(table), table_commits)
        due = _due_hours(position.pending)
        positions[table] = position.model_copy(update={"pending": _without(position.pending, due)})
        if position.newest is None:
            continue
        landings += [
            HourLanding(
                table=table,
                hour=hour_start(hour),
                rows=rows,
                replaced=replaced,
                size=size,
                files=tuple(files[hour]),
                watermark=position.watermark,
                waiting=len(position.pending) - len(due),
                **position.newest.model_dump(),
            )
            for hour in due
            for rows, replaced, size in (position.pending[hour],)
        ]
    return landings, cursor.model_copy(update={"tables": positions})


def _files_by_hour(table_commits: TableCommits) -> defaultdict[int, list[str]]:
    """The files that the stream wrote for each hour, newest first."""
    files: defaultdict[int, list[str]] = defaultdict(list)
    for commit in reversed(table_commits.commits):
        for hour, paths in commit.files.items():
            files[hour_number(hour)] += paths
    return files


def _due_hours(pending: Mapping[int, RowCounts]) -> list[int]:
    """The oldest hours, then the newest: Dagster shows the last reported one as the latest."""
    hours = sorted(pending)
    return [*hours[:-1][:MAX_OLD_HOURS], *hours[-1:]]


def _without(pending: Mapping[int, RowCounts], reported: Collection[int]) -> dict[int, RowCounts]:
    return {hour: pending[hour] for hour in sorted(pending.keys() - set(reported))}


def _advance(position: LandingsPosition | None, table_commits: TableCommits) -> LandingsPosition:
    """Add commits to a position."""
    if position is None or position.table_uuid != table_commits.table_uuid:
        position = LandingsPosition(table_uuid=table_commits.table_uuid, sequence=0)
    pending = dict(position.pending)
    commits = table_commits.commits
    watermarks = [position.watermark, *(commit.watermark for commit in commits)]
    for commit in commits:
        for hour, rows in commit.rows.items():
            old_rows, old_replaced, old_size = pending.get(hour_number(hour), (0, 0, 0))
            replaced, size = commit.replaced.get(hour, 0), commit.sizes.get(hour, 0)
            pending[hour_number(hour)] = (old_rows + rows, old_replaced + replaced, old_size + size)
    last = commits[-1] if commits else None
    return LandingsPosition(
        table_uuid=table_commits.table_uuid,
        sequence=max(position.sequence, table_commits.sequence),
        newest=NewestSnapshot(snapshot_id=last.snapshot_id, committed_at=last.committed_at)
        if last
        else position.newest,
        watermark=max((watermark for watermark in watermarks if watermark is not None), default=None),
        pending=pending,
    )
