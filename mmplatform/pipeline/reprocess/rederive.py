"""Rederives raw rows of the lakehouse through the stream's own path.

Pure but for the models, the memo and the blobs, like the path itself. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mmplatform.artifacts import Caption, Message, Passage, Retraction, Utterance, artifact_id
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.call.state import CallState
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.chat_fold import ChatFold
from mmplatform.derive.chat_memory import ChatMemory, InMemoryStore
from mmplatform.derive.passages import DerivedBatch
from mmplatform.errors import Rejected
from mmplatform.events import Arrival, CallChunk, Event, Position, Screenshot, utc_now
from mmplatform.identity import conversation_key
from mmplatform.land.lakehouse.row_codec import row_to_event
from mmplatform.modalities import CALL, ModalitySpec
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.pipeline.process import BatchDeriver, Outcome, process, process_call_records
from mmplatform.pipeline.record_size import encode_or_quarantine
from mmplatform.ports import Blobs
from mmplatform.refusals import Quarantined
from quality.contracts import ContractLimits

Row = Mapping[str, Any]
TableArtifact = Message | Utterance | Caption | Passage
RederiveProgressCallback = Callable[[int, int], None]
"""Called with the number of derived events and their total."""


@dataclass(frozen=True, slots=True)
class Rederived:
    """Outcome of the derivation.

    Attributes:
        artifacts: the latest version of each, by id; without retracted ones.
        quarantined: by id.
        events: identities of the events that were read.
        lost: identities of events whose bytes are missing or damaged, or whose raw record is not readable.
    """

    artifacts: Mapping[str, TableArtifact]
    quarantined: Mapping[str, Quarantined]
    events: frozenset[str]
    lost: frozenset[str]


def rederive(
    rows: Sequence[Row],
    deriver: BatchDeriver | CallDeriver,
    spec: ModalitySpec,
    limits: ContractLimits,
    *,
    batch: int,
    blobs: Blobs,
    progress: RederiveProgressCallback,
    ledger: IdentityLedger | None = None,
) -> Rederived:
    """Run rows of a raw table through ``process`` or, of a call, ``process_call_records``.

    Args:
        rows: of a conversation all of its rows, or missing chunks count as lost in transit, and edits are not applied.
        deriver: of the modality.
        spec: the modality.
        limits: of the contracts.
        batch: the maximum of events in one micro-batch.
        blobs: for the check which bytes are really lost.
        progress: called now and again.
        ledger: with the events before these rows, and the conflicts that the stream found.

    Raises:
        Unavailable: the memo or the blobs do not answer.
        Permanent: a model cannot be used at all.
    """
    ordered = sorted(rows, key=lambda row: (row_conversation(row), *_log_order(row)))
    ledger = ledger or IdentityLedger()
    outcomes = (
        _derive_calls(ordered, deriver, limits, ledger, progress)
        if isinstance(deriver, CallDeriver)
        else _derive_batches(sorted(rows, key=_log_order), deriver, spec, limits, (batch, ledger), progress)
    )
    artifacts: dict[str, TableArtifact] = {}
    quarantined: dict[str, Quarantined] = {}
    unreadable: dict[str, Quarantined] = {}
    rows_by_position = {row_position(row): row for row in rows}
    for outcome in outcomes:
        unreadable |= {
            row.quarantine_id: row
            for row in (_quarantine_unreadable(rows_by_position[dead.position], spec) for dead in outcome.dead_letters)
        }
        for artifact in outcome.artifacts:
            _apply(artifact, artifacts, quarantined)
        for row in outcome.quarantined:
            quarantined.pop(row.quarantine_id, None)
            if isinstance(row, Quarantined):
                quarantined[row.quarantine_id] = row
    return Rederived(
        artifacts,
        quarantined | unreadable,
        frozenset(row["event_uid"] for row in rows),
        _lost_events(quarantined, rows, blobs) | {row.event_uid for row in unreadable.values()},
    )


def row_conversation(row: Row) -> str:
    """Key of a row's conversation."""
    return conversation_key(row["tenant"], row["source"], row["conversation_id"])


def _apply(
    artifact: TableArtifact | Retraction, artifacts: dict[str, TableArtifact], quarantined: dict[str, Quarantined]
) -> None:
    artifacts.pop(artifact.artifact_id, None)
    if isinstance(artifact, Retraction):
        return
    fitted, _ = encode_or_quarantine(artifact)
    if isinstance(fitted, Quarantined):
        quarantined[fitted.quarantine_id] = fitted
    else:
        artifacts[artifact.artifact_id] = artifact


