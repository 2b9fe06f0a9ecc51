"""The archiver's shell: events, artifacts and quarantine from the log into the Iceberg lakehouse.

Each commit to a table carries, in its snapshot's summary, the offsets up to which the log is in that table. So a crash
between the commit and Kafka's offset commit costs nothing: the records are read again, and those that landed are left
out.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from quixstreams import Application

from mmplatform.artifacts import Artifact, Quarantined, Retraction, decode_artifact
from mmplatform.consumers.quix import BatchSink, open_app, open_topic
from mmplatform.consumers.status import WorkerStatus
from mmplatform.errors import Permanent, Rejected
from mmplatform.events import Event, decode_event, parse
from mmplatform.ingest.replay_log import ReplayLog
from mmplatform.ingest.topics import topic_name
from mmplatform.land.lakehouse import Lakehouse
from mmplatform.land.landed import Placed
from mmplatform.land.rows import row_of, tables_of_retraction
from mmplatform.land.schemas import SPECS
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, MODALITIES, QUARANTINE_TOPIC, TABLES
from mmplatform.pipeline.process import ConsumedRecord
from mmplatform.settings import Settings

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
                    "the old log back, or a fresh namespace (MMPLATFORM_NAMESPACE)"
                )


def archive_app(settings: Settings, lakehouse: Lakehouse, status: WorkerStatus) -> Application:
    """Append each batch, one commit a table, then commit the log's offsets."""
    lakehouse.ensure_tables()

    def land(records: list[ConsumedRecord]) -> None:
        started = time.perf_counter()
        batch = sort_by_table(records)
        offsets = next_offsets(records)
        landed = sum(
            lakehouse.append(table, rows, offsets=offsets, source=ARCHIVE_GROUP) for table, rows in batch.rows.items()
        )
        for table, ids in batch.gone.items():
            lakehouse.remove(table, ids)
        status.batch(len(records), time.perf_counter() - started, rows=landed, unread=batch.unread)

    app = open_app(
        settings, group=ARCHIVE_GROUP, commit_s=settings.archive_commit_s, commit_every=settings.archive_batch
    )
    frames = [app.dataframe(open_topic(app, settings, topic)) for topic in TOPICS]
    sink = BatchSink(settings, land)
    for frame in frames:
        frame.sink(sink)
    return app


def read(record: ConsumedRecord) -> Event | Artifact | Quarantined:
    """Parse by the topic that it lies on.

    Raises:
        Rejected: it does not parse. The deriver or the indexer has made a dead letter of it.
    """
    if record.position.topic == ARTIFACTS_TOPIC:
        return decode_artifact(record.value)
    if record.position.topic == QUARANTINE_TOPIC:
        return parse(_QUARANTINED, record.value, "a quarantine row")
    return decode_event(record.value)


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch by table: rows with their places on the log, ids to take out, and how many records did not parse."""

    rows: Mapping[str, Sequence[Placed]]
    gone: Mapping[str, Sequence[str]]
    unread: int


def sort_by_table(records: Sequence[ConsumedRecord]) -> Sorted:
    """Read a batch and say what it means for each table."""
    rows: dict[str, list[Placed]] = defaultdict(list)
    gone: dict[str, list[str]] = defaultdict(list)
    unread = 0
    for record in records:
        try:
            found = read(record)
        except Rejected:
            unread += 1
            continue
        if isinstance(found, Retraction):
            for table in tables_of_retraction(found):
                gone[table].append(found.artifact_id)
            continue
        table, row = row_of(found, record.position)
        rows[table].append((record.position, row))
        row_id = row[SPECS[table].id_column]
        gone[table] = [each for each in gone[table] if each != row_id]  # taken back, then made again: it stays
    return Sorted(rows, gone, unread)


def next_offsets(records: Sequence[ConsumedRecord]) -> Mapping[tuple[str, int], int]:
    """The offset after the last of each topic partition: up to there, the log is in the table."""
    found: dict[tuple[str, int], int] = {}
    for record in records:
        place = record.position
        key = (place.topic, place.topic_partition)
        found[key] = max(found.get(key, 0), place.offset + 1)
    return found
