"""A policy reaches the artifacts of each modality: texts, passages, provenance, and what the memo answers."""

import re

import pytest

from mmplatform.artifacts import Caption, Message, Passage, Utterance
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.layout.captioner import LayoutCaptioner
from mmplatform.derive.pii.replacement import Replacements
from mmplatform.derive.screenshot.deriver import ScreenshotDeriver
from mmplatform.memo import MemoryMemo
from tests.builders import screenshot
from tests.derive.call.simulated_calls import DictatingTranscriber, DigitRedactor, FlatEmbedder, SimulatedCall
from tests.derive.screens import shop_page
from tests.derive.screenshot.test_deriver import ModelCaptioner
from tests.derive.test_purity import LetterEmbedder, MemoryBlobs, SizeReader, TextRedactor, arrival, chat, png

TAGS = Replacements({"PHONE": "tag"}, "3-tags", b"key")
LAST_FOUR = Replacements({"PHONE": "last_four"}, "3-four", b"")
TAG = re.compile(r"\[PHONE ([0-9a-f]{4})\]")


class CountingRedactor(TextRedactor):
    """Counts the texts that it gets."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def redact(self, texts, *, spoken=False):
        self.count += len(texts)
        return super().redact(texts, spoken=spoken)


def chat_texts(deriver, *conversations):
    events = [
        chat(n, text="call 415 555 0123, again 4155550123", conversation_id=name)
        for n, name in enumerate(conversations)
    ]
    derived = deriver.derive([arrival(event, n) for n, event in enumerate(events)])
    by_kind = {kind: [found for found in derived.artifacts if isinstance(found, kind)] for kind in (Message, Passage)}
    assert [message.text for message in by_kind[Message]] == [passage.text for passage in by_kind[Passage]]
    policies = {found.provenance.redaction_policy for found in derived.artifacts}
    assert policies == {deriver._replacements.policy_version}
    return [message.text for message in by_kind[Message]]


def test_one_value_of_a_conversation_has_one_tag_and_the_memo_serves_all_conversations():
    memo, redactor = MemoryMemo(), CountingRedactor()
    deriver = ChatDeriver(LetterEmbedder(), redactor, memo, TAGS)
    first, second, again = chat_texts(deriver, "c-1", "c-2", "c-1")
    assert first == again
    assert first != second
    assert len(TAG.findall(first)) == 2
    assert len(set(TAG.findall(first))) == 1
    assert redactor.count == 1
    assert chat_texts(ChatDeriver(LetterEmbedder(), redactor, memo), "c-1") == ["call [PHONE], again [PHONE]"]
    assert chat_texts(ChatDeriver(LetterEmbedder(), redactor, memo, TAGS), "c-2") == [second]
    assert redactor.count == 1
    assert not [entry for entry in memo._answers.values() if TAG.search(entry.decode("utf-8", "ignore"))]


@pytest.mark.parametrize("captioner", [LayoutCaptioner, lambda: ModelCaptioner("a page with 415 555 0123 on it")])
def test_one_image_in_two_conversations_has_the_tags_of_each(captioner):
    blobs, memo = MemoryBlobs(), MemoryMemo()
    blob = blobs.put(png(shop_page()), media_type="image/png")
    events = [screenshot(n, blob=blob, conversation_id=name) for n, name in enumerate(("c-1", "c-2", "c-1"))]

    def texts(replacements, batches):
        deriver = ScreenshotDeriver(
            SizeReader(), captioner(), LetterEmbedder(), TextRedactor(), memo, blobs,
            max_pixels=10**7, replacements=replacements,
        )  # fmt: skip
        derived = [found for batch in batches for found in deriver.derive(batch).artifacts]
        assert {found.provenance.redaction_policy for found in derived} == {replacements.policy_version}
        captions = [found for found in derived if isinstance(found, Caption)]
        assert all(caption.pii for caption in captions)
        return [(caption.text, caption.lines[0].text) for caption in captions]

    arrivals = [arrival(event, n) for n, event in enumerate(events)]
    first, second, again = texts(TAGS, [arrivals])
    assert first == again
    assert {tag for text in first for tag in TAG.findall(text)} & {
        tag for text in second for tag in TAG.findall(text)
    } == set()
    assert all(len(set(TAG.findall(" ".join(pair)))) == 1 for pair in (first, second))
    assert texts(TAGS, [[one] for one in arrivals]) == [first, second, again]  # from the memo, and in batches of one
    plain = texts(Replacements(), [arrivals])
    assert len(set(plain)) == 1
    assert "[PHONE]" in plain[0][1]


def test_an_utterance_has_what_the_policy_writes_and_a_part_of_a_number_shows_nothing():
    breaths = ("call 44 20 7946 0958", "my number is 415", "555", "0123")
    call = SimulatedCall()

    def utterances(replacements):
        deriver = CallDeriver(
            DictatingTranscriber(*breaths), FlatEmbedder(), DigitRedactor(), MemoryMemo(), call.blobs,
            gap_timeout_s=3.0, replacements=replacements,
        )  # fmt: skip
        state, found = None, {}
        for offset, event in enumerate(call.events):
            state, derived = deriver.advance(state, arrival(event, offset))
            found |= {artifact.artifact_id: artifact for artifact in derived.artifacts}
        assert {one.provenance.redaction_policy for one in found.values()} == {replacements.policy_version}
        spoken = sorted((one for one in found.values() if isinstance(one, Utterance)), key=lambda one: one.start_s)
        passages = {one.text for one in found.values() if isinstance(one, Passage)}
        assert passages == {one.text for one in spoken}
        return [one.text for one in spoken]

    by_kind = utterances(Replacements())
    assert by_kind[0] == "call [PHONE]"
    shown = utterances(LAST_FOUR)
    assert shown[0] == "call [PHONE …0958]"
    assert shown[1:] == by_kind[1:]
    tagged = utterances(TAGS)
    assert TAG.search(tagged[0])
    assert [TAG.sub("[PHONE]", text) for text in tagged] == by_kind
