"""Applies one event to a call's state: orders chunks, drops duplicates, marks missing audio as gaps.

Every chunk ends in one of: appended, waiting for an earlier one, a duplicate of an accepted one, or quarantined with
the reason. Every stretch without audio is marked as a gap; the gap is retracted when the audio comes after all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from mmplatform.artifacts import Artifact
from mmplatform.derive.call.dedup import ChunkDeduplicator, audio_fingerprint
from mmplatform.derive.call.gap_markers import GapMarkers
from mmplatform.derive.call.segmenter import Channels, Run, SegmentedRun, Segmenter, SpeechWindow
from mmplatform.derive.call.state import (
    MAX_GAPS,
    MAX_STATE_BYTES,
    MAX_WAITING_CHUNKS,
    AudioGap,
    CallState,
    ChannelState,
    ChunkRef,
    LateStretch,
)
from mmplatform.errors import Rejected
from mmplatform.events import CallEnd
from mmplatform.refusals import Quarantined

MAX_TIMELINE_JUMP_S: Final = 0.25
"""Between two chunks in order. A longer pause of the source begins a new stretch; a longer step back is a
contradiction."""


@dataclass(frozen=True, slots=True)
class ReassemblyDeps:
    """Dependencies of a reassembly; ``gap_timeout_s`` is how long a missing chunk is waited for."""

    segmenter: Segmenter
    deduplicator: ChunkDeduplicator
    gap_timeout_s: float


class CallReassembly:
    """Applies one event to a call's state.

    Attributes:
        state: the call's state so far.
        windows: speech windows that the event closed, to be transcribed.
        gap_artifacts: gaps and retractions of gaps, to be published.
        quarantined: chunks that cannot be used.
    """

    def __init__(self, deps: ReassemblyDeps, gap_markers: GapMarkers, state: CallState) -> None:
        self._deps = deps
        self._gap_markers = gap_markers
        self.state = state
        self.windows: list[SpeechWindow] = []
        self.gap_artifacts: list[Artifact] = []
        self.quarantined: list[Quarantined] = []
        if state.torn_s is not None:
            torn = AudioGap(
                first=state.next_index, last=state.next_index - 1, start_s=state.torn_s, end_s=state.heard_s
            )
            self._mark_gap(torn, None, fillable=False)
            self._update(torn_s=None)

    def add_chunk(self, chunk: ChunkRef) -> None:
        """Append a chunk, queue it, drop it as a duplicate, or quarantine it."""
        late = self.state.late
        timeout_s = self._deps.gap_timeout_s
        if late is not None and (chunk.ingested_at - late.run[-1].ingested_at).total_seconds() >= timeout_s:
            self._close_late()
        if chunk.index < self.state.next_index:
            self._handle_past_chunk(chunk)
        else:
            self._enqueue(chunk)
        if self._state_too_large():
            self._close_late()
        self._update_tail_gap()

    def end_call(self, event: CallEnd) -> None:
        """Close all windows and mark what is missing: the source has ended the call, or is idle."""
        while self.state.waiting:
            self._skip_missing()
        self._close_run()
        self._close_late()
        if event.reason == "ended":
            self._update(ended=True, total=self.state.total if event.chunks is None else event.chunks)
        self._update_tail_gap()

    def next_state(self, channels: tuple[ChannelState, ...]) -> CallState:
        """Build the state to store; ``channels`` as updated by the utterances of ``windows``.

        The state of a complete call keeps only what identifies a duplicate.
        """
        self._update(channels=channels)
        if self.state.ended and not self.state.run:
            self._update(taken=self._deps.deduplicator.spill(self.state.taken))
        if self.state.complete:
            self._update(channels=(), chunk_s=0.0)
        return self.state

    def _handle_past_chunk(self, chunk: ChunkRef) -> None:
        """Handle a chunk before ``next_index``: late, a duplicate, or other audio under its index."""
        accepted = self._deps.deduplicator.find(self.state.taken, chunk.index)
        if accepted == audio_fingerprint(chunk):
            return
        if accepted is not None:
            self._quarantine(chunk, "raw_calls", f"chunk {chunk.index} came before with other audio")
            return
        gap = next((gap for gap in self.state.gaps if gap.first <= chunk.index <= gap.last), None)
        if gap is None:
            reason = f"whether chunk {chunk.index} came before is not known any more"
            self._quarantine(chunk, "raw_calls", reason)
            return
        self._fill_gap(gap, chunk)

    def _enqueue(self, chunk: ChunkRef) -> None:
        """Queue a chunk, and append all that are in order or no longer waited for."""
        queued = next((waiting for waiting in self.state.waiting if waiting.index == chunk.index), None)
        if queued is not None:
            if audio_fingerprint(queued) != audio_fingerprint(chunk):
                self._quarantine(chunk, "raw_calls", f"chunk {chunk.index} came before with other audio")
            return
        self._update(waiting=tuple(sorted((*self.state.waiting, chunk), key=lambda waiting: waiting.index)))
        self._append_in_order()
        while self.state.waiting and (self._gap_timed_out(chunk) or self._state_too_large()):
            self._skip_missing()
        if self._state_too_large() or (self.state.total is not None and self.state.next_index >= self.state.total):
            self._close_run()  # cut, but not lost; or the end had overtaken this chunk

    def _gap_timed_out(self, newest: ChunkRef) -> bool:
        """Check the wait by the chunks' stamps, never by the wall clock: a replay decides the same."""
        stamps = [chunk.ingested_at for chunk in self.state.waiting]
        waited = max(*stamps, newest.ingested_at) - min(stamps)
        return waited.total_seconds() >= self._deps.gap_timeout_s or len(stamps) > MAX_WAITING_CHUNKS

    def _state_too_large(self) -> bool:
        """Check the state against the log's record limit; above it waits are cut short and speech is cut, none lost."""
        return len(self.state.model_dump_json()) > MAX_STATE_BYTES

    def _append_in_order(self) -> None:
        """Append the waiting chunks that continue the call."""
        while self.state.waiting and self.state.waiting[0].index == self.state.next_index:
            chunk, *waiting = self.state.waiting
            self._update(waiting=tuple(waiting), next_index=chunk.index + 1)
            self._append_chunk(chunk)

    def _skip_missing(self) -> None:
        """Mark the chunks missing before the first waiting one as a gap, and go on after it."""
        first, since_s = self.state.waiting[0], self.state.heard_s
        self._close_run()
        until_s = max(first.start_s, since_s)
        missing = AudioGap(first=self.state.next_index, last=first.index - 1, start_s=since_s, end_s=until_s)
        self._mark_gap(missing, first)
        self._update(next_index=first.index, heard_s=until_s)
        self._append_in_order()

    def _append_chunk(self, chunk: ChunkRef) -> None:
        """Append a chunk in order to the run, and collect the windows that it closes."""
        since_s = self.state.heard_s
        if chunk.start_s < since_s - MAX_TIMELINE_JUMP_S:
            new_part = chunk.within(since_s, math.inf)
            reason = f"chunk {chunk.index} starts at {chunk.start_s:g} s, but {since_s:g} s came before it"
            self._quarantine(chunk, "call_timeline", reason + (": the rest of it is derived" if new_part else ""))
            if new_part is None:
                self._record_accepted(chunk)
                return
            chunk = new_part
        if chunk.start_s > since_s + MAX_TIMELINE_JUMP_S:
            self._close_run()
            pause = AudioGap(first=chunk.index, last=chunk.index - 1, start_s=since_s, end_s=chunk.start_s)
            self._mark_gap(pause, chunk, fillable=False)
        try:
            run, channels = self._deps.segmenter.append(self.state.run, self.state.channels, chunk)
        except Rejected as error:
            self._handle_unreadable(chunk, error)
            return
        self._record_accepted(chunk)
        self._update(run=run, channels=channels, heard_s=max(since_s, chunk.end_s), chunk_s=chunk.duration_s)
        self._record_missing(chunk)
        self._segment_run(closed=False)

    def _record_accepted(self, chunk: ChunkRef) -> None:
        self._update(taken=self._deps.deduplicator.add(self.state.taken, chunk))

    def _close_run(self) -> None:
        """End the run: a window that is open ends here."""
        if self.state.run:
            self._segment_run(closed=True)

    def _segment_run(self, *, closed: bool) -> None:
        segmented = self._find_windows(self.state.run, self.state.channels, closed=closed)
        self._update(run=segmented.run, channels=segmented.channels)

    def _find_windows(self, run: Run, channels: Channels, *, closed: bool) -> SegmentedRun:
        segmented = self._deps.segmenter.find_windows(run, channels, closed=closed)
        for chunk, reason in segmented.lost_chunks:
            self._quarantine(chunk, "blob", reason)
            self._mark_gap(_gap_of_chunk(chunk), chunk, fillable=False)
        self.windows += segmented.windows
        return segmented

    def _fill_gap(self, gap: AudioGap, chunk: ChunkRef) -> None:
        """Retract the gap of a late chunk, and append the chunk to the late stretch."""
        if chunk.start_s < gap.start_s - MAX_TIMELINE_JUMP_S or chunk.end_s > gap.end_s + MAX_TIMELINE_JUMP_S:
            part = chunk.within(gap.start_s, gap.end_s)
            reason = f"chunk {chunk.index} is not within {gap.start_s:g} to {gap.end_s:g} s, where it was missed"
            self._quarantine(chunk, "call_timeline", reason + (": the part within is derived" if part else ""))
            if part is None:
                return
            chunk = part
        late = self.state.late
        if late is not None and not _is_contiguous(late.run[-1], chunk):
            self._close_late()
        late = self.state.late or LateStretch(run=(), channels=())
        try:
            run, channels = self._deps.segmenter.append(late.run, late.channels, chunk)
        except Rejected as error:
            self._quarantine(chunk, "blob", str(error))  # and the gap stays
            return
        self._record_accepted(chunk)
        since_s = self.state.run[0].start_s if self.state.run else self.state.heard_s
        new_channels = (ChannelState(keep_s=since_s) for _ in channels[len(self.state.channels) :])
        self._update(channels=(*self.state.channels, *new_channels))
        self._update(gaps=tuple(open_gap for open_gap in self.state.gaps if open_gap != gap))
        self.gap_artifacts.append(self._gap_markers.gap_retraction(gap))
        for remainder in gap.without(chunk, min_s=MAX_TIMELINE_JUMP_S):
            self._mark_gap(remainder, chunk, fillable=remainder.chunks > 0)
        self._record_missing(chunk)
        self._update(late=LateStretch(run=run, channels=channels))
        self._segment_late(closed=not any(open_gap.first == chunk.index + 1 for open_gap in self.state.gaps))

    def _close_late(self) -> None:
        """End the late stretch: no chunk continues it, or none came for ``gap_timeout_s``."""
        if self.state.late is not None:
            self._segment_late(closed=True)

    def _segment_late(self, *, closed: bool) -> None:
        if self.state.late is not None:
            segmented = self._find_windows(self.state.late.run, self.state.late.channels, closed=closed)
            self._update(late=None if closed else LateStretch(run=segmented.run, channels=segmented.channels))

    def _handle_unreadable(self, chunk: ChunkRef, error: Rejected) -> None:
        """Quarantine a chunk whose audio cannot be read, and mark it as a gap; the call goes on."""
        self._close_run()
        self._quarantine(chunk, "blob", str(error))
        self._mark_gap(_gap_of_chunk(chunk), chunk)
        self._update(heard_s=max(self.state.heard_s, chunk.end_s))

    def _update_tail_gap(self) -> None:
        """Mark the chunks that the source counted and did not send as one gap, which shrinks when more come."""
        state = self.state
        missing = (state.total or 0) - state.next_index if state.ended else 0
        tail = None
        if missing > 0:
            # Their length is unknown; the last chunk's is the estimate.
            end_s = state.heard_s + state.chunk_s * missing
            tail = AudioGap(
                first=state.next_index, last=state.next_index + missing - 1, start_s=state.heard_s, end_s=end_s
            )
        if tail == state.tail:
            return
        if state.tail is not None:
            self.gap_artifacts.append(self._gap_markers.gap_retraction(state.tail))
        if tail is not None:
            self._mark_gap(tail, None, fillable=False)
        self._update(tail=tail)

    def _quarantine(self, chunk: ChunkRef, contract: str, reason: str) -> None:
        self.quarantined.append(self._gap_markers.quarantined_chunk(chunk, contract, reason))

    def _mark_gap(self, gap: AudioGap, following: ChunkRef | None, *, fillable: bool = True) -> None:
        """Publish a gap before ``following``; ``fillable``: its chunks may still come."""
        if fillable:
            gaps = sorted((*self.state.gaps, gap), key=lambda open_gap: open_gap.first)
            self._update(gaps=tuple(gaps[-MAX_GAPS:]))
        self.gap_artifacts.append(self._gap_markers.gap_marker(gap, following))

    def _record_missing(self, chunk: ChunkRef) -> None:
        """Mark what cannot be decoded of a chunk: it is silence of its length, so that all else keeps its time."""
        for start_s, end_s in self._deps.segmenter.missing(chunk):
            damaged = AudioGap(first=chunk.index, last=chunk.index - 1, start_s=start_s, end_s=end_s)
            self._mark_gap(damaged, chunk, fillable=False)

    def _update(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)


def _is_contiguous(last: ChunkRef, chunk: ChunkRef) -> bool:
    return chunk.index == last.index + 1 and abs(chunk.start_s - last.end_s) <= MAX_TIMELINE_JUMP_S


def _gap_of_chunk(chunk: ChunkRef) -> AudioGap:
    return AudioGap(first=chunk.index, last=chunk.index, start_s=chunk.start_s, end_s=chunk.end_s)
