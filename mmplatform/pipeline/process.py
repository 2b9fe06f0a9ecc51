"""THE path of one micro-batch: parse → separate conflicts → apply contract → derive → check outputs.

Pure but for the model calls. No record is silently dropped. Each ends in exactly one of: artifacts, quarantine (it
parsed, but broke a contract or its deriver), dead letters (it could not be parsed), or the state of a call whose speech
has not ended yet.

``Unavailable``, ``Busy`` and ``Permanent`` pass through: they are about the platform, not about the record, and the
caller retries or stops. Anything else that a deriver raises is about one record: the batch is split until that record
is found and quarantined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import structlog

from mmplatform.artifacts import Artifact, Passage, Retraction
from mmplatform.derive.passages import DerivedBatch, quarantine
from mmplatform.errors import Busy, Permanent, Rejected, Unavailable
from mmplatform.events import Arrival, Event, Position, decode_event, utc_now
from mmplatform.kafka.headers import trace_context
from mmplatform.modalities import PASSAGES_TABLE, ModalitySpec
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.pipeline.shedding import split_shed
from mmplatform.pipeline.withdrawal import is_changed_chat, withdraw
from mmplatform.refusals import DeadLetter, Quarantined, QuarantineRecord
from mmplatform.settings import Settings
from quality import contract_gate
from quality.contracts import ContractLimits

_log = structlog.get_logger(__name__)
_PLATFORM_ERRORS = (Unavailable, Busy, Permanent)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The destination of every record of a micro-batch. ``traces``: trace contexts by the position of their event."""

    artifacts: tuple[Artifact, ...] = ()
    quarantined: tuple[QuarantineRecord, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    traces: Mapping[Position, bytes] = field(default_factory=dict)


class BatchDeriver(Protocol):
    """Stateless deriver: chats and screenshots."""

    name: str
    version: str

    def derive(self, arrivals: Sequence[Arrival[Any]]) -> DerivedBatch:
        """Artifacts of the events, and the events that had to be quarantined."""


class Fold(Protocol):
    """Stateful deriver: one step of a call."""

    def __call__(self, arrival: Arrival[Any]) -> DerivedBatch:
        """Artifacts that this event completed."""


def contract_limits(settings: Settings) -> ContractLimits:
    """The contracts' limits from the settings."""
    return ContractLimits(
        max_chat_chars=settings.max_chat_chars,
        max_future_s=settings.max_future_s,
        max_image_pixels=settings.max_image_pixels,
    )


def warm_up(spec: ModalitySpec, limits: ContractLimits) -> None:
    """Compile the contracts of a modality before its first event comes."""
    for table in (spec.raw_table, PASSAGES_TABLE):
        contract_gate.warm_up(table, limits)


def process(
    records: Sequence[ConsumedRecord],
    deriver: BatchDeriver,
    spec: ModalitySpec,
    limits: ContractLimits,
    ledger: IdentityLedger | None = None,
) -> Outcome:
    """Run one micro-batch of a modality through the whole path; without ``ledger`` each batch stands for itself."""
    arrivals, dead = parse(records, spec)
    arrivals, conflicts = (ledger or IdentityLedger()).split_conflicts(arrivals)
    arrivals, shed = split_shed(arrivals, records)
    valid, breaches = apply_contract(arrivals, spec, limits)
    derived = _isolate(valid, deriver.derive, deriver.name)
    return check_outputs(derived, [*conflicts, *shed, *breaches], dead, records, valid, limits)


def process_call_record(record: ConsumedRecord, fold: Fold, spec: ModalitySpec, limits: ContractLimits) -> Outcome:
    """Run one record of a call through the whole path; ``fold`` holds the call's state."""
    [outcome] = process_call_records([record], fold, spec, limits)
    return outcome


def process_call_records(
    records: Sequence[ConsumedRecord],
    fold: Fold,
    spec: ModalitySpec,
    limits: ContractLimits,
    ledger: IdentityLedger | None = None,
) -> Iterator[Outcome]:
    """Run the records of a call one by one, as :func:`process_call_record`; the gate checks all of them at once.

    ``ledger``: None where the caller has separated conflicts already.
    """
    parsed = [parse([record], spec) for record in records]
    conflicts: dict[Position, list[Quarantined]] = {}
    if ledger is not None:
        for number, (arrivals, dead) in enumerate(parsed):
            accepted, conflicts[records[number].position] = ledger.split_conflicts(arrivals)
            parsed[number] = (accepted, dead)
    breaches = _quarantine_breaches([arrival for arrivals, _ in parsed for arrival in arrivals], spec, limits)

    def step(batch: Sequence[Arrival[Event]]) -> DerivedBatch:
        return fold(batch[0])

    index = 0
    for record, (arrivals, dead) in zip(records, parsed, strict=True):
        quarantined = [breaches[index]] if arrivals and index in breaches else []
        valid = [] if quarantined else arrivals
        index += len(arrivals)
        quarantined += conflicts.get(record.position, [])
        yield check_outputs(_isolate(valid, step, "call"), quarantined, dead, [record], valid, limits)


def parse(records: Sequence[ConsumedRecord], spec: ModalitySpec) -> tuple[list[Arrival[Event]], list[DeadLetter]]:
    """Split records into events of this modality and dead letters."""
    arrivals: list[Arrival[Event]] = []
    dead: list[DeadLetter] = []
    for record in records:
        try:
            event = decode_event(record.value)
            if event.kind not in spec.event_kinds:
                raise Rejected(f"a {event.kind} does not belong on {spec.topic}")
            arrivals.append(Arrival(event, record.position))
        except Rejected as error:
            dead.append(dead_letter(record, str(error)))
    return arrivals, dead


def dead_letter(record: ConsumedRecord, reason: str) -> DeadLetter:
    """The dead letter of a record that cannot be parsed: its position, size and the reason."""
    value = record.value or b""
    return DeadLetter(
        position=record.position,
        reason=reason,
        size=len(value),
        value_sha256=hashlib.sha256(value).hexdigest(),
        dead_at=utc_now(),
    )


def apply_contract(
    arrivals: Sequence[Arrival[Event]], spec: ModalitySpec, limits: ContractLimits
) -> tuple[list[Arrival[Event]], list[Quarantined]]:
    """Apply the contract of the raw table, before any model is paid; returns the valid events and the quarantined."""
    breaches = _quarantine_breaches(arrivals, spec, limits)
    return [arrival for index, arrival in enumerate(arrivals) if index not in breaches], list(breaches.values())


def _quarantine_breaches(
    arrivals: Sequence[Arrival[Event]], spec: ModalitySpec, limits: ContractLimits
) -> dict[int, Quarantined]:
    """Events that break the contract, by their index among the arrivals, in order."""
    broken = contract_gate.find_violations(spec.raw_table, [vars(arrival.event) for arrival in arrivals], limits)
    return {
        index: quarantine(arrivals[index], contract=spec.raw_table, reasons=reasons)
        for index, reasons in sorted(broken.items())
    }


def _isolate(
    arrivals: Sequence[Arrival[Event]], derive: Callable[[Sequence[Arrival[Event]]], DerivedBatch], name: str
) -> DerivedBatch:
    """Derive the batch; where an event makes the deriver raise, find and quarantine it, and derive the rest."""
    if not arrivals:
        return DerivedBatch()
    try:
        return derive(arrivals)
    except _PLATFORM_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one record does to a deriver, its neighbours go on
        if len(arrivals) == 1:
            # The type only: a message may quote the payload.
            reason = str(error) if isinstance(error, Rejected) else f"deriver raised {type(error).__name__}"
            _log.exception("event quarantined", deriver=name, event_id=arrivals[0].event.event_id, exc_info=False)
            return DerivedBatch(quarantined=(quarantine(arrivals[0], contract=name, reasons=(reason,)),))
    half = len(arrivals) // 2
    parts = [_isolate(arrivals[:half], derive, name), _isolate(arrivals[half:], derive, name)]
    return DerivedBatch(
        artifacts=tuple(artifact for part in parts for artifact in part.artifacts),
        quarantined=tuple(row for part in parts for row in part.quarantined),
        released=tuple(row for part in parts for row in part.released),
    )


def check_outputs(
    derived: DerivedBatch,
    quarantined: Sequence[Quarantined],
    dead: Sequence[DeadLetter],
    records: Sequence[ConsumedRecord],
    arrivals: Sequence[Arrival[Event]],
    limits: ContractLimits,
) -> Outcome:
    """Check outputs before they go to the log: passages against their contract; artifacts get ``taken_at``."""
    taken_at = {record.position: record.taken_at for record in records}
    passages = [artifact for artifact in derived.artifacts if isinstance(artifact, Passage)]
    broken = contract_gate.find_violations(PASSAGES_TABLE, [_passage_row(passage) for passage in passages], limits)
    withheld = {passages[index].artifact_id: reasons for index, reasons in broken.items()}
    # A passage that must not be found must not lie in a table either: its source is withheld too, and all its passages.
    sources = {(passages[index].source_artifact_id, passages[index].provenance.position) for index in broken}
    by_position = {arrival.position: arrival for arrival in arrivals}
    leaks = [
        quarantine(
            by_position[passage.provenance.position], contract=PASSAGES_TABLE, reasons=withheld[passage.artifact_id]
        )
        for passage in passages
        if passage.artifact_id in withheld and passage.provenance.position in by_position
    ]
    return Outcome(
        artifacts=tuple(_stamp(a, taken_at) for artifact in derived.artifacts for a in _withhold(artifact, sources)),
        quarantined=(*quarantined, *derived.quarantined, *leaks, *derived.released),
        dead_letters=tuple(dead),
        traces={record.position: trace for record in records if (trace := trace_context(record.headers))},
    )


def _withhold(artifact: Artifact, sources: set[tuple[str, Position]]) -> Iterator[Artifact]:
    """The artifact, unless its source is withheld; of an edited message a retraction, since its old text was found."""
    source_id = artifact.source_artifact_id if isinstance(artifact, Passage) else artifact.artifact_id
    if isinstance(artifact, Retraction) or (source_id, artifact.provenance.position) not in sources:
        yield artifact
    elif is_changed_chat(artifact):
        yield withdraw(artifact, "the new text of its message broke the contract of passages")


def _passage_row(passage: Passage) -> dict[str, Any]:
    return {
        "event_id": passage.artifact_id,
        "conversation_id": passage.conversation_id,
        "subject_id": passage.subject_id,
        "event_time": passage.stamps.event_time,
        "ingested_at": passage.stamps.ingested_at,
        "text": passage.text,
        "vector_norm": float(np.linalg.norm(passage.vector)),
    }


def _stamp(artifact: Artifact, taken_at: dict[Position, datetime]) -> Artifact:
    moment = taken_at.get(artifact.provenance.position)
    if moment is None:
        return artifact
    return artifact.model_copy(update={"stamps": artifact.stamps.model_copy(update={"taken_at": moment})})
