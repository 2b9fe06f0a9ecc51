"""The comparison reports each fault: every test introduces one into a correct world."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks.faults.verdict import Found, judge, misplaced
from mmplatform.events import Position
from mmplatform.modalities import MODALITIES


def place(modality: str, offset: int) -> Position:
    return Position(topic=MODALITIES[modality].topic, topic_partition=0, offset=offset)


def row(artifact: str, event: str, **more):
    return {"artifact_id": artifact, "event_ids": [event], **more}


def passage(artifact: str, modality: str, person: str, text: str, source: str):
    event = source.removeprefix("made from ")
    return {
        "artifact_id": artifact,
        "subject_id": person,
        "modality": modality,
        "text": text,
        "event_ids": [event],
        "source_artifact_id": source,
    }


HEARD = {"channel": 0, "start_s": 0.9, "end_s": 6.0, "status": "final", "subject_id": "call-0", "text": "thank you"}
PASSAGES = [
    passage("p1", "chat", "ann", "one", "made from c1"),
    passage("p2", "chat", "ann", "two", "made from c2"),
    passage("p3", "screenshot", "bob", "a page", "made from s1"),
    passage("p4", "call", "call-0", "thank you", "t1"),
]


@pytest.fixture
def ledger():
    """Two chats of one person, a screenshot, and the first seven seconds of the sample call."""
    chunks = {f"call-0-{index}": ("call-0", index) for index in range(7)}
    sent = {"chat": ["c1", "c2"], "screenshot": ["s1"], "call": list(chunks)}
    people = ["ann", "bob", "call-0"]
    return SimpleNamespace(
        sent=sent, people=people, chats={"c1": "ann", "c2": "ann"}, shots={"s1": "bob"}, chunks=chunks
    )


@pytest.fixture
def found(ledger):
    events = {"chat": ["c1", "c2"], "screenshot": ["s1"], "call": list(ledger.chunks)}
    whose = {"chat": "ann", "screenshot": "bob", "call": "call-0"}
    log = {
        MODALITIES[modality].topic: {place(modality, n): (whose[modality], event) for n, event in enumerate(ids)}
        for modality, ids in events.items()
    }
    tables = {
        MODALITIES[modality].raw_table: [{"event_id": event, "kind": modality} for event in ids]
        for modality, ids in events.items()
    }
    tables["raw_calls"].append({"event_id": "call-0-end", "kind": "call_end"})
    tables |= {
        "messages": [row("m1", "c1"), row("m2", "c2")],
        "captions": [row("k1", "s1")],
        "transcripts": [row("t1", "call-0-1", **HEARD)],
        "passages": PASSAGES,
        "quarantine": [],
    }
    return Found(log, [], tables, {each["artifact_id"]: each for each in PASSAGES})


def faults(found, ledger, **how):
    return {modality: verdict.faults for modality, verdict in judge(found, ledger, **how).items() if verdict.faults}


def spoilt(found, table, rows):
    return replace(found, tables={**found.tables, table: rows})


def without(rows, key, value):
    return [each for each in rows if each[key] != value]


def test_all_is_well(found, ledger):
    assert faults(found, ledger) == {}


@pytest.mark.parametrize(
    ("table", "key", "value"), [("raw_chats", "event_id", "c2"), ("messages", "artifact_id", "m2")]
)
def test_an_event_missing_in_a_table_is_lost(found, ledger, table, key, value):
    gap = spoilt(found, table, without(found.tables[table], key, value))
    assert faults(gap, ledger) == {"chat": {"lost": ["c2"]}}


def test_an_event_that_no_search_finds_is_lost_and_stale(found, ledger):
    gap = replace(found, hits={row: hit for row, hit in found.hits.items() if row != "p3"})
    assert faults(gap, ledger) == {"screenshot": {"lost": ["s1"], "stale": ["p3"]}}


def test_a_quarantined_event_with_a_reason_is_not_lost(found, ledger):
    gap = spoilt(found, "messages", without(found.tables["messages"], "artifact_id", "m2"))
    assert faults(replace(gap, dead=[place("chat", 1)]), ledger) == {}
    judged = judge(spoilt(gap, "quarantine", [{"event_id": "c2"}]), ledger)
    assert judged["chat"].named == {"c2"}
    assert judged["chat"].faults == {}


def test_an_event_present_twice_is_doubled(found, ledger):
    for table, ids in (("raw_chats", ["c1"]), ("messages", ["c1", "m1"]), ("passages", ["p1"])):
        twice = spoilt(found, table, [*found.tables[table], found.tables[table][0]])
        assert faults(twice, ledger) == {"chat": {"doubled": ids}}


def test_an_unacknowledged_event_is_reported_unless_its_answer_may_have_been_lost(found, ledger):
    more = spoilt(found, "raw_chats", [*found.tables["raw_chats"], {"event_id": "c9", "kind": "chat"}])
    assert faults(more, ledger) == {"chat": {"unasked": ["c9"]}}
    assert faults(more, ledger, exact=False) == {}


def test_a_passage_that_differs_between_search_and_table_is_stale(found, ledger):
    other = replace(found, hits=found.hits | {"p2": {**found.hits["p2"], "text": "before"}})
    assert faults(other, ledger) == {"chat": {"stale": ["p2"]}}
    unkept = spoilt(found, "passages", without(PASSAGES, "artifact_id", "p4"))
    assert faults(unkept, ledger) == {"call": {"stale": ["p4"]}}


def test_speech_without_a_transcript_is_lost(found, ledger):
    deaf = spoilt(found, "transcripts", [{**found.tables["transcripts"][0], "channel": 1}])
    assert list(faults(deaf, ledger)["call"]) == ["lost"]
    marked = spoilt(found, "transcripts", [{**found.tables["transcripts"][0], "status": "gap"}])
    assert faults(marked, ledger) == {"call": {"lost": ["t1"]}}


def test_an_event_before_an_earlier_one_of_its_conversation_is_misplaced():
    said = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]}
    whole = [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a1"), ("b", "b2"), ("a", "a3")]
    assert misplaced(said, whole) == set(), "one that comes again, after an answer was lost, is no fault"
    assert misplaced(said, [("a", "a2"), ("a", "a1"), ("a", "a3"), ("b", "b1")]) == {"a2"}
