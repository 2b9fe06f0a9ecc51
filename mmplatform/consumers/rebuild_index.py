"""Rebuilds a lost index from the lakehouse: the rows of ``passages`` have their vectors, so no model runs.

1. Store the tombstones of recent retractions, then write every passage of the lakehouse, hour by hour, with its
   archived vector.
2. Apply passages and retractions from the log from the archiver's committed offsets on.
3. The indexer runs meanwhile, and step 1 may have written between its check and its write. So read the newer records of
   the log for the ids that were written here, until there are none. As everywhere the higher version stays.

:mod:`mmplatform.consumers.rebuild_bucket` does the same for the candidate of one bucket.

A model runs only for passages of another embedder than the serving one, and only for texts that the memo lacks. A
passage that is in neither lakehouse nor log is not deleted: empty an index that may hold wrong ones first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from mmplatform.artifacts import Artifact, Passage, Retraction, Vector, decode_artifact
from mmplatform.buckets import BUCKET_NAMES, bucket_name
from mmplatform.consumers.indexer import newest_per_id, upsert
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.events import utc_now
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.index.tombstones import RETENTION
from mmplatform.land.lakehouse.hour_partition import hour_number, hour_start
from mmplatform.land.lakehouse.row_codec import row_to_artifact
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, PASSAGES_TABLE, RETRACTIONS_TABLE
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.factories import open_memo, open_space_embedder, resolve_space, vector_length
from mmplatform.ports import Embedder
from mmplatform.settings import Settings

T = TypeVar("T")
_BATCH_SIZE: Final = 200
_MAX_ROUNDS: Final = 20

NextOffsets = Mapping[int, int]
"""The next offset of the artifacts' topic to read, by topic partition."""

PassageProgress = Callable[[int, int], None]
"""Called with the number of passages written, and their total."""


@dataclass(slots=True)
class IndexRebuildResult:
    """Counts of an index rebuild.

    Attributes:
        passages: passages written from the lakehouse.
        from_log: records of the log that the archiver had not committed, or that arrived meanwhile.
        refused: passages that the index refused.
        embedded: texts that a model embedded.
    """

    passages: int = 0
    from_log: int = 0
    refused: int = 0
    embedded: int = 0


class _CountingEmbedder:
    """Embedder that counts its texts."""

    def __init__(self, embedder: Embedder, result: IndexRebuildResult) -> None:
        self._embedder = embedder
        self._result = result
        self.name = embedder.name
        self.version = embedder.version
        self.dimensions = embedder.dimensions

    def embed(self, texts: Sequence[str]) -> Vector:
        self._result.embedded += len(texts)
        return self._embedder.embed(texts)


