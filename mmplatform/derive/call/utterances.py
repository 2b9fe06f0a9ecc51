"""Windows → utterances: transcribed, redacted with the previous ones as context, republished when redaction finds more.

A window on which a model fails is reported alone, and its neighbours go on. Only an error of the platform (a store that
does not answer, a wrong setting) stops the event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from mmplatform.artifacts import Provenance, Stamps, Utterance, Word, count_pii_kinds
from mmplatform.derive.call.redaction import (
    MAX_CONTEXT_PAUSE_S,
    MAX_CONTEXT_UTTERANCES,
    RedactedText,
    Span,
    SpokenText,
    overlaps_any,
    redact_with_context,
)
from mmplatform.derive.call.segmenter import SpeechWindow, UtteranceOrigin, utterance_id
from mmplatform.derive.call.state import ChannelState, RecentUtterance
from mmplatform.derive.call.transcription import CachedTranscriber, Transcription
from mmplatform.errors import Busy, Permanent, Rejected, Unavailable
from mmplatform.events import Arrival, CallChunk, CallEnd, utc_now
from mmplatform.locators import CallLocator
from mmplatform.ports import Memo, Redactor, SpokenWord, Transcriber

REDACTED_WORD: Final = "[REDACTED]"
MIN_LANGUAGE_WINDOW_S: Final = 3.0
"""A shorter window may be detected as any language ("okay"): it is transcribed in the language of the longer ones."""

PLATFORM_ERRORS: Final = (Unavailable, Busy, Permanent)
"""Errors that do not depend on a window."""

_MAJORITY: Final = 2 / 3
_ORIGIN_SPACE: Final = "utterance-origin@1"


@dataclass(frozen=True, slots=True)
class BuiltUtterances:
    """Utterances with their origins, republished ones included; failed windows with the reason; updated channels."""

    utterances: tuple[tuple[Utterance, UtteranceOrigin], ...]
    failed: tuple[tuple[UtteranceOrigin, str], ...]
    channels: tuple[ChannelState, ...]


@dataclass(frozen=True, slots=True)
class _TranscribedWindow:
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
        return self.recent.spans if self.recent is not None else None

    @property
    def spoken_text(self) -> SpokenText:
        return SpokenText(self.transcription.text, *self.extent, self.published_spans)


class UtteranceBuilder:
    """Transcribes and redacts windows; one instance serves many calls."""

    def __init__(self, transcriber: Transcriber, redactor: Redactor, memo: Memo, *, deriver: tuple[str, str]) -> None:
        self._transcriber = transcriber
        self._cached_transcriber = CachedTranscriber(transcriber, memo)
        self._redactor = redactor
        self._memo = memo
        self._deriver = deriver

    def build(
        self,
        windows: Sequence[SpeechWindow],
        channels: Sequence[ChannelState],
        arrival: Arrival[CallChunk] | Arrival[CallEnd],
    ) -> BuiltUtterances:
        """Build an utterance for each window with words; the windows of a channel in time order.

        Raises:
            Unavailable: the memo does not answer.
            Permanent: a model cannot be used at all.
        """
        updated = list(channels)
        utterances: list[tuple[Utterance, UtteranceOrigin]] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for number in sorted({window.channel for window in windows}):
            transcribed, updated[number], not_transcribed = self._transcribe(
                [window for window in windows if window.channel == number], updated[number]
            )
            failed += not_transcribed
            if not transcribed:
                continue
            redacted, not_redacted = self._redact(self._context(updated[number], transcribed), transcribed)
            failed += not_redacted
            changed = [
                (window, text)
                for window, text in redacted
                if window.recent is None or window.recent.spans != text.spans
            ]
            utterances += [(self._utterance(window, text, arrival), window.origin) for window, text in changed]
            updated[number] = self._with_recent(updated[number], changed)
        return BuiltUtterances(tuple(utterances), tuple(failed), tuple(updated))

    def _transcribe(
        self, windows: Sequence[SpeechWindow], channel: ChannelState
    ) -> tuple[list[_TranscribedWindow], ChannelState, list[tuple[UtteranceOrigin, str]]]:
        """Transcribe windows; return those with words, and those on which the model failed."""
        transcribed: list[_TranscribedWindow] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for window in windows:
            origin = UtteranceOrigin.from_window(window)
            try:
                transcription = self._cached_transcriber.transcribe(window.audio, _language(channel, window))
            except PLATFORM_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - a model that fails on one window must not stop the call
                failed.append((origin, failure_reason(self._transcriber.name, error)))
                continue
            channel = _with_language(channel, window, transcription)
            if transcription.text:
                transcribed.append(_TranscribedWindow(origin, transcription))
        return transcribed, channel, failed

    def _context(self, channel: ChannelState, new_windows: Sequence[_TranscribedWindow]) -> list[_TranscribedWindow]:
        """Read the recent utterances shortly before (or after, when audio is late), without those the memo lost."""
        starts, ends = zip(*(window.extent for window in new_windows), strict=True)
        if not any(
            recent.start_s - max(ends) <= MAX_CONTEXT_PAUSE_S >= min(starts) - recent.end_s for recent in channel.recent
        ):
            return []
        transcriptions = self._cached_transcriber.cached([recent.key for recent in channel.recent])
        origins = self._memo.get_many(_ORIGIN_SPACE, [recent.origin for recent in channel.recent])
        return [
            _TranscribedWindow(
                UtteranceOrigin.model_validate_json(origins[recent.origin]), transcriptions[recent.key], recent
            )
            for recent in channel.recent
            if recent.key in transcriptions and recent.origin in origins
        ]

    def _redact(
        self, context: Sequence[_TranscribedWindow], new_windows: Sequence[_TranscribedWindow]
    ) -> tuple[list[tuple[_TranscribedWindow, RedactedText]], list[tuple[UtteranceOrigin, str]]]:
        """Redact all in one batch; when that fails, again without each window on which it fails."""
        try:
            return self._redact_in_order([*context, *new_windows]), []
        except PLATFORM_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            if len(new_windows) == 1:
                return [], [(new_windows[0].origin, failure_reason(self._redactor.name, error))]
        readable: list[_TranscribedWindow] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for window in new_windows:
            _, not_redacted = self._redact([*context, *readable], [window])
            failed += not_redacted
            readable += [] if not_redacted else [window]
        return self._redact_in_order([*context, *readable]), failed

    def _redact_in_order(self, windows: Sequence[_TranscribedWindow]) -> list[tuple[_TranscribedWindow, RedactedText]]:
        ordered = sorted(windows, key=lambda window: window.extent)
        texts = redact_with_context([window.spoken_text for window in ordered], self._redactor)
        return list(zip(ordered, texts, strict=True))

    def _with_recent(
        self, channel: ChannelState, changed: Sequence[tuple[_TranscribedWindow, RedactedText]]
    ) -> ChannelState:
        """Store the origins in the memo, and the pointers to them in the channel's state."""
        packed = [(window, text, window.origin.model_dump_json().encode()) for window, text in changed]
        origins = {hashlib.sha256(origin).hexdigest(): origin for _, _, origin in packed}
        self._memo.put_many(_ORIGIN_SPACE, origins)
        recent = {utterance.origin: utterance for utterance in channel.recent}
        for key, (window, text, _) in zip(origins, packed, strict=True):
            start_s, end_s = window.extent
            cost = window.recent or window.transcription
            recent[key] = RecentUtterance(
                key=window.transcription.key,
                origin=key,
                spans=text.spans,
                start_s=start_s,
                end_s=end_s,
                seconds=cost.seconds,
                memo_hit=cost.memo_hit,
            )
        ordered = sorted(recent.values(), key=lambda utterance: (utterance.start_s, utterance.end_s))
        return channel.model_copy(update={"recent": tuple(ordered[-(MAX_CONTEXT_UTTERANCES - 1) :])})

    def _utterance(
        self, window: _TranscribedWindow, text: RedactedText, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> Utterance:
        origin, transcription = window.origin, window.transcription
        event = arrival.event
        probabilities = [word.probability for word in transcription.words]
        start_s, end_s = window.extent
        cost = window.recent or transcription
        return Utterance(
            artifact_id=utterance_id(event.conversation_key, origin),
            modality="call",
            tenant=event.tenant,
            source=event.source,
            conversation_id=event.conversation_id,
            subject_id=origin.subject_id,
            stamps=Stamps(
                # The moment at which the utterance ended: its last chunk's end, less the audio after it in that chunk.
                event_time=origin.event_time - timedelta(seconds=max(origin.chunks_end_s - end_s, 0.0)),
                ingested_at=origin.ingested_at,
                derived_at=utc_now(),
            ),
            provenance=Provenance(
                event_ids=origin.event_ids,
                position=arrival.position,  # also when published again: this event completed its present text
                blobs=origin.blobs,
                deriver=self._deriver[0],
                deriver_version=self._deriver[1],
                model=self._transcriber.name,
                model_version=self._transcriber.version,
                seconds=cost.seconds,
                memo_hit=cost.memo_hit,
            ),
            call_id=event.conversation_id,
            channel=origin.channel,
            speaker=origin.speaker,
            start_s=start_s,
            end_s=end_s,
            text=text.text,
            words=_words(transcription.words, text.spans, origin.start_s),
            language=transcription.segments[0].language,
            confidence=min(1.0, max(0.0, float(np.mean(probabilities)))),
            no_speech=min(1.0, max(0.0, *(segment.no_speech for segment in transcription.segments))),
            pii=count_pii_kinds([entity for _, _, entity in text.spans]),
        )


def call_locator(utterance: Utterance) -> CallLocator:
    """Build the locator that a passage of this utterance cites."""
    return CallLocator(
        call_id=utterance.call_id,
        channel=utterance.channel,
        speaker=utterance.speaker,
        start_s=utterance.start_s,
        end_s=utterance.end_s,
    )


def failure_reason(model: str, error: Exception) -> str:
    """Build the reason of a quarantine row; of a foreign error only the type, since its message may quote the text."""
    return str(error) if isinstance(error, Rejected) else f"{model} raised {type(error).__name__}"


def _language(channel: ChannelState, window: SpeechWindow) -> str | None:
    """Choose the language in which to transcribe a window; None: the transcriber detects it."""
    total_s = sum(seconds for _, seconds in channel.languages)
    if window.end_s - window.start_s >= MIN_LANGUAGE_WINDOW_S or not total_s:
        return None
    language, seconds = max(channel.languages, key=lambda entry: entry[1])
    return language if seconds >= _MAJORITY * total_s else None


def _with_language(channel: ChannelState, window: SpeechWindow, transcription: Transcription) -> ChannelState:
    """Add a window's duration to its language, when the window is long enough."""
    duration_s = window.end_s - window.start_s
    if duration_s < MIN_LANGUAGE_WINDOW_S or not transcription.segments:
        return channel
    seconds: Mapping[str, float] = dict(channel.languages)
    language = transcription.segments[0].language
    updated = {**seconds, language: round(seconds.get(language, 0.0) + duration_s, 3)}
    return channel.model_copy(update={"languages": tuple(sorted(updated.items()))})


def _words(words: Sequence[SpokenWord], spans: Sequence[Span], start_s: float) -> tuple[Word, ...]:
    """Convert words to times of the call; hide those that a redacted span overlaps."""
    converted = []
    offset = 0
    for word in words:
        start, end = offset, offset + len(word.text)
        offset = end + 1
        converted.append(
            Word(
                start_s=start_s + max(word.start_s, 0.0),
                end_s=start_s + max(word.end_s, word.start_s, 0.0),
                text=REDACTED_WORD if overlaps_any(spans, start, end) else word.text,
                probability=min(1.0, max(0.0, word.probability)),
            )
        )
    return tuple(converted)
