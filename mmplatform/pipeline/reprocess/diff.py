"""Diff between stored and rederived rows: which are added, replaced, vanished. Pure.

Two rows are equal when they differ in processing details only: times of consumption and derivation, cost, and the
position of the event's copy on the log, since a repetition of the event has another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mmplatform.artifacts import Passage
from mmplatform.errors import Rejected
from mmplatform.identity import conversation_key, event_uid
from mmplatform.land.index.row_codec import passage_metadata
from mmplatform.land.lakehouse.row_codec import row_to_artifact
from mmplatform.modalities import IDENTITY
from mmplatform.pipeline.reprocess.rederive import Rederived, TableArtifact
from mmplatform.refusals import Quarantined
from mmplatform.versions import NO_VERSION

_STAMPS: Final = ("taken_at", "derived_at", "logged_at")
_COST: Final = ("seconds", "memo_hit", "position", "derivation")
_QUARANTINING: Final = ("quarantined_at", "position", "derivation")
_INDEXED: Final = ("derived_at", "logged_at", "indexed_at", "seconds", "memo_hit", "version")


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as a store holds it.

    Attributes:
        content: the compared part; ``None`` for a record that is no longer readable.
        events: identities of its source events.
        conversation: key of their conversation.
        version: sortable version of the record.
        row: all columns.
    """

    content: Any
    events: frozenset[str]
    conversation: str
    version: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Ids by the change that they need.

    Attributes:
        added: derived, not stored.
        replaced: stored with another content.
        vanished: stored, and no longer derived from the very same events.
        unchanged: equal.
        left: stored, not derived, and the rederived events do not explain why.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def compare(
    stored: Mapping[str, StoredRow], derived: Mapping[str, Any], is_covered: Callable[[StoredRow], bool]
) -> Difference:
    """Compare contents by id; a row that is not covered counts as left, never as vanished."""
    common = [row_id for row_id in derived if row_id in stored]
    only_stored = [row_id for row_id in stored if row_id not in derived]
    return Difference(
        added=tuple(row_id for row_id in derived if row_id not in stored),
        replaced=tuple(row_id for row_id in common if stored[row_id].content != derived[row_id]),
        vanished=tuple(row_id for row_id in only_stored if is_covered(stored[row_id])),
        unchanged=tuple(row_id for row_id in common if stored[row_id].content == derived[row_id]),
        left=tuple(row_id for row_id in only_stored if not is_covered(stored[row_id])),
    )


@dataclass(frozen=True, slots=True)
class EventScope:
    """Stored rows that the rederived events account for. ``untouched``: conversations that have lost audio."""

    rederived: Rederived
    untouched: frozenset[str]

    def covers_artifact(self, stored: StoredRow) -> bool:
        """True when all of its events were rederived with all their bytes: a valid artifact would be derived again."""
        all_rederived = stored.events <= self.rederived.events and not stored.events & self.rederived.lost
        return all_rederived and stored.conversation not in self.untouched

    def covers_quarantined(self, stored: StoredRow) -> bool:
        """True when its event was rederived. A conflict is about another content than the one that was accepted."""
        read = stored.row["contract"] != IDENTITY and stored.events <= self.rederived.events
        return read and stored.conversation not in self.untouched


def artifact_content(artifact: TableArtifact) -> dict[str, Any]:
    """The compared part of an artifact."""
    content = artifact.model_dump()
    content["stamps"] = {name: value for name, value in content["stamps"].items() if name not in _STAMPS}
    content.pop("source_seconds", None)
    content["provenance"] = {name: value for name, value in content["provenance"].items() if name not in _COST}
    return content


def quarantine_content(row: Quarantined) -> dict[str, Any]:
    """The compared part of a quarantine row."""
    return {name: value for name, value in row.model_dump().items() if name not in _QUARANTINING}


def indexed_content(passage: Passage, embedder: str) -> dict[str, Any]:
    """The compared part of a passage in an embedder's collections; its vector follows from text and embedder."""
    metadata = passage_metadata(passage, passage.stamps.derived_at) | {"embedder": embedder}
    return _compared_metadata(metadata, passage.text)


def stored_artifact(row: Mapping[str, Any]) -> StoredRow:
    """A row of a derived table; a damaged record must not end the run, which repairs it."""
    try:
        artifact = row_to_artifact(dict(row))
        content = None if artifact.kind == "retraction" else artifact_content(artifact)
    except (Rejected, ValueError):
        content = None
    return _stored_row(content, row["event_ids"] or (), row)


def stored_quarantined(row: Mapping[str, Any]) -> StoredRow:
    """A row of the quarantine; damage as in :func:`stored_artifact`."""
    content: dict[str, Any] | None
    try:
        content = quarantine_content(Quarantined.model_validate_json(row["record"]))
    except ValueError:  # pydantic's too
        content = None
    return _stored_row(content, (row["event_id"],), row)


def stored_indexed(text: str, metadata: Mapping[str, Any]) -> StoredRow:
    """A passage of the index."""
    return _stored_row(_compared_metadata(metadata, text), json.loads(metadata["event_ids"]), metadata)


def _stored_row(content: Any, event_ids: Iterable[str], row: Mapping[str, Any]) -> StoredRow:
    owner = (row["tenant"], row["source"], row["conversation_id"])
    uids = frozenset(event_uid(*owner, event_id) for event_id in event_ids)
    return StoredRow(content, uids, conversation_key(*owner), row.get("version") or NO_VERSION, row)


def _compared_metadata(metadata: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in _INDEXED} | {"text": text}
