"""One call, one chat, one screenshot, through the public doors, to the public search and the lakehouse."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from mmplatform.demo.case import load_case
from mmplatform.demo.stream import SOURCE, CaseStream
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.modalities import ARTIFACTS_TOPIC, MODALITIES
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]
CASE = Path(__file__).parents[2] / "examples" / "payment-failed"
TRUTH = json.loads((CASE / "ground_truth.json").read_text())


@pytest.fixture(scope="module")
def case(stack):
    told = load_case(CASE, secrets.token_hex(3))
    CaseStream(stack.run.gateway, told, speed=20).run(lambda _: None)
    stack.settle()
    return told


def test_each_modality_answers_and_cites_its_place(stack, case):
    sources = {
        modality: stack.search("why did the payment fail", subject_id=case.subject_id, modalities=[modality], k=3)
        for modality in MODALITIES
    }
    assert all(sources.values())
    assert all(hit["locator"]["end_s"] > hit["locator"]["start_s"] for hit in sources["call"])
    assert {hit["locator"]["speaker"] for hit in sources["call"]} <= {"agent", "customer"}
    assert all(hit["locator"]["event_id"] in hit["event_ids"] for hit in sources["chat"] + sources["screenshot"])
    assert all(hit["age_s"] >= hit["gap_s"] for hits in sources.values() for hit in hits)


def test_another_customer_is_not_in_the_answer(stack, case):
    hits = stack.search("payment", subject_id=case.subject_id, k=100)
    assert {hit["subject_id"] for hit in hits} == {case.subject_id}


def test_the_screen_and_the_voice_match_the_ground_truth(stack, case):
    shown = " ".join(
        h["text"] for h in stack.search("PMT-402", subject_id=case.subject_id, modalities=["screenshot"], k=50)
    )
    assert "PMT-402" in shown
    spoken = eventually(lambda: stack.rows("transcripts", case.subject_id))
    words = " ".join(row["text"] for row in sorted(spoken, key=lambda row: row["start_s"])).lower()
    assert "payment" in words
    assert {row["speaker"] for row in spoken} == {"agent", "customer"}


def test_no_personal_data_comes_out_of_the_log_the_index_or_the_derived_tables(stack, case):
    values = b" ".join(entry.value for entry in ReplayLog(stack.addressed).read(ARTIFACTS_TOPIC))
    found = json.dumps(stack.search("card phone e-mail", subject_id=case.subject_id, k=100))
    tables = ("messages", "transcripts", "captions", "passages")
    rows = [eventually(lambda table=table: stack.rows(table, case.subject_id)) for table in tables]
    for secret in (*case.secrets, "2125550142", "4111-1111"):
        assert secret.encode() not in values, "on the log"
        assert secret not in found, "in the index"
        assert secret not in str(rows), "in the lakehouse"


def test_every_event_lands_in_the_lakehouse_once(stack, case):
    lines = {event.event_id for event in case.story if hasattr(event, "text")}
    pictures = {event.event_id for event in case.story} - lines
    who = case.subject_id
    eventually_equal(lambda: stack.count_by_event("raw_chats", who), Counter(lines))
    eventually_equal(lambda: stack.count_by_event("raw_screenshots", who), Counter(pictures))
    for table, events in (("messages", lines), ("captions", pictures)):
        rows = eventually(lambda table=table: stack.rows(table, who, "event_ids"))
        assert Counter(event for row in rows for event in row["event_ids"]) == Counter(events)
    eventually_equal(lambda: stack.count_by_artifact("passages", who), Counter(set(stack.passages(who))))
    assert set(stack.count_by_artifact("transcripts", who).values()) == {1}


def test_a_repeated_telling_changes_nothing(stack, case):
    """Told again by its source, which the gateway catches, and on the log itself, as by a source that it forgot."""
    first, who = case.story[0], case.subject_id
    before = (set(stack.passages(who)), [stack.count_by_event("raw_chats", who), *_derived(stack, who)])
    with stack.client() as client, closing(LogProducer(stack.addressed)) as producer:
        again = client.chat(
            event_id=first.event_id,
            conversation_id=first.conversation_id,
            subject_id=who,
            role=first.role,
            text=first.text,
            source=SOURCE,
        )
        assert again.duplicate
        (entry,) = _on_the_log(stack, first.event_id)
        producer.send(MODALITIES["chat"].topic, entry.key, entry.value).result(30)
        # What comes behind it in the same conversation is taken up after it, by the deriver and by both that land.
        marker = f"{who}-after"
        client.chat(conversation_id=first.conversation_id, subject_id=marker, role="customer", text="and after that?")
    eventually(lambda: stack.search("after that", subject_id=marker))
    eventually(lambda: stack.rows("raw_chats", marker) and stack.rows("passages", marker))
    assert len(_on_the_log(stack, first.event_id)) == 2
    after = (set(stack.passages(who)), [stack.count_by_event("raw_chats", who), *_derived(stack, who)])
    assert before == after


def _derived(stack, subject):
    return [stack.count_by_artifact(table, subject) for table in ("messages", "passages")]


def _on_the_log(stack, event_id):
    entries = ReplayLog(stack.addressed).read(MODALITIES["chat"].topic)
    return [entry for entry in entries if f'"event_id":"{event_id}"'.encode() in entry.value]
