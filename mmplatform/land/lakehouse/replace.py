"""Rows of one hour put in the place of others, beside a stream that goes on landing.

All in one commit: what takes the old rows out, and what appends the new ones. A row is touched only if it still is as
the caller read it. What the stream landed, replaced or took back meanwhile stays as the stream left it, and is named.

1. Load the table, and look which of the rows are there now, and where on the log they lie.
2. Leave out those that are not as they were read.
3. Delete and append in one transaction. Iceberg refuses it when somebody wrote rows of this hour since: again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from mmplatform.land.lakehouse.arrow import arrow_of, within_hour
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import REPLACED, offsets_of, renewed_in, summary_of

if TYPE_CHECKING:
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)
_PATIENCE_S: Final = 60.0
"""An archiver commits each 15 s by default: over a minute somebody else is always quicker."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What to change in one hour of a table.

    Attributes:
        hour: its start, aware of UTC; only rows with event times in it are touched.
        rows: to be there afterwards, whether there was one with their id or not.
        gone: ids of rows to take out.
        read: where on the log each row lay when the caller read it (``log_offset``), by id; of new rows nothing.
    """

    hour: datetime
    rows: Sequence[Mapping[str, Any]]
    gone: Sequence[str]
    read: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Replaced:
    """What became of it.

    Attributes:
        written: ids of the rows that were appended.
        gone: ids of those that were only taken out.
        overtaken: ids that somebody else wrote or took out meanwhile; left as they are.
        snapshot_id: of the commit; ``None`` when there was nothing to commit.
    """

    written: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    overtaken: frozenset[str] = frozenset()
    snapshot_id: int | None = None


def replace_rows(load: Callable[[], Table], name: str, replacement: Replacement) -> Replaced:
    """Carry it out; tried again for a minute while others write the same hour.

    Raises:
        Rejected: a value does not fit its column; nothing was changed.
        CommitFailedException: somebody else was quicker each time; nothing was changed.
        ValidationException: likewise.
    """
    from pyiceberg.exceptions import CommitFailedException, ValidationException

    if not replacement.rows and not replacement.gone:
        return Replaced()
    patience = Retrying(
        retry=retry_if_exception_type((CommitFailedException, ValidationException)),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_random(0.05, 1.0),
        before_sleep=lambda state: _log.info("rows written meanwhile: again", table=name, attempt=state.attempt_number),
        reraise=True,
    )
    return patience(lambda: _once(load(), SPECS[name].id_column, replacement))


def _once(target: Table, column: str, asked: Replacement) -> Replaced:
    from pyiceberg.expressions import And, In

    # 1.
    wanted = {str(row[column]): row for row in asked.rows}
    ids = {*wanted, *asked.gone}
    there = _places(target, column, ids, asked.hour)
    # 2.
    overtaken = frozenset(each for each in ids if there.get(each) != asked.read.get(each))
    rows = {each: row for each, row in wanted.items() if each not in overtaken}
    gone = frozenset(asked.gone) - overtaken
    out = [each for each in (*rows, *gone) if each in there]
    if not rows and not out:
        return Replaced(overtaken=overtaken)
    # 3.
    data = arrow_of(target, list(rows.values()))
    # An older summary must not be the newest one that says how far the log is in the table.
    summary = summary_of(offsets_of(target)) | {REPLACED: asked.hour.isoformat()} | renewed_in(data, column, out)
    with target.transaction() as commit:
        if out:
            commit.delete(And(within_hour(asked.hour), In(column, out)), snapshot_properties=summary)
        if rows:
            commit.append(data, snapshot_properties=summary)
    snapshot = target.current_snapshot()
    return Replaced(frozenset(rows), gone, overtaken, snapshot.snapshot_id if snapshot is not None else None)


def _places(target: Table, column: str, ids: Iterable[str], hour: datetime) -> dict[str, int]:
    """Where on the log the rows lie that are there, the furthest where there are several of one id."""
    from pyiceberg.expressions import And, In

    asked = And(within_hour(hour), In(column, list(ids)))
    found = target.scan(row_filter=asked, selected_fields=(column, "log_offset")).to_arrow()
    places: dict[str, int] = {}
    for row in found.to_pylist():
        places[row[column]] = max(places.get(row[column], row["log_offset"]), row["log_offset"])
    return places
