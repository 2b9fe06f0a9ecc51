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
from mmplatform.derive.call.redaction import MOST_TOGETHER, NEAR_S, Clean, Saying, Span, redact_in_turn, touches
from mmplatform.derive.call.segmenter import Heard, Origin, utterance_id
from mmplatform.derive.call.state import Channel, Said
from mmplatform.derive.call.transcription import Recogniser, Spoken
from mmplatform.errors import Busy, Permanent, Rejected, Unavailable
from mmplatform.events import Arrival, CallChunk, CallEnd, utc_now
from mmplatform.ports import Memo, Redactor, SpokenWord, Transcriber

HIDDEN: Final = "[REDACTED]"
TELLING_S: Final = 3.0
"""A shorter window may be taken for any language ("okay"): it is heard in the language of the longer ones."""

OURS: Final = (Unavailable, Busy, Permanent)
"""Errors that say nothing about a window."""

_MAJORITY: Final = 2 / 3
_ORIGINS: Final = "utterance-origin@1"


@dataclass(frozen=True, slots=True)
class Made:
    """Utterances, each with its origin, among them those that are published again; what failed; the channels by now."""

    utterances: tuple[tuple[Utterance, Origin], ...]
    failed: tuple[tuple[Origin, str], ...]
    channels: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one window; ``said``: as the call's state has them, None when they are new."""

    origin: Origin
    spoken: Spoken
    said: Said | None = None

    @property
    def extent(self) -> tuple[float, float]:
        """From the first word to the last: a window's padding is silence, and freshness counts from the last word."""
        window, words = self.origin, self.spoken.words
        first = min(window.start_s + max(words[0].start_s, 0.0), window.end_s)
        return first, max(first, min(window.start_s + words[-1].end_s, window.end_s))

    @property
    def saying(self) -> Saying:
        return Saying(self.spoken.text, *self.extent, self.said.spans if self.said is not None else None)


