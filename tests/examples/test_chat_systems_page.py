"""The programs of docs/how-to/chat-systems.md, as they stand there: times, HTML, and events of Slack."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "chat-systems.md"


@pytest.fixture(scope="module")
def page():
    names: dict[str, object] = {}
    for program in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(program, names)  # noqa: S102 - the page is ours
    return names


class Client:
    """Notes what is sent."""

    def __init__(self):
        self.sent = []

    def chat(self, **fields):
        self.sent.append(("chat", fields))

    def edit_chat(self, message_id, **fields):
        self.sent.append(("edit", {"message_id": message_id} | fields))

    def delete_chat(self, message_id, **fields):
        self.sent.append(("delete", {"message_id": message_id} | fields))


@pytest.mark.parametrize(
    ("ts", "microseconds"),
    [
        ("1355517523.000005", 1355517523000005),
        ("1355517523.000005123", 1355517523000005),
        ("1355517523", 1355517523000000),
    ],
)
def test_a_time_keeps_each_of_its_microseconds(page, ts, microseconds):
    assert page["to_microseconds"](ts) == microseconds
    moment = page["to_time"](ts)
    assert moment.replace(microsecond=0) == datetime(2012, 12, 14, 20, 38, 43, tzinfo=UTC)
    assert moment.microsecond == microseconds % 1_000_000


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello &amp; welcome</p><p>1 &lt; 2&nbsp;&#8364;</p>", "Hello & welcome\n1 < 2\xa0€"),
        ("a<br>b<script>alert(1)</script><style>p {}</style>", "a\nb"),
        ('<div>my card is <b>4111</b> <a href="https://example.com">1111</a></div>', "my card is 4111 1111"),
        ("<img src=x>", ""),
    ],
)
def test_a_body_becomes_the_text_that_a_person_reads(page, html, text):
    assert page["to_text"](html) == text


def test_slacks_events_become_ours(page):
    client = Client()
    changed = {"ts": "1.000001", "text": "new &lt;b&gt;", "edited": {"ts": "2.000003"}}
    for event in (
        {"type": "message", "channel": "C1", "ts": "1.000001", "text": "old"},
        {
            "subtype": "message_changed",
            "channel": "C1",
            "event_ts": "2.000004",
            "message": changed,
            "previous_message": {"text": "old"},
        },
        {"subtype": "message_changed", "channel": "C1", "message": changed, "previous_message": changed},
        {"subtype": "message_deleted", "channel": "C1", "event_ts": "3.0", "deleted_ts": "1.000001"},
        {"subtype": "channel_join", "channel": "C1"},
    ):
        page["forward"](client, event, "dana", "customer")
    sent, edited, deleted = client.sent
    assert (sent[0], sent[1]["event_id"], sent[1]["conversation_id"]) == ("chat", "1.000001", "C1")
    assert (edited[1]["message_id"], edited[1]["text"], edited[1]["revision"]) == ("1.000001", "new <b>", 2000003)
    assert (deleted[0], deleted[1]["message_id"]) == ("delete", "1.000001")
    assert {fields["conversation_id"] for _, fields in client.sent} == {"C1"}
