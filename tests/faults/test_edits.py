"""Edits and deletes of a chaos run: what the sources send, and the comparison, which reports each fault."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.faults.edit_verdict import LOCATIONS, Remains, judge, table
from benchmarks.faults.edits import EDITORS, MESSAGES, EditedMessage, EditLedger, Editor, passage_texts
from benchmarks.faults.stack import MAX_HITS
from mmplatform.artifacts import artifact_id
from mmplatform.derive.chat import ChatDeriver
from mmplatform.events import ChatDeleted, ChatEdited, ChatMessage, ChatRedacted
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import CHAT_CHANGE
from tests.builders import NOW
from tests.derive.test_chat import CountingEmbedder, SecretRedactor
from tests.derive.test_chat_fold import Conversations

LONG = "A long text has more than one passage, and this sentence is one of many. " * 20


def quarantine_id(message, event_id):
    return artifact_id("quarantined", message.change_uid(event_id), 0)


@pytest.fixture
def sent():
    """One message as it came, an edited one that was longer before, a deleted one, and an edit that came after it."""
    ledger = EditLedger()
    plain, edited, deleted = (EditedMessage("editor-a", "1", str(number)) for number in (1, 2, 3))
    for message, text in ((plain, "one"), (edited, LONG), (deleted, "three")):
        message.texts.append(text)
        ledger.add_message(message, text)
    edited.texts.append("two")
    ledger.add_edit(edited, "e2", "two")
    ledger.add_deletion(deleted, "d3")
    deleted.texts.append("late")
    ledger.add_refused_edit(deleted, "e3")
    return ledger


def messages(sent):
    return list(sent.messages.values())


@pytest.fixture
def remains(sent):
    plain, edited, deleted = messages(sent)
    texts = [(plain.uid, "one"), (edited.uid, "two")]
    return Remains(
        dict.fromkeys(LOCATIONS, texts),
        [{"event_uid": uid, "raw_id": f"{uid}/x"} for uid in sorted(sent.raw)],
        [{"quarantine_id": quarantine_id(deleted, "e3"), "contract": CHAT_CHANGE, "kind": "quarantined"}],
    )


def with_text(remains, location, *texts):
    return replace(remains, texts={**remains.texts, location: [*remains.texts[location], *texts]})


def test_all_is_well(remains, sent):
    verdict = judge(remains, sent)
    assert verdict.faults == {}
    assert (verdict.messages, verdict.edits, verdict.deletions, verdict.named) == (3, 2, 1, 1)
    assert table(verdict).splitlines()[-1] == "| 3 | 2 | 0 | 1 | 1 | 0 | 0 | 0 | 0 | 0 |"


@pytest.mark.parametrize("location", LOCATIONS)
def test_an_old_text_beside_the_new_one_is_stale(remains, sent, location):
    _, edited, deleted = messages(sent)
    old = LONG if location == "messages" else passage_texts(LONG)[-1]
    assert judge(with_text(remains, location, (edited.uid, old)), sent).faults == {
        "stale": [f"{old[:80]} in {location}"]
    }
    found = with_text(remains, location, (deleted.uid, "three"), (deleted.uid, "late"))
    assert judge(found, sent).faults == {"stale": [f"late in {location}", f"three in {location}"]}


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_newest_text_that_a_place_does_not_have_is_lost(remains, sent, location):
    plain = messages(sent)[0]
    gap = replace(remains, texts={**remains.texts, location: [(plain.uid, "one")]})
    assert judge(gap, sent).faults == {"lost": [f"two in {location}"]}
    other_message = replace(remains, texts={**remains.texts, location: [(plain.uid, "one"), (plain.uid, "two")]})
    assert set(judge(other_message, sent).faults) == {"lost", "unasked"}


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_text_that_a_place_has_twice_is_doubled(remains, sent, location):
    plain = messages(sent)[0]
    assert judge(with_text(remains, location, (plain.uid, "one")), sent).faults == {"doubled": [f"one in {location}"]}


def test_each_event_has_one_raw_row_deletions_and_refused_edits_too(remains, sent):
    gap = replace(remains, raw=remains.raw[1:])
    assert judge(gap, sent).faults == {"lost": [f"{remains.raw[0]['event_uid']} in raw_chats"]}
    twice = replace(remains, raw=[*remains.raw, remains.raw[0]])
    assert judge(twice, sent).faults == {"doubled": [f"{remains.raw[0]['raw_id']} in raw_chats"]}


def test_an_edit_of_a_deleted_message_without_its_row_is_unnamed_and_a_row_of_no_refusal_is_reported(remains, sent):
    rows = [{"quarantine_id": "of nothing", "contract": CHAT_CHANGE, "kind": "quarantined"}]
    faults = judge(replace(remains, quarantine=rows), sent).faults
    assert faults == {"unasked": ["of nothing"], "unnamed": ["editor-a-1/e3"]}


def test_an_edit_whose_message_has_come_must_not_stay_in_the_quarantine(remains, sent):
    early = EditedMessage("editor-a", "1", "4", texts=["first", "second"])
    sent.add_refused_edit(early, "e4")
    row = {"quarantine_id": quarantine_id(early, "e4"), "contract": CHAT_CHANGE, "kind": "quarantined"}
    waiting = replace(remains, raw=[*remains.raw, {"event_uid": early.change_uid("e4"), "raw_id": "e4"}])
    assert judge(waiting, sent).faults == {"unnamed": ["editor-a-1/e4"]}
    sent.add_message(early, "second", edited_by="e4")
    faults = judge(replace(waiting, quarantine=[*remains.quarantine, row]), sent).faults
    assert faults["unasked"] == [row["quarantine_id"]]
    released = judge(replace(waiting, quarantine=[*remains.quarantine, row | {"kind": "released"}]), sent).faults
    assert set(released) == {"lost"}, "the message itself is nowhere yet"


class FoldClient:
    """A gateway's client that gives each event to the fold at once."""

    def __init__(self):
        self.conversations = Conversations(ChatDeriver(CountingEmbedder(), SecretRedactor(), MemoryMemo()))

    def chat(self, **fields):
        self._send(ChatMessage, fields)

    def edit_chat(self, message_id, **fields):
        self._send(ChatEdited, fields | {"message_id": message_id})

    def delete_chat(self, message_id, *, redact, **fields):
        self._send(ChatRedacted if redact else ChatDeleted, fields | {"message_id": message_id})

    def _send(self, kind, fields):
        self.conversations.send(kind(event_time=NOW, ingested_at=NOW, **fields))


