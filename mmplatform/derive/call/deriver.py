"""Calls: a fold over the events of one call, chunk by chunk, into utterances and passages.

1. Order: chunks are taken in by index. One that comes early waits; one that is missing is waited for ``gap_s`` (by the
   ``ingested_at`` of what comes after it, so that a replay decides the same) and then marked as a gap. The same audio
   again is a duplicate; other audio under a number that was taken is set aside.
2. Windows: on each channel, speech between pauses (``voice.py``), across chunk borders, never across a gap.
3. Words: each closed window goes through ASR once; the memo answers when the same audio comes again.
4. Redaction: before anything leaves. Then passages.

A window on which a model fails is set aside and marked as a gap, and the call goes on.

Pure but for the models, the memo and the blobs: the same events give the same artifacts, whether the state was kept in
memory or came back from a store in between. Reprocessing folds over all events of the call with the same class.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import structlog

from mmplatform.artifacts import Passage, Utterance
from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.dedup import ChunkDeduplicator
from mmplatform.derive.call.gap_markers import GapMarkers
from mmplatform.derive.call.reassembly import CallReassembly, ReassemblyDeps
from mmplatform.derive.call.segmenter import Segmenter, UtteranceOrigin, utterance_id
from mmplatform.derive.call.state import CallState, ChunkRef
from mmplatform.derive.call.utterances import PLATFORM_ERRORS, UtteranceBuilder, call_locator, failure_reason
from mmplatform.derive.passages import DerivedBatch, PassageDraft, make_passages
from mmplatform.events import Arrival, CallChunk, CallEnd
from mmplatform.ports import Blobs, Embedder, Memo, Redactor, Transcriber

_log = structlog.get_logger(__name__)


class CallDeriver:
    """Derives calls. Safe to use for many calls in turn; every step is about one."""

    name = "call"
    version = "2"

    def __init__(
        self,
        transcriber: Transcriber,
        embedder: Embedder,
        redactor: Redactor,
        memo: Memo,
        blobs: Blobs,
        *,
        gap_timeout_s: float,
    ) -> None:
        self._deps = ReassemblyDeps(Segmenter(CallAudioCache(blobs)), ChunkDeduplicator(memo), gap_timeout_s)
        self._utterance_builder = UtteranceBuilder(transcriber, redactor, memo, deriver=(self.name, self.version))
        self._embedder = embedder
        self._memo = memo

    def advance(
        self, state: CallState | None, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> tuple[CallState, DerivedBatch]:
        """Take one event of the call in.

        Raises:
            Unavailable: the blob store or the memo does not answer; nothing was taken in.
            Permanent: a model cannot be used at all; likewise.
        """
        event = arrival.event
        marker = GapMarkers(arrival, (self.name, self.version))
        step = CallReassembly(self._deps, marker, state or CallState())
        if isinstance(event, CallChunk):
            step.add_chunk(ChunkRef.from_event(event, arrival.position))
        else:
            step.end_call(event)
        # Words, redaction and passages for all windows of the step, in batches.
        made = self._utterance_builder.build(step.windows, step.state.channels, arrival)
        passages, unfit = self._passages(made.utterances)
        failed = (*made.failed, *unfit)
        untold = {utterance_id(event.conversation_id, origin) for origin, _ in unfit}
        derived = DerivedBatch(
            (
                *step.gap_artifacts,
                *(utterance for utterance, _ in made.utterances if utterance.artifact_id not in untold),
                *passages,
                *(marker.failed_window(origin) for origin, _ in failed),
                *(marker.passage_retraction(origin) for origin, _ in unfit),
            ),
            (*step.quarantined, *(marker.quarantined_window(origin, reason) for origin, reason in failed)),
        )
        after = step.next_state(made.channels)
        _log_step(event, after, derived)
        return after, derived

    def _passages(
        self, utterances: Sequence[tuple[Utterance, UtteranceOrigin]]
    ) -> tuple[list[Passage], list[tuple[UtteranceOrigin, str]]]:
        """A passage for each utterance, and those on which the embedder failed, with the reason."""
        drafts = [PassageDraft(each, 0, each.text, call_locator(each)) for each, _ in utterances if each.text]
        try:
            return make_passages(drafts, self._embedder, self._memo), []
        except PLATFORM_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one utterance does to a model, the call goes on
            if len(utterances) == 1:
                return [], [(utterances[0][1], failure_reason(self._embedder.name, error))]
        parts = [self._passages([each]) for each in utterances]
        return [made for part, _ in parts for made in part], [failed for _, part in parts for failed in part]


def _log_step(event: CallChunk | CallEnd, state: CallState, derived: DerivedBatch) -> None:
    _log.log(
        logging.INFO if derived.artifacts or derived.quarantined else logging.DEBUG,
        "call event taken in",
        call_id=event.conversation_id,
        event_id=event.event_id,
        artifacts=len(derived.artifacts),
        quarantined=len(derived.quarantined),
        waiting=len(state.waiting),
        gaps=len(state.gaps),
    )
