"""Reprocesses one hour: derives it again from its raw rows and replaces what differs, while the stream goes on.

Dagster's assets and ``mmplatform reprocess`` call this. The path and the derivers are the stream's own; only the reader
of the events and the writer of the outcome differ. A second run with the same code changes nothing.

Runs lock their hour, on one machine: a second run waits (``hour_lock``).

1. Read the stored rows of the hour, so that an unavailable store ends the run before anything is changed.
2. Read the raw rows of the hour: of a call and a chat all of its rows, since a word may begin in the hour before, and
   an edit may come days later.
3. Derive. Until here nothing is written: a run that stops now leaves no trace but the memo.
4. Publish what differs to the log, with the run's version: changed records, and retractions of vanished ones. Who reads
   the log alone ends in the same state as the stores. The indexer applies it to the index, as its only writer.
5. Replace what differs in the tables, one commit for each, in parallel. The archiver finds the same versions there, and
   completes a run that ended before; then wait for the indexer.

What the stream lands meanwhile has a higher version, or is the same: docs/adr/0006-reprocess-in-place.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from mmplatform.artifacts import Artifact, Passage, Retraction
from mmplatform.errors import Rejected
from mmplatform.events import MAX_INTEGER, utc_now
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.row_codec import row_to_event
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.modalities import (
    IDENTITY,
    MODALITIES,
    PASSAGES_TABLE,
    QUARANTINE_TABLE,
    RETRACTIONS_TABLE,
    ModalitySpec,
)
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.reprocess.diff import StoredRow, stored_artifact, stored_indexed, stored_quarantined
from mmplatform.pipeline.reprocess.hour import (
    RederivedHour,
    StoredHour,
    TableChanges,
    TableDelta,
    index_delta,
    replace_table,
    table_delta,
)
from mmplatform.pipeline.reprocess.hour_lock import lock_hour
from mmplatform.pipeline.reprocess.inputs import ReprocessInputs
from mmplatform.pipeline.reprocess.raw_rows import Row, read_other_contents, read_raw_rows
from mmplatform.pipeline.reprocess.rederive import RederiveProgressCallback, rederive, row_position
from mmplatform.pipeline.reprocess.run_stamp import RunStamp
from mmplatform.refusals import Quarantined, QuarantineRecord, Released

_log = structlog.get_logger(__name__)
HOUR_FORMAT: Final = "%Y-%m-%d-%H:%M"
DERIVED_TABLES: Final = {spec.derived_table: spec for spec in MODALITIES.values()}


@dataclass(frozen=True, slots=True)
class ReprocessSummary:
    """Result of a run.

    Attributes:
        read: events that were derived again; of a call or a chat including those before and after the hour.
        tables: changes by table.
        upserted: passages that were published for the index.
        deleted: passages that were retracted from it.
        indexed: the indexer has applied them.
        quarantined: events of the hour that are quarantined.
        lost: events of the hour whose bytes are missing or damaged; their earlier artifacts stay.
    """

    table: str
    hour: datetime
    read: int = 0
    tables: Mapping[str, TableChanges] = field(default_factory=dict)
    upserted: int = 0
    deleted: int = 0
    indexed: bool = True
    quarantined: int = 0
    lost: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """True when the run wrote anything."""
        rows = sum(changes.added + changes.replaced + changes.vanished for changes in self.tables.values())
        return bool(rows or self.upserted or self.deleted)


def parse_hour(text: str) -> datetime:
    """Parse a Dagster partition key such as ``2026-08-01-10:00``, in UTC. Raises Rejected."""
    try:
        return datetime.strptime(text, HOUR_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise Rejected(f"{text!r} is no hour: write it in UTC like 2026-08-01-10:00") from None


def modality_for_table(table: str) -> ModalitySpec:
    """The modality of a table that can be reprocessed. Raises Rejected."""
    if table not in DERIVED_TABLES:
        raise Rejected(
            f"{table} cannot be reprocessed: name one of {', '.join(DERIVED_TABLES)}; passages come with each"
        )
    return DERIVED_TABLES[table]


def check_hour(hour: datetime, now: datetime) -> None:
    """Raise Rejected for a time that does not begin an hour, or an hour that has not begun."""
    if hour.utcoffset() is None or hour.astimezone(UTC).replace(minute=0, second=0, microsecond=0) != hour:
        raise Rejected(f"{hour.isoformat()} does not begin an hour of UTC: write it like 2026-08-01-10:00")
    if hour > now:
        raise Rejected(f"the hour {hour.astimezone(UTC):{HOUR_FORMAT}} has not begun: nothing can have happened in it")


def reprocess(
    table: str,
    hour: datetime,
    inputs: ReprocessInputs,
    *,
    progress: RederiveProgressCallback = lambda done, total: None,  # noqa: ARG005 - the names document it
    clock: Callable[[], datetime] = utc_now,
) -> ReprocessSummary:
    """Derive an hour of a modality again, and replace what differs in the lakehouse and in the index.

    Args:
        table: ``messages``, ``transcripts`` or ``captions``.
        hour: of the rows' event times; its start, aware of UTC.
        inputs: stores and the modality's deriver.
        progress: called with the number of derived events and their total.
        clock: the current time.

    Raises:
        Rejected: no such table, or no hour that has begun; nothing was read.
        Unavailable: a store does not answer. Committed rows stay; run it again.
        Permanent: a model cannot be used at all; nothing was written.
    """
    spec = modality_for_table(table)
    check_hour(hour, clock())
    hour = hour.astimezone(UTC)
    with lock_hour(inputs.locks_dir, table, hour):
        summary = _reprocess(spec, hour, inputs, progress, clock)
    _log_summary(summary)
    return summary


def _reprocess(
    spec: ModalitySpec,
    hour: datetime,
    inputs: ReprocessInputs,
    progress: RederiveProgressCallback,
    clock: Callable[[], datetime],
) -> ReprocessSummary:
    table = spec.derived_table
    # 1.
    stored = _read_hour(inputs, spec, hour)
    # 2.
    rows = read_raw_rows(inputs.lakehouse, spec, hour, stored.conversations(*stored.tables))
    # 3.
    rederived = rederive(
        rows,
        inputs.deriver,
        spec,
        inputs.limits,
        batch=inputs.batch,
        blobs=inputs.blobs,
        progress=progress,
        ledger=_ledger(inputs, spec, rows, stored),
    )
    rederived_hour = RederivedHour.from_rederived(rederived, hour, stored.conversations(table))
    # 4.
    read = {str(row["event_uid"]) for row in rows}
    stamp = RunStamp(spec, clock(), _retracted_versions(inputs, stored, rederived_hour, read))
    deltas = [table_delta(name, stored, rederived_hour, stamp) for name in stored.tables]
    indexed, vanished = index_delta(EmbedderRegistry(inputs.index).latest(), stored.index, rederived_hour, stamp)
    outcome = _changes_for_log(deltas, indexed, vanished)
    if outcome != Outcome():
        inputs.change_log.publish(outcome)
    # 5.
    tables = _replace_tables(inputs, hour, stored, deltas)
    passages = sum(isinstance(artifact, Passage) for artifact in outcome.artifacts)
    return ReprocessSummary(
        table=table,
        hour=hour,
        read=len(rows),
        tables=tables,
        upserted=passages,
        deleted=len(vanished),
        indexed=inputs.change_log.wait_indexed() if outcome != Outcome() else True,
        quarantined=len(rederived_hour.quarantined),
        lost=rederived_hour.lost,
    )


def _ledger(inputs: ReprocessInputs, spec: ModalitySpec, rows: Sequence[Row], stored: StoredHour) -> IdentityLedger:
    """Ledger of the hour. The event that came before may lie in another hour, and the stream may be behind."""
    conflicts = {
        row_id: tuple(row.row["reasons"])
        for row_id, row in stored.tables[QUARANTINE_TABLE].items()
        if row.row["contract"] == IDENTITY
    }
    ledger = IdentityLedger(reread_records=MAX_INTEGER, stored_conflicts=conflicts)
    for row in read_other_contents(inputs.lakehouse, spec, rows):
        with suppress(Rejected):  # a damaged record
            event = row_to_event(row)
            ledger.record(event.uid, event.digest, row_position(row))
    return ledger


def _retracted_versions(
    inputs: ReprocessInputs, stored: StoredHour, rederived: RederivedHour, read: AbstractSet[str]
) -> dict[str, str]:
    """Sortable versions of the retractions of artifacts that a store lacks: the run's version must be above them.

    A retraction by an event that the run did not read stays above: a message that was deleted meanwhile.
    """
    present = {row_id for name in stored.tables for row_id in stored.tables[name]}
    indexed = {row_id for _, row_id in stored.index}
    lacking = [
        row_id
        for row_id, artifact in rederived.artifacts.items()
        if row_id not in present or (isinstance(artifact, Passage) and row_id not in indexed)
    ]
    if not lacking:
        return {}
    columns = ("artifact_id", "version", "event_uids")
    found = inputs.lakehouse.scan(RETRACTIONS_TABLE, ids=lacking, columns=columns).to_pylist()
    return {row["artifact_id"]: row["version"] for row in found if set(row["event_uids"] or ()) <= read}


def _changes_for_log(
    deltas: Sequence[TableDelta], indexed: Mapping[str, Passage], vanished: Mapping[str, Retraction]
) -> Outcome:
    """All changes of a run. A record of a table has the same content as the index's, and the higher version counts."""
    artifacts: dict[str, Artifact] = {**indexed, **vanished}
    quarantined: list[QuarantineRecord] = []
    for delta in deltas:
        for record in (*delta.records.values(), *delta.retracted):
            if isinstance(record, Quarantined | Released):
                quarantined.append(record)
            elif record.artifact_id not in artifacts or record.version >= artifacts[record.artifact_id].version:
                artifacts[record.artifact_id] = record
    return Outcome(tuple(artifacts.values()), tuple(quarantined))


