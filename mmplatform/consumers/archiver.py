"""Archiver: lands events, artifacts and quarantine rows from the log in the Iceberg lakehouse.

Each Iceberg commit has, in its snapshot summary, the offsets up to which the log is in that table. After a crash
between it and Kafka's offset commit, the records are consumed again, and those that landed are skipped.

A record that cannot become a row is a dead letter, unless a deriver or the indexer, which consume the same topic, has
reported it already. One of an unknown kind or version always is: in an upgrade the other worker may know it by now.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from mmplatform.artifacts import Artifact, Retraction, decode_artifact
from mmplatform.consumers.batch_sink import BatchSink
from mmplatform.consumers.quix_app import WorkerApplication, open_app, open_topic
from mmplatform.errors import Permanent, PlatformError, Rejected, UnknownRelease
from mmplatform.events import Event, Position, decode_event, utc_now
from mmplatform.kafka.headers import is_canary
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.lakehouse.row_codec import record_to_row, retraction_tables
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import CommitResult, Offsets, PositionedRow, offset_key, row_version
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import (
    ARCHIVE_GROUP,
    ARTIFACTS_TOPIC,
    MODALITIES,
    QUARANTINE_TOPIC,
    RETRACTIONS_TABLE,
    TABLES,
)
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import Outcome, dead_letter
from mmplatform.pipeline.publish import publish
from mmplatform.refusals import DeadLetter, QuarantineRecord, decode_quarantine_record
from mmplatform.settings import Settings
from mmplatform.telemetry.status_server import WorkerStatus
from mmplatform.versions import NO_VERSION

_log = structlog.get_logger(__name__)
SNAPSHOT_EXPIRY_INTERVAL_S: Final = 3600.0
TOPICS = (*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC, QUARANTINE_TOPIC)


def check_same_log(lakehouse: Lakehouse, log: ReplayLog, settings: Settings) -> None:
    """Refuse a log that ends before an offset that has landed: it is another log, or it lost data.

    Its offsets start again below those that landed, so that new records would be skipped as landed ones.

    Raises:
        Permanent: with the remedy in the message.
        Unavailable: the log or the catalog does not answer.
    """
    watermarks = log.watermarks(topic_name(settings, topic) for topic in TOPICS)
    for table in TABLES:
        for (key, number), offset in lakehouse.landed_offsets(table, ARCHIVE_GROUP).items():
            topic, _, generation = key.partition("@")
            if int(generation or 0) != settings.log_generation:
                continue  # of a log that ended
            watermark = watermarks[topic_name(settings, topic)].get(number)
            if watermark is None or watermark.high < offset:
                raise Permanent(
                    f"{table} holds {topic}[{number}] up to offset {offset}, but the log ends at "
                    f"{watermark.high if watermark else 'nothing'}: this is not the log that it was filled from. Give "
                    "it the old log back; where that is lost, raise MMPLATFORM_LOG_GENERATION by one for every process"
                )


class LandingReporter(Protocol):
    """Reports each landing as lineage; it neither blocks nor raises."""

    def landing(
        self, table: str, rows: Sequence[PositionedRow]
    ) -> AbstractContextManager[Callable[[CommitResult], None]]:
        """Start a landing; call the yielded function with its commit."""


def archive_app(
    settings: Settings,
    lakehouse: Lakehouse,
    producer: LogProducer,
    status: WorkerStatus,
    lineage: LandingReporter | None = None,
) -> WorkerApplication:
    """Land retractions, delete retracted rows, append one commit per table, then commit the log's offsets."""
    lakehouse.ensure_tables()
    app = open_app(
        settings,
        group=ARCHIVE_GROUP,
        topics=TOPICS,
        commit_interval_s=settings.archive_commit_interval_s,
        commit_every=settings.archive_max_batch_size,
        readiness=status.readiness,
    )
    frames = [app.dataframe(open_topic(app, settings, topic)) for topic in TOPICS]
    sink = BatchSink(settings, batch_writer(settings, lakehouse, producer, status, lineage), status.readiness)
    for frame in frames:
        frame.sink(sink)
    return app


def batch_writer(
    settings: Settings,
    lakehouse: Lakehouse,
    producer: LogProducer,
    status: WorkerStatus,
    lineage: LandingReporter | None,
) -> Callable[[list[ConsumedRecord]], None]:
    """The function that lands a batch of records."""
    snapshot_expiry = SnapshotExpiry(lakehouse)

    def publish_dead_letters(letters: Sequence[DeadLetter]) -> None:
        if letters:
            _log.warning("records that cannot become rows", dead_letters=len(letters))
            publish(Outcome(dead_letters=tuple(letters)), producer, settings)

    def land(records: list[ConsumedRecord]) -> None:
        started = time.perf_counter()
        batch = group_by_table(records)
        offsets = next_offsets(records)
        by_position = {record.position: record for record in records}

        def reject(positions: Sequence[Position], reason: str) -> None:
            # Before the other rows land: after a crash, landed rows would hide these.
            publish_dead_letters([dead_letter(by_position[position], reason) for position in positions])

        publish_dead_letters(batch.dead_letters)
        # The retractions first: a writer that lands a retracted row meanwhile finds them, or has its row deleted.
        if retractions := batch.rows.get(RETRACTIONS_TABLE):
            append_rows(lakehouse, RETRACTIONS_TABLE, retractions, offsets, reject)
        for table, versions in batch.retracted.items():
            lakehouse.delete_through(table, versions)
        landed = sum(
            append_rows(lakehouse, table, rows, offsets, reject, lineage)
            for table, rows in batch.rows.items()
            if table != RETRACTIONS_TABLE
        )
        status.record_batch(len(records), time.perf_counter() - started, rows=landed, unread=batch.unparsed)
        snapshot_expiry.run_if_due()

    return land


