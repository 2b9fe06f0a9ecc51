"""Colliding ids of a chaos run: every identity is its own, and the comparison reports each fault."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.faults.collisions import conflict_id, judge, message
from mmplatform.modalities import IDENTITY

FIRSTS = [message(number) for number in range(8)]
OTHER = FIRSTS[0].model_copy(update={"text": "another content"})


def raw(event):
    return {"event_uid": event.uid, "raw_id": f"{event.uid}/{event.digest}"}


def derived(event, **change):
    return {"event_uids": [event.uid], "artifact_id": f"message of {event.uid}", "text": event.text} | change


@pytest.fixture
def sent():
    firsts = {event.uid: event for event in FIRSTS}
    return SimpleNamespace(firsts=firsts, conflicts={conflict_id(OTHER): OTHER.text}, refused=1, repeated=2)


@pytest.fixture
def tables():
    return {
        "raw_chats": [raw(event) for event in (*FIRSTS, OTHER)],
        "messages": [derived(event) for event in FIRSTS],
        "quarantine": [{"quarantine_id": conflict_id(OTHER), "contract": IDENTITY}],
    }


@pytest.fixture
def hits():
    found: dict[str, list[str]] = {}
    for event in FIRSTS:
        found.setdefault(event.subject_id, []).append(event.text)
    return found


def faults(tables, hits, sent):
    return judge(tables, hits, sent).faults


def test_ids_repeat_in_every_conversation_and_identities_do_not():
    events = [message(number) for number in range(600)]
    assert len({event.uid for event in events}) == len({event.text for event in events}) == 600
    assert len({event.event_id for event in events}) == 30
    assert len({event.conversation_id for event in events}) == 10
    assert len({(event.conversation_id, event.event_id) for event in events}) == 300
    assert len({event.source for event in events}) == 2


def test_all_is_well(tables, hits, sent):
    verdict = judge(tables, hits, sent)
    assert verdict.faults == {}
    assert (verdict.sent, verdict.repeated, verdict.refused, verdict.named) == (8, 2, 1, 1)


@pytest.mark.parametrize("table", ["raw_chats", "messages"])
def test_an_identity_that_another_one_took_is_lost(tables, hits, sent, table):
    del tables[table][3]
    assert faults(tables, hits, sent) == {"lost": [FIRSTS[3].text]}


def test_an_identity_that_no_search_finds_is_lost(tables, hits, sent):
    hits[FIRSTS[3].subject_id].remove(FIRSTS[3].text)
    assert faults(tables, hits, sent) == {"lost": [FIRSTS[3].text]}


def test_a_second_message_of_one_identity_is_doubled(tables, hits, sent):
    tables["messages"].append(derived(FIRSTS[2], artifact_id="another"))
    assert faults(tables, hits, sent) == {"doubled": [FIRSTS[2].text]}


def test_the_text_of_a_conflict_in_a_store_is_stale(tables, hits, sent):
    tables["messages"][0]["text"] = OTHER.text
    assert faults(tables, hits, sent) == {"stale": [FIRSTS[0].text]}


def test_the_text_of_a_conflict_among_the_hits_is_stale(tables, hits, sent):
    hits[OTHER.subject_id].append(OTHER.text)
    assert faults(tables, hits, sent) == {"stale": [OTHER.text]}


def test_a_conflict_without_its_row_is_unnamed_and_a_row_of_no_conflict_is_reported(tables, hits, sent):
    tables["quarantine"] = [{"quarantine_id": "of nothing", "contract": IDENTITY}]
    assert faults(tables, hits, sent) == {"unnamed": [OTHER.text], "unasked": ["of nothing"]}
