"""What the call deriver says about audio that it has no words for: gaps, gaps taken back, what was set aside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mmplatform.artifacts import Provenance, Quarantined, Retraction, Stamps, Utterance, artifact_id
from mmplatform.derive.call.segmenter import UtteranceOrigin, utterance_id
from mmplatform.derive.call.state import AudioGap, ChunkRef
from mmplatform.derive.passages import quarantine
from mmplatform.events import Arrival, BlobRef, CallChunk, CallEnd, Position, utc_now


@dataclass(frozen=True, slots=True)
class GapMarkers:
    """Makes the marks of one step; ``deriver`` is its name and version."""

    arrival: Arrival[CallChunk] | Arrival[CallEnd]
    deriver: tuple[str, str]

    def gap_marker(self, gap: AudioGap, after: ChunkRef | None) -> Utterance:
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
            provenance=self._provenance((by,)),
            call_id=event.conversation_id,
            channel=0,
            speaker="",
            start_s=gap.start_s,
            end_s=gap.end_s,
            text="",
            confidence=0.0,
            status="gap",
        )

    def failed_window(self, origin: UtteranceOrigin) -> Utterance:
        """A window on which a model failed: a gap under the utterance's id, so that a better model replaces it."""
        call_id = self.arrival.event.conversation_id
        return Utterance(
            artifact_id=utterance_id(call_id, origin),
            modality="call",
            conversation_id=call_id,
            subject_id=origin.subject_id,
            stamps=Stamps(
                event_time=origin.event_time - timedelta(seconds=max(origin.chunks_end_s - origin.end_s, 0.0)),
                ingested_at=origin.ingested_at,
                derived_at=utc_now(),
            ),
            provenance=self._provenance(origin.event_ids, origin.blobs),
            call_id=call_id,
            channel=origin.channel,
            speaker=origin.speaker,
            start_s=origin.start_s,
            end_s=origin.end_s,
            text="",
            confidence=0.0,
            status="gap",
        )

    def gap_retraction(self, gap: AudioGap) -> Retraction:
        """The audio came after all, or part of it."""
        gap_id = _gap_id(self.arrival.event.conversation_id, gap)
        return self._retraction(gap_id, self.arrival.event.subject_id, "the missing audio came after all")

    def passage_retraction(self, origin: UtteranceOrigin) -> Retraction:
        """The passage of an utterance that cannot have one now: an earlier one may tell what must be hidden by now."""
        passage_id = artifact_id("passage", utterance_id(self.arrival.event.conversation_id, origin), 0)
        return self._retraction(passage_id, origin.subject_id, "a model failed on what it is made of")

    def quarantined_chunk(self, chunk: ChunkRef, contract: str, reason: str) -> Quarantined:
        """A chunk that cannot be used; it may have come with an earlier event than this step's."""
        return self._quarantined(chunk.event_id, chunk.event_time, chunk.position, contract, reason)

    def quarantined_window(self, origin: UtteranceOrigin, reason: str) -> Quarantined:
        """A window on which a model failed, by the chunk in which it ends."""
        where = f"channel {origin.channel} from {origin.start_s:.1f} to {origin.end_s:.1f} s: {reason}"
        return self._quarantined(origin.event_ids[-1], origin.event_time, origin.position, self.deriver[0], where)

    def _quarantined(
        self, event_id: str, event_time: datetime, place: Position, contract: str, reason: str
    ) -> Quarantined:
        whose = self.arrival.event.model_copy(update={"event_id": event_id, "event_time": event_time})
        return quarantine(Arrival(whose, place), contract=contract, reasons=(reason,))

    def _retraction(self, of: str, subject_id: str, reason: str) -> Retraction:
        event = self.arrival.event
        return Retraction(
            artifact_id=of,
            modality="call",
            conversation_id=event.conversation_id,
            subject_id=subject_id,
            stamps=Stamps(event_time=event.event_time, ingested_at=event.ingested_at, derived_at=utc_now()),
            provenance=self._provenance((event.event_id,)),
            reason=reason,
        )

    def _provenance(self, event_ids: tuple[str, ...], blobs: tuple[BlobRef, ...] = ()) -> Provenance:
        name, version = self.deriver
        return Provenance(
            event_ids=event_ids,
            position=self.arrival.position,
            blobs=blobs,
            deriver=name,
            deriver_version=version,
            seconds=0.0,
        )


def _gap_id(call_id: str, gap: AudioGap) -> str:
    # Of its chunks and its place: one that shrinks when a chunk comes is another one, so that none is taken for none.
    return artifact_id("utterance", f"{call_id}/gap/{gap.first}-{gap.last}", round(gap.start_s * 1000))