def decode_record(record: ConsumedRecord) -> Event | Artifact | QuarantineRecord:
    """Parse a record by its topic.

    Raises:
        Rejected: the record does not parse.
    """
    if record.position.topic == ARTIFACTS_TOPIC:
        return decode_artifact(record.value, record.headers)
    if record.position.topic == QUARANTINE_TOPIC:
        return decode_quarantine_record(record.value)
    return decode_event(record.value)


def append_rows(
    lakehouse: Lakehouse,
    table: str,
    rows: Sequence[PositionedRow],
    offsets: Offsets,
    reject: Callable[[Sequence[Position], str], None],
    lineage: LandingReporter | None = None,
) -> int:
    """Append; ``reject`` receives the positions of rows that do not fit their columns, and the others land."""
    # Without rows (all retracted in the same batch) there is no landing, and retractions are no dataset.
    if lineage is None or not rows or table == RETRACTIONS_TABLE:
        return _append_fitting(lakehouse, table, rows, offsets, reject).rows
    with lineage.landing(table, rows) as report:
        landed = _append_fitting(lakehouse, table, rows, offsets, reject)
        report(landed)
    return landed.rows


def _append_fitting(
    lakehouse: Lakehouse,
    table: str,
    rows: Sequence[PositionedRow],
    offsets: Offsets,
    reject: Callable[[Sequence[Position], str], None],
) -> CommitResult:
    try:
        return lakehouse.land(table, rows, offsets=offsets, source=ARCHIVE_GROUP)
    except Rejected as error:
        unfit = {position for position, _ in lakehouse.unfit_rows(table, rows)}
        reject(sorted(unfit, key=lambda position: position.offset), str(error))
    fitting = [positioned for positioned in rows if positioned[0] not in unfit]
    return lakehouse.land(table, fitting, offsets=offsets, source=ARCHIVE_GROUP)


class SnapshotExpiry:
    """Expires old snapshots between batches, at an interval: they make each commit slower than the one before."""

    def __init__(self, lakehouse: Lakehouse, *, interval_s: float = SNAPSHOT_EXPIRY_INTERVAL_S) -> None:
        self._lakehouse = lakehouse
        self._interval_s = interval_s
        self._due = time.monotonic()

    def run_if_due(self) -> None:
        """Expire snapshots when the interval is over; after a failure, try again at the next one."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._interval_s
        try:
            self._lakehouse.expire_snapshots(utc_now())
        except PlatformError as error:
            _log.warning("snapshots not expired", error=type(error).__name__, reason=str(error))


@dataclass(frozen=True, slots=True)
class BatchByTable:
    """A batch by table.

    Attributes:
        rows: rows with their positions on the log.
        retracted: ids to delete, each with the version of its retraction: a higher one was derived again.
        unparsed: records that do not parse, which another consumer of the topic reports.
        dead_letters: records that another consumer does not report, or may not.
    """

    rows: Mapping[str, Sequence[PositionedRow]]
    retracted: Mapping[str, Mapping[str, str]]
    unparsed: int
    dead_letters: Sequence[DeadLetter] = ()


def group_by_table(records: Sequence[ConsumedRecord]) -> BatchByTable:
    """Decode a batch and group it by table. Canaries become no row: no figure of the tables has to leave them out."""
    rows: dict[str, dict[str, PositionedRow]] = defaultdict(dict)
    retracted: dict[str, dict[str, str]] = defaultdict(dict)
    letters: list[DeadLetter] = []
    unparsed = 0
    for record in records:
        if is_canary(record.headers):
            continue
        try:
            found = decode_record(record)
        except Rejected as error:
            if record.position.topic == QUARANTINE_TOPIC or isinstance(error, UnknownRelease):
                letters.append(dead_letter(record, str(error)))
            else:
                unparsed += 1
            continue
        if isinstance(found, Retraction):
            for table in retraction_tables(found):
                _keep_highest(retracted[table], found.artifact_id, found.version.sortable)
        try:
            table, row = record_to_row(found, record.position, record.logged_at)
        except ValueError as error:  # an invalid vector
            letters.append(dead_letter(record, f"{found.kind} that cannot become a row ({type(error).__name__})"))
            continue
        present = rows[table].get(row[SPECS[table].id_column])
        if present is None or row_version(row) > row_version(present[1]):
            rows[table][row[SPECS[table].id_column]] = (record.position, row)
    landing = {table: _without_retracted(table, positioned, retracted[table]) for table, positioned in rows.items()}
    return BatchByTable(landing, dict(retracted), unparsed, letters)


def _keep_highest(versions: dict[str, str], row_id: str, version: str) -> None:
    versions[row_id] = max(versions.get(row_id, NO_VERSION), version)


def _without_retracted(
    table: str, positioned: Mapping[str, PositionedRow], retracted: Mapping[str, str]
) -> list[PositionedRow]:
    """Leave out the rows that a retraction of the same batch deletes."""
    if table == RETRACTIONS_TABLE:
        return list(positioned.values())
    return [
        row for row_id, row in positioned.items() if row_id not in retracted or row_version(row[1]) > retracted[row_id]
    ]


def next_offsets(records: Sequence[ConsumedRecord]) -> Mapping[tuple[str, int], int]:
    """The offset after the last record of each topic partition: up to it, the log is in the table."""
    offsets: dict[tuple[str, int], int] = {}
    for record in records:
        position = record.position
        key = offset_key(position)
        offsets[key] = max(offsets.get(key, 0), position.offset + 1)
    return offsets
