"""Version of a run: its records win over those of the stream from the same events, and lose against later events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from mmplatform.artifacts import Passage, Provenance, Retraction, Stamps
from mmplatform.events import Position
from mmplatform.modalities import ModalitySpec
from mmplatform.pipeline.reprocess.diff import StoredRow
from mmplatform.pipeline.reprocess.rederive import TableArtifact
from mmplatform.refusals import Quarantined, Released
from mmplatform.versions import NO_VERSION, Version

R = TypeVar("R", Passage, TableArtifact, Quarantined, "TableArtifact | Quarantined")


class RunStamp:
    """Stamps the records of one run of a modality.

    Args:
        spec: the modality.
        now: its start.
        retracted: sortable versions of retractions by id: an artifact that was retracted comes back above them.
    """

    def __init__(self, spec: ModalitySpec, now: datetime, retracted: Mapping[str, str] | None = None) -> None:
        self._spec = spec
        self._now = now
        self._retracted = retracted or {}
        self._derivation = round(now.timestamp() * 1000)

    def restamp(self, record: R, stored: str) -> R:
        """The record with a version above the stored one, given as sortable text.

        The stored row may come from a repetition of the same event at a later position: that position counts.
        """
        if not isinstance(record, Quarantined):
            stored = max(stored, self._retracted.get(record.artifact_id, NO_VERSION))
        version = _parse(stored)
        position = _later(record.position if isinstance(record, Quarantined) else record.provenance.position, version)
        derivation = self._above(version)
        if isinstance(record, Quarantined):
            return record.model_copy(update={"position": position, "derivation": derivation})
        origin = record.provenance.model_copy(
            update={
                "position": position,
                "derivation": derivation,
                "revision": max(record.provenance.revision, version.revision),
            }
        )
        return record.model_copy(update={"provenance": origin})

    def retract(self, artifact_id: str, stored: StoredRow) -> Retraction:
        """Retract a stored artifact that is no longer derived from its events."""
        version, row = _parse(stored.version), stored.row
        return Retraction(
            artifact_id=artifact_id,
            modality=self._spec.modality,
            **_owner(row),
            stamps=Stamps(event_time=_event_time(row), ingested_at=self._now, derived_at=self._now),
            provenance=Provenance(
                event_ids=_event_ids(row),
                position=self._position(version),
                deriver=row.get("deriver") or self._spec.modality,
                deriver_version=row.get("deriver_version") or "",
                seconds=0.0,
                revision=version.revision,
                derivation=self._above(version),
            ),
            reason="a reprocessing run does not derive it from its events",
        )

    def release(self, quarantine_id: str, stored: StoredRow) -> Released:
        """Retract a quarantine row whose event is derived now."""
        version, row = _parse(stored.version), stored.row
        return Released(
            quarantine_id=quarantine_id,
            modality=self._spec.modality,
            **_owner(row),
            event_id=row["event_id"],
            event_time=row["event_time"],
            quarantined_at=self._now,
            position=self._position(version),
            derivation=self._above(version),
        )

    def _above(self, version: Version) -> int:
        return max(self._derivation, version.derivation + 1)

    def _position(self, version: Version) -> Position:
        return Position(topic=self._spec.topic, topic_partition=0, offset=version.offset, generation=version.generation)


def _later(position: Position, version: Version) -> Position:
    if (version.generation, version.offset) <= (position.generation, position.offset):
        return position
    return position.model_copy(update={"generation": version.generation, "offset": version.offset})


def _parse(stored: str) -> Version:
    return Version.from_sortable(stored) if stored != NO_VERSION else Version()


def _owner(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("tenant", "source", "conversation_id", "subject_id")}


def _event_time(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["event_time_iso"]) if "event_time_iso" in row else row["event_time"]


def _event_ids(row: Mapping[str, Any]) -> tuple[str, ...]:
    import json

    found = row["event_ids"]
    return tuple(json.loads(found) if isinstance(found, str) else found)
