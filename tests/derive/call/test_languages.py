"""Speech in other languages: each row has its language, and speech without credible words is a gap that says why."""

from __future__ import annotations

from datetime import timedelta

from mmplatform.artifacts import Passage, Utterance
from mmplatform.ports import Segment
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import SPEECH, ScriptedTranscriber, SimulatedCall

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
