"""Words to utterances: redacted together with what was said just before, and published again when that finds more.

A window on which a model fails is one window: it is named, and its neighbours go on. Only what is about us (a store
that does not answer, a wrong setting) stops the step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from mmplatform.artifacts import CallLocator, Provenance, Stamps, Utterance, Word, summarise_pii
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
from mmplatform.ports import Memo, Redactor, SpokenWord, Transcriber

REDACTED_WORD: Final = "[REDACTED]"
MIN_LANGUAGE_WINDOW_S: Final = 3.0
"""A shorter window may be taken for any language ("okay"): it is heard in the language of the longer ones."""

PLATFORM_ERRORS: Final = (Unavailable, Busy, Permanent)
"""Errors that say nothing about a window."""

_MAJORITY: Final = 2 / 3
_ORIGIN_SPACE: Final = "utterance-origin@1"


@dataclass(frozen=True, slots=True)
class BuiltUtterances:
    """Utterances, each with its origin, among them those that are published again; what failed; the channels by now."""

    utterances: tuple[tuple[Utterance, UtteranceOrigin], ...]
    failed: tuple[tuple[UtteranceOrigin, str], ...]
    channels: tuple[ChannelState, ...]


@dataclass(frozen=True, slots=True)
class _RecognisedWindow:
    """The words of one window; ``said``: as the call's state has them, None when they are new."""

    origin: UtteranceOrigin
    transcription: Transcription
    recent: RecentUtterance | None = None

    @property
    def extent(self) -> tuple[float, float]:
        """From the first word to the last: a window's padding is silence, and freshness counts from the last word."""
        window, words = self.origin, self.transcription.words
        first = min(window.start_s + max(words[0].start_s, 0.0), window.end_s)
        return first, max(first, min(window.start_s + words[-1].end_s, window.end_s))

    @property
    def spoken_text(self) -> SpokenText:
        return SpokenText(self.transcription.text, *self.extent, self.recent.spans if self.recent is not None else None)


