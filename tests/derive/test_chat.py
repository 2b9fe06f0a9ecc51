"""Chats, with the real models where marked, else with models made for speed that count their calls."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.artifacts import Message, Passage, artifact_id
from mmplatform.derive.chat import MAX_PASSAGE_CHARS, REDACTION_BATCH, ChatDeriver, passage_spans
from mmplatform.errors import Unavailable
from mmplatform.events import Arrival, ChatMessage, Position
from mmplatform.memo import MemoryMemo
from mmplatform.ports import DetectedLanguage, Redacted

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class CountingEmbedder:
    """Vectors from letter counts: equal texts have equal vectors."""

    name, version, dimensions = "letters", "1", 8

    def __init__(self):
        self.batches = []

    def embed(self, texts):
        self.batches.append(list(texts))
        counts = np.array([[text.count(letter) + 1 for letter in "aeinorst"] for text in texts], np.float32)
        counts = counts.reshape(len(texts), 8)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


class SecretRedactor:
    """Knows one secret."""

    name, version = "secret", "1"

    def __init__(self):
        self.batches = []

    def redact(self, texts, *, spoken=False):
        assert not spoken
        self.batches.append(list(texts))
        return [self._one(text) for text in texts]

    def _one(self, text):
        at = text.find("SECRET")
        if at < 0:
            return Redacted(text, (), ())
        return Redacted(text.replace("SECRET", "[CARD]", 1), ("CARD",), ((at, at + 6),))


def arrival(event_id, text, *, offset=0):
    event = ChatMessage(
        event_id=event_id,
        conversation_id="conv",
        subject_id="cust",
        event_time=NOON,
        ingested_at=NOON,
        role="customer",
        text=text,
    )
    return Arrival(event, Position(topic="interactions.chat", topic_partition=0, offset=offset))


@pytest.fixture
def fast():
    return ChatDeriver(CountingEmbedder(), SecretRedactor(), MemoryMemo())


def messages(derived):
    return [artifact for artifact in derived.artifacts if isinstance(artifact, Message)]


def passages(derived):
    return [artifact for artifact in derived.artifacts if isinstance(artifact, Passage)]


def stable(derived):
    """Without the clock's values and costs, which may differ between two runs."""
    return [
        artifact.model_dump(
            exclude={"stamps": {"derived_at"}, "provenance": {"seconds", "memo_hit"}, "source_seconds": True}
        )
        for artifact in derived.artifacts
    ]


def test_a_short_message_is_one_message_and_one_passage(fast):
    sent = arrival("e1", "my payment failed", offset=7)
    derived = fast.derive([sent])
    (message,) = messages(derived)
    (passage,) = passages(derived)
    assert message.artifact_id == artifact_id("message", sent.event.uid, 0)
    assert (message.text, message.role, message.pii) == ("my payment failed", "customer", ())
    assert message.provenance.position.offset == 7
    assert passage.text == message.text
    assert passage.source_artifact_id == message.artifact_id
    assert (passage.locator.start, passage.locator.end) == (0, 17)
    assert passage.embedder == "letters@1"
    assert derived.quarantined == ()


def test_no_artifact_has_redacted_data(fast):
    derived = fast.derive([arrival("e1", "my card SECRET was declined")])
    assert all("SECRET" not in artifact.model_dump_json() for artifact in derived.artifacts)
    (message,) = messages(derived)
    assert message.text == "my card [CARD] was declined"
    assert [(count.entity, count.count) for count in message.pii] == [("CARD", 1)]


class GermanRedactor(SecretRedactor):
    """Takes each text for German."""

    def _one(self, text):
        return replace(super()._one(text), language=DetectedLanguage("de", 0.75), coverage="full")


def test_the_language_of_a_text_and_its_coverage_reach_message_and_passage_also_by_the_memo():
    memo, redactor = MemoryMemo(), GermanRedactor()
    deriver = ChatDeriver(CountingEmbedder(), redactor, memo)
    for _ in range(2):
        derived = deriver.derive([arrival("e1", "meine Karte SECRET")])
        (message,), (passage,) = messages(derived), passages(derived)
        assert (message.language, message.language_confidence, message.redaction_coverage) == ("de", 0.75, "full")
        assert (passage.language, passage.redaction_coverage) == ("de", "full")
    assert len(redactor.batches) == 1


def test_the_memo_never_stores_redacted_data():
    memo = MemoryMemo()
    ChatDeriver(CountingEmbedder(), SecretRedactor(), memo).derive([arrival("e1", "my card SECRET was declined")])
    assert memo._answers
    assert all(b"SECRET" not in answer for answer in memo._answers.values())
    assert all("SECRET" not in key for _, key in memo._answers)


def test_a_micro_batch_is_one_call_of_each_model():
    embedder, redactor = CountingEmbedder(), SecretRedactor()
    deriver = ChatDeriver(embedder, redactor, MemoryMemo())
    deriver.derive([arrival(f"e{number}", f"text {number}") for number in range(20)] + [arrival("again", "text 3")])
    assert [len(batch) for batch in redactor.batches] == [20]
    assert [len(batch) for batch in embedder.batches] == [20]


def test_the_next_messages_are_redacted_while_the_last_ones_are_embedded():
    """Each of the two waits for the other: one after the other, neither would go on."""
    redacting_more, embedding = threading.Event(), threading.Event()

    class Waiting(SecretRedactor):
        def redact(self, texts):
            if self.batches:
                redacting_more.set()
                assert embedding.wait(30)
            return super().redact(texts)

    class Embedding(CountingEmbedder):
        def embed(self, texts):
            embedding.set()
            assert redacting_more.wait(30)
            return super().embed(texts)

    redactor, embedder = Waiting(), Embedding()
    derived = ChatDeriver(embedder, redactor, MemoryMemo()).derive(
        [arrival(f"e{number}", f"text {number}") for number in range(REDACTION_BATCH + 1)]
    )
    assert (
        [len(batch) for batch in redactor.batches] == [len(batch) for batch in embedder.batches] == [REDACTION_BATCH, 1]
    )
    assert [passage.text for passage in passages(derived)] == [message.text for message in messages(derived)]


