"""Speech in other languages: each row has its language, and speech without credible words is a gap that says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from mmplatform.artifacts import Passage, Utterance
from mmplatform.derive.call.gap_markers import GapMarkers, SpokenLanguage
from mmplatform.derive.call.origin import OriginChunk, UtteranceOrigin
from mmplatform.events import Arrival, Position
from mmplatform.ports import Segment
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import RATE, SPEECH, ScriptedTranscriber, SimulatedCall, tone_like_speech

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


class PolyglotTranscriber(ScriptedTranscriber):
    """Hears German first, for which it has no words, then Spanish."""

    def transcribe(self, audio, *, language=None):
        [found] = super().transcribe(audio, language=language)
        fields = (found.no_speech, found.mean_log_probability, found.compression_ratio)
        if self.calls % 2:
            return [Segment(found.start_s, found.end_s, "", (), *fields, "de", 0.75)]
        return [Segment(found.start_s, found.end_s, found.text, found.words, *fields, "es", 0.88)]


def utterances(artifacts):
    return sorted((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)


def test_speech_without_credible_words_is_a_gap_with_its_language_and_the_reason():
    call = SimulatedCall(asr=PolyglotTranscriber())
    artifacts, quarantined, _ = call.fold([*call.events, LAST])
    found = utterances(artifacts)
    assert quarantined == []
    assert len(found) == len(SPEECH)
    assert [a.status for a in found] == ["gap", "final"] * 2
    assert [(a.language, a.language_confidence) for a in found] == [("de", 0.75), ("es", 0.88)] * 2
    assert {a.reason for a in found if a.status == "gap"} == {"speech that the model cannot put into credible words"}
    assert {a.reason for a in found if a.status == "final"} == {""}
    passages = [a for a in artifacts.values() if isinstance(a, Passage)]
    assert {p.source_artifact_id for p in passages} == {a.artifact_id for a in found if a.status == "final"}
    for gap, (begin, end) in zip(found[::2], SPEECH[::2], strict=True):
        assert gap.start_s < begin
        assert gap.end_s > end


def test_a_better_model_puts_words_where_there_were_none():
    worse, better = SimulatedCall(asr=PolyglotTranscriber()), SimulatedCall()
    wordless = utterances(worse.fold([*worse.events, LAST])[0])[0]
    replaced = better.fold([*better.events, LAST])[0][wordless.artifact_id]
    assert (wordless.text, replaced.status) == ("", "final")


def test_a_worker_that_starts_again_marks_the_same_speech():
    call = SimulatedCall(asr=PolyglotTranscriber())
    once = utterances(call.fold([*call.events, LAST])[0])
    again = utterances(call.fold([*call.events, LAST], restart=True)[0])
    assert [(a.artifact_id, a.status, a.language) for a in again] == [
        (a.artifact_id, a.status, a.language) for a in once
    ]


class LanguageRecorder(ScriptedTranscriber):
    """Hears German, with words or without, and records in which language each window is to be transcribed."""

    def __init__(self, *, has_words):
        super().__init__()
        self.has_words = has_words
        self.windows = []

    def transcribe(self, audio, *, language=None):
        self.windows.append((audio.size / 16_000 >= 3.0, language))
        [found] = super().transcribe(audio, language=language)
        spoken = {"words": found.words, "text": found.text} if self.has_words else {"words": (), "text": ""}
        return [replace(found, language="de", **spoken)]


@pytest.mark.parametrize(("has_words", "language"), [(True, "de"), (False, None)])
def test_a_short_window_has_the_language_of_the_long_ones_that_have_words(has_words, language):
    asr = LanguageRecorder(has_words=has_words)
    call = SimulatedCall(asr=asr)
    burst, pause = tone_like_speech()[round(0.5 * RATE) : round(1.8 * RATE)], np.zeros(2 * RATE, dtype="<i2")
    audio = np.concatenate([pause, np.tile(burst, 4), pause, np.tile(burst, 4), pause, burst, pause])
    call.fold([*call.chunk_events(audio[np.newaxis]), LAST])
    assert asr.windows == [(True, None), (True, None), (False, language)]


def test_a_voice_that_is_too_short_for_words_says_so():
    origin = UtteranceOrigin(
        channel=0,
        speaker="customer",
        subject_id="s1",
        start_s=4.0,
        end_s=5.1,
        first_sample=64_000,
        samples=17_600,
        chunks_end_s=6.0,
        event_time=NOW,
        ingested_at=NOW,
        position=Position(topic="t", topic_partition=0, offset=1),
        chunks=(OriginChunk("e1", "0" * 64, 9, "audio/wav", "=blobs", 64_000, 0, True),),
    )
    markers = GapMarkers(Arrival(LAST, Position(topic="t", topic_partition=0, offset=2)), ("call", "3"))
    row = markers.failed_window(origin, SpokenLanguage("de", 0.4))
    assert (row.status, row.text, row.language) == ("gap", "", "de")
    assert row.reason == "speech of 1.1 s: too short for credible words"
    longer = markers.failed_window(origin.model_copy(update={"end_s": 7.0}), SpokenLanguage("de", 0.4))
    assert longer.reason == "speech that the model cannot put into credible words"
