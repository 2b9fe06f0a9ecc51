"""What a table says of itself that lets a row be appended once: the log's offsets, and the ids of its newest rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mmplatform.events import Position
from mmplatform.land.lakehouse.hour_partition import hour_at, hour_number

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

Offsets = Mapping[tuple[str, int], int]
Placed = tuple[Position, dict[str, Any]]

_PREFIX: Final = "mmplatform.offsets."
REPLACED: Final = "mmplatform.replaced"
"""In the summary of a snapshot that put rows in the place of others: the hour of their event times."""

RENEWED: Final = "mmplatform.renewed"
"""In the summary of an append: how many of its rows replaced one with their id, by the hours from 1970 to theirs."""

_VERSION: Final = ("deriver_version", "model_version", "text")
_READ: Final = 32
"""Snapshots that are merged: writers at the same table overtake each other by as many commits as they retry at most."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What one commit wrote: new rows, and the bytes and number of their files; nothing when there were none.

    Attributes:
        snapshot_id: the snapshot that holds them.
        location: the table's folder.
    """

    rows: int = 0
    size: int = 0
    files: int = 0
    snapshot_id: int | None = None
    location: str = ""


def landed_in(table: Table, rows: int) -> Landed:
    """What the newest commit of a table wrote, from its summary; ``table`` is as that commit left it."""
    snapshot = table.current_snapshot()
    told = snapshot.summary.additional_properties if snapshot is not None and snapshot.summary else {}
    return Landed(
        rows=rows,
        size=int(told.get("added-files-size", 0)),
        files=int(told.get("added-data-files", 0)),
        snapshot_id=snapshot.snapshot_id if snapshot is not None else None,
        location=table.location(),
    )


def not_landed(rows: Iterable[Placed], landed: Offsets) -> list[Placed]:
    """The rows that lie beyond what the table holds already."""
    return [
        (position, row)
        for position, row in rows
        if position.offset >= landed.get((position.topic, position.topic_partition), 0)
    ]


def offsets_of(table: Table) -> dict[str, dict[tuple[str, int], int]]:
    """How far each source's log is in the table, the furthest of the newest snapshots that say it.

    One snapshot is not enough: when two writers append at once, the slower one's summary was made before the quicker
    one's commit and does not know of it.
    """
    found: dict[str, dict[tuple[str, int], int]] = {}
    read = 0
    for snapshot in _newest_first(table):
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        told = {key.removeprefix(_PREFIX): text for key, text in summary.items() if key.startswith(_PREFIX)}
        for source, text in told.items():
            found[source] = furthest(found.get(source, {}), _parse(text))
        read += bool(told)
        if read == _READ:
            break
    return found


def furthest(one: Offsets, other: Offsets) -> dict[tuple[str, int], int]:
    """Offsets never go back: a replay reads what is behind us."""
    return {place: max(one.get(place, 0), other.get(place, 0)) for place in {**one, **other}}


def summary_of(offsets: Mapping[str, Offsets]) -> dict[str, str]:
    """The properties of a snapshot that say how far each source's log is in the table."""
    found: dict[str, str] = {}
    for source, places in offsets.items():
        topics: dict[str, dict[str, int]] = {}
        for (topic, number), offset in sorted(places.items()):
            topics.setdefault(topic, {})[str(number)] = offset
        found[f"{_PREFIX}{source}"] = json.dumps(topics, separators=(",", ":"))
    return found


def renewed_in(data: pa.Table, column: str, there: Iterable[str]) -> dict[str, str]:
    """The property that says how many of the rows to append replace one of those that are ``there``, by their ids."""
    known = set(there)
    pairs = zip(data.column(column).to_pylist(), data.column("event_time").to_pylist(), strict=True)
    hours = Counter(hour_number(at) for row_id, at in pairs if row_id in known and at is not None)
    return {RENEWED: json.dumps(dict(sorted(hours.items())), separators=(",", ":"))} if hours else {}


def renewed_of(snapshot: Snapshot) -> dict[int, int]:
    """What :func:`renewed_in` said of a snapshot's rows."""
    text = snapshot.summary.additional_properties.get(RENEWED) if snapshot.summary is not None else None
    return {int(hour): int(rows) for hour, rows in json.loads(text).items()} if text else {}


def replaced_since(table: Table, snapshot_id: int | None) -> bool:
    """Whether rows were replaced after a snapshot; of its ancestors as many are read as came after it."""
    for snapshot in _newest_first(table):
        if snapshot.snapshot_id == snapshot_id:
            return False
        if snapshot.summary is not None and REPLACED in snapshot.summary.additional_properties:
            return True
    return False


def version_of(row: Mapping[str, Any]) -> bytes:
    """What tells a row from another one with its id: who made it, and what it says; an event has one version only.

    A text that changed counts although nothing else did: the half of a card number that the next breath gave away is
    said again with more of it hidden, and must replace what was said before.
    """
    if _VERSION[0] not in row:
        return b""
    told = "\x1f".join(str(row.get(column) or "") for column in _VERSION)
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def newest_ids(table: Table, column: str, most: int) -> OrderedDict[str, bytes]:
    """The version of each of the newest rows by id, oldest first; only the files of their hours are read."""
    if table.current_snapshot() is None:
        return OrderedDict()
    from pyiceberg.expressions import GreaterThanOrEqual

    names = {field.name for field in table.schema().fields}
    versions = _VERSION if _VERSION[0] in names else ()
    recent = GreaterThanOrEqual("event_time", _since(table, most).isoformat())
    rows = table.scan(row_filter=recent, selected_fields=(column, "event_time", "log_offset", *versions)).to_arrow()
    ordered = rows.sort_by([("event_time", "ascending"), ("log_offset", "ascending")]).select([column, *versions])
    newest = ordered.slice(max(0, ordered.num_rows - most)).to_pylist()
    return OrderedDict((str(row[column]), version_of(row)) for row in newest)


def _since(table: Table, most: int) -> datetime:
    """The start of the hour from which on there are at least so many rows, by the counts in the manifests."""
    files = ((int(task.file.partition[0]), task.file.record_count) for task in table.scan().plan_files())
    hour, rows = 0, 0
    for hour, count in sorted(files, reverse=True):  # noqa: B007 - the last hour that was needed
        rows += count
        if rows >= most:
            break
    return hour_at(hour)


def _newest_first(table: Table) -> Iterator[Snapshot]:
    snapshot = table.current_snapshot()
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent is not None else None


def _parse(text: str) -> dict[tuple[str, int], int]:
    return {
        (topic, int(number)): offset for topic, parts in json.loads(text).items() for number, offset in parts.items()
    }
