"""Receipts and the fence on a running stack: an answer says what it may be missing, and waits for what was sent."""

from __future__ import annotations

import secrets
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from benchmarks.load import call_chunks
from mmplatform.events import ChatMessage, encode, utc_now
from mmplatform.kafka.headers import event_headers, open_pseudonyms
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import CHAT
from tests.integration.conftest import running_stack
from tests.integration.test_tail import stopped
from tests.waiting import eventually

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]
QUESTION = "what happened to the parcel"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A stack of its own: its workers are stopped. No call is ended for being silent."""
    with running_stack(tmp_path_factory.mktemp("receipts"), MMPLATFORM_CALL_IDLE_TIMEOUT_S="600") as running:
        yield running


def say(stack, subject, text):
    with stack.client() as client:
        return client.chat(conversation_id=subject, subject_id=subject, role="customer", text=text).token


def ask(stack, subject, **more):
    body = {"query": QUESTION, "subject_id": subject} | more
    return httpx.post(f"{stack.run.gateway}/v1/search", json=body, timeout=60)


def answer(stack, subject, **more):
    return ask(stack, subject, **more).raise_for_status().json()


def of(found, modality):
    return next(each for each in found["receipt"]["modalities"] if each["modality"] == modality)


def said_topic(stack):
    return topic_name(stack.settings, CHAT.topic)


def a_subject():
    return f"receipt-{secrets.token_hex(3)}"


def test_a_search_behind_its_token_finds_the_event_without_any_wait_of_the_caller(own):
    for number in range(5):
        subject, text = a_subject(), f"the parcel number {number} was left in the rain"
        found = answer(own, subject, after=say(own, subject, text), max_wait_ms=20_000)
        assert found["fence"]["reached"]
        assert [hit["text"] for hit in found["hits"]] == [text]
        assert found["receipt"]["subject"]["pending"] == 0


def test_everything_up_to_a_time_is_in_reach_on_an_idle_stack_too(own):
    subject = a_subject()
    say(own, subject, "the parcel came")
    now = datetime.now(UTC)
    found = answer(own, subject, min_fresh=now.isoformat(), max_wait_ms=20_000)
    assert found["fence"]["reached"]
    assert len(found["hits"]) == 1
    quiet = answer(own, a_subject(), min_fresh=now.isoformat(), max_wait_ms=0)
    assert quiet["fence"]["reached"]
    for modality in ("chat", "call", "screenshot"):
        moment = eventually(lambda name=modality: of(answer(own, subject), name)["complete_until"])
        assert datetime.fromisoformat(moment) > now - timedelta(seconds=10)
        assert not of(answer(own, subject), modality)["stalled"]


def test_while_the_deriver_stands_still_the_receipt_says_what_is_pending_and_claims_nothing_newer(own):
    subject, bystander = a_subject(), a_subject()
    first = say(own, subject, "the first parcel")
    assert answer(own, subject, after=first, max_wait_ms=20_000)["fence"]["reached"]
    with stopped(own, "derive-chat"):
        sent_at = datetime.now(UTC)
        token = say(own, subject, "the second parcel")
        found = eventually(lambda: (f := answer(own, subject))["receipt"]["subject"]["pending"] and f)
        assert found["receipt"]["subject"]["pending"] == 1
        oldest = datetime.fromisoformat(found["receipt"]["subject"]["oldest_pending_at"])
        assert abs((oldest - sent_at).total_seconds()) < 5
        assert datetime.fromisoformat(of(found, "chat")["complete_until"]) <= oldest
        assert answer(own, bystander)["receipt"]["subject"]["pending"] == 0
        waited = answer(own, subject, after=[first, token], max_wait_ms=300)
        assert not waited["fence"]["reached"]
        assert waited["fence"]["waited_ms"] >= 300
        eventually(lambda: of(answer(own, subject), "chat")["stalled"], within_s=30)
        assert not of(answer(own, subject), "screenshot")["stalled"]
    found = answer(own, subject, after=token, max_wait_ms=30_000)
    assert found["fence"]["reached"]
    assert {hit["text"] for hit in found["hits"]} == {"the first parcel", "the second parcel"}
    eventually(lambda: not of(answer(own, subject), "chat")["stalled"])


def test_a_call_that_is_being_spoken_is_held_until_it_ends_also_over_a_restart_of_its_deriver(own):
    subject = a_subject()
    for index, start_s, spoken in call_chunks(seed=5):  # a chunk of silence is not held
        with own.client() as client:
            sent = client.chunk(subject, spoken, "audio/wav", index=index, start_s=start_s, subject_id=subject)
        found = answer(own, subject, after=sent.token, max_wait_ms=30_000)
        assert found["fence"]["reached"]
        if found["receipt"]["subject"]["open_calls"]:
            break
    [open_calls] = found["receipt"]["subject"]["open_calls"]
    assert open_calls["conversation_id"] == subject
    assert of(found, "call")["open_calls"] >= 1
    own.kill("derive-call")
    eventually(lambda: of(answer(own, subject), "call")["stalled"], within_s=60)
    eventually(lambda: not of(answer(own, subject), "call")["stalled"], within_s=120)
    assert [call["conversation_id"] for call in answer(own, subject)["receipt"]["subject"]["open_calls"]] == [subject]
    with own.client() as client:
        client.end_call(subject, subject_id=subject, chunks=index + 1)
    eventually(lambda: not answer(own, subject)["receipt"]["subject"]["open_calls"])


def test_without_the_index_nothing_is_claimed(own):
    subject = a_subject()
    eventually(lambda: of(answer(own, subject), "chat")["complete_until"])
    with stopped(own, "chroma"):
        found = eventually(lambda: (f := answer(own, subject))["coverage"]["index"] == "unavailable" and f, 120)
        assert all(each["complete_until"] is None for each in found["receipt"]["modalities"])
    eventually(lambda: of(answer(own, subject), "chat")["complete_until"], within_s=120)


def test_a_conflict_of_a_subject_is_counted_in_its_receipt(own):
    subject = a_subject()
    said = ChatMessage(
        event_id="e", conversation_id=subject, subject_id=subject, event_time=utc_now(), ingested_at=utc_now(),
        role="customer", text="the first",
    )  # fmt: skip
    with closing(LogProducer(own.addressed)) as producer:
        for event in (said, said.model_copy(update={"text": "another under its name"})):
            headers = event_headers(event, open_pseudonyms(own.settings))
            producer.send(said_topic(own), event.conversation_key, encode(event), headers=headers).result(10)
    eventually(lambda: answer(own, subject)["receipt"]["subject"]["refused"] == {"identity": 1})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"after": "nonsense"}, "after.0 is no token of this platform"),
        ({"after": ["x"] * 21}, "after has 21 entries"),
        ({"min_fresh": "2026-03-01T12:00:00"}, "min_fresh has no time zone"),
        ({"min_fresh": "2999-03-01T12:00:00Z"}, "min_fresh is further in the future"),
        ({"max_wait_ms": -1}, "max_wait_ms must be 0 or more"),
        ({"max_wait_ms": 86_400_000}, "max_wait_ms must be 30000 or less"),
    ],
)
def test_what_cannot_be_waited_for_is_refused_by_name(own, fields, words):
    refused = ask(own, a_subject(), **fields)
    assert refused.status_code == 422
    assert words in refused.text


def test_a_year_ago_is_in_reach(own):
    a_year_ago = datetime.now(UTC) - timedelta(days=365)
    found = answer(own, a_subject(), min_fresh=a_year_ago.isoformat(), max_wait_ms=10_000)
    assert found["fence"]["reached"]
