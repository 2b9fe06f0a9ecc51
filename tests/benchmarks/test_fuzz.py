"""What the fuzzer counts as the same event once more, and what not."""

from __future__ import annotations

import pytest

from benchmarks.fuzz.ledger import is_repeat
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
