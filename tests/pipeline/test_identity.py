"""An id counts with its conversation, its source and its tenant; another content under it is a named conflict."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.consumers.ledger_fill import fill_ledger
from mmplatform.derive.passages import DerivedBatch
from mmplatform.events import CallEnd, EventBase, encode
from mmplatform.kafka.headers import event_headers
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import ensure_topics
from mmplatform.land.lakehouse.arrow import hour_filter
from mmplatform.modalities import CALL, CHAT, IDENTITY, QUARANTINE_TABLE
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.pipeline.process import process
from mmplatform.pipeline.reprocess.reprocess import reprocess
from mmplatform.settings import load
from quality.contracts import ContractLimits
from tests.builders import NOW, chat, chunk, message, position
from tests.pipeline.paused_run import Loud, chats, parts_of
from tests.pipeline.stream import PSEUDONYMS, MemoryLog, Stream
from tests.servers.broker import embedded_broker

HOUR = timedelta(hours=1)
LATER = {"event_time": NOW + HOUR, "ingested_at": NOW + HOUR}


class Messages:
    """A message of each event, without a model."""

    name, version = "messages", "1"

    def derive(self, arrivals):
        return DerivedBatch(tuple(message(each.event, each.position) for each in arrivals))


def m1(text, **change):
    return chat(**{"event_id": "m-1", "text": text} | change)


def decided(values, ledger, *, first=0, batch=7):
    """What becomes of each record: the text of its message, or the reason of its conflict."""
    found = {}
    records = [ConsumedRecord(position(first + n), encode(event), NOW) for n, event in enumerate(values)]
    for start in range(0, len(records), batch):
        outcome = process(records[start : start + batch], Messages(), CHAT, ContractLimits(), ledger)
        found |= {each.provenance.position.offset: each.text for each in outcome.artifacts}
        found |= {row.position.offset: row.reasons for row in outcome.quarantined}
    return found


@pytest.fixture
def stream(lakehouse, dual_write_index):
    return Stream(lakehouse, dual_write_index)


def run(settings, stream, hour=NOW, kind=None):
    parts = parts_of(settings, chats(kind) if kind else chats(), stream)
    try:
        return reprocess("messages", hour, parts)
    finally:
        parts.index.close()


def rows(lakehouse, table):
    return {row["text"] for row in lakehouse.scan(table).to_pylist()}


def test_events_that_differ_only_in_conversation_source_or_tenant_land_in_every_store(stream, lakehouse, index):
    events = [
        m1("of one conversation"),
        m1("of another", conversation_id="conv-2"),
        m1("of another source", source="crm"),
        m1("of another tenant", tenant="acme"),
    ]
    stream.send(events, chats())
    texts = {event.text for event in events}
    for table in ("raw_chats", "messages", "passages"):
        assert rows(lakehouse, table) == texts
        assert lakehouse.table(table).scan().to_arrow().num_rows == len(events)
    found = index.rows(modality="chat", since=NOW, until=NOW + HOUR)
    assert sorted(text for _, text, _ in found) == sorted(texts)
    assert lakehouse.scan(QUARANTINE_TABLE).num_rows == 0


def test_another_content_is_a_conflict_that_names_the_position_of_the_first(stream, lakehouse):
    stream.send([m1("the first"), m1("the first", event_time=NOW + timedelta(seconds=1)), m1("another")], chats())
    assert rows(lakehouse, "messages") == rows(lakehouse, "passages") == {"the first"}
    assert rows(lakehouse, "raw_chats") == {"the first", "another"}, "nothing is lost"
    [row] = lakehouse.scan(QUARANTINE_TABLE).to_pylist()
    assert (row["contract"], row["event_id"]) == (IDENTITY, "m-1")
    assert row["reasons"] == [
        "this event id came before in this conversation with other content: interactions.chat[0] at offset 0"
    ]


def test_of_ten_thousand_events_with_colliding_ids_each_is_an_artifact_or_a_named_conflict():
    choose = random.Random(7)
    events = [
        chat(
            event_id=f"m-{choose.randrange(50)}",
            conversation_id=f"conv-{choose.randrange(20)}",
            source=choose.choice(("", "crm")),
            text=f"content {choose.randrange(4)}",
        )
        for _ in range(10_000)
    ]
    found = decided(events, IdentityLedger(), batch=500)
    assert found.keys() == set(range(10_000))
    firsts: dict[str, tuple[int, str]] = {}
    for offset, event in enumerate(events):
        first, text = firsts.setdefault(event.uid, (offset, event.text))
        if event.text == text:
            assert found[offset] == text
        else:
            [reason] = found[offset]
            assert reason.endswith(f"interactions.chat[0] at offset {first}")
    kinds = Counter(type(each) for each in found.values())
    assert len(firsts) == 2_000 or len(firsts) > 1_950
    assert kinds[str] > len(firsts)
    assert kinds[tuple] > 5_000


WINDOW = 12


@given(
    contents=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60),
    begin=st.integers(0, 59),
    batch=st.integers(1, 9),
    reread=st.integers(1, 9),
)
def test_a_restart_a_reread_and_a_replay_decide_as_the_worker_that_ran_on(contents, begin, batch, reread):
    """Also where the first content has left the window: a decision depends on nothing before it."""
    events = [chat(event_id=f"m-{number}", text=f"content {content}") for number, content in contents]
    wanted = decided(events, IdentityLedger(max_records=WINDOW))
    begin = min(begin, len(events) - 1)
    kept = Stream(None, None)
    kept.records(CHAT.topic, [encode(each) for each in events], [event_headers(each, PSEUDONYMS) for each in events])
    ledger = IdentityLedger(max_records=WINDOW)
    fill_ledger(ledger, MemoryLog(kept), load(), [position(begin)])
    # Backpressure: the first batch is read, and all is read again.
    assert decided(events[begin:][:reread], ledger, first=begin, batch=batch).items() <= wanted.items()
    after = decided(events[begin:], ledger, first=begin, batch=batch)
    assert after == {offset: end for offset, end in wanted.items() if offset >= begin}


def test_a_record_that_was_parked_is_no_first_content_after_a_restart():
    """A later release's record, and one on the wrong topic: the worker parks both, and so must the one that follows."""
    first = m1("the first")
    end = CallEnd(**first.model_dump(include={*EventBase.model_fields} - {"kind"}))
    later = encode(first.model_copy(update={"text": "of a later release", "schema_version": 3}))
    headers = event_headers(first, PSEUDONYMS)
    kept = Stream(None, None)
    kept.records(CHAT.topic, [encode(end)], [event_headers(end, PSEUDONYMS)])
    kept.records(CHAT.topic, [later], [headers | {"schema_version": b"3", "digest": b"0" * 32}])
    kept.records(CHAT.topic, [encode(first)], [headers])
    ledger = IdentityLedger()
    fill_ledger(ledger, MemoryLog(kept), load(), [position(2)])
    assert decided([first], ledger, first=2) == {2: "the first"}


