"""Records for audio without words: gaps, retractions, quarantined chunks and windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mmplatform.artifacts import Provenance, Retraction, Stamps, Utterance, artifact_id
from mmplatform.derive.call.origin import UtteranceOrigin, utterance_id
from mmplatform.derive.call.state import AudioGap, ChunkRef
from mmplatform.derive.passages import quarantine
from mmplatform.events import Arrival, BlobRef, CallChunk, CallEnd, Position, utc_now
from mmplatform.refusals import Quarantined

_NO_WORDS: Final = "speech that the model cannot put into credible words"
_TOO_SHORT: Final = "speech of {:.1f} s: too short for credible words"
_SHORT_WINDOW_S: Final = 1.6
"""A window with its padding of 0.4 s on both sides: up to a word or two."""

_MODEL_FAILED: Final = "a model failed on it: see its row in quarantine"


@dataclass(frozen=True, slots=True)
class SpokenLanguage:
    """Code of a detected language, and its probability."""

    code: str
    confidence: float


@dataclass(frozen=True, slots=True)
class GapMarkers:
    """Builds the records of one event; ``deriver`` is the deriver's name and version."""

    arrival: Arrival[CallChunk] | Arrival[CallEnd]
    deriver: tuple[str, str]

    def gap_marker(self, gap: AudioGap, following: ChunkRef | None) -> Utterance:
        """Build the marker of a gap; ``following`` is the chunk after it, None at the end of the call."""
        event = self.arrival.event
        event_time, ingested_at, event_id = event.event_time, event.ingested_at, event.event_id
        if following is not None:
            event_time = following.event_time - timedelta(seconds=max(following.end_s - gap.end_s, 0.0))
            ingested_at, event_id = following.ingested_at, following.event_id
        return Utterance(
            artifact_id=_gap_id(event.conversation_key, gap),
            modality="call",
            tenant=event.tenant,
            source=event.source,
            conversation_id=event.conversation_id,
            subject_id=event.subject_id,
            stamps=Stamps(event_time=event_time, ingested_at=ingested_at, derived_at=utc_now()),
            provenance=self._provenance((event_id,)),
            call_id=event.conversation_id,
            channel=0,
            speaker="",
            start_s=gap.start_s,
            end_s=gap.end_s,
            text="",
            confidence=0.0,
            status="gap",
        )

    def failed_window(self, origin: UtteranceOrigin, spoken: SpokenLanguage | None = None) -> Utterance:
        """Build a gap for a window without words, under the utterance's id: a better model replaces it.

        ``spoken``: the language of certain speech; None where a model failed.
        """
        event = self.arrival.event
        return Utterance(
            artifact_id=utterance_id(event.conversation_key, origin),
            modality="call",
            tenant=event.tenant,
            source=event.source,
            conversation_id=event.conversation_id,
            subject_id=origin.subject_id,
            stamps=Stamps(
                event_time=origin.event_time - timedelta(seconds=max(origin.chunks_end_s - origin.end_s, 0.0)),
                ingested_at=origin.ingested_at,
                derived_at=utc_now(),
            ),
            provenance=self._provenance(origin.event_ids, origin.blobs),
            call_id=event.conversation_id,
            channel=origin.channel,
            speaker=origin.speaker,
            start_s=origin.start_s,
            end_s=origin.end_s,
            text="",
            confidence=0.0,
            status="gap",
            language=spoken.code if spoken else "",
            language_confidence=spoken.confidence if spoken else 0.0,
            reason=_wordless_reason(origin) if spoken else _MODEL_FAILED,
        )

    def gap_retraction(self, gap: AudioGap) -> Retraction:
        """Retract the marker of a gap whose audio came after all, at least in part."""
        gap_id = _gap_id(self.arrival.event.conversation_key, gap)
        return self._retraction(gap_id, self.arrival.event.subject_id, "the missing audio came after all")

    def passage_retraction(self, origin: UtteranceOrigin) -> Retraction:
        """Retract the passage of an utterance that cannot be embedded: its text may contain what is redacted now."""
        passage_id = artifact_id("passage", utterance_id(self.arrival.event.conversation_key, origin), 0)
        return self._retraction(passage_id, origin.subject_id, "a model failed on what it is made of")

    def quarantined_chunk(self, chunk: ChunkRef, contract: str, reason: str) -> Quarantined:
        """Quarantine a chunk that cannot be used; it may be that of an earlier event."""
        return self._quarantined(chunk.event_id, chunk.event_time, chunk.position, contract, reason)

    def quarantined_window(self, origin: UtteranceOrigin, reason: str) -> Quarantined:
        """Quarantine a window on which a model failed, by the chunk in which it ends."""
        located = f"channel {origin.channel} from {origin.start_s:.1f} to {origin.end_s:.1f} s: {reason}"
        return self._quarantined(origin.event_ids[-1], origin.event_time, origin.position, self.deriver[0], located)

    def _quarantined(
        self, event_id: str, event_time: datetime, position: Position, contract: str, reason: str
    ) -> Quarantined:
        event = self.arrival.event.model_copy(update={"event_id": event_id, "event_time": event_time})
        return quarantine(Arrival(event, position), contract=contract, reasons=(reason,))

    def _retraction(self, retracted_id: str, subject_id: str, reason: str) -> Retraction:
        event = self.arrival.event
        return Retraction(
            artifact_id=retracted_id,
            modality="call",
            tenant=event.tenant,
            source=event.source,
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


def _wordless_reason(origin: UtteranceOrigin) -> str:
    seconds = origin.end_s - origin.start_s
    return _NO_WORDS if seconds > _SHORT_WINDOW_S else _TOO_SHORT.format(seconds)


def _gap_id(conversation_key: str, gap: AudioGap) -> str:
    # From its chunks and its start: a gap that shrinks when a chunk comes gets another id, so none replaces another.
    return artifact_id("utterance", f"{conversation_key}/gap/{gap.first}-{gap.last}", round(gap.start_s * 1000))
