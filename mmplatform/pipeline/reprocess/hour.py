"""One hour of a modality: as the stores hold it, as it was rederived, and the replacement of what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mmplatform.artifacts import Passage, Retraction
from mmplatform.events import Position
from mmplatform.land.index.embedder_registry import EmbedderRevision
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.replace import Replacement, ReplaceResult
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CALL, PASSAGES_TABLE, QUARANTINE_TABLE
from mmplatform.pipeline.reprocess.diff import (
    Difference,
    EventScope,
    StoredRow,
    artifact_content,
    compare,
    indexed_content,
    quarantine_content,
)
from mmplatform.pipeline.reprocess.rederive import Rederived, TableArtifact
from mmplatform.pipeline.reprocess.run_stamp import RunStamp
from mmplatform.refusals import Quarantined, Released
from mmplatform.versions import NO_VERSION

NO_LOG_POSITION: Final = {"topic": None, "topic_partition": None, "log_offset": -1, "log_generation": 0}
"""Position of a row that the stream never landed."""


@dataclass(frozen=True, slots=True)
class TableChanges:
    """Changes of a run to one table, in rows.

    Attributes:
        overtaken: rows that the stream wrote or retracted meanwhile; left as they are.
        left: rows whose events are not in the raw table, or whose bytes are lost; untouched.
    """

    added: int = 0
    replaced: int = 0
    vanished: int = 0
    unchanged: int = 0
    overtaken: int = 0
    left: int = 0

    @property
    def rows(self) -> int:
        """Rows of the hour after the run, as far as the run knows."""
        return self.added + self.replaced + self.unchanged + self.overtaken + self.left


@dataclass(frozen=True, slots=True)
class StoredHour:
    """Rows of one modality's hour in the stores: by table and id, and in the index by embedder and id."""

    tables: Mapping[str, Mapping[str, StoredRow]]
    index: Mapping[tuple[str, str], StoredRow]

    def conversations(self, *tables: str) -> frozenset[str]:
        """Keys of the conversations that have rows in these tables."""
        return frozenset(row.conversation for table in tables for row in self.tables[table].values())


@dataclass(frozen=True, slots=True)
class RederivedHour:
    """Rows of the hour as they were rederived."""

    artifacts: Mapping[str, TableArtifact]
    quarantined: Mapping[str, Quarantined]
    scope: EventScope
    lost: tuple[str, ...]

    @classmethod
    def from_rederived(
        cls, rederived: Rederived, hour: datetime, stored_conversations: frozenset[str]
    ) -> RederivedHour:
        """Restrict to the hour; calls with lost audio stay untouched, for each window around the hole would differ."""
        lost = [row for row in rederived.quarantined.values() if row.event_uid in rederived.lost]
        calls = {row.conversation_key for row in lost if row.modality == CALL.modality}
        untouched = frozenset(calls & stored_conversations)
        return cls(
            artifacts={
                row_id: artifact
                for row_id, artifact in rederived.artifacts.items()
                if _within(hour, artifact.stamps.event_time) and artifact.conversation_key not in untouched
            },
            quarantined={row_id: row for row_id, row in rederived.quarantined.items() if _within(hour, row.event_time)},
            scope=EventScope(rederived, untouched),
            lost=tuple(sorted(row.event_id for row in lost if _within(hour, row.event_time))),
        )

    def artifacts_for(self, table: str) -> dict[str, TableArtifact]:
        """The artifacts of ``passages``, or of the modality's own table."""
        passages = table == PASSAGES_TABLE
        return {
            row_id: artifact for row_id, artifact in self.artifacts.items() if isinstance(artifact, Passage) == passages
        }


@dataclass(frozen=True, slots=True)
class TableDelta:
    """Changes of a run to one table, before they are committed.

    Attributes:
        records: added and replaced records by id, with the run's version.
        retracted: records that retract the vanished ones.
    """

    table: str
    difference: Difference
    records: Mapping[str, TableArtifact | Quarantined]
    retracted: tuple[Retraction | Released, ...]


