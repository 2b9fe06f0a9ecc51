"""What somebody dictates in several breaths, with the real redactor: no breath alone looks like anything."""

from __future__ import annotations

import re
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
from mmplatform.pipeline.process import ConsumedRecord, process_call_record
from mmplatform.ports import Redacted, Segment, SpokenWord
from quality.contracts import ContractLimits
from tests.builders import NOW, call_end
from tests.derive.call.test_fold import Scripted, World

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


class Dictates(Scripted):
    """Says one breath in each window, in the order in which it first hears them."""

    def __init__(self, *breaths: str) -> None:
        super().__init__()
        self.breaths = breaths

    def transcribe(self, audio, *, language=None):  # noqa: ARG002
        said = self.breaths[self.calls].split()
        self.calls += 1
        words = tuple(SpokenWord(n * 0.2, n * 0.2 + 0.15, text, 0.9) for n, text in enumerate(said))
        return [Segment(0.0, audio.size / 16_000, " ".join(said), words, 0.0, -0.1, 1.0, "en")]


class Digits:
    """Finds seven digits and more, and counts what it was asked to read."""

    name, version = "digits", "1"

    def __init__(self) -> None:
        self.read: list[str] = []

    def redact(self, texts, *, spoken=False):
        assert spoken
        self.read += texts
        found = [[match.span() for match in re.finditer(r"\d(?: ?\d){6,}", text)] for text in texts]
        return [
            Redacted(re.sub(r"\d(?: ?\d){6,}", "[PHONE]", text), ("PHONE",) * len(spans), tuple(spans))
            for text, spans in zip(texts, found, strict=True)
        ]


def said_of(artifacts):
    return sorted((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)


DICTATED = {
    "e-mail": (("it is dana", "at example", "dot com", "thank you"), {"dana", "example", "com"}),
    "phone": (("my number is 415", "555", "0123", "thank you"), {"415", "555", "0123"}),
    "spoken phone": (("it's four one five", "five five five", "oh one two three", "bye"), {"four", "five", "three"}),
    "card": (("4111", "1111", "1111", "1111"), {"4111", "1111"}),
}


@pytest.mark.models
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("what", DICTATED)
def test_what_is_dictated_in_several_breaths_is_hidden_in_all_of_them(what, restart, redactor):
    breaths, secret = DICTATED[what]
    artifacts, aside, _ = World(asr=Dictates(*breaths), redactor=redactor).fold(
        [*World().events, LAST], restart=restart
    )
    assert aside == []
    said = said_of(artifacts)
    assert len(said) == len(breaths)
    texts = [a.text for a in artifacts.values() if isinstance(a, Utterance | Passage)]
    assert not secret & {word for text in texts for word in text.split()}
    assert not secret & {word.text for a in said for word in a.words}
    hidden = [bool(secret & set(breath.split())) for breath in breaths]
    assert [bool(a.pii) for a in said] == hidden
    assert [a.text for a, secret_too in zip(said, hidden, strict=True) if not secret_too] == [
        breath for breath, secret_too in zip(breaths, hidden, strict=True) if not secret_too
    ]


def test_what_is_published_again_is_the_same_but_for_what_is_hidden_and_when():
    world = World(asr=Dictates("my number is 415", "555", "0123", "thank you"), redactor=Digits())
    state, versions = None, []
    deriver = world.deriver()
    for offset, event in enumerate([*world.events, LAST]):
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


def test_between_two_events_no_word_is_kept_but_where_to_find_it():
    world = World(asr=Dictates("my number is 415", "555", "0123", "thank you"), redactor=Digits())
    _, _, state = world.fold([*world.events, LAST])
    kept = state.model_dump_json()
    assert len(state.channels[0].recent) == 4
    assert "number" not in kept
    assert "thank" not in kept
    assert len(kept) < 4000


def test_a_breath_whose_audio_comes_late_is_read_with_those_around_it():
    world = World(asr=Dictates("my number is 415", "0123", "bye", "555", ""), redactor=Digits())
    late = [event for event in world.events if event.chunk_index in {3, 4}]  # the second burst, most of it in the first
    artifacts, _, _ = world.fold([*(event for event in world.events if event not in late), *late, LAST])
    said = [a.text for a in said_of(artifacts) if a.status == "final"]
    assert said == ["my number is [PHONE]", "[PHONE]", "[PHONE]", "bye"]


def sayings(*texts, pause_s=1.0):
    return [SpokenText(text, n * (1 + pause_s), n * (1 + pause_s) + 1) for n, text in enumerate(texts)]


def test_a_long_pause_ends_a_number():
    clean = redact_with_context(sayings("415", "555", "0123", pause_s=MAX_CONTEXT_PAUSE_S + 0.1), Digits())
    assert [each.text for each in clean] == ["415", "555", "0123"]


def test_as_many_breaths_are_read_together_as_were_promised_and_no_more():
    for count in (MAX_CONTEXT_UTTERANCES, MAX_CONTEXT_UTTERANCES + 1):
        reader = Digits()
        redact_with_context(sayings(*"1234567"[:count]), reader)
        assert max(len(text.split()) for text in reader.read) == MAX_CONTEXT_UTTERANCES


def test_whole_sentences_are_read_in_pairs_only():
    reader = Digits()
    sentence = "I would like to know why the payment that I made on Monday did not go through"
    redact_with_context(sayings(*[sentence] * 5), reader)
    assert len(reader.read) == 5 + 4


def test_what_was_read_before_is_not_read_again():
    known = [SpokenText(each.text, each.start_s, each.end_s, ()) for each in sayings("yes", "right", "okay")]
    reader = Digits()
    redact_with_context([*known, SpokenText("415", 6.0, 7.0)], reader)
    assert reader.read == ["415", "okay 415", "right okay 415", "yes right okay 415"]
