"""Windows → utterances: transcribed, redacted with the previous ones as context, republished when redaction finds more.

A window on which a model fails is reported alone, and its neighbours go on. Only an error of the platform (a store that
does not answer, a wrong setting) stops the event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from mmplatform.artifacts import Provenance, Stamps, Utterance, Word, count_pii_kinds
from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.context import PLATFORM_ERRORS, TranscribedWindow, UtteranceContext
from mmplatform.derive.call.gap_markers import SpokenLanguage
from mmplatform.derive.call.origin import UtteranceOrigin, utterance_id
from mmplatform.derive.call.redaction import RedactedText, redact_with_context
from mmplatform.derive.call.segmenter import SpeechWindow, origin_from_window
from mmplatform.derive.call.state import ChannelState
from mmplatform.derive.call.transcription import CachedTranscriber, Transcription
from mmplatform.derive.pii.coverage import spoken_coverage
from mmplatform.derive.pii.replacement import Replacements, ReplaceValue, Span, overlaps_any
from mmplatform.errors import Rejected
from mmplatform.events import Arrival, CallChunk, CallEnd, utc_now
from mmplatform.locators import CallLocator
from mmplatform.ports import Blobs, Memo, Redactor, SpokenWord, Transcriber

REDACTED_WORD: Final = "[REDACTED]"
MIN_LANGUAGE_WINDOW_S: Final = 3.0
"""A shorter window may be detected as any language ("okay"): it is transcribed in the language of the longer ones."""

_MAJORITY: Final = 2 / 3


@dataclass(frozen=True, slots=True)
class BuiltUtterances:
    """Utterances with their origins, republished ones included; failed windows with the reason; updated channels."""

    utterances: tuple[tuple[Utterance, UtteranceOrigin], ...]
    failed: tuple[tuple[UtteranceOrigin, str], ...]
    channels: tuple[ChannelState, ...]
    wordless: tuple[tuple[UtteranceOrigin, SpokenLanguage], ...] = ()


class UtteranceBuilder:
    """Transcribes and redacts windows; one instance serves many calls."""

    def __init__(
        self,
        transcriber: Transcriber,
        redactor: Redactor,
        memo: Memo,
        blobs: Blobs,
        audio: CallAudioCache,
        *,
        deriver: tuple[str, str],
        replacements: Replacements,
    ) -> None:
        self._replacements = replacements
        self._transcriber = transcriber
        self._cached_transcriber = CachedTranscriber(transcriber, memo)
        self._context = UtteranceContext(self._cached_transcriber, audio, blobs)
        self._redactor = redactor
        self._deriver = deriver

    def build(
        self,
        windows: Sequence[SpeechWindow],
        channels: Sequence[ChannelState],
        arrival: Arrival[CallChunk] | Arrival[CallEnd],
    ) -> BuiltUtterances:
        """Build an utterance for each window with words; the windows of a channel in time order.

        Raises:
            Unavailable: the memo or the blob store does not answer.
            Permanent: a model cannot be used at all.
        """
        updated = list(channels)
        utterances: list[tuple[Utterance, UtteranceOrigin]] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        replace_value = self._replacements.for_conversation(arrival.event.conversation_key)
        wordless: list[tuple[UtteranceOrigin, SpokenLanguage]] = []
        for number in sorted({window.channel for window in windows}):
            transcribed, updated[number], not_transcribed = self._transcribe(
                [window for window in windows if window.channel == number], updated[number]
            )
            failed += not_transcribed
            wordless += [
                (window.origin, _spoken_language(window)) for window in transcribed if not window.transcription.text
            ]
            transcribed = [window for window in transcribed if window.transcription.text]
            if not transcribed:
                continue
            redacted, not_redacted = self._redact(
                self._context.read(updated[number], transcribed), transcribed, replace_value
            )
            failed += not_redacted
            changed = [
                (window, text)
                for window, text in redacted
                if window.recent is None or window.recent.spans != text.spans
            ]
            utterances += [(self._utterance(window, text, arrival), window.origin) for window, text in changed]
            updated[number] = self._context.add(updated[number], changed)
        return BuiltUtterances(tuple(utterances), tuple(failed), tuple(updated), tuple(wordless))

    def _transcribe(
        self, windows: Sequence[SpeechWindow], channel: ChannelState
    ) -> tuple[list[TranscribedWindow], ChannelState, list[tuple[UtteranceOrigin, str]]]:
        """Transcribe windows; return those with speech, and those on which the model failed."""
        transcribed: list[TranscribedWindow] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for window in windows:
            origin = origin_from_window(window)
            try:
                transcription = self._cached_transcriber.transcribe(window.audio, _language(channel, window))
            except PLATFORM_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - a model that fails on one window must not stop the call
                failed.append((origin, failure_reason(self._transcriber.name, error)))
                continue
            channel = _with_language(channel, window, transcription)
            if transcription.segments:
                transcribed.append(TranscribedWindow(origin, transcription))
        return transcribed, channel, failed

    def _redact(
        self,
        context: Sequence[TranscribedWindow],
        new_windows: Sequence[TranscribedWindow],
        replace_value: ReplaceValue,
    ) -> tuple[list[tuple[TranscribedWindow, RedactedText]], list[tuple[UtteranceOrigin, str]]]:
        """Redact all in one batch; when that fails, again without each window on which it fails."""
        try:
            return self._redact_in_order([*context, *new_windows], replace_value), []
        except PLATFORM_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            if len(new_windows) == 1:
                return [], [(new_windows[0].origin, failure_reason(self._redactor.name, error))]
        readable: list[TranscribedWindow] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for window in new_windows:
            _, not_redacted = self._redact([*context, *readable], [window], replace_value)
            failed += not_redacted
            readable += [] if not_redacted else [window]
        return self._redact_in_order([*context, *readable], replace_value), failed

    def _redact_in_order(
        self, windows: Sequence[TranscribedWindow], replace_value: ReplaceValue
    ) -> list[tuple[TranscribedWindow, RedactedText]]:
        ordered = sorted(windows, key=lambda window: window.extent)
        texts = redact_with_context([window.spoken_text for window in ordered], self._redactor, replace_value)
        return list(zip(ordered, texts, strict=True))

    def _utterance(
        self, window: TranscribedWindow, text: RedactedText, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> Utterance:
        origin, transcription = window.origin, window.transcription
        event = arrival.event
        probabilities = [word.probability for word in transcription.words]
        language = _spoken_language(window)
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
                redaction_policy=self._replacements.policy_version,
            ),
            call_id=event.conversation_id,
            channel=origin.channel,
            speaker=origin.speaker,
            start_s=start_s,
            end_s=end_s,
            text=text.text,
            words=_words(transcription.words, text.spans, origin.start_s),
            language=language.code,
            confidence=min(1.0, max(0.0, float(np.mean(probabilities)))),
            no_speech=min(1.0, max(0.0, *(segment.no_speech for segment in transcription.segments))),
            pii=count_pii_kinds([entity for _, _, entity in text.spans]),
            language_confidence=language.confidence,
            redaction_coverage=spoken_coverage(language.code, language.confidence),
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


def _spoken_language(window: TranscribedWindow) -> SpokenLanguage:
    first = window.transcription.segments[0]
    return SpokenLanguage(first.language, min(1.0, max(0.0, first.language_probability)))


def _language(channel: ChannelState, window: SpeechWindow) -> str | None:
    """Choose the language in which to transcribe a window; None: the transcriber detects it."""
    total_s = sum(seconds for _, seconds in channel.languages)
    if window.end_s - window.start_s >= MIN_LANGUAGE_WINDOW_S or not total_s:
        return None
    language, seconds = max(channel.languages, key=lambda entry: entry[1])
    return language if seconds >= _MAJORITY * total_s else None


def _with_language(channel: ChannelState, window: SpeechWindow, transcription: Transcription) -> ChannelState:
    """Add a window's duration to its language, when the window is long enough and has words: else it may be any."""
    duration_s = window.end_s - window.start_s
    if duration_s < MIN_LANGUAGE_WINDOW_S or not transcription.text:
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
