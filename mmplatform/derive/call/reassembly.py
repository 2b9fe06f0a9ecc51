"""One event against a call's state: which audio is taken in, in which order, and what is said of audio that is missing.

Every chunk ends in one of: taken in, waiting for an earlier one, a duplicate of what was taken in, or set aside with
the reason. Every place without audio is marked as a gap, and the mark is taken back when the audio comes after all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmplatform.artifacts import Artifact, Quarantined
from mmplatform.derive.call.dedup import TakenChunks, mark_of
from mmplatform.derive.call.gap_markers import Marker
from mmplatform.derive.call.segmenter import Channels, Heard, Listener, Run, Windows
from mmplatform.derive.call.state import (
    MOST_BYTES,
    MOST_GAPS,
    MOST_WAITING,
    CallState,
    Channel,
    ChunkRef,
    Gap,
    LateStretch,
)
from mmplatform.errors import Rejected
from mmplatform.events import CallEnd

JUMP_S: Final = 0.25
"""Between two chunks in order: a source that paused longer than this has begun a new stretch, and one that goes back
further than this contradicts itself."""


@dataclass(frozen=True, slots=True)
class Ears:
    """What a step listens with; ``gap_s`` is how long a missing chunk is waited for."""

    listener: Listener
    taken: TakenChunks
    gap_s: float


class Step:
    """What one event does to a call. ``heard`` are the windows that it closed, to be derived."""

    def __init__(self, ears: Ears, marker: Marker, state: CallState) -> None:
        self._ears = ears
        self._marker = marker
        self.state = state
        self.heard: list[Heard] = []
        self.marks: list[Artifact] = []
        self.aside: list[Quarantined] = []
        if state.torn_s is not None:
            torn = Gap(first=state.next_index, last=state.next_index - 1, start_s=state.torn_s, end_s=state.heard_s)
            self._mark(torn, None, wait=False)
            self._set(torn_s=None)

    def chunk(self, chunk: ChunkRef) -> None:
        """Take a chunk in, now, later, or not at all."""
        late = self.state.late
        if late is not None and (chunk.ingested_at - late.run[-1].ingested_at).total_seconds() >= self._ears.gap_s:
            self._close_late()
        if chunk.index < self.state.next_index:
            self._again(chunk)
        else:
            self._in_turn(chunk)
        if self._too_heavy():
            self._close_late()
        self._mark_tail()

    def end(self, event: CallEnd) -> None:
        """Nothing more comes, or nothing for long: derive all that is there, and mark what is not."""
        while self.state.waiting:
            self._skip()
        self._close_run()
        self._close_late()
        if event.reason == "ended":
            self._set(ended=True, total=self.state.total if event.chunks is None else event.chunks)
        self._mark_tail()

    def finish(self, channels: tuple[Channel, ...]) -> CallState:
        """The state to keep, with the channels as they are now that the windows were derived.

        Of a call that is complete only so much is kept that a repetition is known for one.
        """
        self._set(channels=channels)
        if self.state.ended and not self.state.run:
            self._set(taken=self._ears.taken.put_away(self.state.taken))
        if self.state.complete:
            self._set(channels=(), chunk_s=0.0)
        return self.state

    def _again(self, chunk: ChunkRef) -> None:
        """A chunk before the place that the call is at: late, a duplicate, or another one under its number."""
        before = self._ears.taken.find(self.state.taken, chunk.index)
        if before == mark_of(chunk):
            return
        if before is not None:
            self._set_aside(chunk, "raw_calls", f"chunk {chunk.index} came before with other audio")
            return
        gap = next((gap for gap in self.state.gaps if gap.first <= chunk.index <= gap.last), None)
        if gap is None:
            told = f"whether chunk {chunk.index} came before is not known any more"
            self._set_aside(chunk, "raw_calls", told)
            return
        self._fill(gap, chunk)

    def _in_turn(self, chunk: ChunkRef) -> None:
        known = next((other for other in self.state.waiting if other.index == chunk.index), None)
        if known is not None:
            if mark_of(known) != mark_of(chunk):
                self._set_aside(chunk, "raw_calls", f"chunk {chunk.index} came before with other audio")
            return
        self._set(waiting=tuple(sorted((*self.state.waiting, chunk), key=lambda each: each.index)))
        self._release()
        while self.state.waiting and (self._patience_is_over(chunk) or self._too_heavy()):
            self._skip()
        if self._too_heavy() or (self.state.total is not None and self.state.next_index >= self.state.total):
            self._close_run()  # cut, but not lost; or the end had overtaken this chunk

    def _patience_is_over(self, now: ChunkRef) -> bool:
        """By the stamps of what came, never by our clock: a replay decides the same."""
        stamps = [each.ingested_at for each in self.state.waiting]
        waited = max(*stamps, now.ingested_at) - min(stamps)
        return waited.total_seconds() >= self._ears.gap_s or len(stamps) > MOST_WAITING

    def _too_heavy(self) -> bool:
        """Whether the state would not fit the log: then less is waited for, and speech is cut, but nothing is lost."""
        return len(self.state.model_dump_json()) > MOST_BYTES

    def _release(self) -> None:
        """Take in all that continues what was taken in."""
        while self.state.waiting and self.state.waiting[0].index == self.state.next_index:
            chunk, *rest = self.state.waiting
            self._set(waiting=tuple(rest), next_index=chunk.index + 1)
            self._append(chunk)

    def _skip(self) -> None:
        """Give up waiting for what is missing before the first waiting chunk: mark it, and go on behind it."""
        first, since_s = self.state.waiting[0], self.state.heard_s
        self._close_run()
        until_s = max(first.start_s, since_s)
        missing = Gap(first=self.state.next_index, last=first.index - 1, start_s=since_s, end_s=until_s)
        self._mark(missing, first)
        self._set(next_index=first.index, heard_s=until_s)
        self._release()

    def _append(self, chunk: ChunkRef) -> None:
        """A chunk in its turn: into the run, and out come the windows that it closes."""
        since_s = self.state.heard_s
        if chunk.start_s < since_s - JUMP_S:
            told = f"chunk {chunk.index} starts at {chunk.start_s:g} s, but {since_s:g} s came before it"
            self._set_aside(chunk, "call_timeline", told)
            self._take(chunk)
            return
        if chunk.start_s > since_s + JUMP_S:
            self._close_run()
            hole = Gap(first=chunk.index, last=chunk.index - 1, start_s=since_s, end_s=chunk.start_s)
            self._mark(hole, chunk, wait=False)
        try:
            run, channels = self._ears.listener.join(self.state.run, self.state.channels, chunk)
        except Rejected as error:
            self._unreadable(chunk, error)
            return
        self._take(chunk)
        self._set(run=run, channels=channels, heard_s=max(since_s, chunk.end_s), chunk_s=chunk.duration_s)
        self._cut(closed=False)

    def _take(self, chunk: ChunkRef) -> None:
        self._set(taken=self._ears.taken.add(self.state.taken, chunk))

    def _close_run(self) -> None:
        """A hard border: a window that is open ends here."""
        if self.state.run:
            self._cut(closed=True)

    def _cut(self, *, closed: bool) -> None:
        found = self._windows(self.state.run, self.state.channels, closed=closed)
        self._set(run=found.run, channels=found.channels)

    def _windows(self, run: Run, channels: Channels, *, closed: bool) -> Windows:
        found = self._ears.listener.cut(run, channels, closed=closed)
        for chunk, reason in found.lost:
            self._set_aside(chunk, "blob", reason)
            self._mark(_place_of(chunk), chunk, wait=False)
        self.heard += found.heard
        return found

    def _fill(self, gap: Gap, chunk: ChunkRef) -> None:
        """A chunk whose gap was marked already: take the mark back, and hear it with the late ones before it."""
        if chunk.start_s < gap.start_s - JUMP_S or chunk.end_s > gap.end_s + JUMP_S:
            told = f"chunk {chunk.index} is not within {gap.start_s:g} to {gap.end_s:g} s, where it was missed"
            self._set_aside(chunk, "call_timeline", told)
            return
        late = self.state.late
        if late is not None and not _continues(late.run[-1], chunk):
            self._close_late()
        late = self.state.late or LateStretch(run=(), channels=())
        try:
            run, channels = self._ears.listener.join(late.run, late.channels, chunk)
        except Rejected as error:
            self._set_aside(chunk, "blob", str(error))  # and the mark stays
            return
        self._take(chunk)
        since_s = self.state.run[0].start_s if self.state.run else self.state.heard_s
        new = (Channel(keep_s=since_s) for _ in channels[len(self.state.channels) :])
        self._set(channels=(*self.state.channels, *new))
        self._set(gaps=tuple(other for other in self.state.gaps if other != gap))
        self.marks.append(self._marker.retraction(gap))
        for left in gap.around(chunk, least_s=JUMP_S):
            self._mark(left, chunk, wait=left.chunks > 0)
        self._set(late=LateStretch(run=run, channels=channels))
        self._cut_late(closed=not any(other.first == chunk.index + 1 for other in self.state.gaps))

    def _close_late(self) -> None:
        """Nothing continues what came late, or not for ``gap_s``."""
        if self.state.late is not None:
            self._cut_late(closed=True)

    def _cut_late(self, *, closed: bool) -> None:
        if self.state.late is not None:
            found = self._windows(self.state.late.run, self.state.late.channels, closed=closed)
            self._set(late=None if closed else LateStretch(run=found.run, channels=found.channels))

    def _unreadable(self, chunk: ChunkRef, error: Rejected) -> None:
        """Its audio cannot be had: it is set aside with the reason, its place is a gap, and the call goes on."""
        self._close_run()
        self._set_aside(chunk, "blob", str(error))
        self._mark(_place_of(chunk), chunk)
        self._set(heard_s=max(self.state.heard_s, chunk.end_s))

    def _mark_tail(self) -> None:
        """What the source counted and did not send, in one mark that shrinks when more comes after the end."""
        state = self.state
        missing = (state.total or 0) - state.next_index if state.ended else 0
        tail = None
        if missing > 0:
            # How long they were is not known: as long as the last one that came.
            end_s = state.heard_s + state.chunk_s * missing
            tail = Gap(first=state.next_index, last=state.next_index + missing - 1, start_s=state.heard_s, end_s=end_s)
        if tail == state.tail:
            return
        if state.tail is not None:
            self.marks.append(self._marker.retraction(state.tail))
        if tail is not None:
            self._mark(tail, None, wait=False)
        self._set(tail=tail)

    def _set_aside(self, chunk: ChunkRef, contract: str, reason: str) -> None:
        self.aside.append(self._marker.aside(chunk, contract, reason))

    def _mark(self, gap: Gap, after: ChunkRef | None, *, wait: bool = True) -> None:
        """Publish a gap; ``wait``: its chunks may come yet."""
        if wait:
            gaps = sorted((*self.state.gaps, gap), key=lambda each: each.first)
            self._set(gaps=tuple(gaps[-MOST_GAPS:]))
        self.marks.append(self._marker.gap(gap, after))

    def _set(self, **change: object) -> None:
        self.state = self.state.model_copy(update=change)


def _continues(last: ChunkRef, chunk: ChunkRef) -> bool:
    return chunk.index == last.index + 1 and abs(chunk.start_s - last.end_s) <= JUMP_S


def _place_of(chunk: ChunkRef) -> Gap:
    return Gap(first=chunk.index, last=chunk.index, start_s=chunk.start_s, end_s=chunk.end_s)
