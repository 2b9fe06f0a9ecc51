"""Replaces rows of one hour while the stream goes on landing.

One commit deletes the old rows and appends the new ones. A row is changed only if it still is as the caller read it.
Rows that the stream landed, replaced or retracted meanwhile stay as they are, and are returned as overtaken.

1. Load the table, and read which of the rows exist now, with their versions.
2. Leave out those that are not as they were read, and those whose version is not higher. Where the archiver was faster
   with the run's own records, which are on the log too, nothing is left to do.
3. Delete and append in one transaction. Iceberg refuses it when another writer added rows of this hour since: retry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from mmplatform.land.lakehouse.arrow import hour_filter, matching_versions, rows_to_arrow
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import (
    REPLACED_PROPERTY,
    offsets_to_summary,
    read_offsets,
    renewals_to_summary,
    row_version,
)
from mmplatform.modalities import QUARANTINE_TABLE
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)
_RETRY_TIMEOUT_S: Final = 60.0
"""An archiver commits each 15 s by default: after a minute of lost races the hour is under constant write."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Changes to one hour of a table.

    Attributes:
        hour: its start, aware of UTC; only rows with event times in it are changed.
        rows: the rows to write, with or without an existing one of the same id.
        deleted_ids: ids of rows to delete.
        read_versions: sortable version of each existing row when the caller read it, by id; without new rows.
    """

    hour: datetime
    rows: Sequence[Mapping[str, Any]]
    deleted_ids: Sequence[str]
    read_versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReplaceResult:
    """Result of a replacement.

    Attributes:
        written: ids of the rows that were appended.
        deleted: ids of the rows that were only deleted.
        overtaken: ids that another writer wrote or deleted meanwhile; left as they are.
        snapshot_id: of the commit; ``None`` when there was nothing to commit.
    """

    written: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()
    overtaken: frozenset[str] = frozenset()
    snapshot_id: int | None = None


def replace_rows(
    load: Callable[[], Table],
    name: str,
    replacement: Replacement,
    retracted: Callable[[], Mapping[str, str]] = lambda: MappingProxyType({}),
) -> ReplaceResult:
    """Carry out a replacement; retried for a minute while others write the same hour.

    Args:
        load: loads the current state of the table.
        name: of the table.
        replacement: the changes.
        retracted: reads the versions of the retractions; a row needs a higher one.

    Raises:
        Rejected: a value does not fit its column; nothing was changed.
        CommitFailedException: another writer was faster each time; nothing was changed.
        ValidationException: likewise.
    """
    from pyiceberg.exceptions import CommitFailedException, ValidationException

    if not replacement.rows and not replacement.deleted_ids:
        return ReplaceResult()
    retrying = Retrying(
        retry=retry_if_exception_type((CommitFailedException, ValidationException)),
        stop=stop_after_delay(_RETRY_TIMEOUT_S),
        wait=wait_random(0.05, 1.0),
        before_sleep=lambda state: _log.info(
            "rows were written meanwhile: trying again", table=name, attempt=state.attempt_number
        ),
        reraise=True,
    )
    return retrying(lambda: _try_replace(load(), SPECS[name].id_column, replacement, retracted()))


def _try_replace(target: Table, column: str, replacement: Replacement, retracted: Mapping[str, str]) -> ReplaceResult:
    from pyiceberg.expressions import And, In, NotEqualTo

    # 1.
    wanted = {str(row[column]): row for row in replacement.rows}
    ids = {*wanted, *replacement.deleted_ids}
    row_filter = And(hour_filter(replacement.hour), In(column, list(ids)))
    stored = versions = matching_versions(target, row_filter, column)
    if versions and column == SPECS[QUARANTINE_TABLE].id_column:
        # The caller has not read rows that only say that an event is no longer quarantined.
        versions = matching_versions(target, And(row_filter, NotEqualTo("kind", "released")), column)
    floors = {row_id: max(stored.get(row_id, NO_VERSION), retracted.get(row_id, NO_VERSION)) for row_id in wanted}
    # 2.
    settled = {row_id for row_id, row in wanted.items() if row_version(row) == versions.get(row_id)}
    settled |= {row_id for row_id in replacement.deleted_ids if row_id not in versions}
    overtaken = frozenset(
        row_id
        for row_id in ids - settled
        if versions.get(row_id) != replacement.read_versions.get(row_id)
        or (row_id in wanted and row_version(wanted[row_id]) <= floors[row_id])
    )
    done = frozenset(wanted) & settled, frozenset(replacement.deleted_ids) & settled
    rows = {row_id: row for row_id, row in wanted.items() if row_id not in overtaken | settled}
    deleted = frozenset(replacement.deleted_ids) - overtaken - settled
    outgoing = [row_id for row_id in (*rows, *deleted) if row_id in stored]
    if not rows and not outgoing:
        return ReplaceResult(*done, overtaken)
    # 3.
    data = rows_to_arrow(target, list(rows.values()))
    # Without it an older summary would be the newest one with the landed offsets.
    summary = (
        offsets_to_summary(read_offsets(target))
        | {REPLACED_PROPERTY: replacement.hour.isoformat()}
        | renewals_to_summary(data, column, outgoing)
    )
    with target.transaction() as commit:
        if outgoing:
            commit.delete(And(hour_filter(replacement.hour), In(column, outgoing)), snapshot_properties=summary)
        if rows:
            commit.append(data, snapshot_properties=summary)
    snapshot = target.current_snapshot()
    return ReplaceResult(
        frozenset(rows) | done[0], deleted | done[1], overtaken, snapshot.snapshot_id if snapshot is not None else None
    )
