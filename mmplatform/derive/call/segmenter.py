"""Chunks to windows of speech: what is open on each channel of a run of chunks, and what a pause or a border closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import AwareDatetime

from mmplatform.artifacts import artifact_id
from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.state import ChannelState, ChunkRef
from mmplatform.derive.call.vad import find_speech
from mmplatform.derive.media.audio import SAMPLE_RATE
from mmplatform.errors import Rejected
from mmplatform.events import BlobRef, Position, Record
from mmplatform.ports import Audio

Run = tuple[ChunkRef, ...]
Channels = tuple[ChannelState, ...]


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """A window of speech on one channel, and the chunks that it lies in; seconds from the start of the call."""

    channel: int
    start_s: float
    end_s: float
    audio: Audio
    chunks: Run
    mixed: bool


class UtteranceOrigin(Record):
    """What an utterance is made of but its words: with them the memo's entry is the utterance again.

    Attributes:
        start_s: of its window, which has a padding of silence.
        chunks_end_s: of its last chunk; ``event_time``, ``ingested_at`` and ``position`` are that one's too.
    """

    channel: int
    speaker: str
    subject_id: str
    start_s: float
    end_s: float
    chunks_end_s: float
    event_time: AwareDatetime
    ingested_at: AwareDatetime
    position: Position
    event_ids: tuple[str, ...]
    blobs: tuple[BlobRef, ...]

    @classmethod
    def from_window(cls, window: SpeechWindow) -> UtteranceOrigin:
        """Where the words of a window come from."""
        last = window.chunks[-1]
        # Who the source says is on the channel; not when all voices are on it.
        named = not window.mixed and window.channel < len(last.speakers)
        return cls(
            channel=window.channel,
            speaker=last.speakers[window.channel] if named else f"channel-{window.channel}",
            subject_id=last.subject_id,
            start_s=window.start_s,
            end_s=window.end_s,
            chunks_end_s=last.end_s,
            event_time=last.event_time,
            ingested_at=last.ingested_at,
            position=last.position,
            event_ids=tuple(chunk.event_id for chunk in window.chunks),
            blobs=tuple(chunk.blob for chunk in window.chunks),
        )


@dataclass(frozen=True, slots=True)
class SegmentedRun:
    """The windows that are closed, what is still open, and the chunks whose audio is gone by now, with the reason."""

    windows: tuple[SpeechWindow, ...]
    run: Run
    channels: Channels
    lost_chunks: tuple[tuple[ChunkRef, str], ...]


class Segmenter:
    """Finds windows. Raises ``Unavailable`` when the blob store does not answer."""

    def __init__(self, audio: CallAudioCache) -> None:
        self._audio = audio

    def append(self, run: Run, channels: Channels, chunk: ChunkRef) -> tuple[Run, Channels]:
        """Put a chunk behind a run, or begin one with it.

        Raises:
            Rejected: its audio cannot be had.
        """
        count = self._audio.decode(chunk).samples.shape[0]
        if not run:
            channels = tuple(each.model_copy(update={"keep_s": chunk.start_s}) for each in channels)
        begin_s = run[0].start_s if run else chunk.start_s
        fresh = (ChannelState(keep_s=begin_s) for _ in range(count - len(channels)))
        return (*run, chunk), (*channels, *fresh)

    def find_windows(self, run: Run, channels: Channels, *, closed: bool) -> SegmentedRun:
        """The windows of a run that is not empty; ``closed``: nothing follows directly, what is open ends here."""
        there = [self._checked(chunk) for chunk in run]
        run = tuple(chunk for chunk, _ in there)
        heard: list[SpeechWindow] = []
        after: list[ChannelState] = []
        for number, channel in enumerate(channels):
            audio = self._audio.channel(run, number, channel.keep_s)
            found = find_speech(audio, closed=closed, noise_dbfs=channel.noise_dbfs)
            for start, end in found.windows:
                start_s, end_s = channel.keep_s + start / SAMPLE_RATE, channel.keep_s + end / SAMPLE_RATE
                chunks = _chunks_within(run, start_s, end_s)
                mixed = any(self._audio.decode(chunk).mixed for chunk in chunks)
                heard.append(SpeechWindow(number, start_s, end_s, audio[start:end], chunks, mixed))
            keep_s = channel.keep_s + found.keep_from / SAMPLE_RATE
            after.append(channel.model_copy(update={"keep_s": keep_s, "noise_dbfs": found.noise_dbfs}))
        needed_s = min((channel.keep_s for channel in after), default=0.0)
        # The last chunk stays even when nothing of it is needed, so that the run goes on behind it.
        kept = () if closed else (*(chunk for chunk in run[:-1] if chunk.end_s > needed_s + 1e-6), run[-1])
        return SegmentedRun(tuple(heard), kept, tuple(after), tuple((chunk, why) for chunk, why in there if why))

    def _checked(self, chunk: ChunkRef) -> tuple[ChunkRef, str]:
        """A chunk that was heard before may have been erased since: it is silence from now on."""
        try:
            self._audio.decode(chunk)
        except Rejected as error:
            return chunk.model_copy(update={"lost": True}), str(error)
        return chunk, ""


def utterance_id(call_id: str, origin: UtteranceOrigin) -> str:
    """By the window's start, not the first word's: a better model replaces what an earlier one heard."""
    return artifact_id("utterance", f"{call_id}/{origin.channel}", round(origin.start_s * 1000))


def _chunks_within(run: Sequence[ChunkRef], start_s: float, end_s: float) -> Run:
    """The chunks that a window is in; the last one always, when it lies behind all by a rounding."""
    return tuple(chunk for chunk in run if chunk.end_s > start_s and chunk.start_s < end_s) or tuple(run[-1:])