def _derive_batches(
    rows: Sequence[Row],
    deriver: BatchDeriver,
    spec: ModalitySpec,
    limits: ContractLimits,
    batch_and_ledger: tuple[int, IdentityLedger],
    progress: RederiveProgressCallback,
) -> Iterable[Outcome]:
    batch, ledger = batch_and_ledger
    if isinstance(deriver, ChatDeriver):
        deriver = ChatFold(deriver, ChatMemory(InMemoryStore(), _event_reader(rows), forgets=False))
    for start in range(0, len(rows), batch):
        chunk = rows[start : start + batch]
        yield process([_to_record(row) for row in chunk], deriver, spec, limits, ledger)
        progress(start + len(chunk), len(rows))


def _event_reader(rows: Sequence[Row]) -> Callable[[Position], Event | None]:
    """Reader of the run's rows, as the stream reads the log."""
    by_position = {row_position(row): row for row in rows}

    def read(position: Position) -> Event | None:
        row = by_position.get(position)
        try:
            return row_to_event(dict(row)) if row is not None else None
        except Rejected:
            return None

    return read


def _derive_calls(
    rows: Sequence[Row],
    deriver: CallDeriver,
    limits: ContractLimits,
    ledger: IdentityLedger,
    progress: RederiveProgressCallback,
) -> Iterable[Outcome]:
    """Derive each call from its first event on, in log order."""
    done = 0
    for _, call_rows in groupby(rows, key=row_conversation):
        # The gate takes as long for one chunk as for a whole call: in one pass its cost is negligible.
        for outcome in process_call_records(
            [_to_record(row) for row in call_rows], InMemoryCallFold(deriver), CALL, limits, ledger
        ):
            yield outcome
            done += 1
            progress(done, len(rows))


class InMemoryCallFold:
    """Fold with the state of one call in memory; the stream keeps it in Quix's store."""

    def __init__(self, deriver: CallDeriver) -> None:
        self._deriver = deriver
        self._state: CallState | None = None

    def __call__(self, arrival: Arrival[Any]) -> DerivedBatch:
        """Advance the state by one event."""
        self._state, derived = self._deriver.advance(self._state, arrival)
        return derived


def _quarantine_unreadable(row: Row, spec: ModalitySpec) -> Quarantined:
    """Quarantine row of a raw record that was damaged after it landed; on the log it would be a dead letter."""
    return Quarantined(
        quarantine_id=artifact_id("quarantined", row["event_uid"], 0),
        modality=spec.modality,
        tenant=row["tenant"],
        source=row["source"],
        event_id=row["event_id"],
        conversation_id=row["conversation_id"],
        subject_id=row["subject_id"],
        event_time=row["event_time"],
        quarantined_at=utc_now(),
        contract=spec.raw_table,
        reasons=(f"the record of {spec.raw_table} does not read",),
        position=row_position(row),
    )


def _lost_events(quarantined: Mapping[str, Quarantined], rows: Sequence[Row], blobs: Blobs) -> frozenset[str]:
    """Events quarantined for their bytes whose bytes are lost, not merely no audio or image."""
    suspects = {row.event_uid for row in quarantined.values() if row.contract == "blob"}
    return frozenset(
        row["event_uid"] for row in rows if row["event_uid"] in suspects and not _blob_is_intact(row, blobs)
    )


def _blob_is_intact(row: Row, blobs: Blobs) -> bool:
    event = row_to_event(dict(row))
    if not isinstance(event, CallChunk | Screenshot):
        return True
    ref = event.blob
    try:
        blobs.get(ref)
    except Rejected:
        return False
    return True


def _to_record(row: Row) -> ConsumedRecord:
    return ConsumedRecord(row_position(row), row["record"].encode(), utc_now())


def row_position(row: Row) -> Position:
    """Position of a raw row's record on the log."""
    return Position(
        topic=row["topic"],
        topic_partition=row["topic_partition"],
        offset=row["log_offset"],
        generation=row["log_generation"],
    )


def _log_order(row: Row) -> tuple[str, int, int, int]:
    return row["topic"], row["log_generation"], row["topic_partition"], row["log_offset"]