def test_an_unavailable_embedder_raises():
    class Away(CountingEmbedder):
        def embed(self, texts):
            del texts
            raise Unavailable("the embedder is away")

    with pytest.raises(Unavailable):
        ChatDeriver(Away(), SecretRedactor(), MemoryMemo()).derive([arrival("e1", "hello")])


def test_the_same_text_is_never_computed_twice():
    memo = MemoryMemo()
    first = ChatDeriver(CountingEmbedder(), SecretRedactor(), memo)
    before = first.derive([arrival("e1", "card SECRET")])
    embedder, redactor = CountingEmbedder(), SecretRedactor()
    after = ChatDeriver(embedder, redactor, memo).derive([arrival("e1", "card SECRET")])
    assert redactor.batches == []
    assert sum(map(len, embedder.batches)) == 0
    assert stable(after) == stable(before)
    assert all(artifact.provenance.memo_hit and artifact.provenance.seconds == 0 for artifact in after.artifacts)
    assert not any(artifact.provenance.memo_hit for artifact in before.artifacts)


def test_another_redactor_version_redacts_again():
    memo = MemoryMemo()
    ChatDeriver(CountingEmbedder(), SecretRedactor(), memo).derive([arrival("e1", "hello")])
    newer = SecretRedactor()
    newer.version = "2"
    ChatDeriver(CountingEmbedder(), newer, memo).derive([arrival("e1", "hello")])
    assert newer.batches == [["hello"]]


def test_an_event_that_came_twice_in_a_batch_gives_one_result(fast):
    derived = fast.derive([arrival("e1", "hello", offset=1), arrival("e2", "bye"), arrival("e1", "hello", offset=5)])
    ids = [artifact.artifact_id for artifact in derived.artifacts]
    assert len(ids) == len(set(ids)) == 4


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t \u3000", "\u200b\ufeff", "\u2800\u3164 \u00ad", "\x00", "\ufe0f\u200d"]
)
def test_a_message_of_nothing_has_no_passage(fast, text):
    derived = fast.derive([arrival("e1", text)])
    assert [message.text for message in messages(derived)] == [text]
    assert passages(derived) == []


def test_nothing_derives_to_nothing(fast):
    assert fast.derive([]).artifacts == ()


def test_a_long_message_is_cut_at_sentences_that_cite_their_span(fast):
    text = "The payment failed once more, and I do not know why. " * 60
    derived = fast.derive([arrival("e1", text)])
    (message,) = messages(derived)
    cut = passages(derived)
    assert len(cut) > 3
    assert [passage.ordinal for passage in cut] == list(range(len(cut)))
    assert all(passage.text.endswith("why.") for passage in cut)
    assert all(message.text[p.locator.start : p.locator.end] == p.text for p in cut)
    assert " ".join(passage.text for passage in cut) == text.strip()


@given(st.text(st.characters(), max_size=3000) | st.text("ab. \n!1{", max_size=4000))
def test_spans_cover_every_character_that_is_not_white_space_once(text):
    covered_to = 0
    for start, end in passage_spans(text):
        assert covered_to <= start < end
        assert text[covered_to:start].strip() == ""
        assert end - start <= MAX_PASSAGE_CHARS
        covered_to = end
    assert text[covered_to:].strip() == ""


@pytest.mark.models
@pytest.mark.parametrize(
    "text",
    [
        "The payment failed once more, and I do not know why. " * 40,
        'File "/usr/lib/python3.11/site-packages/foo/bar_baz.py", line 123, in handle\n' * 30,
        "私の支払いは三回失敗しました。" * 100,
        "Моя оплата не прошла три раза, помогите пожалуйста. " * 40,
        "0x80070005-a8f3-99e1-4b2c " * 80,
    ],
)
def test_the_embedder_reads_passages_whole(embedder, text):
    for start, end in passage_spans(text):
        assert len(list(embedder._tokenizer.encode_parts([text[start:end]]))) == 1


@pytest.mark.models
def test_with_the_real_models_no_personal_data_is_in_any_artifact(embedder, redactor):
    texts = {
        "e1": "my Visa, 4111 1111 1111 1111. same card as always",
        "e2": "order LF-482193, email is dana.whitfield@example.com",
        "e3": "yes please, (503) 555-0193. I need that tent on Friday",
        "e4": "error PMT-402, 3-D Secure timeout, third time",
    }
    deriver = ChatDeriver(embedder, redactor, MemoryMemo())
    derived = deriver.derive([arrival(event_id, text) for event_id, text in texts.items()])
    dumped = " ".join(artifact.model_dump_json(exclude={"vector_f32"}) for artifact in derived.artifacts)
    for secret in ("4111", "1111", "dana.whitfield", "555-0193"):
        assert secret not in dumped
    assert [message.text for message in messages(derived)] == [
        "my Visa, [CARD]. same card as always",
        "order LF-482193, email is [EMAIL]",
        "yes please, [PHONE]. I need that tent on Friday",
        texts["e4"],
    ]
    query = embedder.embed(["payment error code"])[0]
    best = max(passages(derived), key=lambda passage: float(passage.vector @ query))
    assert best.text == texts["e4"]
    assert stable(deriver.derive([arrival(event_id, text) for event_id, text in texts.items()])) == stable(derived)
