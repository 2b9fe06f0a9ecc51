"""Sink of the indexer: full, rare writes. The tail of the log is searched meanwhile, so that freshness does not wait.

A row in a write of its own costs Chroma eleven times what it costs among fifty. So a bucket is written once it is full,
and all of them when the checkpoint is due: by its age, when the topic has been quiet for a moment, or when a run waits
for a record of it. Then the offsets are committed. What was written and not committed is consumed again after a crash,
and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mmplatform.artifacts import Artifact, Passage, Retraction
from mmplatform.buckets import bucket_name
from mmplatform.consumers.batch_sink import BatchSink
from mmplatform.errors import Rejected
from mmplatform.kafka.artifact_record import decode_artifact_record
from mmplatform.kafka.headers import AWAITED_HEADER
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import dead_letter
from mmplatform.refusals import DeadLetter
from mmplatform.settings import Settings
from mmplatform.telemetry.status_server import WorkerStatus
from mmplatform.versions import Version

QUIET_S: Final = 1.0
"""A topic that is quiet for so long has nothing more for a write. Above 5 records a second that is rare; a run that
waits gives its records as long."""

MAX_UNCOMMITTED_RECORDS: Final = 4_000
"""Records of one checkpoint, about 2,000 passages: 12 MB of each gateway's tail."""

_MAX_RETRIED_RECORDS: Final = 128
"""Records that are read again before an index that did not answer is asked again."""


@dataclass(frozen=True, slots=True)
class PendingRow:
    """Newest record of one id that is not in the index yet."""

    artifact: Passage | Retraction
    record: ConsumedRecord


def precedence(artifact: Artifact) -> tuple[Version, bool]:
    """Order of the records of one id; of equal versions the retraction counts, as in the stores."""
    return artifact.version, isinstance(artifact, Retraction)


@dataclass(slots=True)
class PendingRows:
    """Newest record of each id, by bucket, and the records that do not parse."""

    buckets: dict[str, dict[str, PendingRow]] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)

    def add(self, record: ConsumedRecord) -> None:
        """Keep a record, unless it is of a kind that is not indexed, or a newer one of its id is kept."""
        try:
            artifact = decode_artifact_record(record.value, record.headers, record.logged_at)
        except Rejected as error:
            self.dead_letters.append(dead_letter(record, str(error)))
            return
        if not isinstance(artifact, Passage | Retraction):
            return
        rows = self.buckets.setdefault(bucket_name(artifact.subject_key), {})
        existing = rows.get(artifact.artifact_id)
        if existing is None or precedence(artifact) > precedence(existing.artifact):
            rows[artifact.artifact_id] = PendingRow(artifact, record)

    def full(self, rows: int) -> list[str]:
        """Names of the buckets that have so many rows."""
        return [bucket for bucket, pending in self.buckets.items() if len(pending) >= rows]


WriteBucket = Callable[[Collection[PendingRow]], list[DeadLetter]]
"""Writes the rows of one bucket; returns those that the index refuses. Raises Unavailable."""


class IndexSink(BatchSink):
    """Keeps rows by bucket until their write is worth its cost.

    Args:
        settings: the fill at which a bucket is written; without a tail, rows are written as soon as nothing more waits.
        write_bucket: writes the rows of one bucket.
        publish_dead_letters: writes them to the log, acknowledged on return. Raises Unavailable.
        status: counts the records, and gets the blocker of an index that does not answer.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        write_bucket: WriteBucket,
        publish_dead_letters: Callable[[list[DeadLetter]], None],
        status: WorkerStatus,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, lambda _: None, status.readiness)
        self._status = status
        self._write_bucket = write_bucket
        self._publish_dead_letters = publish_dead_letters
        self._clock = clock
        self._fill = settings.index_max_batch_size
        self._quiet_s = QUIET_S if settings.tail_is_followed else 0.0
        self._rows = PendingRows()
        self._accepted = 0
        self._accepted_at = clock()
        self._awaited_since: float | None = None
        self._retries = False

    @property
    def pending(self) -> int:
        """Records of this checkpoint."""
        return self._accepted

    @property
    def lands_when_idle(self) -> bool:
        """True without a tail, and while an index is asked again that did not answer."""
        return self._accepted > 0 and (self._quiet_s == 0 or self._retries)

    def accept(self, record: ConsumedRecord) -> None:
        """Keep a record until its bucket is written."""
        self._rows.add(record)
        self._accepted += 1
        self._came = True
        self._accepted_at = self._clock()
        if self._awaited_since is None and AWAITED_HEADER in record.headers:
            self._awaited_since = self._accepted_at
        self._status.record_consumed(1)

    def after_poll(self) -> bool:
        """Write the buckets that are full; true when all are to be written and committed."""
        came, self._came = self._came, False
        if not self._accepted:
            return False
        if self._retries:
            return not came or self._accepted >= _MAX_RETRIED_RECORDS
        full = self._rows.full(self._fill)
        if full and not self.try_landing(partial(self._write, self._rows, full)):
            self._retries = True
            return True
        now = self._clock()
        if self._awaited_since is not None and now - self._awaited_since >= self._quiet_s:
            return True
        return not came and now - self._accepted_at >= self._quiet_s

    def land_all(self) -> None:
        """Write every bucket, and publish what the index refuses. Raises Unavailable."""
        self._retries = True  # until all is written
        rows = self._rows
        self.clear()
        self._write(rows, list(rows.buckets))
        if rows.dead_letters:
            self._publish_dead_letters(rows.dead_letters)
        self._retries = False

    def clear(self) -> None:
        """Drop what is kept: it is in the index, or consumed again."""
        self._rows = PendingRows()
        self._accepted = 0
        self._awaited_since = None

    def _write(self, rows: PendingRows, buckets: Collection[str]) -> None:
        for bucket in buckets:
            rows.dead_letters += self._write_bucket(rows.buckets.pop(bucket).values())


def split_rows(rows: Collection[PendingRow]) -> tuple[list[Passage], list[Retraction], Mapping[str, ConsumedRecord]]:
    """Passages to upsert, retractions to apply, and the record of each id."""
    passages = [row.artifact for row in rows if isinstance(row.artifact, Passage)]
    retractions = [row.artifact for row in rows if isinstance(row.artifact, Retraction)]
    return passages, retractions, {row.artifact.artifact_id: row.record for row in rows}
