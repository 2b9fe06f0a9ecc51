"""Parse → gate → derive → release, for one micro-batch. Pure but for the model calls; nothing is silently dropped.

Every record ends in exactly one of: artifacts, quarantine (it parsed, but broke a contract or its deriver), dead
letters (it could not be parsed), or the state of a call whose speech has not ended yet.

``Unavailable``, ``Busy`` and ``Permanent`` pass through: they are about us, not about the record, and the caller
retries or stops. Anything else that a deriver raises is about one record: the batch is taken apart, and that record is
set aside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import numpy as np
import structlog

from mmplatform.artifacts import Artifact, DeadLetter, Passage, Quarantined
from mmplatform.derive.passages import DerivedBatch, quarantine
from mmplatform.errors import Busy, Permanent, Rejected, Unavailable
from mmplatform.events import Arrival, Event, Position, decode_event, utc_now
from mmplatform.modalities import PASSAGES_TABLE, SHED, ModalitySpec
from mmplatform.settings import Settings
from quality import contract_gate
from quality.contracts import Limits

_log = structlog.get_logger(__name__)
_OURS = (Unavailable, Busy, Permanent)
SHED_REASONS: Final = {
    b"lag": "too many events were waiting for its deriver",
    b"age": "the oldest event had waited too long for its deriver",
    b"": "it came with the mark of being shed",
}
"""By what the gateway writes into the header ``shed``."""


@dataclass(frozen=True, slots=True)
class ConsumedRecord:
    """A record as it lies on the log, and when we took it up. ``shed``: why nothing is to be derived from it."""

    position: Position
    value: bytes | None
    taken_at: datetime
    shed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where every record of a micro-batch went."""

    artifacts: tuple[Artifact, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()


class BatchDeriver(Protocol):
    """A deriver without memory: chats and screenshots."""

    name: str
    version: str

    def derive(self, arrivals: Sequence[Arrival[Any]]) -> DerivedBatch:
        """Artifacts of the events, and those that had to be set aside."""


class Fold(Protocol):
    """A deriver with memory: one step of a call."""

    def __call__(self, arrival: Arrival[Any]) -> DerivedBatch:
        """Artifacts that this event completed."""


def limits_of(settings: Settings) -> Limits:
    """The contracts' limits, as the operator set them."""
    return Limits(
        max_chat_chars=settings.max_chat_chars,
        max_future_s=settings.max_future_s,
        max_image_pixels=settings.max_image_pixels,
    )


def warm_up(spec: ModalitySpec, limits: Limits) -> None:
    """Have the gates of a modality ready before the first event is there."""
    for table in (spec.raw_table, PASSAGES_TABLE):
        contract_gate.warm_up(table, limits)


def process(records: Sequence[ConsumedRecord], deriver: BatchDeriver, spec: ModalitySpec, limits: Limits) -> Outcome:
    """Run one micro-batch of a modality through the whole path."""
    arrivals, dead = parse(records, spec)
    arrivals, shed = leave_shed(arrivals, records)
    admitted, refused = admit(arrivals, spec, limits)
    derived = _isolate(admitted, deriver.derive, deriver.name)
    return release(derived, [*shed, *refused], dead, records, admitted, limits)


def process_one(record: ConsumedRecord, fold: Fold, spec: ModalitySpec, limits: Limits) -> Outcome:
    """Run one record of a call through the whole path; ``fold`` holds the call's state."""
    [outcome] = process_in_turn([record], fold, spec, limits)
    return outcome


def process_in_turn(
    records: Sequence[ConsumedRecord], fold: Fold, spec: ModalitySpec, limits: Limits
) -> Iterator[Outcome]:
    """Run the records of a call one by one, as :func:`process_one` does; the gate looks at all of them at once."""
    parsed = [parse([record], spec) for record in records]
    refused = _refused([arrival for arrivals, _ in parsed for arrival in arrivals], spec, limits)

    def step(batch: Sequence[Arrival[Event]]) -> DerivedBatch:
        return fold(batch[0])

    place = 0
    for record, (arrivals, dead) in zip(records, parsed, strict=True):
        bad = [refused[place]] if arrivals and place in refused else []
        good = [] if bad else arrivals
        place += len(arrivals)
        yield release(_isolate(good, step, "call"), bad, dead, [record], good, limits)


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


def leave_shed(
    arrivals: Sequence[Arrival[Event]], records: Sequence[ConsumedRecord]
) -> tuple[list[Arrival[Event]], list[Quarantined]]:
    """Part what is to be derived from what the gateway shed: that is named, and costs no model anything."""
    why = {record.position: record.shed for record in records if record.shed}
    kept = [arrival for arrival in arrivals if arrival.position not in why]
    shed = [
        quarantine(arrival, contract=SHED, reasons=why[arrival.position])
        for arrival in arrivals
        if arrival.position in why
    ]
    return kept, shed


def shed_by(headers: Any) -> tuple[str, ...]:
    """Why a record was shed, from its headers as Kafka's clients give them; empty when it was not.

    What a foreign client wrote there is not repeated.
    """
    said = dict(headers or ()).get(SHED)
    if said is None:
        return ()
    codes = (said if isinstance(said, bytes) else str(said).encode()).split(b",")
    return tuple(dict.fromkeys(SHED_REASONS.get(code, SHED_REASONS[b""]) for code in codes))


def dead_letter(record: ConsumedRecord, reason: str) -> DeadLetter:
    """Name a record that cannot be parsed: where it lies, how large it is, why."""
    value = record.value or b""
    return DeadLetter(
        position=record.position,
        reason=reason,
        size=len(value),
        value_sha256=hashlib.sha256(value).hexdigest(),
        dead_at=utc_now(),
    )


def admit(
    arrivals: Sequence[Arrival[Event]], spec: ModalitySpec, limits: Limits
) -> tuple[list[Arrival[Event]], list[Quarantined]]:
    """The gate before any model is paid: the contract of the raw table."""
    refused = _refused(arrivals, spec, limits)
    return [arrival for place, arrival in enumerate(arrivals) if place not in refused], list(refused.values())


def _refused(arrivals: Sequence[Arrival[Event]], spec: ModalitySpec, limits: Limits) -> dict[int, Quarantined]:
    """By their place among the arrivals, in its order."""
    broken = contract_gate.judge(spec.raw_table, [vars(arrival.event) for arrival in arrivals], limits)
    return {
        place: quarantine(arrivals[place], contract=spec.raw_table, reasons=why)
        for place, why in sorted(broken.items())
    }


def _isolate(
    arrivals: Sequence[Arrival[Event]], derive: Callable[[Sequence[Arrival[Event]]], DerivedBatch], name: str
) -> DerivedBatch:
    """Derive the batch; if something in it makes the deriver raise, find it, set it aside, and derive the rest."""
    if not arrivals:
        return DerivedBatch()
    try:
        return derive(arrivals)
    except _OURS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one record does to a deriver, its neighbours go on
        if len(arrivals) == 1:
            # The type only: a message may quote the payload.
            reason = str(error) if isinstance(error, Rejected) else f"deriver raised {type(error).__name__}"
            _log.exception("event set aside", deriver=name, event_id=arrivals[0].event.event_id, exc_info=False)
            return DerivedBatch(quarantined=(quarantine(arrivals[0], contract=name, reasons=(reason,)),))
    half = len(arrivals) // 2
    parts = [_isolate(arrivals[:half], derive, name), _isolate(arrivals[half:], derive, name)]
    return DerivedBatch(
        artifacts=tuple(artifact for part in parts for artifact in part.artifacts),
        quarantined=tuple(row for part in parts for row in part.quarantined),
    )


def release(
    derived: DerivedBatch,
    refused: Sequence[Quarantined],
    dead: Sequence[DeadLetter],
    records: Sequence[ConsumedRecord],
    arrivals: Sequence[Arrival[Event]],
    limits: Limits,
) -> Outcome:
    """The last look before the log: passages keep their contract, and every artifact says when we took its event up."""
    taken = {record.position: record.taken_at for record in records}
    passages = [artifact for artifact in derived.artifacts if isinstance(artifact, Passage)]
    broken = contract_gate.judge(PASSAGES_TABLE, [_passage_row(passage) for passage in passages], limits)
    withheld = {passages[place].artifact_id: why for place, why in broken.items()}
    # What must not be found must not lie in a table either: the passage's source goes with it, and all its passages.
    sources = {passages[place].source_artifact_id for place in broken}
    at = {arrival.position: arrival for arrival in arrivals}
    leaks = [
        quarantine(at[passage.provenance.position], contract=PASSAGES_TABLE, reasons=withheld[passage.artifact_id])
        for passage in passages
        if passage.artifact_id in withheld and passage.provenance.position in at
    ]
    return Outcome(
        artifacts=tuple(_stamp(a, taken) for a in derived.artifacts if not _comes_from(a, sources)),
        quarantined=(*refused, *derived.quarantined, *leaks),
        dead_letters=tuple(dead),
    )


def _comes_from(artifact: Artifact, sources: set[str]) -> bool:
    own = artifact.source_artifact_id if isinstance(artifact, Passage) else artifact.artifact_id
    return own in sources


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


def _stamp(artifact: Artifact, taken: dict[Position, datetime]) -> Artifact:
    moment = taken.get(artifact.provenance.position)
    if moment is None:
        return artifact
    return artifact.model_copy(update={"stamps": artifact.stamps.model_copy(update={"taken_at": moment})})