class UtteranceMaker:
    """Recognises and redacts; safe to use for many calls in turn."""

    def __init__(self, transcriber: Transcriber, redactor: Redactor, memo: Memo, *, deriver: tuple[str, str]) -> None:
        self._transcriber = transcriber
        self._recogniser = Recogniser(transcriber, memo)
        self._redactor = redactor
        self._memo = memo
        self._deriver = deriver

    def make(
        self, heard: Sequence[Heard], channels: Sequence[Channel], arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> Made:
        """One utterance for each window in which somebody said something; windows of a channel in time order.

        Raises:
            Unavailable: the memo does not answer.
            Permanent: a model cannot be used at all.
        """
        known = list(channels)
        made: list[tuple[Utterance, Origin]] = []
        failed: list[tuple[Origin, str]] = []
        for number in sorted({window.channel for window in heard}):
            fresh, known[number], unheard = self._recognised(
                [window for window in heard if window.channel == number], known[number]
            )
            failed += unheard
            if not fresh:
                continue
            clean, unread = self._redacted(self._before(known[number], fresh), fresh)
            failed += unread
            changed = [(each, now) for each, now in clean if each.said is None or each.said.spans != now.spans]
            made += [(self._utterance(each, now, arrival), each.origin) for each, now in changed]
            known[number] = self._remember(known[number], changed)
        return Made(tuple(made), tuple(failed), tuple(known))

    def _recognised(
        self, heard: Sequence[Heard], channel: Channel
    ) -> tuple[list[_Words], Channel, list[tuple[Origin, str]]]:
        """The windows in which somebody said something, and those on which the model failed."""
        fresh: list[_Words] = []
        failed: list[tuple[Origin, str]] = []
        for window in heard:
            origin = Origin.of(window)
            try:
                spoken = self._recogniser.recognise(window.audio, _language(channel, window))
            except OURS:
                raise
            except Exception as error:  # noqa: BLE001 - whatever one window does to a model, the call goes on
                failed.append((origin, why(self._transcriber.name, error)))
                continue
            channel = _counted(channel, window, spoken)
            if spoken.text:
                fresh.append(_Words(origin, spoken))
        return fresh, channel, failed

    def _before(self, channel: Channel, fresh: Sequence[_Words]) -> list[_Words]:
        """What was said shortly before (or after, when the audio came late), without what the memo forgot."""
        starts, ends = zip(*(each.extent for each in fresh), strict=True)
        if not any(said.start_s - max(ends) <= NEAR_S >= min(starts) - said.end_s for said in channel.recent):
            return []
        words = self._recogniser.known([said.key for said in channel.recent])
        origins = self._memo.get_many(_ORIGINS, [said.origin for said in channel.recent])
        return [
            _Words(Origin.model_validate_json(origins[said.origin]), words[said.key], said)
            for said in channel.recent
            if said.key in words and said.origin in origins
        ]

    def _redacted(
        self, before: Sequence[_Words], fresh: Sequence[_Words]
    ) -> tuple[list[tuple[_Words, Clean]], list[tuple[Origin, str]]]:
        """All in one batch. When that fails, once more without each window on which it fails."""
        try:
            return self._in_turn([*before, *fresh]), []
        except OURS:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            if len(fresh) == 1:
                return [], [(fresh[0].origin, why(self._redactor.name, error))]
        good: list[_Words] = []
        failed: list[tuple[Origin, str]] = []
        for each in fresh:
            _, unread = self._redacted([*before, *good], [each])
            failed += unread
            good += [] if unread else [each]
        return self._in_turn([*before, *good]), failed

    def _in_turn(self, words: Sequence[_Words]) -> list[tuple[_Words, Clean]]:
        ordered = sorted(words, key=lambda each: each.extent)
        return list(zip(ordered, redact_in_turn([each.saying for each in ordered], self._redactor), strict=True))

    def _remember(self, channel: Channel, changed: Sequence[tuple[_Words, Clean]]) -> Channel:
        packed = [(each, now, each.origin.model_dump_json().encode()) for each, now in changed]
        origins = {hashlib.sha256(origin).hexdigest(): origin for _, _, origin in packed}
        self._memo.put_many(_ORIGINS, origins)
        recent = {said.origin: said for said in channel.recent}
        for key, (each, now, _) in zip(origins, packed, strict=True):
            start_s, end_s = each.extent
            paid = each.said or each.spoken
            recent[key] = Said(
                key=each.spoken.key,
                origin=key,
                spans=now.spans,
                start_s=start_s,
                end_s=end_s,
                seconds=paid.seconds,
                memo_hit=paid.memo_hit,
            )
        ordered = sorted(recent.values(), key=lambda said: (said.start_s, said.end_s))
        return channel.model_copy(update={"recent": tuple(ordered[-(MOST_TOGETHER - 1) :])})

    def _utterance(self, words: _Words, clean: Clean, arrival: Arrival[CallChunk] | Arrival[CallEnd]) -> Utterance:
        origin, spoken = words.origin, words.spoken
        call_id = arrival.event.conversation_id
        chances = [word.probability for word in spoken.words]
        start_s, end_s = words.extent
        paid = words.said or spoken
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


def locate_call(utterance: Utterance) -> CallLocator:
    """The place that a passage of this utterance cites."""
    return CallLocator(
        call_id=utterance.call_id,
        channel=utterance.channel,
        speaker=utterance.speaker,
        start_s=utterance.start_s,
        end_s=utterance.end_s,
    )


def why(who: str, error: Exception) -> str:
    """The reason for a quarantine row. Of a foreign error the type only: its message may quote what was said."""
    return str(error) if isinstance(error, Rejected) else f"{who} raised {type(error).__name__}"


def _language(channel: Channel, window: Heard) -> str | None:
    """The language that a window is to be heard in; None: let the transcriber tell."""
    heard_s = sum(seconds for _, seconds in channel.languages)
    if window.end_s - window.start_s >= TELLING_S or not heard_s:
        return None
    language, seconds = max(channel.languages, key=lambda known: known[1])
    return language if seconds >= _MAJORITY * heard_s else None


def _counted(channel: Channel, window: Heard, spoken: Spoken) -> Channel:
    length = window.end_s - window.start_s
    if length < TELLING_S or not spoken.segments:
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
                text=HIDDEN if touches(spans, begin, end) else word.text,
                probability=min(1.0, max(0.0, word.probability)),
            )
        )
    return tuple(found)
