"""What the fuzzer counts as the same event once more, and what not."""

from __future__ import annotations

import pytest

from benchmarks.fuzz.ledger import find_conflicts, is_repeat
from mmplatform.events import Position, encode, utc_now
from mmplatform.kafka.reader import LogEntry
from mmplatform.modalities import CHAT, SCREENSHOT
from tests.builders import chat

PLACE = Position(topic=CHAT.topic, topic_partition=1, offset=7)
EVENT = chat(1)


@pytest.mark.parametrize(
    ("value", "told", "again"),
    [
        (encode(EVENT), (CHAT.topic, EVENT.uid), True),
        (encode(EVENT), (CHAT.topic, "another"), False),
        (encode(EVENT), (SCREENSHOT.topic, EVENT.uid), False),
        (encode(EVENT), (CHAT.topic, chat(1, conversation_id="conv-2").uid), False),
        (b"no event", (CHAT.topic, EVENT.uid), False),
    ],
)
def test_a_record_is_the_same_event_once_more(value, told, again):
    assert is_repeat(LogEntry(PLACE, None, value, {}, utc_now()), {told}) is again


def test_another_content_under_an_identity_of_the_topic_partition_is_a_conflict():
    other = EVENT.model_copy(update={"text": "another content"})
    events = (EVENT, EVENT, other, chat(2), other.model_copy(update={"tenant": "acme"}))
    values = [encode(event) for event in events]
    entries = [
        LogEntry(PLACE.model_copy(update={"offset": offset}), None, value, {}, utc_now())
        for offset, value in enumerate([*values, b"no event"])
    ]
    elsewhere = LogEntry(PLACE.model_copy(update={"topic_partition": 2}), None, encode(other), {}, utc_now())
    assert [position.offset for position in find_conflicts([*entries, elsewhere])] == [2]
