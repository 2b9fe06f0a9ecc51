"""Raw rows from which an hour is derived: of a conversation all rows, whatever hour they are of.

A message may be edited days later, so all rows of the hour's chats are read, by their ids. A word of a call depends on
the speech before it. No row says when its call began or ended. So:

1. Read the hour and its neighbours.
2. A call is complete when its end declares the number of chunks, and all of them are among these rows.
3. A call whose chunks are present from the first on, without a hole, began here: missing ones come later.
4. Any other call is read from the whole table, by its id. So is a call of step 3 that still lacks chunks after the
   later rows: they may have an earlier event time than their neighbours.

So the rows read grow with the hour, not with the table, except for calls longer than an hour or with a hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mmplatform.errors import Rejected
from mmplatform.events import CallEnd
from mmplatform.identity import conversation_of_key
from mmplatform.land.lakehouse.catalog import catalog_errors
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.row_codec import row_to_event
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CALL, CHAT, ModalitySpec
from mmplatform.pipeline.identity_ledger import MAX_RECORDS
from mmplatform.pipeline.reprocess.rederive import row_conversation

Row = dict[str, Any]


def read_raw_rows(
    lakehouse: Lakehouse, spec: ModalitySpec, hour: datetime, stored_conversations: Iterable[str]
) -> list[Row]:
    """Rows of the raw table.

    Args:
        lakehouse: the tables.
        spec: the modality.
        hour: its start, aware of UTC.
        stored_conversations: keys of conversations with derived rows in the hour, whatever hour their events are of.

    Raises:
        Unavailable: the catalog or its store does not answer.
    """
    if spec is not CALL:
        rows = list(lakehouse.scan(spec.raw_table, hour=hour).to_pylist())
        return _with_conversations(lakehouse, spec, rows, stored_conversations) if spec is CHAT else rows
    # 1.
    rows_by_call: dict[str, list[Row]] = defaultdict(list, {call_id: [] for call_id in stored_conversations})
    for neighbour in (hour - HOUR, hour, hour + HOUR):
        for row in lakehouse.scan(spec.raw_table, hour=neighbour).to_pylist():
            rows_by_call[row_conversation(row)].append(row)
    # 2.
    found = {row["raw_id"]: row for rows in rows_by_call.values() for row in rows}
    open_calls = {call_id: rows for call_id, rows in rows_by_call.items() if not _is_complete(rows)}
    # 3.
    started = sorted(call_id for call_id, rows in open_calls.items() if _has_start(rows))
    if started:
        since = hour + 2 * HOUR
        later = lakehouse.scan(spec.raw_table, conversations=_conversation_ids(started), since=since)
        found |= _rows_of(later.to_pylist(), started)
    # 4.
    others = sorted(open_calls.keys() - set(started) | _incomplete_calls(found.values(), started))
    if others:
        everywhere = lakehouse.scan(spec.raw_table, conversations=_conversation_ids(others))
        found |= _rows_of(everywhere.to_pylist(), others)
    return list(found.values())


def _with_conversations(
    lakehouse: Lakehouse, spec: ModalitySpec, rows: Sequence[Row], stored_conversations: Iterable[str]
) -> list[Row]:
    """These rows, and all others of their conversations."""
    conversations = sorted({row_conversation(row) for row in rows} | set(stored_conversations))
    if not conversations:
        return list(rows)
    everywhere = lakehouse.scan(spec.raw_table, conversations=_conversation_ids(conversations))
    return list(({row["raw_id"]: row for row in rows} | _rows_of(everywhere.to_pylist(), set(conversations))).values())


def read_other_contents(lakehouse: Lakehouse, spec: ModalitySpec, rows: Sequence[Row]) -> list[Row]:
    """Rows of other hours with the identity of one of these and another content, for the identity ledger.

    The archiver appends in the order of the log, so that the offsets leave out nearly all files.
    """
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

    if not rows:
        return []
    offsets = [row["log_offset"] for row in rows]
    nearby = And(
        GreaterThanOrEqual("log_offset", max(min(offsets) - MAX_RECORDS, 0)), LessThan("log_offset", max(offsets))
    )
    with catalog_errors(f"read {spec.raw_table}"):
        table = lakehouse.table(spec.raw_table)
        found = table.scan(row_filter=nearby, selected_fields=("raw_id", "event_uid", "log_offset")).to_arrow()
    identities, ids = {row["event_uid"] for row in rows}, {row["raw_id"] for row in rows}
    others = {
        str(raw_id)
        for raw_id, uid in zip(found["raw_id"].to_pylist(), found["event_uid"].to_pylist(), strict=True)
        if uid in identities and raw_id not in ids
    }
    return list(lakehouse.scan(spec.raw_table, ids=sorted(others)).to_pylist()) if others else []


def _rows_of(rows: Iterable[Row], calls: Collection[str]) -> dict[str, Row]:
    """Rows of these calls by id: another source may name a call alike."""
    return {row["raw_id"]: row for row in rows if row_conversation(row) in calls}


def _conversation_ids(calls: Iterable[str]) -> list[str]:
    return sorted({conversation_of_key(call) for call in calls})


def _incomplete_calls(found: Iterable[Row], calls: Iterable[str]) -> set[str]:
    """Calls that have a hole, or whose end declares more chunks than are found."""
    rows: dict[str, list[Row]] = {call: [] for call in calls}
    for row in found:
        if row_conversation(row) in rows:
            rows[row_conversation(row)].append(row)
    return {
        call
        for call, call_rows in rows.items()
        if not (_has_start(call_rows) and (_is_complete(call_rows) or not _declared_counts(call_rows)))
    }


def _is_complete(rows: Sequence[Mapping[str, Any]]) -> bool:
    counts = _declared_counts(rows)
    return len(counts) == 1 and _chunk_indices(rows) == set(range(*counts))


def _declared_counts(rows: Sequence[Mapping[str, Any]]) -> set[int]:
    return {count for row in rows if row["kind"] == "call_end" and (count := _declared_count(row)) is not None}


def _has_start(rows: Sequence[Mapping[str, Any]]) -> bool:
    indices = _chunk_indices(rows)
    return bool(indices) and indices == set(range(len(indices)))


def _chunk_indices(rows: Sequence[Mapping[str, Any]]) -> set[int]:
    return {int(row["chunk_index"]) for row in rows if row["chunk_index"] is not None}


def _declared_count(row: Mapping[str, Any]) -> int | None:
    """The number of chunks that the call's end declares; it has no column of its own."""
    try:
        event = row_to_event(dict(row))
    except Rejected:
        return None
    return event.chunks if isinstance(event, CallEnd) else None