@pytest.mark.parametrize("headers", [True, False], ids=["our headers", "no headers"])
@pytest.mark.parametrize(("key", "first"), [(None, 1), (b"another", 1), (b"default//call-1", 0)])
def test_a_call_record_under_the_wrong_key_is_no_first_content_after_a_restart(key, first, headers):
    """The deriver of calls parks it, because its state would lie under another key."""
    event = chunk(0)
    if key == b"another" and headers:
        pytest.skip("a record with our headers has the key that we gave it")
    sent = event_headers(event, PSEUDONYMS) if headers else {}
    entry = LogEntry(position(0, CALL.topic), None, encode(event), sent, NOW, key)
    ledger = IdentityLedger()
    fill_ledger(ledger, SimpleNamespace(read=lambda *_: [entry]), load(), [position(1, CALL.topic)])
    assert ledger.record(event.uid, "another content", position(1, CALL.topic))[1].offset == first


@pytest.mark.broker
def test_a_deriver_that_is_restarted_decides_by_the_headers_of_a_real_log(tmp_path):
    choose = random.Random(3)
    events = [chat(event_id=f"m-{choose.randrange(20)}", text=f"content {choose.randrange(3)}") for _ in range(300)]
    with embedded_broker(tmp_path / "broker") as address:
        settings = load(kafka_bootstrap_servers=address, data_dir=tmp_path, topic_partitions=1)
        ensure_topics(settings)
        producer = LogProducer(settings)
        for number, event in enumerate(events):
            headers = event_headers(event, PSEUDONYMS) if number % 10 else {}  # a foreign client's has none
            sent = producer.send(CHAT.topic, event.conversation_key, encode(event), headers=headers)
        sent.result(30)
        producer.send(CHAT.topic, "x", b"no event").result(30)
        producer.close()
        wanted = decided(events, IdentityLedger())
        for begin in (0, 1, 150, 299):
            ledger = IdentityLedger()
            fill_ledger(ledger, ReplayLog(settings), settings, [position(begin + 1), position(begin)])
            assert ledger.missing_partitions([position(begin)]) == []
            after = decided(events[begin:], ledger, first=begin)
            assert after == {offset: end for offset, end in wanted.items() if offset >= begin}
            ledger.clear()  # a rebalance
            assert ledger.missing_partitions([position(begin)]) == [position(begin)]


def test_a_run_decides_as_the_stream_though_the_first_event_lies_in_another_hour(settings, stream, lakehouse):
    stream.send([m1("the first"), m1("another", **LATER), m1("another", **LATER)], chats())
    before = lakehouse.scan(QUARANTINE_TABLE).to_pylist()
    assert len(before) == 1
    assert run(settings, stream, NOW + HOUR).changed is False
    assert run(settings, stream, kind=Loud).tables["messages"].replaced == 1
    assert run(settings, stream, NOW + HOUR, Loud).changed is False
    assert rows(lakehouse, "messages") == {"THE FIRST"}
    assert lakehouse.scan(QUARANTINE_TABLE).to_pylist() == before


@pytest.mark.parametrize("behind", [True, False], ids=["the deriver is behind", "the quarantine is lost"])
def test_a_run_finds_the_conflict_that_no_quarantine_row_names(settings, stream, lakehouse, behind):
    stream.send([m1("the first")], chats())
    second = m1("another", **LATER)
    if behind:
        stream.archive(stream.records(CHAT.topic, [encode(second)]))
    else:
        stream.send([second], chats())
        lakehouse.table(QUARANTINE_TABLE).delete(hour_filter(NOW + HOUR))
    summary = run(settings, stream, NOW + HOUR)
    assert (summary.quarantined, summary.tables[QUARANTINE_TABLE].added) == (1, 1)
    assert summary.upserted == 0
    assert rows(lakehouse, "messages") == {"the first"}
    [row] = lakehouse.scan(QUARANTINE_TABLE).to_pylist()
    assert row["reasons"][0].endswith("interactions.chat[0] at offset 0")
    assert run(settings, stream, NOW + HOUR).changed is False


def test_an_event_beyond_the_window_is_accepted_by_the_stream_and_by_a_run(settings, stream, lakehouse):
    stream.send([m1("the first")], chats())
    stream.ends[CHAT.topic] = 25_000
    stream.send([m1("said again, much later")], chats())
    assert rows(lakehouse, "messages") == {"said again, much later"}
    assert run(settings, stream).changed is False
    assert lakehouse.scan(QUARANTINE_TABLE).num_rows == 0
