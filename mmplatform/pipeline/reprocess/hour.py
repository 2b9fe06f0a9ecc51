"""One hour of a modality: as the stores hold it, as it was rederived, and the replacement of what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mmplatform.artifacts import Passage, Quarantined
from mmplatform.events import Position
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.replace import Replacement, ReplaceResult
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CALL, PASSAGES_TABLE, QUARANTINE_TABLE
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
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

NO_LOG_POSITION: Final = {"topic": None, "topic_partition": None, "log_offset": -1}
"""Position of a row that the stream never landed: every record of its id on the log counts as later."""


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
        """Conversations that have rows in these tables."""
        return frozenset(row.conversation_id for table in tables for row in self.tables[table].values())


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
        lost = [row for row in rederived.quarantined.values() if row.event_id in rederived.lost]
        calls = {row.conversation_id for row in lost if row.modality == CALL.modality}
        untouched = frozenset(calls & stored_conversations)
        return cls(
            artifacts={
                row_id: artifact
                for row_id, artifact in rederived.artifacts.items()
                if _within(hour, artifact.stamps.event_time) and artifact.conversation_id not in untouched
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


def replace_differing(
    lakehouse: Lakehouse, hour: datetime, table: str, stored: StoredHour, rederived: RederivedHour
) -> tuple[TableChanges, frozenset[str]]:
    """Replace the differing rows of one table; returns the changes, and the ids that the stream overtook."""
    stored_rows = stored.tables[table]
    if table == QUARANTINE_TABLE:
        contents = {row_id: quarantine_content(row) for row_id, row in rederived.quarantined.items()}
        difference = compare(stored_rows, contents, rederived.scope.covers_quarantined)
        result = _replace(lakehouse, table, hour, stored_rows, rederived.quarantined, difference)
    else:
        artifacts = rederived.artifacts_for(table)
        contents = {row_id: artifact_content(artifact) for row_id, artifact in artifacts.items()}
        difference = compare(stored_rows, contents, rederived.scope.covers_artifact)
        result = _replace(lakehouse, table, hour, stored_rows, artifacts, difference)
    return _table_changes(difference, result), result.overtaken


def _replace(
    lakehouse: Lakehouse,
    table: str,
    hour: datetime,
    stored: Mapping[str, StoredRow],
    derived: Mapping[str, TableArtifact] | Mapping[str, Quarantined],
    difference: Difference,
) -> ReplaceResult:
    rows = [_row(derived[row_id], stored.get(row_id)) for row_id in (*difference.added, *difference.replaced)]
    read_offsets = {
        row_id: int(stored[row_id].row["log_offset"]) for row_id in (*difference.replaced, *difference.vanished)
    }
    return lakehouse.replace(table, Replacement(hour, rows, difference.vanished, read_offsets))


def _row(record: TableArtifact | Quarantined, stored: StoredRow | None) -> dict[str, Any]:
    """The row with the position of the stored one, so that a later retraction or replay still counts."""
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


def match_index(
    index: DualWriteIndex,
    stored: Mapping[tuple[str, str], StoredRow],
    rederived: RederivedHour,
    overtaken: frozenset[str],
    now: datetime,
) -> tuple[int, int]:
    """Upsert passages that differ, delete vanished ones; ids that the stream overtook are left to its indexer.

    Every space that holds all passages is compared; a passage that differs in one is written to each active space.
    """
    revision = index.latest_revision()
    passages = [passage for passage in rederived.artifacts.values() if isinstance(passage, Passage)]
    changed_passages = [
        passage
        for passage in passages
        if passage.artifact_id not in overtaken
        and any(_differs(stored, passage, space) for space in (revision.complete if revision else (passage.embedder,)))
    ]
    ids = {passage.artifact_id for passage in passages} | overtaken
    vanished = sorted(
        {
            artifact_id
            for (_, artifact_id), row in stored.items()
            if artifact_id not in ids and rederived.scope.covers_artifact(row)
        }
    )
    if changed_passages:
        index.upsert(changed_passages, now)
    if vanished:
        index.delete(vanished)
    return len(changed_passages), len(vanished)


def _differs(stored: Mapping[tuple[str, str], StoredRow], passage: Passage, space: str) -> bool:
    row = stored.get((space, passage.artifact_id))
    return row is None or row.content != indexed_content(passage, space)


def _within(hour: datetime, moment: datetime) -> bool:
    return hour <= moment < hour + HOUR
