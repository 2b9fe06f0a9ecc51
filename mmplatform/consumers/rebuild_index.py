"""The index from the lakehouse again, when it was lost: the rows of ``passages`` have their vectors, so no model runs.

1. Every passage of the lakehouse is written, hour by hour, with the vector that it was archived with. A reprocessing
   run writes table and index without the log, so an hour is its own or ours: on one machine, the second waits.
2. What the archiver had not committed is read from the log, passages and retractions, in their order.
3. The indexer goes on meanwhile, and we may have written again what it took out a moment before. So what came onto the
   log since is read for the ids that we wrote, until there is nothing.

A model runs only where another embedder serves than the one that a passage was derived with, and for it only what the
memo does not know. Nothing is taken out that is in neither: an index that is merely suspected is to be emptied first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from mmplatform.artifacts import Passage, Retraction, Vector, decode_artifact
from mmplatform.consumers.indexer import last_word, upsert
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.hour_partition import hour_number, hour_start
from mmplatform.land.lakehouse.row_codec import row_to_artifact
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, MODALITIES, PASSAGES_TABLE
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.factories import open_memo, open_space_embedder, resolve_space, vector_length
from mmplatform.pipeline.reprocess.hour_lock import hour_locks_dir, lock_hour
from mmplatform.ports import Embedder
from mmplatform.settings import Settings

T = TypeVar("T")
_BATCH: Final = 200
_ROUNDS: Final = 20

Told = Callable[[int, int], None]
"""Called with the passages that were written and all of them."""


@dataclass(slots=True)
class Reindexed:
    """What it took.

    Attributes:
        passages: how many were written from the lakehouse.
        from_log: records of the log that the archiver had not committed, or that came meanwhile.
        refused: passages that the index does not take.
        embedded: texts that a model was paid for.
    """

    passages: int = 0
    from_log: int = 0
    refused: int = 0
    embedded: int = 0


class _Counted:
    """An embedder that counts what it is asked."""

    def __init__(self, embedder: Embedder, done: Reindexed) -> None:
        self._embedder = embedder
        self._done = done
        self.name = embedder.name
        self.version = embedder.version
        self.dimensions = embedder.dimensions

    def embed(self, texts: Sequence[str]) -> Vector:
        self._done.embedded += len(texts)
        return self._embedder.embed(texts)


class Reindexing:
    """One rebuilding of the index."""

    def __init__(self, settings: Settings, lakehouse: Lakehouse, index: ChromaIndex, log: ReplayLog) -> None:
        self._settings = settings
        self._lakehouse = lakehouse
        self._index = index
        self._log = log
        self.done = Reindexed()
        self._spaces = EmbedderRegistry(index)
        # The first vector decides how long all others of its collection must be: here every collection is empty.
        self._dual_write_index = DualWriteIndex(
            index, self._spaces, self._counted, partial(open_memo, settings), partial(vector_length, settings)
        )
        self._ours: set[str] = set()

    def run(self, told: Told = lambda done, of: None) -> Reindexed:  # noqa: ARG005 - names say what it is told
        """All of it.

        Raises:
            Unavailable: a store or the log does not answer, a reprocessing run does not let go of an hour, or more
                comes onto the log than can be followed; run it again.
            Misconfigured: the embedder that serves is not on this machine, or a topic is not there.
        """
        self._prepare()
        # Before the table is read: what is committed later is in the table or behind this.
        topic = topic_name(self._settings, ARTIFACTS_TOPIC)
        group = f"{self._settings.topic_prefix}{ARCHIVE_GROUP}"
        since = {number: place.next_offset for number, place in self._log.progress(group, [topic])[topic].items()}
        self._from_lakehouse(told)
        since = self._from_log(topic, since, ours_alone=False)
        for _ in range(_ROUNDS):
            before = self.done.from_log
            since = self._from_log(topic, since, ours_alone=True)
            if self.done.from_log == before:
                return self.done
        raise Unavailable(
            f"in each of {_ROUNDS} rounds something came onto {topic} for passages that were written here, so some of "
            "them may be as they were: run it again when less comes in"
        )

    def _prepare(self) -> None:
        try:
            space = resolve_space(self._settings)
        except Misconfigured:  # without the model at hand collections are made as passages come
            return
        for active in self._spaces.ensure_serving(space).active:
            self._index.create_collections(active.name)

    def _counted(self, space: Space) -> Embedder:
        return _Counted(open_space_embedder(self._settings, space), self.done)

    def _from_lakehouse(self, told: Told) -> None:
        hours = self._by_hour()
        of = sum(map(len, hours.values()))
        for hour, ids in sorted(hours.items()):
            with self._turns_at(hour):
                for some in self._rows(hour, ids):
                    found = [row_to_artifact(row) for row in some]
                    self._write([each for each in found if isinstance(each, Passage)])
                    self.done.passages += len(some)
                    told(self.done.passages, of)

    @contextmanager
    def _turns_at(self, hour: datetime) -> Iterator[None]:
        """The hour to ourselves: passages come with each of the derived tables."""
        with ExitStack() as turns:
            for spec in MODALITIES.values():  # each in the same order, and a run holds one only: no two wait in a ring
                turns.enter_context(lock_hour(hour_locks_dir(self._settings), spec.derived_table, hour))
            yield

    def _rows(self, hour: datetime, ids: set[str]) -> Iterator[list[dict[str, Any]]]:
        table = self._lakehouse.scan(PASSAGES_TABLE, hour=hour)
        rows = (row for batch in table.to_batches(_BATCH) for row in batch.to_pylist())
        # An id whose event moved to another hour has a row in each: the latest counts.
        yield from _in_lots(row for row in rows if row["artifact_id"] in ids)

    def _by_hour(self) -> Mapping[datetime, set[str]]:
        found: dict[datetime, set[str]] = defaultdict(set)
        columns = ("artifact_id", "event_time")
        table = self._lakehouse.scan(PASSAGES_TABLE, columns=columns)
        for row_id, at in zip(*(table.column(name).to_pylist() for name in columns), strict=True):
            found[hour_start(hour_number(at))].add(row_id)
        return found

    def _from_log(self, topic: str, since: Mapping[int, int], *, ours_alone: bool) -> dict[int, int]:
        """Apply what lies on the log from there on; returns where it ended."""
        marks = self._log.watermarks([topic])[topic]
        ends = {number: mark.high for number, mark in marks.items()}
        starts = {number: since.get(number, mark.low) for number, mark in marks.items()}
        for some in _in_lots(self._log.read(topic, starts, ends)):
            found = []
            for entry in some:
                try:
                    found.append(decode_artifact(entry.value))
                except Rejected:  # the indexer has named it
                    continue
            passages, gone = last_word([each for each in found if not ours_alone or each.artifact_id in self._ours])
            self._write(passages)
            self._take_out(gone)
            self.done.from_log += len(passages) + len(gone)
        return ends

    def _write(self, passages: Sequence[Passage]) -> None:
        self._ours.update(each.artifact_id for each in passages)
        _, refused = upsert(self._dual_write_index, passages)
        self.done.refused += len(refused)

    def _take_out(self, gone: Sequence[Retraction]) -> None:
        for each in gone:
            self._dual_write_index.delete([each.artifact_id], subject_id=each.subject_id)


def _in_lots(found: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(found)
    while some := list(islice(rest, _BATCH)):
        yield some