@pytest.mark.parametrize("source", EDITORS[:2])
def test_the_ledger_of_random_changes_agrees_with_the_fold(source):
    client = FoldClient()
    editor = Editor(client, source, random.Random(source))
    kinds = {kind for kind, _ in zip(editor.steps(), range(600), strict=False)}
    assert kinds >= {"message", "edit", "repeat", "early", "awaited", "delete", "late"}
    assert ("outdated" in kinds) is (source == EDITORS[0])
    ledger, stored = editor.ledger, client.conversations
    present = {each.event_id: each.text for each in ledger.messages.values() if each.text is not None}
    assert stored.texts == present
    assert set(ledger.refused) == {row_id for row_id, row in stored.quarantine.items() if row.kind == "quarantined"}
    assert ledger.edits > ledger.deletions > 0
    assert bool(ledger.outdated) is ("outdated" in kinds)


def test_one_search_returns_all_passages_of_a_conversation():
    chance = random.Random(1)
    texts = [EditedMessage("editor-a", "1000", "20000").write(chance) for _ in range(100)]
    assert MESSAGES * max(len(passage_texts(text)) for text in texts) < MAX_HITS


def test_no_two_texts_share_a_passage():
    chance = random.Random(1)
    conversation = [EditedMessage("editor-a", "1", str(number)) for number in range(20)]
    texts = [message.write(chance) for message in conversation for _ in range(5)]
    parts = [part for text in texts for part in passage_texts(text)]
    assert len(set(parts)) == len(parts) > len(texts)