class IndexRebuild:
    """One rebuild of the index, or of one of its buckets."""

    def __init__(
        self,
        settings: Settings,
        lakehouse: Lakehouse,
        index: ChromaIndex,
        log: ReplayLog,
        *,
        bucket: str | None = None,
    ) -> None:
        self._settings = settings
        self._lakehouse = lakehouse
        self._index = index
        self._log = log
        self._bucket = bucket
        self._topic = topic_name(settings, ARTIFACTS_TOPIC)
        self.result = IndexRebuildResult()
        self._spaces = EmbedderRegistry(index)
        # The first vector fixes the length of all vectors of its collection, and here each collection is empty.
        self._dual_write_index = DualWriteIndex(
            index, self._spaces, self._counting_embedder, partial(open_memo, settings), partial(vector_length, settings)
        )
        self._written_ids: set[str] = set()

    def run(self, progress: PassageProgress = lambda result, total: None) -> IndexRebuildResult:  # noqa: ARG005 - names of the arguments
        """Run all steps.

        Raises:
            Unavailable: a store or the log does not answer, or the log
                grows faster than it is read; run it again.
            Misconfigured: the serving embedder is not on this machine, or a topic is missing.
        """
        self.settle(self.fill(progress))
        return self.result

    def fill(self, progress: PassageProgress = lambda result, total: None) -> NextOffsets:  # noqa: ARG005 - names of the arguments
        """Write the passages of the lakehouse, then those of the log since. Raises as :meth:`run`."""
        self._prepare()
        # Before the table is read: a later commit is in the table or after these offsets.
        group = f"{self._settings.topic_prefix}{ARCHIVE_GROUP}"
        committed = self._log.progress(group, [self._topic])[self._topic]
        self._from_lakehouse(progress)
        return self.follow({number: partition.next_offset for number, partition in committed.items()})

    def settle(self, since: NextOffsets) -> None:
        """Read newer records of the ids that were written here, until there are none. Raises Unavailable."""
        for _ in range(_MAX_ROUNDS):
            before = self.result.from_log
            since = self.follow(since, only_written=True)
            if self.result.from_log == before:
                return
        raise Unavailable(
            f"in each of {_MAX_ROUNDS} rounds records came onto {self._topic} for passages that were written here: "
            "some of them may be outdated. Run it again when less comes in"
        )

    def _prepare(self) -> None:
        try:
            space = resolve_space(self._settings)
        except Misconfigured:  # without the model, collections are created as passages arrive
            return
        for active in self._spaces.ensure_serving(space).active:
            self._index.create_collections(active.name)

    def _counting_embedder(self, space: Space) -> Embedder:
        return _CountingEmbedder(open_space_embedder(self._settings, space), self.result)

    def _from_lakehouse(self, progress: PassageProgress) -> None:
        # By the time of the retraction: its event time is that of an artifact, which may be years old.
        since = utc_now() - RETENTION
        columns = ("artifact_id", "record", "logged_at")
        found = self._lakehouse.scan(RETRACTIONS_TABLE, bucket=self._bucket_number, columns=columns).to_pylist()
        rows = [row for row in found if row["logged_at"] is None or row["logged_at"] >= since]
        self._delete([artifact for artifact in map(row_to_artifact, rows) if isinstance(artifact, Retraction)])
        hours = self._ids_by_hour()
        total = sum(map(len, hours.values()))
        for hour, ids in sorted(hours.items()):
            for batch in self._rows(hour, ids):
                artifacts = [row_to_artifact(row) for row in batch]
                self._write([artifact for artifact in artifacts if isinstance(artifact, Passage)])
                self.result.passages += len(batch)
                progress(self.result.passages, total)

    @property
    def _bucket_number(self) -> int | None:
        return None if self._bucket is None else BUCKET_NAMES.index(self._bucket)

    def _rows(self, hour: datetime, ids: set[str]) -> Iterator[list[dict[str, Any]]]:
        table = self._lakehouse.scan(PASSAGES_TABLE, hour=hour, bucket=self._bucket_number)
        rows = (row for batch in table.to_batches(_BATCH_SIZE) for row in batch.to_pylist())
        # An id whose event moved to another hour has a row in both hours: the latest counts.
        yield from _batches(row for row in rows if row["artifact_id"] in ids)

    def _ids_by_hour(self) -> Mapping[datetime, set[str]]:
        ids_by_hour: dict[datetime, set[str]] = defaultdict(set)
        columns = ("artifact_id", "event_time")
        table = self._lakehouse.scan(PASSAGES_TABLE, bucket=self._bucket_number, columns=columns)
        for row_id, event_time in zip(*(table.column(name).to_pylist() for name in columns), strict=True):
            ids_by_hour[hour_start(hour_number(event_time))].add(row_id)
        return ids_by_hour

    def follow(self, since: NextOffsets, *, only_written: bool = False) -> NextOffsets:
        """Apply the records of the log since these offsets; return the end offsets.

        ``only_written``: only records of ids that were written here. Raises Unavailable.
        """
        watermarks = self._log.watermarks([self._topic])[self._topic]
        ends = {number: watermark.high for number, watermark in watermarks.items()}
        starts = {number: since.get(number, watermark.low) for number, watermark in watermarks.items()}
        for batch in _batches(self._log.read(self._topic, starts, ends)):
            artifacts = []
            for entry in batch:
                try:
                    artifacts.append(decode_artifact(entry.value, entry.headers))
                except Rejected:  # the indexer has reported it
                    continue
            wanted = [artifact for artifact in artifacts if self._is_own(artifact)]
            passages, retractions = newest_per_id(
                [artifact for artifact in wanted if not only_written or artifact.artifact_id in self._written_ids]
            )
            self._write(passages)
            self._delete(retractions)
            self.result.from_log += len(passages) + len(retractions)
        return ends

    def _is_own(self, artifact: Artifact) -> bool:
        return self._bucket is None or bucket_name(artifact.subject_key) == self._bucket

    def _write(self, passages: Sequence[Passage]) -> None:
        self._written_ids.update(passage.artifact_id for passage in passages)
        _, refused = upsert(self._dual_write_index, passages)
        self.result.refused += len(refused)

    def _delete(self, retractions: Sequence[Retraction]) -> None:
        self._dual_write_index.retract(retractions, utc_now())


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH_SIZE)):
        yield batch
