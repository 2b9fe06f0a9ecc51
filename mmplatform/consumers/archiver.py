"""The archiver's shell: events, artifacts and quarantine from the log into the Iceberg lakehouse.

Each commit to a table carries, in its snapshot's summary, the offsets up to which the log is in that table. So a crash
between the commit and Kafka's offset commit costs nothing: the records are read again, and those that landed are left
out.

A record that cannot be a row is a dead letter when nobody else names it: derivers and indexer have named what does not
parse on the topics that they read.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from pydantic import TypeAdapter

from mmplatform.artifacts import Artifact, DeadLetter, Quarantined, Retraction, decode_artifact
from mmplatform.consumers.publish import publish
from mmplatform.consumers.quix_app import BatchSink, WorkerApplication, open_app, open_topic
from mmplatform.errors import Permanent, PlatformError, Rejected
from mmplatform.events import Event, Position, decode_event, parse, utc_now
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.lakehouse.row_codec import record_to_row, retraction_tables
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import CommitResult, Offsets, PositionedRow
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, MODALITIES, QUARANTINE_TOPIC, TABLES
from mmplatform.pipeline.process import ConsumedRecord, Outcome, dead_letter
from mmplatform.settings import Settings
from mmplatform.telemetry.status_server import WorkerStatus

_log = structlog.get_logger(__name__)
UPKEEP_S: Final = 3600.0
_QUARANTINED: TypeAdapter[Quarantined] = TypeAdapter(Quarantined)
TOPICS = (*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC, QUARANTINE_TOPIC)


def check_same_log(lakehouse: Lakehouse, log: ReplayLog, settings: Settings) -> None:
    """Refuse a log that is shorter than what the lakehouse holds of it: it is another log, or it lost its data.

    Its offsets begin anew below those that landed, so that new records would be taken for landed ones and left out.

    Raises:
        Permanent: what to do is in the message.
        Unavailable: the log or the catalog does not answer.
    """
    marks = log.watermarks(topic_name(settings, topic) for topic in TOPICS)
    for table in TABLES:
        for (topic, number), offset in lakehouse.landed_offsets(table, ARCHIVE_GROUP).items():
            there = marks[topic_name(settings, topic)].get(number)
            if there is None or there.high < offset:
                raise Permanent(
                    f"{table} holds {topic}[{number}] up to offset {offset}, but the log ends at "
                    f"{there.high if there else 'nothing'}: this is not the log that it was filled from. Give it "
                    "the old log back, or a fresh namespace (MMPLATFORM_ICEBERG_NAMESPACE)"
                )


class Lineage(Protocol):
    """Who is told of each landing; nothing that it does waits or raises."""

    def landing(
        self, table: str, rows: Sequence[PositionedRow]
    ) -> AbstractContextManager[Callable[[CommitResult], None]]:
        """Begin one; call what is given with what became of it."""


def archive_app(
    settings: Settings,
    lakehouse: Lakehouse,
    producer: LogProducer,
    status: WorkerStatus,
    lineage: Lineage | None = None,
) -> WorkerApplication:
    """Take out what was retracted, append each batch, one commit a table, then commit the log's offsets."""
    lakehouse.ensure_tables()
    app = open_app(
        settings,
        group=ARCHIVE_GROUP,
        topics=TOPICS,
        commit_s=settings.archive_commit_interval_s,
        commit_every=settings.archive_max_batch_size,
        readiness=status.readiness,
    )
    frames = [app.dataframe(open_topic(app, settings, topic)) for topic in TOPICS]
    sink = BatchSink(settings, lander(settings, lakehouse, producer, status, lineage), status.readiness)
    for frame in frames:
        frame.sink(sink)
    return app


def lander(
    settings: Settings, lakehouse: Lakehouse, producer: LogProducer, status: WorkerStatus, lineage: Lineage | None
) -> Callable[[list[ConsumedRecord]], None]:
    """What lands a batch of records."""
    upkeep = Upkeep(lakehouse)

    def name(letters: Sequence[DeadLetter]) -> None:
        if letters:
            _log.warning("records that cannot be rows", dead_letters=len(letters))
            publish(Outcome(dead_letters=tuple(letters)), producer, settings)

    def land(records: list[ConsumedRecord]) -> None:
        started = time.perf_counter()
        batch = sort_by_table(records)
        offsets = next_offsets(records)
        for table, before in batch.gone.items():
            lakehouse.delete_before(table, before)
        by_place = {record.position: record for record in records}

        def tell(places: Sequence[Position], reason: str) -> None:
            # Before the rows beside them land: read again after a crash, those would hide these.
            name([dead_letter(by_place[place], reason) for place in places])

        name(batch.dead_letters)
        landed = sum(append(lakehouse, table, rows, offsets, tell, lineage) for table, rows in batch.rows.items())
        status.batch(len(records), time.perf_counter() - started, rows=landed, unread=batch.unread)
        upkeep.when_due()

    return land