def table_delta(table: str, stored: StoredHour, rederived: RederivedHour, stamp: RunStamp) -> TableDelta:
    """Compare one table with what was rederived."""
    stored_rows = stored.tables[table]
    derived: Mapping[str, TableArtifact | Quarantined]
    if table == QUARANTINE_TABLE:
        derived = rederived.quarantined
        contents = {row_id: quarantine_content(row) for row_id, row in rederived.quarantined.items()}
        difference = compare(stored_rows, contents, rederived.scope.covers_quarantined)
    else:
        derived = artifacts = rederived.artifacts_for(table)
        contents = {row_id: artifact_content(artifact) for row_id, artifact in artifacts.items()}
        difference = compare(stored_rows, contents, rederived.scope.covers_artifact)
    changed = (*difference.added, *difference.replaced)
    versions = {row_id: row.version for row_id, row in stored_rows.items()}
    records = {row_id: stamp.restamp(derived[row_id], versions.get(row_id, NO_VERSION)) for row_id in changed}
    retract = stamp.release if table == QUARANTINE_TABLE else stamp.retract
    retracted = tuple(retract(row_id, stored_rows[row_id]) for row_id in difference.vanished)
    return TableDelta(table, difference, records, retracted)


def replace_table(
    lakehouse: Lakehouse, hour: datetime, delta: TableDelta, stored: Mapping[str, StoredRow]
) -> TableChanges:
    """Replace the differing rows of one table in one commit."""
    rows = [_row(record, stored.get(row_id)) for row_id, record in delta.records.items()]
    difference = delta.difference
    read_versions = {row_id: stored[row_id].version for row_id in (*difference.replaced, *difference.vanished)}
    result = lakehouse.replace(delta.table, Replacement(hour, rows, difference.vanished, read_versions))
    return _table_changes(difference, result)


def _row(record: TableArtifact | Quarantined, stored: StoredRow | None) -> dict[str, Any]:
    """The row with the position of the stored one; the run's copy on the log has the same version, and is skipped."""
    _, row = record_to_row(record, Position(topic="", topic_partition=0, offset=0))
    return row | {name: stored.row[name] if stored else value for name, value in NO_LOG_POSITION.items()}


def _table_changes(difference: Difference, result: ReplaceResult) -> TableChanges:
    return TableChanges(
        added=len(result.written.intersection(difference.added)),
        replaced=len(result.written.intersection(difference.replaced)),
        vanished=len(result.deleted),
        unchanged=len(difference.unchanged),
        overtaken=len(result.overtaken),
        left=len(difference.left),
    )


def index_delta(
    spaces: EmbedderRevision | None,
    stored: Mapping[tuple[str, str], StoredRow],
    rederived: RederivedHour,
    stamp: RunStamp,
) -> tuple[dict[str, Passage], dict[str, Retraction]]:
    """Passages that differ in a space that holds all of them, and retractions of those that vanished; by id."""
    passages = {row_id: item for row_id, item in rederived.artifacts.items() if isinstance(item, Passage)}
    changed: dict[str, Passage] = {}
    for row_id, passage in passages.items():
        names = spaces.complete if spaces else (passage.embedder,)
        if any(_differs(stored, passage, name) for name in names):
            versions = [stored[name, row_id].version for name in names if (name, row_id) in stored]
            changed[row_id] = stamp.restamp(passage, max(versions, default=NO_VERSION))
    vanished: dict[str, Retraction] = {}
    for (_, row_id), row in stored.items():
        if row_id not in passages and rederived.scope.covers_artifact(row):
            retraction = stamp.retract(row_id, row)
            if row_id not in vanished or retraction.version > vanished[row_id].version:
                vanished[row_id] = retraction
    return changed, vanished


def _differs(stored: Mapping[tuple[str, str], StoredRow], passage: Passage, space: str) -> bool:
    row = stored.get((space, passage.artifact_id))
    return row is None or row.content != indexed_content(passage, space)


def _within(hour: datetime, moment: datetime) -> bool:
    return hour <= moment < hour + HOUR
