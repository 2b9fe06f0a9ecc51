"""Raw rows of the lakehouse through the stream's own path once more: what their events come to with these derivers.

Pure but for the models, the memo and the blobs, like the path itself. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mmplatform.artifacts import Caption, Message, Passage, Quarantined, Retraction, Utterance, artifact_id
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.call.state import CallState
from mmplatform.derive.passages import DerivedBatch
from mmplatform.errors import Rejected
from mmplatform.events import Arrival, Position, utc_now
from mmplatform.land.lakehouse.row_codec import event_of
from mmplatform.modalities import CALL, ModalitySpec
from mmplatform.pipeline.process import BatchDeriver, ConsumedRecord, Outcome, process, process_in_turn
from mmplatform.pipeline.record_size import fit
from mmplatform.ports import Blobs
from quality.contracts import Limits

Row = Mapping[str, Any]
Landing = Message | Utterance | Caption | Passage
Progress = Callable[[int, int], None]
"""Told how many events are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Rederived:
    """What the events come to.

    Attributes:
        artifacts: the last word on each, by id; what was retracted is not among them.
        quarantined: by id.
        events: every event that was read, and its place on the log.
        lost: events whose bytes cannot be had any more, missing or damaged, or whose raw record does not read.
    """

    artifacts: Mapping[str, Landing]
    quarantined: Mapping[str, Quarantined]
    events: Mapping[str, Position]
    lost: frozenset[str]


def rederive(
    rows: Sequence[Row],
    deriver: BatchDeriver | CallDeriver,
    spec: ModalitySpec,
    limits: Limits,
    *,
    batch: int,
    blobs: Blobs,
    progress: Progress,
) -> Rederived:
    """Run rows of a raw table through ``process`` or, of a call, ``process_in_turn``.

    Args:
        rows: of a call all that there are, or what is missing counts as lost on the way.
        deriver: the modality's own.
        spec: the modality.
        limits: of the contracts.
        batch: most events in one micro-batch.
        blobs: asked which bytes are really gone.
        progress: told now and again.

    Raises:
        Unavailable: the memo or the blobs do not answer.
        Permanent: a model cannot be used at all.
    """
    ordered = sorted(rows, key=lambda row: (row["conversation_id"], *_place(row)))
    outcomes = (
        _folded(ordered, deriver, limits, progress)
        if isinstance(deriver, CallDeriver)
        else _batched(sorted(rows, key=_place), deriver, spec, limits, batch, progress)
    )
    artifacts: dict[str, Landing] = {}
    quarantined: dict[str, Quarantined] = {}
    unread: dict[str, Quarantined] = {}
    rows_at = {_position(row): row for row in rows}
    for outcome in outcomes:
        unread |= {
            row.quarantine_id: row for row in (_unread(rows_at[dead.position], spec) for dead in outcome.dead_letters)
        }
        for artifact in outcome.artifacts:
            _take(artifact, artifacts, quarantined)
        quarantined |= {row.quarantine_id: row for row in outcome.quarantined}
    return Rederived(
        artifacts,
        quarantined | unread,
        {row["event_id"]: _position(row) for row in rows},
        _lost(quarantined, rows, blobs) | {row.event_id for row in unread.values()},
    )


def _take(artifact: Landing | Retraction, known: dict[str, Landing], aside: dict[str, Quarantined]) -> None:
    known.pop(artifact.artifact_id, None)
    if isinstance(artifact, Retraction):
        return
    found, _ = fit(artifact)
    if isinstance(found, Quarantined):
        aside[found.quarantine_id] = found
    else:
        known[artifact.artifact_id] = artifact


def _batched(
    rows: Sequence[Row], deriver: BatchDeriver, spec: ModalitySpec, limits: Limits, batch: int, progress: Progress
) -> Iterable[Outcome]:
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        yield process([_record(row) for row in some], deriver, spec, limits)
        progress(start + len(some), len(rows))


def _folded(rows: Sequence[Row], deriver: CallDeriver, limits: Limits, progress: Progress) -> Iterable[Outcome]:
    """Each call from its first event on, in the order of the log."""
    done = 0
    for _, of_call in groupby(rows, key=lambda row: row["conversation_id"]):
        # The gate takes as long for one chunk as for all of a call: at once, it does not count beside the models.
        for outcome in process_in_turn([_record(row) for row in of_call], CallFold(deriver), CALL, limits):
            yield outcome
            done += 1
            progress(done, len(rows))


class CallFold:
    """The state of one call, in memory: the stream keeps it in Quix's store."""

    def __init__(self, deriver: CallDeriver) -> None:
        self._deriver = deriver
        self._state: CallState | None = None

    def __call__(self, arrival: Arrival[Any]) -> DerivedBatch:
        """Take one event in, whatever came before it."""
        self._state, derived = self._deriver.advance(self._state, arrival)
        return derived


def _unread(row: Row, spec: ModalitySpec) -> Quarantined:
    """It was an event when it landed, so this is damage, and it has a name; on the log it would be a dead letter."""
    return Quarantined(
        quarantine_id=artifact_id("quarantined", row["event_id"], 0),
        modality=spec.modality,
        event_id=row["event_id"],
        conversation_id=row["conversation_id"],
        subject_id=row["subject_id"],
        event_time=row["event_time"],
        quarantined_at=utc_now(),
        contract=spec.raw_table,
        reasons=(f"the record of {spec.raw_table} does not read",),
        position=_position(row),
    )


def _lost(quarantined: Mapping[str, Quarantined], rows: Sequence[Row], blobs: Blobs) -> frozenset[str]:
    """Of the events that were set aside for their bytes, those whose bytes are gone, not merely no audio or image."""
    suspects = {row.event_id for row in quarantined.values() if row.contract == "blob"}
    return frozenset(row["event_id"] for row in rows if row["event_id"] in suspects and not _there(row, blobs))


def _there(row: Row, blobs: Blobs) -> bool:
    ref = getattr(event_of(dict(row)), "blob", None)
    if ref is None:
        return True
    try:
        blobs.get(ref)
    except Rejected:
        return False
    return True


def _record(row: Row) -> ConsumedRecord:
    return ConsumedRecord(_position(row), row["record"].encode(), utc_now())


def _position(row: Row) -> Position:
    return Position(topic=row["topic"], topic_partition=row["topic_partition"], offset=row["log_offset"])


def _place(row: Row) -> tuple[str, int, int]:
    return row["topic"], row["topic_partition"], row["log_offset"]
