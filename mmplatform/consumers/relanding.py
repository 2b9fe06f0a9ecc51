"""The lakehouse from the log again, when it was lost: what the archiver had landed is read and landed once more.

The stream goes on meanwhile. Up to where the archiver has committed, the records are ours; behind that they are its
own. So each is landed by one of the two. What the table has already, or has of a later place on the log, is left alone:
run again, it goes on, and on a lakehouse that lacks nothing it changes nothing.

What reprocessing runs made anew is on no log: those hours must be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import structlog

from mmplatform.consumers.archiver import TOPICS, Sorted, sort_by_table
from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.ingest.replay_log import ReplayLog
from mmplatform.ingest.topics import topic_name
from mmplatform.land.lakehouse import Lakehouse
from mmplatform.land.landed import Placed
from mmplatform.land.schemas import SPECS
from mmplatform.modalities import ARCHIVE_GROUP, TABLES
from mmplatform.pipeline.process import ConsumedRecord
from mmplatform.settings import Settings

SOURCE: Final = "relanding"
"""Who reads the log, in the summaries of the commits; the archiver's own offsets stay as they are."""

_BATCH: Final = 5_000
_log = structlog.get_logger(__name__)

Told = Callable[[str, int, int], None]
"""Called with a topic, its records that were read, and all of them."""


@dataclass(frozen=True, slots=True)
class Relanded:
    """What became of the log: records read, rows landed, and records from the beginning that the log has no more."""

    read: int = 0
    rows: int = 0
    expired: int = 0

    def __add__(self, other: Relanded) -> Relanded:
        return Relanded(self.read + other.read, self.rows + other.rows, self.expired + other.expired)


def reland(
    settings: Settings,
    lakehouse: Lakehouse,
    log: ReplayLog,
    told: Told = lambda topic, done, of: None,  # noqa: ARG005 - names say what it is told
) -> Relanded:
    """Land everything that the archiver has committed.

    Raises:
        Unavailable: the log or the lakehouse does not answer; what was landed stays, and it can be run again.
        Misconfigured: a topic is not there.
    """
    lakehouse.ensure_tables()
    known = {table: _latest(lakehouse, table) for table in TABLES}
    done = Relanded()
    group = f"{settings.topic_prefix}{ARCHIVE_GROUP}"
    for topic in TOPICS:
        name = topic_name(settings, topic)
        marks = log.watermarks([name])[name]
        ends = {number: place.next for number, place in log.progress(group, [name])[name].items()}
        records = sum(max(end - marks[number].low, 0) for number, end in ends.items())
        done += Relanded(expired=sum(mark.low for mark in marks.values()))
        seen = 0
        for batch in _batches(settings, log, name, ends):
            seen += len(batch)
            done += Relanded(read=len(batch), rows=_land(lakehouse, sort_by_table(batch), known))
            told(topic, seen, records)
    return done


def _batches(settings: Settings, log: ReplayLog, name: str, ends: Mapping[int, int]) -> Iterator[list[ConsumedRecord]]:
    now = utc_now()
    bare = name.removeprefix(settings.topic_prefix)
    records = (
        ConsumedRecord(entry.position.model_copy(update={"topic": bare}), entry.value, now)
        for entry in log.read(name, until=ends)
    )
    while batch := list(islice(records, _BATCH)):
        yield batch


def _land(lakehouse: Lakehouse, batch: Sorted, known: Mapping[str, Mapping[str, int]]) -> int:
    """As the archiver lands a batch, but for what has a row already."""
    for table, before in batch.gone.items():
        # What was made anew since, by the stream or by a reprocessing run, stays.
        lakehouse.remove(table, {each: at for each, at in before.items() if known[table].get(each, -1) < at})
    rows = 0
    for table, placed in batch.rows.items():
        column = SPECS[table].id_column
        # A row that was replaced has a later place: of two with one id, the one that is there counts.
        missing = [each for each in placed if known[table].get(each[1][column], -1) < each[0].offset]
        rows += _append(lakehouse, table, missing)
    return rows


def _append(lakehouse: Lakehouse, table: str, rows: Sequence[Placed]) -> int:
    if not rows:
        return 0
    try:
        return lakehouse.append(table, rows, offsets={}, source=SOURCE)
    except Rejected as error:
        unfit = {position for position, _ in lakehouse.unfit(table, rows)}
        # The archiver has written dead letters for them, the first time.
        _log.warning("rows that do not fit are left out", table=table, rows=len(unfit), reason=str(error))
    good = [placed for placed in rows if placed[0] not in unfit]
    return lakehouse.append(table, good, offsets={}, source=SOURCE)


def _latest(lakehouse: Lakehouse, table: str) -> dict[str, int]:
    """The place of each id that the table has; one that a reprocessing run made (it has none) counts as the latest."""
    column = SPECS[table].id_column
    found = lakehouse.scan(table, columns=(column, "log_offset"))
    ids: list[Any] = found.column(column).to_pylist()
    offsets: list[Any] = found.column("log_offset").to_pylist()
    return {row_id: offset if offset >= 0 else 2**63 for row_id, offset in zip(ids, offsets, strict=True)}