def _replace_tables(
    inputs: ReprocessInputs, hour: datetime, stored: StoredHour, deltas: Sequence[TableDelta]
) -> dict[str, TableChanges]:
    """Changes by table. In parallel: a commit waits for the catalog."""
    with ThreadPoolExecutor(len(deltas), thread_name_prefix="tables") as executor:
        replacing = {
            delta.table: executor.submit(replace_table, inputs.lakehouse, hour, delta, stored.tables[delta.table])
            for delta in deltas
        }
        return {table: future.result() for table, future in replacing.items()}


def _read_hour(inputs: ReprocessInputs, spec: ModalitySpec, hour: datetime) -> StoredHour:
    readers: dict[str, Callable[[Mapping[str, Any]], StoredRow]] = {
        spec.derived_table: stored_artifact,
        PASSAGES_TABLE: stored_artifact,
        QUARANTINE_TABLE: stored_quarantined,
    }
    tables = {}
    with ThreadPoolExecutor(1, thread_name_prefix="index") as executor:
        indexed = executor.submit(list, inputs.index.rows(modality=spec.modality, since=hour, until=hour + HOUR))
        for name, to_stored_row in readers.items():
            scanned = inputs.lakehouse.scan(name, hour=hour).to_pylist()
            rows = [row for row in scanned if row["modality"] == spec.modality]
            tables[name] = {row[SPECS[name].id_column]: to_stored_row(row) for row in rows}
        index = {
            (metadata["embedder"], passage_id): stored_indexed(text, metadata)
            for passage_id, text, metadata in indexed.result()
        }
    return StoredHour(tables, index)


def _log_summary(summary: ReprocessSummary) -> None:
    _log.info(
        "hour reprocessed",
        table=summary.table,
        hour=summary.hour.strftime(HOUR_FORMAT),
        read=summary.read,
        upserted=summary.upserted,
        deleted=summary.deleted,
        quarantined=summary.quarantined,
        lost=list(summary.lost),
        changed=summary.changed,
    )
