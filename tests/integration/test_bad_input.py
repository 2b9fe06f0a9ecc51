"""Everything that arrives wrong, through both doors, against the running stack: each ends where the table says.

All rows are sent first, then looked at: a stack is waited for once. Behind them a good message of every topic partition
goes all the way, and no worker was restarted.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from mmplatform.events import Position
from mmplatform.kafka.reader import ReplayLog
from mmplatform.modalities import DEAD_LETTERS_TOPIC
from tests.integration.bad_inputs import ROWS, odd_media
from tests.integration.bad_inputs.rows import (
    ADDRESS,
    CARD,
    DeadLettered,
    Doors,
    Found,
    Quarantined,
    Refused,
    Stored,
    Unread,
)
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]


@contextmanager
def paused(stack, service):
    """A worker that takes nothing up for a moment."""
    pid = stack.now().services[service].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def forget(stack, data):
    """The bytes are gone, as after an erasure."""
    digest = hashlib.sha256(data).hexdigest()
    [found] = stack.settings.blobs_dir.glob(f"default/{digest[:2]}/{digest}*")
    found.unlink()


@dataclass
class Sent:
    """Answers by row name, and the state of the stack before."""

    run: str
    answers: dict[str, Any]
    restarts: dict[str, int]
    letters: dict[Position, dict[str, Any]]

    def who(self, row):
        """Conversation, person and event of a row."""
        return f"{row.slug}-{self.run}"


@pytest.fixture(scope="module")
def sent(stack):
    """Send all inputs at once, and wait until no worker lags."""
    restarts = {name: service.restarts for name, service in stack.now().services.items()}
    doors = Doors(
        stack.run.gateway, stack.addressed, lambda name: paused(stack, name), lambda data: forget(stack, data)
    )
    run = secrets.token_hex(2)
    with closing(doors):
        answers = {row.name: row.send(doors, f"{row.slug}-{run}") for row in ROWS}
    stack.settle()
    letters = [json.loads(entry.value) for entry in _json_entries(stack, DEAD_LETTERS_TOPIC)]
    places = {Position.model_validate(letter["position"]): letter for letter in letters}
    return Sent(run, answers, restarts, places)


def _json_entries(stack, topic):
    """Valid records of a topic: a row of the table writes garbage onto it."""
    return [entry for entry in ReplayLog(stack.addressed).read(topic) if entry.value.startswith(b"{")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.slug)
def test_each_input_ends_as_the_table_says(stack, sent, row):
    answer = sent.answers[row.name]
    for ends in (row.ends, *row.more):
        CHECKS[type(ends)](stack, sent, sent.who(row), answer, ends)


def _refused(_stack, _sent, _who, answer, ends):
    assert answer.status_code == ends.status, answer.text[:500]
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:mmplatform:problem:{ends.kind}"
    _quotes_nothing(answer.text)


def _quarantined(stack, _sent, who, _answer, ends):
    """Quarantined records on the log and in the lakehouse."""

    def look():
        rows = stack.rows("quarantine", who, "event_id", "contract", "reasons")
        return [each for each in rows if each["contract"] == ends.contract]

    [found] = eventually(look)
    assert any(ends.reason in reason for reason in found["reasons"]), found
    _quotes_nothing(str(found))


def _dead_lettered(_stack, sent, _who, answer, ends):
    letter = sent.letters[answer]
    assert ends.reason in letter["reason"]
    _quotes_nothing(str(letter))


def _found(stack, _sent, who, _answer, ends):
    hits = eventually(lambda: stack.passages(who))
    assert ends.words.lower() in " ".join(hit["text"] for hit in hits.values()).lower()


def _stored(stack, _sent, who, _answer, ends):
    def count():
        rows = stack.rows(ends.table, who)
        return sum(not ends.status or each["status"] == ends.status for each in rows)

    eventually_equal(count, ends.rows)


def _unread(stack, sent, _who, answer, _ends):
    assert answer not in sent.letters
    assert stack.lag("derive-call") is not None


CHECKS = {
    Refused: _refused,
    Quarantined: _quarantined,
    DeadLettered: _dead_lettered,
    Found: _found,
    Stored: _stored,
    Unread: _unread,
}


def _quotes_nothing(text):
    for secret in (CARD, ADDRESS, CARD.replace(" ", "")):
        assert secret not in text


def test_behind_them_good_messages_of_every_topic_partition_are_found(stack, sent):
    whos = [sent.who(row) for row in ROWS]
    doors = Doors(stack.run.gateway, stack.addressed, None, None)
    places: dict[int, str] = {}
    good = {}
    with closing(doors):
        for who in whos:
            answer = doors.chat(who, event_id=f"{who}-good", subject_id=f"{who}-good", text="and now all is well")
            places.setdefault(answer.json()["position"]["topic_partition"], who)
            good[f"{who}-good"] = "well"
        for who in places.values():
            for name, answer in _media(doors, who):
                assert answer.status_code == 202, answer.text
                good[name] = "calling" if name.endswith("call") else "settled"
    assert len(places) == stack.settings.topic_partitions
    for subject, word in good.items():
        hits = eventually(lambda subject=subject: stack.search("is all well", subject_id=subject))
        assert word in " ".join(hit["text"] for hit in hits).lower()


def _media(doors: Doors, who: str):
    """A call and a screenshot of a conversation that something bad came in, each about a person of its own."""
    data = odd_media.picture("the refund is settled")
    image, call = f"{who}-good-shot", f"{who}-good-call"
    yield (
        image,
        doors.post("/v1/events/screenshot", data, "image/png", event_id=image, conversation_id=who, subject_id=image),
    )
    said = {"subject_id": call, "event_id": f"{call}:0", "index": 0, "start_s": 0}
    yield call, doors.post(f"/v1/calls/{who}-2/chunks", odd_media.mulaw(), "audio/wav", **said)
    doors.http.post(f"/v1/calls/{who}-2/end", params={"subject_id": call, "chunks": 1})


def test_no_worker_was_restarted_and_no_log_quotes_an_input(stack, sent):
    assert {name: service.restarts for name, service in stack.now().services.items()} == sent.restarts
    for log in (stack.settings.data_dir / "logs").glob("*.log"):
        _quotes_nothing(log.read_text(errors="replace"))
    for name, service in stack.now().services.items():
        if service.metrics_url and name != "gateway":
            _quotes_nothing(httpx.get(f"{service.metrics_url}/status", timeout=10).text)
    _quotes_nothing(str(sent.letters))
