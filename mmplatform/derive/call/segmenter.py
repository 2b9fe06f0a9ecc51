"""Segmenter: chunks → windows of speech; keeps the open window of each channel until a pause or border closes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmplatform.derive.call.audio_cache import CallAudioCache, chunk_start
from mmplatform.derive.call.origin import OriginChunk, UtteranceOrigin
from mmplatform.derive.call.state import ChannelState, ChunkRef
from mmplatform.derive.call.vad import find_speech
from mmplatform.derive.media.audio import SAMPLE_RATE
from mmplatform.errors import Rejected
from mmplatform.ports import Audio

Run = tuple[ChunkRef, ...]
Channels = tuple[ChannelState, ...]


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """Window of speech on one channel; seconds and samples from the start of the call.

    Attributes:
        chunks: chunks that contain it, by their declared times.
        origin_chunks: these, and any other whose samples reach into it.
        mixed: its channel has all voices.
    """

    channel: int
    start_s: float
    end_s: float
    first_sample: int
    audio: Audio
    chunks: Run
    origin_chunks: tuple[OriginChunk, ...]
    mixed: bool


def origin_from_window(window: SpeechWindow) -> UtteranceOrigin:
    """Build the origin of a window's words."""
    last = window.chunks[-1]
    # The source names the speaker of each channel; a mix of all voices has no single speaker.
    named = not window.mixed and window.channel < len(last.speakers)
    return UtteranceOrigin(
        channel=window.channel,
        speaker=last.speakers[window.channel] if named else f"channel-{window.channel}",
        subject_id=last.subject_id,
        start_s=window.start_s,
        end_s=window.end_s,
        first_sample=window.first_sample,
        samples=window.audio.size,
        chunks_end_s=last.end_s,
        event_time=last.event_time,
        ingested_at=last.ingested_at,
        position=last.position,
        chunks=window.origin_chunks,
    )


@dataclass(frozen=True, slots=True)
class SegmentedRun:
    """Closed windows, the run and channels that stay open, and chunks whose audio was lost, with the reason."""

    windows: tuple[SpeechWindow, ...]
    run: Run
    channels: Channels
    lost_chunks: tuple[tuple[ChunkRef, str], ...]


class Segmenter:
    """Finds windows of speech in runs of chunks. Raises ``Unavailable`` when the blob store does not answer."""

    def __init__(self, audio: CallAudioCache) -> None:
        self._audio = audio

    def append(self, run: Run, channels: Channels, chunk: ChunkRef) -> tuple[Run, Channels]:
        """Append a chunk to a run, or start one with it.

        Raises:
            Rejected: its audio is missing or cannot be decoded.
        """
        channel_count = self._audio.decode(chunk).samples.shape[0]
        if not run:
            channels = tuple(channel.model_copy(update={"keep_s": chunk.start_s}) for channel in channels)
        run_start_s = run[0].start_s if run else chunk.start_s
        new_channels = (ChannelState(keep_s=run_start_s) for _ in range(channel_count - len(channels)))
        return (*run, chunk), (*channels, *new_channels)

    def missing(self, chunk: ChunkRef) -> tuple[tuple[float, float], ...]:
        """List the spans of an appended chunk that cannot be decoded, in seconds from the start of the call."""
        spans = (
            (chunk.start_s + max(start_s, 0.0), min(chunk.start_s + end_s, chunk.end_s))
            for start_s, end_s in self._audio.decode(chunk).missing
        )
        return tuple((start_s, end_s) for start_s, end_s in spans if end_s > start_s)

    def find_windows(self, run: Run, channels: Channels, *, closed: bool) -> SegmentedRun:
        """Find the closed windows of a non-empty run; ``closed``: nothing follows directly, open windows end here."""
        checked = [self._check_audio(chunk) for chunk in run]
        run = tuple(chunk for chunk, _ in checked)
        windows: list[SpeechWindow] = []
        open_channels: list[ChannelState] = []
        for number, channel in enumerate(channels):
            audio = self._audio.channel(run, number, channel.keep_s)
            speech = find_speech(audio, closed=closed, noise_dbfs=channel.noise_dbfs)
            for start, end in speech.windows:
                start_s, end_s = channel.keep_s + start / SAMPLE_RATE, channel.keep_s + end / SAMPLE_RATE
                chunks = _chunks_within(run, start_s, end_s)
                mixed = any(self._audio.decode(chunk).mixed for chunk in chunks)
                first = round(channel.keep_s * SAMPLE_RATE) + start
                cut = audio[start:end]
                origin_chunks = self._origin_chunks(run, chunks, first, first + cut.size)
                windows.append(SpeechWindow(number, start_s, end_s, first, cut, chunks, origin_chunks, mixed))
            keep_s = channel.keep_s + speech.keep_from / SAMPLE_RATE
            open_channels.append(channel.model_copy(update={"keep_s": keep_s, "noise_dbfs": speech.noise_dbfs}))
        needed_s = min((channel.keep_s for channel in open_channels), default=0.0)
        # The last chunk stays even when none of its audio is needed, so that the run continues after it.
        open_run = () if closed else (*(chunk for chunk in run[:-1] if chunk.end_s > needed_s + 1e-6), run[-1])
        lost_chunks = tuple((chunk, reason) for chunk, reason in checked if reason)
        return SegmentedRun(tuple(windows), open_run, tuple(open_channels), lost_chunks)

    def _origin_chunks(self, run: Run, cited: Run, first: int, end: int) -> tuple[OriginChunk, ...]:
        """Select all chunks whose samples may be in a window, so that it can be cut again from them alone."""
        found = []
        for chunk in run:
            start, samples = chunk_start(chunk.start_s), self._audio.decode(chunk).samples.shape[1]
            if chunk in cited or (start < end and start + samples > first):
                found.append(
                    OriginChunk.from_blob(
                        chunk.event_id,
                        chunk.blob,
                        first_sample=start,
                        lost_samples=samples if chunk.lost else 0,
                        cited=chunk in cited,
                        skipped_samples=round(chunk.skipped_s * SAMPLE_RATE),
                    )
                )
        return tuple(found)

    def _check_audio(self, chunk: ChunkRef) -> tuple[ChunkRef, str]:
        """Mark a chunk as lost whose audio was erased since it was appended: it is silence from now on."""
        try:
            self._audio.decode(chunk)
        except Rejected as error:
            return chunk.model_copy(update={"lost": True}), str(error)
        return chunk, ""


def _chunks_within(run: Sequence[ChunkRef], start_s: float, end_s: float) -> Run:
    """Select the chunks that contain a window; the last chunk when rounding puts the window after all."""
    return tuple(chunk for chunk in run if chunk.end_s > start_s and chunk.start_s < end_s) or tuple(run[-1:])
