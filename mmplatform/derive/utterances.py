"""Windows of speech to utterances: ASR once for each audio ever heard, redaction in turn, words with times."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import orjson

from mmplatform.artifacts import CallLocator, Provenance, Stamps, Utterance, Word, artifact_id, summarise_pii
from mmplatform.derive.call_redaction import Clean, Saying, Span, redact_in_turn, touches
from mmplatform.derive.call_state import Channel, ChunkRef, LastSaid
from mmplatform.events import Arrival, CallChunk, CallEnd, utc_now
from mmplatform.ports import Audio, Memo, Redactor, Segment, SpokenWord, Transcriber

HIDDEN: Final = "[REDACTED]"
TELLING_S: Final = 3.0
"""A shorter window may be taken for any language ("okay"): it is heard in the language of the longer ones."""

_MAJORITY: Final = 2 / 3
_FULL_SCALE: Final = 32767


@dataclass(frozen=True, slots=True)
class Heard:
    """A window of speech on one channel, and the chunks that it lies in; seconds from the start of the call."""

    channel: int
    start_s: float
    end_s: float
    audio: Audio
    chunks: tuple[ChunkRef, ...]
    mixed: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """What ASR made of a window."""

    key: str
    segments: tuple[Segment, ...]
    seconds: float
    memo_hit: bool

    @property
    def words(self) -> tuple[SpokenWord, ...]:
        """All of them, in order; times from the start of the window."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """Made of the words, so that a redacted span of the text finds the words that it covers."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Made:
    """Utterances, among them those that are published again, and what is known of the channels by now."""

    utterances: tuple[Utterance, ...]
    channels: tuple[Channel, ...]


