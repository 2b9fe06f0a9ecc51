"""Indexer: writes passages from the artifacts topic to the hot index, and measures the freshness gap of each.

Vectors are part of the passages, so that the index can be rebuilt from the log alone. A model runs here only during an
embedder swap (:mod:`mmplatform.pipeline.embedder_swap.dual_write`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from mmplatform.artifacts import Artifact, Passage, Retraction, decode_artifact
from mmplatform.consumers.batch_sink import BatchSink
from mmplatform.consumers.quix_app import WorkerApplication, open_app, open_topic
from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.kafka.producer import LogProducer
from mmplatform.modalities import ARTIFACTS_TOPIC, INDEX_GROUP
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import Outcome, dead_letter
from mmplatform.pipeline.publish import publish
from mmplatform.refusals import DeadLetter
from mmplatform.settings import Settings
from mmplatform.telemetry.status_server import WorkerStatus
from mmplatform.versions import Version

_log = structlog.get_logger(__name__)
MAX_STAMP_ERROR_S: Final = 0.5
"""``indexed_at`` is written with the row, before the index acknowledges it. When that takes longer, a second write
corrects it: twenty slow seconds in Chroma must not show as none."""


def index_app(
    settings: Settings, index: WritableIndex, producer: LogProducer, status: WorkerStatus
) -> WorkerApplication:
    """Upsert each micro-batch by id, then commit. A record that does not parse is a dead letter."""

    def land(records: list[ConsumedRecord]) -> None:
        started = time.perf_counter()
        artifacts, dead = decode_records(records)
        passages, retractions = newest_per_id(artifacts)
        index.retract(retractions, utc_now())
        passages, refused = upsert(index, passages)
        dead = Outcome(dead_letters=(*dead.dead_letters, *refused_dead_letters(records, refused)))
        publish(dead, producer, settings)
        record_freshness(status, passages, retractions)
        status.record_batch(
            len(records),
            time.perf_counter() - started,
            passages=len(passages),
            retractions=len(retractions),
            dead_letters=len(dead.dead_letters),
        )

    app = open_app(
        settings,
        group=INDEX_GROUP,
        topics=(ARTIFACTS_TOPIC,),
        commit_interval_s=settings.index_commit_interval_s,
        commit_every=settings.index_max_batch_size,
        readiness=status.readiness,
    )
    app.on_rebalance = index.forget_retractions
    app.dataframe(open_topic(app, settings, ARTIFACTS_TOPIC)).sink(BatchSink(settings, land, status.readiness))
    return app


def decode_records(records: Sequence[ConsumedRecord]) -> tuple[list[Artifact], Outcome]:
    """Parse records; return those that do not parse as dead letters."""
    artifacts: list[Artifact] = []
    dead = []
    for record in records:
        try:
            artifacts.append(_decode(record))
        except Rejected as error:
            dead.append(dead_letter(record, str(error)))
    if dead:
        _log.warning("artifacts that do not parse", dead_letters=len(dead))
    return artifacts, Outcome(dead_letters=tuple(dead))


def _decode(record: ConsumedRecord) -> Artifact:
    """The artifact, with the time at which the broker appended it."""
    artifact = decode_artifact(record.value, record.headers)
    stamps = artifact.stamps.model_copy(update={"logged_at": record.logged_at})
    return artifact.model_copy(update={"stamps": stamps})


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


def refused_dead_letters(records: Sequence[ConsumedRecord], refused: Mapping[str, str]) -> list[DeadLetter]:
    """Dead letters of refused passages, each with its reason."""
    if not refused:
        return []
    ids = ((record, _passage_id(record)) for record in records)
    return [dead_letter(record, refused[row_id]) for record, row_id in ids if row_id in refused]


def _passage_id(record: ConsumedRecord) -> str:
    try:
        return decode_artifact(record.value, record.headers).artifact_id
    except Rejected:
        return ""


def newest_per_id(artifacts: Sequence[Artifact]) -> tuple[list[Passage], list[Retraction]]:
    """The record of each id with the highest version in a batch: a passage to upsert or a retraction to apply."""
    newest: dict[str, Passage | Retraction] = {}
    for artifact in artifacts:
        if isinstance(artifact, Passage | Retraction):
            newest_so_far = newest.get(artifact.artifact_id)
            if newest_so_far is None or _precedence(artifact) > _precedence(newest_so_far):
                newest[artifact.artifact_id] = artifact
    passages = [artifact for artifact in newest.values() if isinstance(artifact, Passage)]
    return passages, [artifact for artifact in newest.values() if isinstance(artifact, Retraction)]


def _precedence(artifact: Artifact) -> tuple[Version, bool]:
    """Order of the records of one id; of equal versions the retraction counts, as in the stores."""
    return artifact.version, isinstance(artifact, Retraction)


def record_freshness(status: WorkerStatus, passages: Sequence[Passage], retractions: Sequence[Retraction] = ()) -> None:
    """Record the gap of each acknowledged passage, and the upserts and deletes of each bucket."""
    if status.freshness is None or status.buckets is None:
        return
    indexed_at = utc_now()
    for passage in passages:
        gap = status.freshness.record(passage.modality, passage.stamps, indexed_at)
        status.record_gap(passage.modality, gap.total)
        status.buckets.record_upsert(passage.subject_key, passage.stamps.event_time, gap.total)
    for retraction in retractions:
        status.buckets.record_delete(retraction.subject_key)
