"""The raw rows that an hour is derived from. Of a call all that there are, for a word hangs on what was said before it.

Nothing in a row says when its call began or ended. So:

1. Read the hour and its neighbours.
2. A call is whole when its end says how many pieces it has, and all of them are among these rows: done.
3. A call whose pieces are there from the first on, without a hole, began here: what is missing of it comes later.
4. Any other call is looked for in the whole table, by its id; so is one of step 3 that, with what came later, is known
   to lack pieces: they may bear an earlier time than their neighbours.

So what is read grows with the hour, and not with the table, but for calls that are longer than an hour or have a hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mmplatform.errors import Rejected
from mmplatform.events import CallEnd
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.row_codec import event_of
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CALL, ModalitySpec

Row = dict[str, Any]


def raw_rows(lakehouse: Lakehouse, spec: ModalitySpec, hour: datetime, held: Iterable[str]) -> list[Row]:
    """Rows of the raw table.

    Args:
        lakehouse: where they lie.
        spec: the modality.
        hour: its start, aware of UTC.
        held: calls that have derived rows in the hour, whatever hour their events are of.

    Raises:
        Unavailable: the catalog or its store does not answer.
    """
    if spec is not CALL:
        return list(lakehouse.scan(spec.raw_table, hour=hour).to_pylist())
    # 1.
    near: dict[str, list[Row]] = defaultdict(list, {each: [] for each in held})
    for each in (hour - HOUR, hour, hour + HOUR):
        for row in lakehouse.scan(spec.raw_table, hour=each).to_pylist():
            near[row["conversation_id"]].append(row)
    # 2.
    found = {row["event_id"]: row for rows in near.values() for row in rows}
    open_calls = {each: rows for each, rows in near.items() if not _whole(rows)}
    # 3.
    began = sorted(each for each, rows in open_calls.items() if _begins(rows))
    if began:
        since = hour + 2 * HOUR
        later = lakehouse.scan(spec.raw_table, conversations=began, since=since)
        found |= {row["event_id"]: row for row in later.to_pylist()}
    # 4.
    others = sorted(open_calls.keys() - set(began) | _lacking(found.values(), began))
    if others:
        anywhere = lakehouse.scan(spec.raw_table, conversations=others)
        found |= {row["event_id"]: row for row in anywhere.to_pylist()}
    return list(found.values())


def _lacking(found: Iterable[Row], calls: Iterable[str]) -> set[str]:
    """Those of some calls that have a hole, or an end that says more pieces than there are."""
    rows: dict[str, list[Row]] = {each: [] for each in calls}
    for row in found:
        if row["conversation_id"] in rows:
            rows[row["conversation_id"]].append(row)
    return {each for each, its in rows.items() if not (_begins(its) and (_whole(its) or not _counts(its)))}


def _whole(rows: Sequence[Mapping[str, Any]]) -> bool:
    counts = _counts(rows)
    return len(counts) == 1 and _indices(rows) == set(range(*counts))


def _counts(rows: Sequence[Mapping[str, Any]]) -> set[int]:
    return {count for row in rows if row["kind"] == "call_end" and (count := _said(row)) is not None}


def _begins(rows: Sequence[Mapping[str, Any]]) -> bool:
    indices = _indices(rows)
    return bool(indices) and indices == set(range(len(indices)))


def _indices(rows: Sequence[Mapping[str, Any]]) -> set[int]:
    return {int(row["chunk_index"]) for row in rows if row["chunk_index"] is not None}


def _said(row: Mapping[str, Any]) -> int | None:
    """How many pieces the end says there are; it has no column of its own."""
    try:
        event = event_of(dict(row))
    except Rejected:
        return None
    return event.chunks if isinstance(event, CallEnd) else None
