"""What the call deriver says about audio that it does not have: gaps, gaps taken back, chunks set aside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mmplatform.artifacts import Provenance, Quarantined, Retraction, Stamps, Utterance, artifact_id
from mmplatform.derive.call_state import ChunkRef, Gap
from mmplatform.derive.derived import quarantine
from mmplatform.events import Arrival, CallChunk, CallEnd, utc_now


@dataclass(frozen=True, slots=True)
class Marker:
    """Makes the marks of one step; ``deriver`` is its name and version."""

    arrival: Arrival[CallChunk] | Arrival[CallEnd]
    deriver: tuple[str, str]

    def gap(self, gap: Gap, after: ChunkRef | None) -> Utterance:
        """A place without audio; ``after`` is the chunk behind it, None at the end of the call."""
        event = self.arrival.event
        event_time, ingested_at, by = event.event_time, event.ingested_at, event.event_id
        if after is not None:
            event_time = after.event_time - timedelta(seconds=max(after.end_s - gap.end_s, 0.0))
            ingested_at, by = after.ingested_at, after.event_id
        return Utterance(
            artifact_id=_gap_id(event.conversation_id, gap),
            modality="call",
            conversation_id=event.conversation_id,
            subject_id=event.subject_id,
            stamps=Stamps(event_time=event_time, ingested_at=ingested_at, derived_at=utc_now()),
            provenance=self._provenance(by),
            call_id=event.conversation_id,
            channel=0,
            speaker="",
            start_s=gap.start_s,
            end_s=gap.end_s,
            text="",
            confidence=0.0,
            status="gap",
        )

    def retraction(self, gap: Gap) -> Retraction:
        """The audio came after all."""
        event = self.arrival.event
        return Retraction(
            artifact_id=_gap_id(event.conversation_id, gap),
            modality="call",
            conversation_id=event.conversation_id,
            subject_id=event.subject_id,
            stamps=Stamps(event_time=event.event_time, ingested_at=event.ingested_at, derived_at=utc_now()),
            provenance=self._provenance(event.event_id),
            reason="the missing audio came after all",
        )

    def aside(self, chunk: ChunkRef, contract: str, reason: str) -> Quarantined:
        """A chunk that cannot be used; it may have come with an earlier event than this step's."""
        whose = self.arrival.event.model_copy(update={"event_id": chunk.event_id, "event_time": chunk.event_time})
        return quarantine(Arrival(whose, chunk.position), contract=contract, reasons=(reason,))

    def _provenance(self, event_id: str) -> Provenance:
        name, version = self.deriver
        return Provenance(
            event_ids=(event_id,),
            position=self.arrival.position,
            deriver=name,
            deriver_version=version,
            seconds=0.0,
        )


def _gap_id(call_id: str, gap: Gap) -> str:
    # By index, not by time: what is said in a chunk that comes late must not share its gap's id.
    return artifact_id("utterance", f"{call_id}/gap", gap.index)
