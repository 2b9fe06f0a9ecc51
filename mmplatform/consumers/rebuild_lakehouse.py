"""Rebuilds a lost lakehouse from the log: reads the records that the archiver had landed, and lands what is missing.

The stream goes on meanwhile. Records up to the archiver's committed offsets at the start are landed here, later ones by
the archiver. Of two versions of one row the higher one stays, and a retraction is a version, so the order of the two
does not matter. The rebuild can be run again: it continues, and changes nothing where nothing is missing.

Changes of reprocessing runs are on the log as well, so that nothing has to be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

import structlog

from mmplatform.consumers.archiver import TOPICS, BatchByTable, group_by_table
from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.kafka.headers import log_generation
from mmplatform.kafka.reader import ReadBound, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.lakehouse.snapshot_offsets import PositionedRow
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, RETRACTIONS_TABLE
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.settings import Settings

_BATCH_SIZE: Final = 5_000
_log = structlog.get_logger(__name__)

T = TypeVar("T")
TopicProgress = Callable[[str, int, int], None]
"""Called with a topic, the number of its records read, and their total."""


@dataclass(frozen=True, slots=True)
class LakehouseRebuildResult:
    """Counts of a rebuild: records read, rows landed, and records that the log has expired."""

    read: int = 0
    rows: int = 0
    expired: int = 0

    def __add__(self, other: LakehouseRebuildResult) -> LakehouseRebuildResult:
        return LakehouseRebuildResult(self.read + other.read, self.rows + other.rows, self.expired + other.expired)


def rebuild_from_log(
    settings: Settings,
    lakehouse: Lakehouse,
    log: ReplayLog,
    progress: TopicProgress = lambda topic, result, total: None,  # noqa: ARG005 - names of the arguments
) -> LakehouseRebuildResult:
    """Land again all records that the archiver has committed.

    Raises:
        Unavailable: the log or the lakehouse does not answer; landed rows stay, and it can be run again.
        Misconfigured: a topic is missing.
    """
    lakehouse.ensure_tables()
    group = f"{settings.topic_prefix}{ARCHIVE_GROUP}"
    names = {topic: topic_name(settings, topic) for topic in TOPICS}
    watermarks = log.watermarks(names.values())
    ends = {
        name: {number: partition.next_offset for number, partition in partitions.items()}
        for name, partitions in log.progress(group, names.values()).items()
    }
    result = LakehouseRebuildResult(
        expired=sum(watermark.low for partitions in watermarks.values() for watermark in partitions.values())
    )
    for topic, name in names.items():
        total = sum(max(end - watermarks[name][number].low, 0) for number, end in ends[name].items())
        read = 0
        for batch in _batches(_records(settings, log, name, ends[name]), _BATCH_SIZE):
            read += len(batch)
            result += LakehouseRebuildResult(read=len(batch), rows=_land(lakehouse, group_by_table(batch)))
            progress(topic, read, total)
    return result


def _records(settings: Settings, log: ReplayLog, name: str, until: ReadBound) -> Iterator[ConsumedRecord]:
    now = utc_now()
    bare = name.removeprefix(settings.topic_prefix)
    for entry in log.read(name, None, until):
        position = entry.position.model_copy(update={"topic": bare, "generation": log_generation(entry.headers)})
        yield ConsumedRecord(position, entry.value, now, headers=entry.headers, logged_at=entry.timestamp)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _land(lakehouse: Lakehouse, batch: BatchByTable) -> int:
    """Land a batch as the archiver does, without rows that exist already; returns the number of landed rows."""
    # The retractions first: a writer that lands a retracted row meanwhile finds them, or has its row deleted.
    retractions = batch.rows.get(RETRACTIONS_TABLE, ())
    landed = _restore(lakehouse, RETRACTIONS_TABLE, retractions) if retractions else 0
    for table, versions in batch.retracted.items():
        lakehouse.delete_through(table, versions)
    others = {table: positioned for table, positioned in batch.rows.items() if table != RETRACTIONS_TABLE}
    return landed + sum(_restore(lakehouse, table, positioned) for table, positioned in others.items())


def _restore(lakehouse: Lakehouse, table: str, rows: Sequence[PositionedRow]) -> int:
    try:
        return lakehouse.restore(table, rows)
    except Rejected as error:
        unfit = {position for position, _ in lakehouse.unfit_rows(table, rows)}
        # The archiver wrote their dead letters the first time.
        _log.warning("rows that do not fit are left out", table=table, rows=len(unfit), reason=str(error))
    return lakehouse.restore(table, [positioned for positioned in rows if positioned[0] not in unfit])
