"""Context of redaction: the recent utterances of a channel, with the words that they had when they were published.

The words are never stored. The memo usually has them; otherwise the utterance's audio is cut out of the blobs again, by
the same samples, and transcribed again. So a lost memo costs time and changes nothing.

The pointers to its chunks lie in the call's state. Those of an utterance of many small chunks lie in a blob, so that
the state stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import TypeAdapter

from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.origin import OriginChunk, UtteranceOrigin
from mmplatform.derive.call.redaction import (
    MAX_CONTEXT_PAUSE_S,
    MAX_CONTEXT_UTTERANCES,
    RedactedText,
    SpokenText,
)
from mmplatform.derive.call.state import ChannelState, RecentUtterance
from mmplatform.derive.call.transcription import CachedTranscriber, Transcription
from mmplatform.derive.pii.replacement import Span
from mmplatform.errors import Busy, Permanent, Unavailable
from mmplatform.ports import Blobs

PLATFORM_ERRORS: Final = (Unavailable, Busy, Permanent)
"""Errors that do not depend on a window."""

MAX_CHUNKS_BYTES: Final = 1024
"""Pointers to an utterance's chunks, as JSON, that lie in the state: of about 8 chunks."""

_CHUNKS: Final = TypeAdapter(tuple[OriginChunk, ...])
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TranscribedWindow:
    """Words of one window; ``recent``: its entry in the call's state, None for a new window."""

    origin: UtteranceOrigin
    transcription: Transcription
    recent: RecentUtterance | None = None

    @property
    def extent(self) -> tuple[float, float]:
        """From the first word to the last: the padding is silence, and freshness counts from the last word."""
        window, words = self.origin, self.transcription.words
        start_s = min(window.start_s + max(words[0].start_s, 0.0), window.end_s)
        return start_s, max(start_s, min(window.start_s + words[-1].end_s, window.end_s))

    @property
    def published_spans(self) -> tuple[Span, ...] | None:
        """Spans that were redacted when it was published; None for a new window."""
        return self.recent.spans if self.recent is not None else None

    @property
    def spoken_text(self) -> SpokenText:
        """Its text, to be redacted."""
        return SpokenText(self.transcription.text, *self.extent, self.published_spans)


class UtteranceContext:
    """Recent utterances of a channel. Raises ``Unavailable`` when the memo or the blobs do not answer."""

    def __init__(self, transcriber: CachedTranscriber, audio: CallAudioCache, blobs: Blobs) -> None:
        self._transcriber = transcriber
        self._audio = audio
        self._blobs = blobs

    def read(self, channel: ChannelState, new_windows: Sequence[TranscribedWindow]) -> list[TranscribedWindow]:
        """Read the recent utterances shortly before new windows, or after them, when audio is late."""
        starts, ends = zip(*(window.extent for window in new_windows), strict=True)
        if not any(
            recent.start_s - max(ends) <= MAX_CONTEXT_PAUSE_S >= min(starts) - recent.end_s for recent in channel.recent
        ):
            return []
        recents = [recent for recent in channel.recent if self._is_of_this_model(recent)]
        cached = self._transcriber.cached([recent.key for recent in recents])
        context = []
        for recent in recents:
            try:
                origin = self._origin(recent)
                transcription = cached.get(recent.key) or self._transcribe_again(recent, origin)
            except PLATFORM_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - its audio was erased, or the model fails on it: the call goes on
                _log_left_out(recent, type(error).__name__)
                continue
            context.append(TranscribedWindow(origin, transcription, recent))
        return context

    def add(self, channel: ChannelState, changed: Sequence[tuple[TranscribedWindow, RedactedText]]) -> ChannelState:
        """Add published utterances to those of a channel, and keep the last ones."""
        recent = {_identity(utterance.origin): utterance for utterance in channel.recent}
        for window, text in changed:
            start_s, end_s = window.extent
            cost = window.recent or window.transcription
            chunks = _CHUNKS.dump_json(window.origin.chunks)
            spill = len(chunks) > MAX_CHUNKS_BYTES
            recent[_identity(window.origin)] = RecentUtterance(
                key=window.transcription.key,
                transcriber=self._transcriber.space,
                chars=len(window.transcription.text),
                origin=window.origin.model_copy(update={"chunks": ()}) if spill else window.origin,
                spilled_chunks=self._blobs.put(chunks, media_type="application/json") if spill else None,
                spans=text.spans,
                start_s=start_s,
                end_s=end_s,
                seconds=cost.seconds,
                memo_hit=cost.memo_hit,
            )
        ordered = sorted(recent.values(), key=lambda utterance: (utterance.start_s, utterance.end_s))
        return channel.model_copy(update={"recent": tuple(ordered[-(MAX_CONTEXT_UTTERANCES - 1) :])})

    def _origin(self, recent: RecentUtterance) -> UtteranceOrigin:
        if recent.spilled_chunks is None:
            return recent.origin
        chunks = _CHUNKS.validate_json(self._blobs.get(recent.spilled_chunks))
        return recent.origin.model_copy(update={"chunks": chunks})

    def _is_of_this_model(self, recent: RecentUtterance) -> bool:
        # The spans count characters of what the other model heard.
        if recent.transcriber != self._transcriber.space:
            _log_left_out(recent, "another model transcribed it")
            return False
        return True

    def _transcribe_again(self, recent: RecentUtterance, origin: UtteranceOrigin) -> Transcription:
        audio = self._audio.cut(origin)
        if self._transcriber.key(audio, recent.language) != recent.key:
            raise _OtherAudio
        transcription = self._transcriber.transcribe(audio, recent.language)
        # The spans count characters: of other words they would hide others.
        if len(transcription.text) != recent.chars:
            raise _OtherWords
        return transcription


class _OtherAudio(Exception):
    """The chunks are decoded to other samples than before, as by another version of the decoder."""


class _OtherWords(Exception):
    """The model heard other words in the same samples."""


def _identity(origin: UtteranceOrigin) -> tuple[int, int]:
    return origin.first_sample, origin.samples


def _log_left_out(recent: RecentUtterance, reason: str) -> None:
    _log.warning(
        "an utterance is left out of the context of redaction",
        reason=reason,
        position=recent.origin.position.model_dump(),
        channel=recent.origin.channel,
        start_s=recent.start_s,
    )
