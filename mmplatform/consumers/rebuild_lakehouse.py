"""Rebuilds a lost lakehouse from the log: reads and lands again the records that the archiver had landed.

The stream goes on meanwhile. Records up to the archiver's committed offsets at the start are landed here, later ones by
the archiver, so that each is landed by one of the two. A row that the table has already, or has from a later position,
is left alone. The rebuild can be run again: it continues, and changes nothing where nothing is missing.

1. Read the retractions up to those offsets. A row before its retraction is not landed, and is deleted where an
   interrupted run has left it.
2. Read each topic up to those offsets, and land the missing rows.
3. The archiver may have applied a retraction before its row was landed here. So read the newer artifacts to the end,
   and delete the rows that they retract. Later retractions find the rows.

Changes of reprocessing runs are not on the log: reprocess those hours again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

import structlog

from mmplatform.artifacts import Retraction, decode_artifact
from mmplatform.consumers.archiver import TOPICS, BatchByTable, group_by_table
from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.kafka.reader import ReadBound, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.lakehouse.row_codec import retraction_tables
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import PositionedRow
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC
from mmplatform.pipeline.process import ConsumedRecord
from mmplatform.settings import Settings

_BATCH_SIZE: Final = 5_000
_log = structlog.get_logger(__name__)

T = TypeVar("T")
Retractions = Mapping[str, Mapping[str, int]]
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
        name: {number: place.next_offset for number, place in partitions.items()}
        for name, partitions in log.progress(group, names.values()).items()
    }
    artifacts = names[ARTIFACTS_TOPIC]
    # 1.
    retractions = _find_retractions(_records(settings, log, artifacts, None, ends[artifacts]))
    _remove_retracted(lakehouse, retractions)
    # 2.
    result = LakehouseRebuildResult(
        expired=sum(watermark.low for partitions in watermarks.values() for watermark in partitions.values())
    )
    for topic, name in names.items():
        total = sum(max(end - watermarks[name][number].low, 0) for number, end in ends[name].items())
        read = 0
        for batch in _batches(_records(settings, log, name, None, ends[name]), _BATCH_SIZE):
            read += len(batch)
            result += LakehouseRebuildResult(read=len(batch), rows=_land(lakehouse, group_by_table(batch), retractions))
            progress(topic, read, total)
    # 3.
    _remove_retracted(lakehouse, _find_retractions(_records(settings, log, artifacts, ends[artifacts], None)))
    return result


def _records(
    settings: Settings, log: ReplayLog, name: str, since: ReadBound, until: ReadBound
) -> Iterator[ConsumedRecord]:
    now = utc_now()
    bare = name.removeprefix(settings.topic_prefix)
    for entry in log.read(name, since, until):
        yield ConsumedRecord(entry.position.model_copy(update={"topic": bare}), entry.value, now)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _find_retractions(records: Iterable[ConsumedRecord]) -> Retractions:
    """Retracted ids by table, each with the offset of its last retraction."""
    retractions: dict[str, dict[str, int]] = defaultdict(dict)
    for record in records:
        try:
            artifact = decode_artifact(record.value)
        except Rejected:  # the indexer has reported it
            continue
        if isinstance(artifact, Retraction):
            for table in retraction_tables(artifact):
                retractions[table][artifact.artifact_id] = max(
                    retractions[table].get(artifact.artifact_id, -1), record.position.offset
                )
    return retractions


def _remove_retracted(lakehouse: Lakehouse, retractions: Retractions) -> None:
    for table, offsets in retractions.items():
        column = SPECS[table].id_column
        for ids in _batches(offsets, _BATCH_SIZE):
            rows = lakehouse.scan(table, ids=ids, columns=(column, "log_offset")).to_pylist()
            before = {row[column]: offsets[row[column]] for row in rows}
            # Rows of a reprocessing run have no offset, and stay.
            older = {row[column] for row in rows if 0 <= row["log_offset"] < before[row[column]]}
            lakehouse.delete_before(table, {row_id: offset for row_id, offset in before.items() if row_id in older})


def _land(lakehouse: Lakehouse, batch: BatchByTable, retractions: Retractions) -> int:
    """Land a batch as the archiver does, without rows that were retracted since or exist already."""
    rows = 0
    for table, placed in batch.rows.items():
        column, retracted = SPECS[table].id_column, retractions.get(table, {})
        rows += _restore(lakehouse, table, [row for row in placed if retracted.get(row[1][column], -1) < row[0].offset])
    return rows


def _restore(lakehouse: Lakehouse, table: str, rows: Sequence[PositionedRow]) -> int:
    try:
        return lakehouse.restore(table, rows)
    except Rejected as error:
        unfit = {position for position, _ in lakehouse.unfit_rows(table, rows)}
        # The archiver wrote their dead letters the first time.
        _log.warning("rows that do not fit are left out", table=table, rows=len(unfit), reason=str(error))
    return lakehouse.restore(table, [placed for placed in rows if placed[0] not in unfit])
