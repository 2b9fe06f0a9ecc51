"""Indexer: writes passages from the artifacts topic to the hot index, and measures the freshness gap of each.

Vectors are part of the passages, so that the index can be rebuilt from the log alone. A model runs here only during an
embedder swap (:mod:`mmplatform.pipeline.embedder_swap.dual_write`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog

from mmplatform.artifacts import Artifact, Passage, Retraction
from mmplatform.consumers.index_sink import MAX_UNCOMMITTED_RECORDS, IndexSink, PendingRow, precedence, split_rows
from mmplatform.consumers.quix_app import WorkerApplication, open_app, open_topic
from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.identity import CANARY_TENANT
from mmplatform.kafka.producer import LogProducer
from mmplatform.modalities import ARTIFACTS_TOPIC, INDEX_GROUP
from mmplatform.pipeline.process import Outcome, dead_letter
from mmplatform.pipeline.publish import publish
from mmplatform.pipeline.withdrawal import is_changed_chat
from mmplatform.refusals import DeadLetter
from mmplatform.settings import Settings
from mmplatform.telemetry.freshness import retrievable_at
from mmplatform.telemetry.status_server import WorkerStatus

_log = structlog.get_logger(__name__)
T = TypeVar("T", Passage, Retraction)
MAX_STAMP_ERROR_S: Final = 0.5
"""``indexed_at`` is written with the row, before the index acknowledges it. When that takes longer, a second write
corrects it: twenty slow seconds in Chroma must not show as none."""


def index_app(
    settings: Settings, index: WritableIndex, producer: LogProducer, status: WorkerStatus
) -> WorkerApplication:
    """Upsert passages by id, in full writes, then commit. A record that does not parse is a dead letter."""

    def publish_dead_letters(letters: list[DeadLetter]) -> None:
        _log.warning("artifacts that are not indexed", dead_letters=len(letters))
        publish(Outcome(dead_letters=tuple(letters)), producer, settings)
        status.record_batch(0, 0.0, dead_letters=len(letters))

    app = open_app(
        settings,
        group=INDEX_GROUP,
        topics=(ARTIFACTS_TOPIC,),
        commit_interval_s=settings.index_commit_interval_s,
        commit_every=MAX_UNCOMMITTED_RECORDS,
        readiness=status.readiness,
    )
    app.on_rebalance = index.forget_retractions
    sink = IndexSink(settings, partial(write_bucket, index, status), publish_dead_letters, status)
    app.pace_by(sink)
    app.dataframe(open_topic(app, settings, ARTIFACTS_TOPIC)).sink(sink)
    return app


def write_bucket(index: WritableIndex, status: WorkerStatus, rows: Collection[PendingRow]) -> list[DeadLetter]:
    """Write the rows of one bucket, with a stamp of their own; a refused one becomes a dead letter.

    Raises:
        Unavailable: the index does not answer.
    """
    started = time.perf_counter()
    passages, retractions, records = split_rows(rows)
    index.retract(retractions, utc_now())
    passages, refused = upsert(index, passages)
    passages, retractions = without_canaries(passages), without_canaries(retractions)
    record_freshness(status, passages, retractions)
    seconds = time.perf_counter() - started
    status.record_batch(0, seconds, passages=len(passages), retractions=len(retractions))
    return [dead_letter(records[row_id], reason) for row_id, reason in refused.items()]


def without_canaries(artifacts: Sequence[T]) -> list[T]:
    """Artifacts of customers: the others are in no figure."""
    return [artifact for artifact in artifacts if artifact.tenant != CANARY_TENANT]


class WritableIndex(Protocol):
    """Writes of the indexer. Of two writes of one id the higher version stays."""

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Upsert. Raises Rejected for a row that the index refuses, Unavailable."""

    def restamp(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Correct the time at which passages became findable. Raises Unavailable."""

    def retract(self, retractions: Sequence[Retraction], now: datetime) -> None:
        """Delete, and remember that they are deleted. Raises Unavailable."""

    def forget_retractions(self) -> None:
        """Read the stored retractions again at the next write."""


def upsert(index: WritableIndex, passages: Sequence[Passage]) -> tuple[list[Passage], dict[str, str]]:
    """Upsert a batch; a passage that the index refuses (a vector of another length) does not block the others.

    Returns:
        The passages that were written, and the reason for each id that was refused.
    """
    if not passages:
        return [], {}
    started_at = utc_now()
    try:
        index.upsert(passages, started_at)
    except Rejected as error:
        if len(passages) == 1:
            return [], {passages[0].artifact_id: str(error)}
    else:
        indexed_at = utc_now()
        if (indexed_at - started_at).total_seconds() > MAX_STAMP_ERROR_S:
            index.restamp(passages, indexed_at)
        return list(passages), {}
    half = len(passages) // 2
    halves = [upsert(index, passages[:half]), upsert(index, passages[half:])]
    return [*halves[0][0], *halves[1][0]], halves[0][1] | halves[1][1]


def newest_per_id(artifacts: Sequence[Artifact]) -> tuple[list[Passage], list[Retraction]]:
    """The record of each id with the highest version in a batch: a passage to upsert or a retraction to apply."""
    newest: dict[str, Passage | Retraction] = {}
    for artifact in artifacts:
        if isinstance(artifact, Passage | Retraction):
            newest_so_far = newest.get(artifact.artifact_id)
            if newest_so_far is None or precedence(artifact) > precedence(newest_so_far):
                newest[artifact.artifact_id] = artifact
    passages = [artifact for artifact in newest.values() if isinstance(artifact, Passage)]
    return passages, [artifact for artifact in newest.values() if isinstance(artifact, Retraction)]


def record_freshness(status: WorkerStatus, passages: Sequence[Passage], retractions: Sequence[Retraction] = ()) -> None:
    """Record the gap and the delay of each acknowledged passage, and the upserts and deletes of each bucket."""
    if status.freshness is None or status.buckets is None:
        return
    indexed_at = utc_now()
    for passage in passages:
        stamps = passage.stamps
        found_at = retrievable_at(stamps, indexed_at, has_tail=status.freshness.has_tail)
        if not is_changed_chat(passage):
            status.record_gap(passage.modality, status.freshness.record(passage.modality, stamps, found_at).total)
        status.record_index_delay((indexed_at - (stamps.logged_at or stamps.derived_at)).total_seconds())
        gap_s = (indexed_at - stamps.event_time).total_seconds()
        status.buckets.record_upsert(passage.subject_key, stamps.event_time, gap_s)
    for retraction in retractions:
        status.buckets.record_delete(retraction.subject_key)
