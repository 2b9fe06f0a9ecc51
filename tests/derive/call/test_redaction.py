"""Numbers and addresses dictated in several breaths, with the real redactor: no breath alone looks personal."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.artifacts import Passage, Utterance
from mmplatform.derive.call.redaction import (
    MAX_CONTEXT_PAUSE_S,
    MAX_CONTEXT_UTTERANCES,
    SpokenText,
    redact_with_context,
)
from mmplatform.events import Position, encode
from mmplatform.modalities import CALL
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import process_call_record
from quality.contracts import ContractLimits
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import (
    DictatingTranscriber,
    DigitRedactor,
    SimulatedCall,
    utterances_in_order,
)

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


DICTATED = {
    "e-mail": (("it is dana", "at example", "dot com", "thank you"), {"dana", "example", "com"}),
    "phone": (("my number is 415", "555", "0123", "thank you"), {"415", "555", "0123"}),
    "spoken phone": (("it's four one five", "five five five", "oh one two three", "bye"), {"four", "five", "three"}),
    "card": (("4111", "1111", "1111", "1111"), {"4111", "1111"}),
}


@pytest.mark.models
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("what", DICTATED)
def test_personal_data_dictated_in_several_breaths_is_hidden_in_all_of_them(what, restart, redactor):
    breaths, secret = DICTATED[what]
    artifacts, quarantined, _ = SimulatedCall(asr=DictatingTranscriber(*breaths), redactor=redactor).fold(
        [*SimulatedCall().events, LAST], restart=restart
    )
    assert quarantined == []
    utterances = utterances_in_order(artifacts)
    assert len(utterances) == len(breaths)
    texts = [a.text for a in artifacts.values() if isinstance(a, Utterance | Passage)]
    assert not secret & {word for text in texts for word in text.split()}
    assert not secret & {word.text for a in utterances for word in a.words}
    hidden = [bool(secret & set(breath.split())) for breath in breaths]
    assert [bool(a.pii) for a in utterances] == hidden
    assert [a.text for a, secret_too in zip(utterances, hidden, strict=True) if not secret_too] == [
        breath for breath, secret_too in zip(breaths, hidden, strict=True) if not secret_too
    ]


def test_a_republished_utterance_differs_only_by_its_redaction_and_its_times():
    call = SimulatedCall(
        asr=DictatingTranscriber("my number is 415", "555", "0123", "thank you"), redactor=DigitRedactor()
    )
    state, versions = None, []
    deriver = call.deriver()
    for offset, event in enumerate([*call.events, LAST]):
        record = ConsumedRecord(Position(topic=CALL.topic, topic_partition=0, offset=offset), encode(event), NOW)

        def fold(arrival):
            nonlocal state
            state, derived = deriver.advance(state, arrival)
            return derived

        versions += process_call_record(record, fold, CALL, ContractLimits()).artifacts
    first = [a for a in versions if isinstance(a, Utterance) and a.start_s < 2]
    assert [a.text for a in first] == ["my number is 415", "my number is [PHONE]"]
    before, after = (a.model_dump(exclude={"text", "words", "pii"}) for a in first)
    assert after["stamps"].pop("derived_at") > before["stamps"].pop("derived_at")
    assert after["provenance"].pop("position")["offset"] > before["provenance"].pop("position")["offset"]
    assert before == after
    assert {a.stamps.taken_at for a in versions} == {NOW}


def test_the_state_has_pointers_and_no_words():
    call = SimulatedCall(
        asr=DictatingTranscriber("my number is 415", "555", "0123", "thank you"), redactor=DigitRedactor()
    )
    _, _, state = call.fold([*call.events, LAST])
    stored = state.model_dump_json()
    assert len(state.channels[0].recent) == 4
    assert "number" not in stored
    assert "thank" not in stored
    assert len(stored) < 5000


def test_a_breath_whose_audio_comes_late_is_read_with_those_around_it():
    call = SimulatedCall(
        asr=DictatingTranscriber("my number is 415", "0123", "bye", "555", ""), redactor=DigitRedactor()
    )
    late = [event for event in call.events if event.chunk_index in {3, 4}]  # the second burst, most of it in the first
    artifacts, _, _ = call.fold([*(event for event in call.events if event not in late), *late, LAST])
    texts = [a.text for a in utterances_in_order(artifacts) if a.status == "final"]
    assert texts == ["my number is [PHONE]", "[PHONE]", "[PHONE]", "bye"]


def spoken_texts(*texts, pause_s=1.0):
    return [SpokenText(text, n * (1 + pause_s), n * (1 + pause_s) + 1) for n, text in enumerate(texts)]


def test_a_long_pause_ends_a_number():
    redacted = redact_with_context(
        spoken_texts("415", "555", "0123", pause_s=MAX_CONTEXT_PAUSE_S + 0.1), DigitRedactor()
    )
    assert [text.text for text in redacted] == ["415", "555", "0123"]


def test_at_most_the_maximum_of_breaths_is_read_together():
    for count in (MAX_CONTEXT_UTTERANCES, MAX_CONTEXT_UTTERANCES + 1):
        reader = DigitRedactor()
        redact_with_context(spoken_texts(*"1234567"[:count]), reader)
        assert max(len(text.split()) for text in reader.read) == MAX_CONTEXT_UTTERANCES


def test_whole_sentences_are_read_in_pairs_only():
    reader = DigitRedactor()
    sentence = "I would like to know why the payment that I made on Monday did not go through"
    redact_with_context(spoken_texts(*[sentence] * 5), reader)
    assert len(reader.read) == 5 + 4


def test_a_published_utterance_is_not_read_alone_again():
    published = [SpokenText(text.text, text.start_s, text.end_s, ()) for text in spoken_texts("yes", "right", "okay")]
    reader = DigitRedactor()
    redact_with_context([*published, SpokenText("415", 6.0, 7.0)], reader)
    assert reader.read == ["415", "okay 415", "right okay 415", "yes right okay 415"]
