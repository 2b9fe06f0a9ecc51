"""From commits to landings: what there is to report, and how far we are. Pure.

Each tick reports at most one landing for each table, for each costs an event in Dagster's own database for ever. A
landing belongs to one hour of event time. When a tick finds several hours (a backfill, late events), the others wait
for the next ticks in the order in which they came, so that every hour has its turn and none is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from resources.commits import TableLog


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Landing(_Frozen):
    """Rows that landed in one hour of one table since it was last reported.

    Attributes:
        snapshot_id: the last snapshot that had rows for this hour.
        watermark: newest event time that the table was ever seen to hold.
        waiting: hours of the table that are still to be reported.
    """

    table: str
    hour: AwareDatetime
    rows: int
    snapshot_id: int
    committed_at: AwareDatetime
    watermark: AwareDatetime | None
    waiting: int


class Pending(_Frozen):
    """Rows of one hour that nobody was told of yet."""

    hour: AwareDatetime
    rows: int
    snapshot_id: int
    committed_at: AwareDatetime


class Place(_Frozen):
    """How far one table was read, and what waits."""

    table_uuid: str
    sequence: int
    watermark: AwareDatetime | None = None
    pending: tuple[Pending, ...] = ()


class Cursor(_Frozen):
    """What the sensor remembers between ticks, by table; it lies in Dagster's database and survives restarts."""

    version: int = 1
    tables: dict[str, Place] = {}

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Read it; one that cannot be read (of another version) begins anew, which at worst reports twice."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError:
            return cls()

    def after(self, table: str) -> dict[str, int]:
        """How far the table was read, by its uuid: a new table of an old name is read from its beginning."""
        place = self.tables.get(table)
        return {} if place is None else {place.table_uuid: place.sequence}


def landings(logs: Mapping[str, TableLog], cursor: Cursor) -> tuple[list[Landing], Cursor]:
    """What to report now, and the cursor after it. A table that is not in ``logs`` keeps its place."""
    places = dict(cursor.tables)
    found = []
    for table, log in logs.items():
        place = _advance(places.get(table), log)
        if place.pending:
            now, later = place.pending[0], place.pending[1:]
            place = place.model_copy(update={"pending": later})
            found.append(Landing(table=table, watermark=place.watermark, waiting=len(later), **now.model_dump()))
        places[table] = place
    return found, cursor.model_copy(update={"tables": places})


def _advance(place: Place | None, log: TableLog) -> Place:
    """Take what was read in."""
    if place is None or place.table_uuid != log.table_uuid:
        place = Place(table_uuid=log.table_uuid, sequence=0)
    waiting = {pending.hour: pending for pending in place.pending}
    marks = [mark for mark in (place.watermark, *(commit.watermark for commit in log.commits)) if mark is not None]
    for commit in log.commits:
        for hour, rows in sorted(commit.rows.items()):
            waiting[hour] = _more(waiting.get(hour), hour, rows, commit.snapshot_id, commit.committed_at)
    return Place(
        table_uuid=log.table_uuid,
        sequence=max(place.sequence, log.sequence),
        watermark=max(marks, default=None),
        pending=tuple(waiting.values()),
    )


def _more(known: Pending | None, hour: datetime, rows: int, snapshot_id: int, committed_at: datetime) -> Pending:
    total = rows + (known.rows if known else 0)
    return Pending(hour=hour, rows=total, snapshot_id=snapshot_id, committed_at=committed_at)