def read(record: ConsumedRecord) -> Event | Artifact | Quarantined:
    """Parse by the topic that it lies on.

    Raises:
        Rejected: it does not parse.
    """
    if record.position.topic == ARTIFACTS_TOPIC:
        return decode_artifact(record.value)
    if record.position.topic == QUARANTINE_TOPIC:
        return parse(_QUARANTINED, record.value, "a quarantine row")
    return decode_event(record.value)


def append(
    lakehouse: Lakehouse,
    table: str,
    rows: Sequence[PositionedRow],
    offsets: Offsets,
    tell: Callable[[Sequence[Position], str], None],
    lineage: Lineage | None = None,
) -> int:
    """Append; ``tell`` is told of the rows that do not fit their columns, and their neighbours land."""
    if lineage is None or not rows:  # rows that were all taken back in the same batch are no landing
        return _append(lakehouse, table, rows, offsets, tell).rows
    with lineage.landing(table, rows) as told:
        landed = _append(lakehouse, table, rows, offsets, tell)
        told(landed)
    return landed.rows


def _append(
    lakehouse: Lakehouse,
    table: str,
    rows: Sequence[PositionedRow],
    offsets: Offsets,
    tell: Callable[[Sequence[Position], str], None],
) -> CommitResult:
    try:
        return lakehouse.land(table, rows, offsets=offsets, source=ARCHIVE_GROUP)
    except Rejected as error:
        unfit = {position for position, _ in lakehouse.unfit_rows(table, rows)}
        tell(sorted(unfit, key=lambda place: place.offset), str(error))
    good = [placed for placed in rows if placed[0] not in unfit]
    return lakehouse.land(table, good, offsets=offsets, source=ARCHIVE_GROUP)


class Upkeep:
    """Old snapshots go now and again, between two batches: they would make every commit slower than the one before."""

    def __init__(self, lakehouse: Lakehouse, *, every_s: float = UPKEEP_S) -> None:
        self._lakehouse = lakehouse
        self._every_s = every_s
        self._due = time.monotonic()

    def when_due(self) -> None:
        """Expire snapshots if the time has come; a store that does not answer is asked again the next time."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every_s
        try:
            self._lakehouse.expire_snapshots(utc_now())
        except PlatformError as error:
            _log.warning("snapshots not expired", error=type(error).__name__, reason=str(error))


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch by table.

    Attributes:
        rows: rows with their places on the log.
        gone: ids to take out, each with the offset of its retraction: what lies behind that was made anew.
        unread: how many records did not parse, and were named by whoever else reads their topic.
        dead_letters: those that nobody else names.
    """

    rows: Mapping[str, Sequence[PositionedRow]]
    gone: Mapping[str, Mapping[str, int]]
    unread: int
    dead_letters: Sequence[DeadLetter] = ()


def sort_by_table(records: Sequence[ConsumedRecord]) -> Sorted:
    """Read a batch and say what it means for each table."""
    rows: dict[str, dict[str, PositionedRow]] = defaultdict(dict)
    gone: dict[str, dict[str, int]] = defaultdict(dict)
    letters: list[DeadLetter] = []
    unread = 0
    for record in records:
        try:
            found = read(record)
        except Rejected as error:
            if record.position.topic == QUARANTINE_TOPIC:
                letters.append(dead_letter(record, str(error)))
            else:
                unread += 1
            continue
        if isinstance(found, Retraction):
            for table in retraction_tables(found):
                rows[table].pop(found.artifact_id, None)
                gone[table][found.artifact_id] = record.position.offset
            continue
        try:
            table, row = record_to_row(found, record.position)
        except ValueError as error:  # a vector that is no vector
            letters.append(dead_letter(record, f"{found.kind} that cannot be a row ({type(error).__name__})"))
            continue
        rows[table][row[SPECS[table].id_column]] = (record.position, row)
    return Sorted({table: list(placed.values()) for table, placed in rows.items()}, gone, unread, letters)


def next_offsets(records: Sequence[ConsumedRecord]) -> Mapping[tuple[str, int], int]:
    """The offset after the last of each topic partition: up to there, the log is in the table."""
    found: dict[tuple[str, int], int] = {}
    for record in records:
        place = record.position
        key = (place.topic, place.topic_partition)
        found[key] = max(found.get(key, 0), place.offset + 1)
    return found