class UtteranceBuilder:
    """Recognises and redacts; safe to use for many calls in turn."""

    def __init__(self, transcriber: Transcriber, redactor: Redactor, memo: Memo, *, deriver: tuple[str, str]) -> None:
        self._transcriber = transcriber
        self._cached_transcriber = CachedTranscriber(transcriber, memo)
        self._redactor = redactor
        self._memo = memo
        self._deriver = deriver

    def build(
        self,
        heard: Sequence[SpeechWindow],
        channels: Sequence[ChannelState],
        arrival: Arrival[CallChunk] | Arrival[CallEnd],
    ) -> BuiltUtterances:
        """One utterance for each window in which somebody said something; windows of a channel in time order.

        Raises:
            Unavailable: the memo does not answer.
            Permanent: a model cannot be used at all.
        """
        known = list(channels)
        made: list[tuple[Utterance, UtteranceOrigin]] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for number in sorted({window.channel for window in heard}):
            fresh, known[number], unheard = self._recognise(
                [window for window in heard if window.channel == number], known[number]
            )
            failed += unheard
            if not fresh:
                continue
            clean, unread = self._redact(self._context(known[number], fresh), fresh)
            failed += unread
            changed = [(each, now) for each, now in clean if each.recent is None or each.recent.spans != now.spans]
            made += [(self._utterance(each, now, arrival), each.origin) for each, now in changed]
            known[number] = self._with_recent(known[number], changed)
        return BuiltUtterances(tuple(made), tuple(failed), tuple(known))

    def _recognise(
        self, heard: Sequence[SpeechWindow], channel: ChannelState
    ) -> tuple[list[_RecognisedWindow], ChannelState, list[tuple[UtteranceOrigin, str]]]:
        """The windows in which somebody said something, and those on which the model failed."""
        fresh: list[_RecognisedWindow] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for window in heard:
            origin = UtteranceOrigin.from_window(window)
            try:
                spoken = self._cached_transcriber.transcribe(window.audio, _language(channel, window))
            except PLATFORM_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - whatever one window does to a model, the call goes on
                failed.append((origin, failure_reason(self._transcriber.name, error)))
                continue
            channel = _with_language(channel, window, spoken)
            if spoken.text:
                fresh.append(_RecognisedWindow(origin, spoken))
        return fresh, channel, failed

    def _context(self, channel: ChannelState, fresh: Sequence[_RecognisedWindow]) -> list[_RecognisedWindow]:
        """What was said shortly before (or after, when the audio came late), without what the memo forgot."""
        starts, ends = zip(*(each.extent for each in fresh), strict=True)
        if not any(
            said.start_s - max(ends) <= MAX_CONTEXT_PAUSE_S >= min(starts) - said.end_s for said in channel.recent
        ):
            return []
        words = self._cached_transcriber.cached([said.key for said in channel.recent])
        origins = self._memo.get_many(_ORIGIN_SPACE, [said.origin for said in channel.recent])
        return [
            _RecognisedWindow(UtteranceOrigin.model_validate_json(origins[said.origin]), words[said.key], said)
            for said in channel.recent
            if said.key in words and said.origin in origins
        ]

    def _redact(
        self, before: Sequence[_RecognisedWindow], fresh: Sequence[_RecognisedWindow]
    ) -> tuple[list[tuple[_RecognisedWindow, RedactedText]], list[tuple[UtteranceOrigin, str]]]:
        """All in one batch. When that fails, once more without each window on which it fails."""
        try:
            return self._redact_in_order([*before, *fresh]), []
        except PLATFORM_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            if len(fresh) == 1:
                return [], [(fresh[0].origin, failure_reason(self._redactor.name, error))]
        good: list[_RecognisedWindow] = []
        failed: list[tuple[UtteranceOrigin, str]] = []
        for each in fresh:
            _, unread = self._redact([*before, *good], [each])
            failed += unread
            good += [] if unread else [each]
        return self._redact_in_order([*before, *good]), failed

    def _redact_in_order(self, words: Sequence[_RecognisedWindow]) -> list[tuple[_RecognisedWindow, RedactedText]]:
        ordered = sorted(words, key=lambda each: each.extent)
        return list(
            zip(ordered, redact_with_context([each.spoken_text for each in ordered], self._redactor), strict=True)
        )

    def _with_recent(
        self, channel: ChannelState, changed: Sequence[tuple[_RecognisedWindow, RedactedText]]
    ) -> ChannelState:
        packed = [(each, now, each.origin.model_dump_json().encode()) for each, now in changed]
        origins = {hashlib.sha256(origin).hexdigest(): origin for _, _, origin in packed}
        self._memo.put_many(_ORIGIN_SPACE, origins)
        recent = {said.origin: said for said in channel.recent}
        for key, (each, now, _) in zip(origins, packed, strict=True):
            start_s, end_s = each.extent
            paid = each.recent or each.transcription
            recent[key] = RecentUtterance(
                key=each.transcription.key,
                origin=key,
                spans=now.spans,
                start_s=start_s,
                end_s=end_s,
                seconds=paid.seconds,
                memo_hit=paid.memo_hit,
            )
        ordered = sorted(recent.values(), key=lambda said: (said.start_s, said.end_s))
        return channel.model_copy(update={"recent": tuple(ordered[-(MAX_CONTEXT_UTTERANCES - 1) :])})

    def _utterance(
        self, words: _RecognisedWindow, clean: RedactedText, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> Utterance:
        origin, spoken = words.origin, words.transcription
        call_id = arrival.event.conversation_id
        chances = [word.probability for word in spoken.words]
        start_s, end_s = words.extent
        paid = words.recent or spoken
        return Utterance(
            artifact_id=utterance_id(call_id, origin),
            modality="call",
            conversation_id=call_id,
            subject_id=origin.subject_id,
            stamps=Stamps(
                # The moment at which the utterance ended: its last chunk's end, less what follows it in there.
                event_time=origin.event_time - timedelta(seconds=max(origin.chunks_end_s - end_s, 0.0)),
                ingested_at=origin.ingested_at,
                derived_at=utc_now(),
            ),
            provenance=Provenance(
                event_ids=origin.event_ids,
                position=arrival.position,  # also of one that is published again: this event completed what it is now
                blobs=origin.blobs,
                deriver=self._deriver[0],
                deriver_version=self._deriver[1],
                model=self._transcriber.name,
                model_version=self._transcriber.version,
                seconds=paid.seconds,
                memo_hit=paid.memo_hit,
            ),
            call_id=call_id,
            channel=origin.channel,
            speaker=origin.speaker,
            start_s=start_s,
            end_s=end_s,
            text=clean.text,
            words=_words(spoken.words, clean.spans, origin.start_s),
            language=spoken.segments[0].language,
            confidence=min(1.0, max(0.0, float(np.mean(chances)))),
            no_speech=min(1.0, max(0.0, *(segment.no_speech for segment in spoken.segments))),
            pii=summarise_pii([kind for _, _, kind in clean.spans]),
        )


def call_locator(utterance: Utterance) -> CallLocator:
    """The place that a passage of this utterance cites."""
    return CallLocator(
        call_id=utterance.call_id,
        channel=utterance.channel,
        speaker=utterance.speaker,
        start_s=utterance.start_s,
        end_s=utterance.end_s,
    )


def failure_reason(who: str, error: Exception) -> str:
    """The reason for a quarantine row. Of a foreign error the type only: its message may quote what was said."""
    return str(error) if isinstance(error, Rejected) else f"{who} raised {type(error).__name__}"


def _language(channel: ChannelState, window: SpeechWindow) -> str | None:
    """The language that a window is to be heard in; None: let the transcriber tell."""
    heard_s = sum(seconds for _, seconds in channel.languages)
    if window.end_s - window.start_s >= MIN_LANGUAGE_WINDOW_S or not heard_s:
        return None
    language, seconds = max(channel.languages, key=lambda known: known[1])
    return language if seconds >= _MAJORITY * heard_s else None


def _with_language(channel: ChannelState, window: SpeechWindow, spoken: Transcription) -> ChannelState:
    length = window.end_s - window.start_s
    if length < MIN_LANGUAGE_WINDOW_S or not spoken.segments:
        return channel
    seconds: Mapping[str, float] = dict(channel.languages)
    language = spoken.segments[0].language
    heard = {**seconds, language: round(seconds.get(language, 0.0) + length, 3)}
    return channel.model_copy(update={"languages": tuple(sorted(heard.items()))})


def _words(words: Sequence[SpokenWord], spans: Sequence[Span], start_s: float) -> tuple[Word, ...]:
    """Words with times in the call; one that a redacted span touches is hidden."""
    found = []
    at = 0
    for word in words:
        begin, end = at, at + len(word.text)
        at = end + 1
        found.append(
            Word(
                start_s=start_s + max(word.start_s, 0.0),
                end_s=start_s + max(word.end_s, word.start_s, 0.0),
                text=REDACTED_WORD if overlaps_any(spans, begin, end) else word.text,
                probability=min(1.0, max(0.0, word.probability)),
            )
        )
    return tuple(found)
