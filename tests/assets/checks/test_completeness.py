"""The completeness check as Dagster runs it, over real tables, a real log and a real index."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.artifacts import artifact_id
from mmplatform.derive.passages import quarantine
from mmplatform.events import ChatDeleted, ChatRedacted, encode, utc_now
from mmplatform.identity import CANARY_TENANT
from mmplatform.kafka.headers import Pseudonyms, event_headers
from mmplatform.kafka.producer import LogProducer
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.versions import Version
from quality.checks.completeness import CALL_END_REASON, NO_SPEECH_REASON
from quality.checks.offset_gaps import CANARY_REASON, DEAD_LETTER_REASON, DUPLICATE_REASON
from resources.readers import offset_gaps
from tests.assets.checks.check_runs import check, metadata
from tests.assets.utterances import utterance
from tests.builders import arrival, call_end, chunk
from tests.land.records import EMBEDDER, NOON, chat, message, passage, position

pytestmark = pytest.mark.broker


def test_every_event_of_the_hour_is_accounted_for(stores):
    events = [chat(number) for number in (1, 2, 3)]
    for offset, event in enumerate(events):
        stores.land(event, topic="interactions.chat", offset=offset)
    stores.land(message(1), quarantine(arrival(events[1]), contract="raw_chats", reasons=("text: not blank",)))
    stores.send("interactions.chat", 3)
    stores.commit("derive-chat", "interactions.chat", 3)
    found = check("messages", "completeness")
    assert not found.passed
    assert metadata(found)["ids"] == ["event-3"]
    assert metadata(found)["became"] == {"an artifact": 1.0, "set aside": 1.0}
    stores.land(message(3))
    assert check("messages", "completeness").passed


@pytest.mark.parametrize("kind", [ChatDeleted, ChatRedacted])
def test_a_message_that_was_deleted_at_the_source_and_is_still_here_names_its_hour(stores, kind):
    said, later = chat(1), NOON + timedelta(hours=3)
    here = message(1).model_copy(update={"artifact_id": artifact_id("message", said.uid, 0)})
    deletion = kind(
        event_id="deletion",
        source=said.source,
        message_id=said.event_id,
        conversation_id=said.conversation_id,
        subject_id=said.subject_id,
        event_time=later,
        ingested_at=later,
    )
    stores.land(said, topic="interactions.chat", offset=0)
    stores.land(here)
    stores.land(deletion, topic="interactions.chat", offset=1)
    stores.send("interactions.chat", 2)
    stores.commit("derive-chat", "interactions.chat", 2)
    found = check("messages", "completeness")
    assert not found.passed
    assert metadata(found)["incomplete_partitions"] == [f"{NOON:%Y-%m-%d-%H:00}"]
    assert metadata(found)["ids_deleted"] == [here.artifact_id]
    stores.lakehouse.delete_through("messages", {here.artifact_id: Version(offset=100).sortable})
    assert "incomplete_partitions" not in metadata(check("messages", "completeness"))


def test_a_deletion_about_another_subject_counts_for_nothing(stores):
    said, later = chat(1), NOON + timedelta(hours=3)
    stores.land(message(1).model_copy(update={"artifact_id": artifact_id("message", said.uid, 0)}))
    fields = said.model_dump(include={"source", "conversation_id"}) | {"message_id": said.event_id}
    stores.land(
        ChatDeleted(event_id="d", subject_id="somebody", event_time=later, ingested_at=later, **fields),
        topic="interactions.chat",
        offset=0,
    )
    stores.send("interactions.chat", 1)
    stores.commit("derive-chat", "interactions.chat", 1)
    assert check("messages", "completeness").passed


def test_index_and_table_are_compared_both_ways(stores):
    stores.land(passage(1), passage(2))
    stores.index(passage(2), passage(3), at=NOON)
    for asset in ("passages", "index"):
        found = check(asset, "completeness")
        assert not found.passed
        assert metadata(found)["ids_not_indexed"] == [passage(1).artifact_id]
        assert metadata(found)["ids_not_in_the_table"] == [passage(3).artifact_id]
    stores.land(passage(3))
    stores.index(passage(1), at=NOON)
    assert check("passages", "completeness").passed


def test_where_embedders_are_swapped_the_serving_and_the_previous_one_must_hold_every_passage(stores, settings):
    def also(number):
        return passage(number, embedder="new@2")

    stores.land(passage(1), passage(2))
    stores.index(passage(1), passage(2), also(1), at=NOON)
    index = ChromaIndex.open(settings)
    log, old, new = EmbedderRegistry(index), Space(model="minilm", name=EMBEDDER), Space(model="new", name="new@2")
    built = log.change_spaces(log.ensure_serving(old), serving=old, candidate=new)
    assert check("index", "completeness").passed, "a candidate is still being built"
    log.change_spaces(built, serving=new, previous=old)
    assert metadata(check("index", "completeness"))["ids_not_indexed"] == [passage(2).artifact_id]
    stores.index(also(2), at=NOON)
    assert check("index", "completeness").passed
    index.close()


def test_an_index_that_does_not_answer_never_passes_for_an_empty_one(stores, monkeypatch):
    stores.land(passage(1))
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", "http://127.0.0.1:1")
    found = check("passages", "completeness")
    assert not found.passed
    assert "index: cannot" in metadata(found)["unreachable"]
    assert "ids_not_indexed" not in metadata(found)


def test_a_piece_of_a_call_without_speech_is_accounted_for_once_the_deriver_has_read_it(stores):
    for offset, event in enumerate([chunk(0), chunk(1), call_end()]):
        stores.land(event, topic="interactions.call", offset=offset)
    stores.land(utterance(0))
    stores.send("interactions.call", 3)
    stores.commit("derive-call", "interactions.call", 1)
    found = check("transcripts", "completeness")
    assert not found.passed
    assert metadata(found)["ids"] == [chunk(1).event_id]
    stores.commit("derive-call", "interactions.call", 3)
    found = check("transcripts", "completeness")
    assert found.passed
    assert metadata(found)["became"] == {"an artifact": 1.0, CALL_END_REASON: 1.0, NO_SPEECH_REASON: 1.0}


def now_chat(number):
    return chat(number, at=utc_now() - timedelta(seconds=5))


def archive(stores, events, end):
    rows = []
    for offset, event in events.items():
        log_position = position(offset, topic="interactions.chat")
        rows.append((log_position, record_to_row(event, log_position)[1]))
    stores.lakehouse.append("raw_chats", rows, offsets={("interactions.chat", 0): end}, source="archive")


def send(stores, *values, headers=None):
    producer = LogProducer(stores.settings)
    for value in values:
        producer.send(f"{stores.settings.topic_prefix}interactions.chat", "c", value, headers=headers).result(20)
    producer.close()


def test_an_offset_without_a_row_is_reported_with_its_reason(stores):
    events = {offset: now_chat(offset) for offset in (0, 3)}
    send(stores, encode(events[0]), b"no event", encode(events[0]), encode(events[3]))
    archive(stores, events, 4)
    found = check("raw_chats", "completeness")
    assert found.passed, found.description
    assert metadata(found)["reasons"] == {DEAD_LETTER_REASON: 1.0, DUPLICATE_REASON: 1.0}


def test_a_canary_is_a_reason_for_an_offset_without_a_row(stores):
    events = {offset: now_chat(offset) for offset in (0, 2)}
    own = now_chat(1).model_copy(update={"tenant": CANARY_TENANT})
    send(stores, encode(events[0]))
    send(stores, encode(own), headers=event_headers(own, Pseudonyms(b"key")))
    send(stores, encode(events[2]))
    archive(stores, events, 3)
    found = check("raw_chats", "completeness")
    assert found.passed, found.description
    assert metadata(found)["reasons"] == {CANARY_REASON: 1.0}


def test_canaries_do_not_count_towards_the_bound_and_customers_do(stores, monkeypatch):
    monkeypatch.setattr(offset_gaps, "MAX_OFFSETS", 1)
    events = {offset: now_chat(offset) for offset in (0, 3)}
    own = [now_chat(offset).model_copy(update={"tenant": CANARY_TENANT}) for offset in (1, 2)]
    send(stores, encode(events[0]))
    for event in own:
        send(stores, encode(event), headers=event_headers(event, Pseudonyms(b"key")))
    send(stores, encode(events[3]))
    archive(stores, events, 4)
    found = check("raw_chats", "completeness")
    assert found.passed, found.description
    assert metadata(found)["reasons"] == {CANARY_REASON: 2.0}
    send(stores, encode(now_chat(4)), encode(now_chat(5)), encode(now_chat(6)))
    archive(stores, {6: now_chat(6)}, 7)
    found = check("raw_chats", "completeness")
    assert not found.passed
    assert metadata(found)["not_looked_at"] == 2


def test_a_record_of_the_log_that_is_in_no_row_is_lost(stores):
    events = {offset: now_chat(offset) for offset in (0, 1, 2)}
    send(stores, *(encode(event) for event in events.values()))
    archive(stores, {0: events[0], 2: events[2]}, 3)
    found = check("raw_chats", "completeness")
    assert not found.passed
    assert metadata(found)["places"] == ["0/1"]
    assert "message number" not in repr(found)


def test_what_is_not_archived_yet_is_not_missing(stores):
    events = {offset: now_chat(offset) for offset in (0, 1, 2)}
    send(stores, *(encode(event) for event in events.values()))
    archive(stores, {0: events[0]}, 1)
    assert check("raw_chats", "completeness").passed


def test_offset_gaps_cannot_be_checked_without_the_log(stores, monkeypatch):
    archive(stores, {0: now_chat(0), 2: now_chat(2)}, 3)
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    found = check("raw_chats", "completeness")
    assert not found.passed
    assert "cannot be checked" in found.description
