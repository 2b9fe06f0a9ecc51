"""Calls: a fold over the events of one call, chunk by chunk, into utterances and passages.

1. Order: chunks are taken in by index. Duplicates are ignored; one that comes early waits; one that is missing is
   waited for ``gap_s`` (by the ``ingested_at`` of what comes after it, so that a replay decides the same) and then
   marked as a gap.
2. Windows: on each channel, speech between pauses (``voice.py``), across chunk borders, never across a gap.
3. Words: each closed window goes through ASR once; the memo answers when the same audio comes again.
4. Redaction: before anything leaves. Then passages.

Pure but for the models and the blobs: the same events give the same artifacts, whether the state was kept in memory or
came back from a store in between. Reprocessing folds over all events of the call with the same class.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import structlog

from mmplatform.artifacts import Artifact, Quarantined
from mmplatform.derive.audio import RATE
from mmplatform.derive.call_audio import CallAudio
from mmplatform.derive.call_marks import Marker
from mmplatform.derive.call_state import MOST_GAPS, MOST_WAITING, CallState, Channel, ChunkRef, Gap
from mmplatform.derive.derived import Derived, PassageDraft, make_passages
from mmplatform.derive.utterances import Heard, UtteranceMaker, locate_call
from mmplatform.derive.voice import cut
from mmplatform.errors import Rejected
from mmplatform.events import Arrival, CallChunk, CallEnd
from mmplatform.ports import Blobs, Embedder, Memo, Redactor, Transcriber

_log = structlog.get_logger(__name__)
_JUMP_S: Final = 0.25
"""Between two chunks in order: a source that paused longer than this has begun a new stretch, and one that goes back
further than this contradicts itself."""


class CallDeriver:
    """Derives calls. Safe to use for many calls in turn; every step is about one."""

    name = "call"
    version = "1"

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
        self._audio = CallAudio(blobs)
        self._utterances = UtteranceMaker(transcriber, redactor, memo, deriver=(self.name, self.version))
        self._embedder = embedder
        self._memo = memo
        self._gap_s = gap_s

    def advance(
        self, state: CallState | None, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> tuple[CallState, Derived]:
        """Take one event of the call in.

        Raises:
            Unavailable: the blob store does not answer; nothing was taken in.
        """
        step = _Step(self, state or CallState(), arrival)
        event = arrival.event
        if isinstance(event, CallChunk):
            step.chunk(ChunkRef.of(event, arrival.position))
        else:
            step.end(event)
        derived = step.derived()
        _log.log(
            logging.INFO if derived.artifacts or derived.quarantined else logging.DEBUG,
            "call event taken in",
            call_id=event.conversation_id,
            event_id=event.event_id,
            artifacts=len(derived.artifacts),
            quarantined=len(derived.quarantined),
            waiting=len(step.state.waiting),
            gaps=len(step.state.gaps),
        )
        return step.state, derived


class _Step:
    """One event against one state. What it finds is collected, and derived together at the end of the step."""

    def __init__(self, deriver: CallDeriver, state: CallState, arrival: Arrival[CallChunk] | Arrival[CallEnd]) -> None:
        self._deriver = deriver
        self._audio = deriver._audio  # noqa: SLF001 - its own step
        self._arrival = arrival
        self._marker = Marker(arrival, (deriver.name, deriver.version))
        self.state = state
        self._heard: list[Heard] = []
        self._late: tuple[Channel, ...] | None = None
        self._marks: list[Artifact] = []
        self._aside: list[Quarantined] = []

    def chunk(self, chunk: ChunkRef) -> None:
        """Take a chunk in, now, later, or not at all."""
        gap = next((gap for gap in self.state.gaps if gap.index == chunk.index), None)
        if gap is not None:
            self._fill(gap, chunk)
            return
        if chunk.index < self.state.next_index or any(chunk.index == other.index for other in self.state.waiting):
            return  # a duplicate
        self._set(waiting=tuple(sorted((*self.state.waiting, chunk), key=lambda each: each.index)))
        self._release()
        while self.state.waiting and self._patience_is_over():
            self._skip()
        if self.state.total is not None and self.state.next_index >= self.state.total:
            self._close_run()  # the end had overtaken this chunk

    def end(self, event: CallEnd) -> None:
        """Nothing more comes, or nothing for long: derive all that is there, and mark what is not."""
        while self.state.waiting:
            self._skip()
        each_s = self.state.run[-1].duration_s if self.state.run else 0.0
        self._close_run()
        ended = event.reason == "ended"
        total = event.chunks if ended and event.chunks is not None else self.state.total
        self._set(ended=self.state.ended or ended, total=total)
        if ended and total is not None and self.state.next_index and total > self.state.next_index:
            # How long they were is not known: as long as the last one that came.
            missing = range(self.state.next_index, total)
            self._mark_missing(missing, self.state.heard_s + each_s * len(missing), None)
            self._set(next_index=total)

    def derived(self) -> Derived:
        """Words, redaction and passages for all windows of the step, in batches."""
        deriver = self._deriver
        known = self.state.channels if self._late is None else self._late
        made = deriver._utterances.make(self._heard, known, self._arrival)  # noqa: SLF001 - its own step
        if self._late is None:
            self._set(channels=made.channels)
        drafts = [PassageDraft(each, 0, each.text, locate_call(each)) for each in made.utterances if each.text]
        passages = make_passages(drafts, deriver._embedder, deriver._memo)  # noqa: SLF001 - its own step
        return Derived((*self._marks, *made.utterances, *passages), tuple(self._aside))

    def _patience_is_over(self) -> bool:
        """By the stamps of what came, never by our clock: a replay decides the same."""
        stamps = [each.ingested_at for each in self.state.waiting]
        waited = max(*stamps, self._arrival.event.ingested_at) - min(stamps)
        return waited.total_seconds() >= self._deriver._gap_s or len(stamps) > MOST_WAITING  # noqa: SLF001

    def _release(self) -> None:
        """Take in all that continues what was taken in."""
        while self.state.waiting and self.state.waiting[0].index == self.state.next_index:
            chunk, *rest = self.state.waiting
            self._set(waiting=tuple(rest), next_index=chunk.index + 1)
            self._append(chunk)

    def _skip(self) -> None:
        """Give up waiting for what is missing before the first waiting chunk: mark it, and go on behind it."""
        first = self.state.waiting[0]
        self._close_run()
        self._mark_missing(range(self.state.next_index, first.index), first.start_s, first)
        self._set(next_index=first.index)
        self._release()

    def _mark_missing(self, missing: range, until_s: float, after: ChunkRef | None) -> None:
        """Share the hole between the chunks that should have filled it."""
        begin_s = self.state.heard_s
        each_s = max(until_s - begin_s, 0.0) / len(missing)
        for index in missing[-MOST_GAPS:]:
            start_s = begin_s + (index - missing.start) * each_s
            self._mark(Gap(index=index, start_s=start_s, end_s=start_s + each_s), after)
        self._set(heard_s=max(until_s, begin_s))

    def _append(self, chunk: ChunkRef) -> None:
        """A chunk in its turn: into the run, and out come the windows that it closes."""
        behind_s = chunk.start_s - self.state.heard_s
        if behind_s < -_JUMP_S:
            told = f"chunk {chunk.index} starts at {chunk.start_s:g} s, but {self.state.heard_s:g} s came before it"
            self._set_aside(chunk, "call_timeline", told)
            return
        if behind_s > _JUMP_S:
            self._close_run()
        try:
            count = self._audio.decoded(chunk).samples.shape[0]
        except Rejected as error:
            self._unreadable(chunk, error)
            return
        begin_s = self.state.run[0].start_s if self.state.run else chunk.start_s
        fresh = [Channel(keep_s=begin_s) for _ in range(count - len(self.state.channels))]
        known = self.state.channels
        if not self.state.run:
            known = tuple(each.model_copy(update={"keep_s": chunk.start_s}) for each in known)
        run = (*self.state.run, chunk)
        self._set(run=run, channels=(*known, *fresh), heard_s=max(self.state.heard_s, chunk.end_s))
        self._cut(closed=False)

    def _close_run(self) -> None:
        """A hard border: a window that is open ends here."""
        if self.state.run:
            self._cut(closed=True)
            self._set(run=())

    def _cut(self, *, closed: bool) -> None:
        run = tuple(self._still_there(chunk) for chunk in self.state.run)
        channels = list(self.state.channels)
        for number, channel in enumerate(channels):
            audio = self._audio.channel(run, number, channel.keep_s)
            found = cut(audio, closed=closed, noise_dbfs=channel.noise_dbfs)
            for start, end in found.windows:
                start_s, end_s = channel.keep_s + start / RATE, channel.keep_s + end / RATE
                chunks = _within(run, start_s, end_s)
                mixed = any(self._audio.decoded(chunk).mixed for chunk in chunks)
                self._heard.append(Heard(number, start_s, end_s, audio[start:end], chunks, mixed))
            keep_s = channel.keep_s + found.keep_from / RATE
            channels[number] = channel.model_copy(update={"keep_s": keep_s, "noise_dbfs": found.noise_dbfs})
        needed_s = min((channel.keep_s for channel in channels), default=0.0)
        # The last chunk stays even when nothing of it is needed, so that the run goes on behind it.
        kept = tuple(chunk for chunk in run[:-1] if chunk.end_s > needed_s + 1e-6)
        self._set(channels=tuple(channels), run=(*kept, run[-1]))

    def _still_there(self, chunk: ChunkRef) -> ChunkRef:
        """A chunk that was heard before may have been erased since: it is silence from now on, and its place marked."""
        try:
            self._audio.decoded(chunk)
        except Rejected as error:
            self._set_aside(chunk, "blob", str(error))
            self._mark(Gap(index=chunk.index, start_s=chunk.start_s, end_s=chunk.end_s), chunk, wait=False)
            return chunk.model_copy(update={"lost": True})
        return chunk

    def _fill(self, gap: Gap, chunk: ChunkRef) -> None:
        """A chunk whose gap was marked already: take the mark back, and derive it as a stretch of its own."""
        try:
            self._audio.decoded(chunk)
        except Rejected as error:
            self._set_aside(chunk, "blob", str(error))  # and the mark stays
            return
        self._marks.append(self._marker.retraction(gap))
        before = self.state.model_copy(update={"gaps": tuple(g for g in self.state.gaps if g.index != gap.index)})
        self.state = CallState()
        self._append(chunk)
        self._close_run()
        self._late = self.state.channels
        self.state = before

    def _unreadable(self, chunk: ChunkRef, error: Rejected) -> None:
        """Its audio cannot be had: it is set aside with the reason, its place is marked, and the call goes on."""
        self._close_run()
        self._set_aside(chunk, "blob", str(error))
        self._mark(Gap(index=chunk.index, start_s=chunk.start_s, end_s=chunk.end_s), chunk, wait=False)
        self._set(heard_s=max(self.state.heard_s, chunk.end_s))

    def _set_aside(self, chunk: ChunkRef, contract: str, reason: str) -> None:
        self._aside.append(self._marker.aside(chunk, contract, reason))

    def _mark(self, gap: Gap, after: ChunkRef | None, *, wait: bool = True) -> None:
        """Publish a gap; ``wait``: its chunk may come yet."""
        if wait:
            self._set(gaps=(*self.state.gaps, gap)[-MOST_GAPS:])
        self._marks.append(self._marker.gap(gap, after))

    def _set(self, **change: object) -> None:
        self.state = self.state.model_copy(update=change)


def _within(run: Sequence[ChunkRef], start_s: float, end_s: float) -> tuple[ChunkRef, ...]:
    """The chunks that a window is in; the last one always, when it lies behind all by a rounding."""
    return tuple(chunk for chunk in run if chunk.end_s > start_s and chunk.start_s < end_s) or tuple(run[-1:])
