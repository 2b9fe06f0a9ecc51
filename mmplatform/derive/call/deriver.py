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
from mmplatform.derive.call.audio_cache import CallAudio
from mmplatform.derive.call.dedup import TakenChunks
from mmplatform.derive.call.gap_markers import Marker
from mmplatform.derive.call.reassembly import Ears, Step
from mmplatform.derive.call.segmenter import Listener, Origin, utterance_id
from mmplatform.derive.call.state import CallState, ChunkRef
from mmplatform.derive.call.utterances import OURS, UtteranceMaker, locate_call, why
from mmplatform.derive.passages import Derived, PassageDraft, make_passages
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
        gap_s: float,
    ) -> None:
        self._ears = Ears(Listener(CallAudio(blobs)), TakenChunks(memo), gap_s)
        self._utterances = UtteranceMaker(transcriber, redactor, memo, deriver=(self.name, self.version))
        self._embedder = embedder
        self._memo = memo

    def advance(
        self, state: CallState | None, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> tuple[CallState, Derived]:
        """Take one event of the call in.

        Raises:
            Unavailable: the blob store or the memo does not answer; nothing was taken in.
            Permanent: a model cannot be used at all; likewise.
        """
        event = arrival.event
        marker = Marker(arrival, (self.name, self.version))
        step = Step(self._ears, marker, state or CallState())
        if isinstance(event, CallChunk):
            step.chunk(ChunkRef.of(event, arrival.position))
        else:
            step.end(event)
        # Words, redaction and passages for all windows of the step, in batches.
        made = self._utterances.make(step.heard, step.state.channels, arrival)
        passages, unfit = self._passages(made.utterances)
        failed = (*made.failed, *unfit)
        untold = {utterance_id(event.conversation_id, origin) for origin, _ in unfit}
        derived = Derived(
            (
                *step.marks,
                *(utterance for utterance, _ in made.utterances if utterance.artifact_id not in untold),
                *passages,
                *(marker.unheard(origin) for origin, _ in failed),
                *(marker.withdrawal(origin) for origin, _ in unfit),
            ),
            (*step.aside, *(marker.failed(origin, reason) for origin, reason in failed)),
        )
        after = step.finish(made.channels)
        _tell(event, after, derived)
        return after, derived

    def _passages(
        self, utterances: Sequence[tuple[Utterance, Origin]]
    ) -> tuple[list[Passage], list[tuple[Origin, str]]]:
        """A passage for each utterance, and those on which the embedder failed, with the reason."""
        drafts = [PassageDraft(each, 0, each.text, locate_call(each)) for each, _ in utterances if each.text]
        try:
            return make_passages(drafts, self._embedder, self._memo), []
        except OURS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one utterance does to a model, the call goes on
            if len(utterances) == 1:
                return [], [(utterances[0][1], why(self._embedder.name, error))]
        parts = [self._passages([each]) for each in utterances]
        return [made for part, _ in parts for made in part], [failed for _, part in parts for failed in part]


def _tell(event: CallChunk | CallEnd, state: CallState, derived: Derived) -> None:
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