class UtteranceMaker:
    """Recognises and redacts.

    The memo keeps what was really said (segments with words, never audio): it is part of the private vault, like the
    blobs, and an erasure empties it.
    """

    def __init__(self, transcriber: Transcriber, redactor: Redactor, memo: Memo, *, deriver: tuple[str, str]) -> None:
        self._transcriber = transcriber
        self._redactor = redactor
        self._memo = memo
        self._space = f"asr/{transcriber.name}@{transcriber.version}"
        self._deriver = deriver

    def make(
        self, heard: Sequence[Heard], channels: Sequence[Channel], arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> Made:
        """One utterance for each window in which somebody said something; windows of a channel in time order."""
        known = list(channels)
        made: list[Utterance] = []
        for number in sorted({window.channel for window in heard}):
            mine = [window for window in heard if window.channel == number]
            said, known[number] = self._one(mine, known[number], arrival)
            made += said
        return Made(tuple(made), tuple(known))

    def _one(
        self, heard: Sequence[Heard], channel: Channel, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> tuple[list[Utterance], Channel]:
        spoken: list[tuple[Heard, Spoken]] = []
        for window in heard:
            words = self._recognise(window.audio, _language(channel, window))
            channel = _counted(channel, window, words)
            if words.text:
                spoken.append((window, words))
        if not spoken:
            return [], channel
        before = self._before(channel.last)
        sayings = [Saying(words.text, window.start_s, window.end_s) for window, words in spoken]
        clean = redact_in_turn([*(saying for _, saying in before), *sayings], self._redactor)
        again = [
            _hidden(last, words, now)
            for ((last, words), _), now in zip(before, clean, strict=False)
            if now.spans != last.spans
        ]
        fresh = clean[len(before) :]
        new = [self._utterance(window, words, now, arrival) for (window, words), now in zip(spoken, fresh, strict=True)]
        last = LastSaid(key=spoken[-1][1].key, spans=fresh[-1].spans, utterance=new[-1])
        return [*again, *new], channel.model_copy(update={"last": last})

    def _before(self, last: LastSaid | None) -> list[tuple[tuple[LastSaid, Spoken], Saying]]:
        """What was said last as it was really said; nothing when the memo forgot it."""
        words = self._known(last.key) if last is not None else None
        if last is None or words is None:
            return []
        was = last.utterance
        return [((last, words), Saying(words.text, was.start_s, was.end_s, last.spans))]

    def _recognise(self, audio: Audio, language: str | None) -> Spoken:
        # As 16-bit samples: the key must not depend on the last bits of a resampler, and is what the model hears.
        pcm = np.round(audio * _FULL_SCALE).astype("<i2")
        key = hashlib.sha256(pcm.tobytes()).hexdigest() + f" {language or ''}".rstrip()
        known = self._known(key)
        if known is not None:
            return known
        started = time.perf_counter()
        segments = self._transcriber.transcribe(pcm.astype(np.float32) / np.float32(_FULL_SCALE), language=language)
        seconds = time.perf_counter() - started
        self._memo.put_many(self._space, {key: orjson.dumps(segments)})
        return Spoken(key, tuple(segments), seconds, memo_hit=False)

    def _known(self, key: str) -> Spoken | None:
        packed = self._memo.get_many(self._space, [key]).get(key)
        if packed is None:
            return None
        return Spoken(key, tuple(_segment(each) for each in orjson.loads(packed)), 0.0, memo_hit=True)

    def _utterance(
        self, window: Heard, spoken: Spoken, clean: Clean, arrival: Arrival[CallChunk] | Arrival[CallEnd]
    ) -> Utterance:
        event, last = arrival.event, window.chunks[-1]
        chances = [word.probability for word in spoken.words]
        start_s, end_s = _extent(window, spoken.words)
        return Utterance(
            # The window's start, not the first word's: a better model replaces what an earlier one heard.
            artifact_id=artifact_id(
                "utterance", f"{event.conversation_id}/{window.channel}", round(window.start_s * 1000)
            ),
            modality="call",
            conversation_id=event.conversation_id,
            subject_id=last.subject_id,
            stamps=Stamps(
                # The moment at which the utterance ended: its last chunk's end, less what follows it in there.
                event_time=last.event_time - timedelta(seconds=max(last.end_s - end_s, 0.0)),
                ingested_at=last.ingested_at,
                derived_at=utc_now(),
            ),
            provenance=Provenance(
                event_ids=tuple(chunk.event_id for chunk in window.chunks),
                position=arrival.position,
                blobs=tuple(chunk.blob for chunk in window.chunks),
                deriver=self._deriver[0],
                deriver_version=self._deriver[1],
                model=self._transcriber.name,
                model_version=self._transcriber.version,
                seconds=spoken.seconds,
                memo_hit=spoken.memo_hit,
            ),
            call_id=event.conversation_id,
            channel=window.channel,
            speaker=_speaker(window),
            start_s=start_s,
            end_s=end_s,
            text=clean.text,
            words=_words(spoken.words, clean.spans, window.start_s),
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


def _hidden(last: LastSaid, spoken: Spoken, clean: Clean) -> Utterance:
    """An utterance as it must be published by now: the same one, with more of it hidden."""
    was = last.utterance
    return was.model_copy(
        update={
            "text": clean.text,
            "words": _words(spoken.words, clean.spans, was.words[0].start_s - max(spoken.words[0].start_s, 0.0)),
            "pii": summarise_pii([kind for _, _, kind in clean.spans]),
            "stamps": was.stamps.model_copy(update={"derived_at": utc_now()}),
        }
    )


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


def _extent(window: Heard, words: Sequence[SpokenWord]) -> tuple[float, float]:
    """From the first word to the last one: the window's padding is silence, and freshness counts from the last word."""
    first = min(window.start_s + max(words[0].start_s, 0.0), window.end_s)
    return first, max(first, min(window.start_s + words[-1].end_s, window.end_s))


def _speaker(window: Heard) -> str:
    """Who the source says is on the channel; not when all voices are on it."""
    speakers = window.chunks[-1].speakers
    return f"channel-{window.channel}" if window.mixed or window.channel >= len(speakers) else speakers[window.channel]


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


def _segment(known: dict[str, Any]) -> Segment:
    words = tuple(SpokenWord(**word) for word in known["words"])
    return Segment(**{**known, "words": words})
