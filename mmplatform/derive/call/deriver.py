"""Call deriver: folds the events of one call, chunk by chunk, into utterances and passages.

1. Reassembly: chunks are appended by index. An early chunk waits. A missing one is waited for ``gap_timeout_s`` (by the
   ``ingested_at`` of later chunks, so that a replay decides the same), then marked as a gap. The same audio again is a
   duplicate; other audio under an accepted index is quarantined. Of a chunk that overlaps the one before it the new
   part is used. What cannot be decoded within a chunk is silence, marked as a gap.
2. Segmentation: on each channel, speech between pauses (``vad.py``), across chunk borders, never across a gap.
3. Transcription: each closed window once; the memo answers when the same audio comes again.
4. Redaction, before anything is published; then passages.

A window on which a model fails is quarantined and marked as a gap, and the call goes on. So is speech that the model
cannot put into credible words, as in a language that it does not know; it is not quarantined.

Pure but for the models and the blobs: the same events give the same artifacts, whether the state stayed in memory or
came back from a store, and whatever the memo has. Reprocessing folds over all events of the call with the same class.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import structlog

from mmplatform.artifacts import Passage, Utterance
from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.context import PLATFORM_ERRORS
from mmplatform.derive.call.dedup import ChunkDeduplicator
from mmplatform.derive.call.gap_markers import GapMarkers
from mmplatform.derive.call.origin import UtteranceOrigin, utterance_id
from mmplatform.derive.call.reassembly import CallReassembly, ReassemblyDeps
from mmplatform.derive.call.segmenter import Segmenter
from mmplatform.derive.call.speakers import SpeakerLabels
from mmplatform.derive.call.state import CallState, ChunkRef
from mmplatform.derive.call.utterances import UtteranceBuilder, call_locator, failure_reason
from mmplatform.derive.passages import DerivedBatch, PassageDraft, make_passages
from mmplatform.derive.pii.replacement import Replacements
from mmplatform.events import Arrival, CallChunk, CallEnd, Position
from mmplatform.ports import Blobs, Embedder, Memo, Redactor, Transcriber

_log = structlog.get_logger(__name__)


class CallDeriver:
    """Derives calls, one event of one call at a time; one instance serves many calls."""

    name = "call"
    version = "4"

    def __init__(
        self,
        transcriber: Transcriber,
        embedder: Embedder,
        redactor: Redactor,
        memo: Memo,
        blobs: Blobs,
        *,
        gap_timeout_s: float,
        replacements: Replacements | None = None,
    ) -> None:
        audio = CallAudioCache(blobs)
        self._replacements = replacements or Replacements()
        self._speakers = SpeakerLabels(redactor)
        self._deps = ReassemblyDeps(Segmenter(audio), ChunkDeduplicator(blobs), gap_timeout_s)
        self._utterance_builder = UtteranceBuilder(
            transcriber,
            redactor,
            memo,
            blobs,
            audio,
            deriver=(self.name, self.version),
            replacements=self._replacements,
        )
        self._embedder = embedder
        self._memo = memo

    def advance(
        self, state: CallState | None, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> tuple[CallState, DerivedBatch]:
        """Apply one event to the call's state; ``state`` is None before its first event.

        Raises:
            Unavailable: the blob store or the memo does not answer; the event was not applied.
            Permanent: a model cannot be used at all; likewise.
        """
        event = arrival.event
        gap_markers = GapMarkers(arrival, (self.name, self.version))
        reassembly = CallReassembly(self._deps, gap_markers, state or CallState())
        if isinstance(event, CallChunk):
            reassembly.add_chunk(self._chunk_ref(event, arrival.position))
        else:
            reassembly.end_call(event)
        # Transcription, redaction and passages of all windows of this event, in batches.
        built = self._utterance_builder.build(reassembly.windows, reassembly.state.channels, arrival)
        passages, not_embedded = self._passages(built.utterances)
        failed = (*built.failed, *not_embedded)
        withheld = {utterance_id(event.conversation_key, origin) for origin, _ in not_embedded}
        derived = DerivedBatch(
            (
                *reassembly.gap_artifacts,
                *(utterance for utterance, _ in built.utterances if utterance.artifact_id not in withheld),
                *passages,
                *(gap_markers.failed_window(origin) for origin, _ in failed),
                *(gap_markers.failed_window(origin, spoken) for origin, spoken in built.wordless),
                *(gap_markers.passage_retraction(origin) for origin, _ in not_embedded),
            ),
            (*reassembly.quarantined, *(gap_markers.quarantined_window(origin, reason) for origin, reason in failed)),
        )
        next_state = reassembly.next_state(built.channels)
        _log_event(event, next_state, derived)
        return next_state, derived

    def _chunk_ref(self, event: CallChunk, position: Position) -> ChunkRef:
        """Point at a chunk; the state, and all that is derived from it, gets the speakers' labels redacted."""
        replace_value = self._replacements.for_conversation(event.conversation_key)
        labels = tuple(self._speakers.redact(label, replace_value) for label in event.speakers)
        return ChunkRef.from_event(event, position).model_copy(update={"speakers": labels})

    def _passages(
        self, utterances: Sequence[tuple[Utterance, UtteranceOrigin]]
    ) -> tuple[list[Passage], list[tuple[UtteranceOrigin, str]]]:
        """Make a passage of each utterance; also return those on which the embedder failed, with the reason."""
        drafts = [
            PassageDraft(utterance, 0, utterance.text, call_locator(utterance))
            for utterance, _ in utterances
            if utterance.text
        ]
        try:
            return make_passages(drafts, self._embedder, self._memo), []
        except PLATFORM_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - a model that fails on one utterance must not stop the call
            if len(utterances) == 1:
                return [], [(utterances[0][1], failure_reason(self._embedder.name, error))]
        parts = [self._passages([utterance]) for utterance in utterances]
        return [passage for part, _ in parts for passage in part], [failure for _, part in parts for failure in part]


def _log_event(event: CallChunk | CallEnd, state: CallState, derived: DerivedBatch) -> None:
    _log.log(
        logging.INFO if derived.artifacts or derived.quarantined else logging.DEBUG,
        "call event applied",
        call_id=event.conversation_id,
        event_id=event.event_id,
        artifacts=len(derived.artifacts),
        quarantined=len(derived.quarantined),
        waiting=len(state.waiting),
        gaps=len(state.gaps),
    )
