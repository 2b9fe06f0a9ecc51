"""Edits, deletions and redactions of messages: the rules one by one, and any history against a model of them."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.artifacts import Message, Passage, Retraction, artifact_id
from mmplatform.derive import chat_memory
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.chat_changes import AWAITED_REASON, max_passages
from mmplatform.derive.chat_fold import (
    AFTER_DELETION_REASON,
    MAX_WAIT,
    OTHER_SUBJECT_REASON,
    ChatFold,
)
from mmplatform.derive.chat_memory import MAX_MESSAGES, RETENTION, ChatMemory, InMemoryStore
from mmplatform.events import ChatDeleted, ChatEdited, ChatRedacted, encode
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import CHAT, CHAT_CHANGE
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import process
from mmplatform.refusals import Quarantined
from quality.contracts import ContractLimits
from tests.builders import NOW, chat, position
from tests.derive.test_chat import CountingEmbedder, SecretRedactor

SENTENCE = "This sentence fills about a tenth of what one passage of a chat may have. "
KINDS = {"edit": ChatEdited, "delete": ChatDeleted, "redact": ChatRedacted}
LIMITS = ContractLimits()


def text(number, passages=1):
    return f"text {number}. " + SENTENCE * 9 * (passages - 1)


def message(number=0, **fields):
    return chat(number, **{"text": text(0)} | fields)


def change(kind, event_id, number=0, **fields):
    base = {
        "event_id": event_id,
        "message_id": f"chat-{number}",
        "conversation_id": "conv-1",
        "subject_id": "cust-1",
        "event_time": NOW + timedelta(minutes=5),
        "ingested_at": NOW + timedelta(minutes=5),
    }
    return KINDS[kind](**base | fields)


class Conversations:
    """The stream without a broker: a log, a fold, and stores in which the highest version of each id counts."""

    def __init__(self, deriver=None):
        self.embedder = CountingEmbedder()
        self.deriver = deriver or ChatDeriver(self.embedder, SecretRedactor(), MemoryMemo())
        self.log = []
        self.memory = InMemoryStore()
        self.artifacts = {}
        self.quarantine = {}

    def fold(self):
        return ChatFold(self.deriver, ChatMemory(self.memory, lambda at: self.log[at.offset], key=b"key"))

    def append(self, *events):
        first = len(self.log)
        self.log += events
        return [self.record(offset) for offset in range(first, len(self.log))]

    def record(self, offset):
        return ConsumedRecord(position(offset), encode(self.log[offset]), NOW)

    def send(self, *events):
        self.land(self.append(*events))
        return self

    def land(self, records):
        outcome = process(records, self.fold(), CHAT, LIMITS)
        assert outcome.dead_letters == ()
        for artifact in outcome.artifacts:
            self._keep(self.artifacts, artifact.artifact_id, artifact)
        for row in outcome.quarantined:
            self._keep(self.quarantine, row.quarantine_id, row)
        return outcome

    @staticmethod
    def _keep(store, row_id, record):
        wins_tie = not isinstance(record, Message | Passage)
        if row_id not in store or (record.version, wins_tie) >= (store[row_id].version, False):
            store[row_id] = record

    @property
    def texts(self):
        live = [found for found in self.artifacts.values() if isinstance(found, Message)]
        return {found.provenance.event_ids[0]: found.text for found in live}

    @property
    def found(self):
        """What a search can find: the passages of each message, joined."""
        live = sorted(
            (found for found in self.artifacts.values() if isinstance(found, Passage)), key=lambda each: each.ordinal
        )
        joined = {}
        for passage in live:
            joined.setdefault(passage.provenance.event_ids[0], []).append(passage.text)
        return {event_id: " ".join(parts) for event_id, parts in joined.items()}

    @property
    def named(self):
        rows = [row for row in self.quarantine.values() if isinstance(row, Quarantined)]
        assert all(row.contract == CHAT_CHANGE for row in rows)
        return {row.event_id: row.reasons[0] for row in rows}


def test_an_edit_replaces_the_text_and_keeps_role_time_and_id():
    stream = Conversations().send(message(role="agent"))
    [before] = [found for found in stream.artifacts.values() if isinstance(found, Message)]
    stream.send(change("edit", "e1", text=text(1)))
    [after] = [found for found in stream.artifacts.values() if isinstance(found, Message)]
    assert (after.artifact_id, after.role, after.stamps.event_time) == (before.artifact_id, "agent", NOW)
    assert after.text == text(1)
    assert after.version > before.version
    assert after.provenance.event_ids == ("chat-0", "e1")
    assert stream.found == {"chat-0": text(1).strip()}
    assert stream.named == {}


def test_a_shorter_edit_takes_the_surplus_passages_away():
    stream = Conversations().send(message(text=text(0, passages=4)))
    assert len([found for found in stream.artifacts.values() if isinstance(found, Passage)]) == 3
    stream.send(change("edit", "e1", text=text(1)))
    assert stream.found == {"chat-0": text(1).strip()}
    retracted = [found for found in stream.artifacts.values() if isinstance(found, Retraction)]
    assert len(retracted) == max_passages(text(0, passages=4)) - 1, "a run with another redactor may have made more"
    assert {found.provenance.position.offset for found in retracted} == {1}


def test_a_deleted_message_is_not_found_and_its_repetition_does_not_bring_it_back():
    stream = Conversations().send(message(), change("delete", "d1")).send(message())
    assert (stream.texts, stream.found, stream.named) == ({}, {}, {})


def test_an_edit_after_a_delete_is_named_and_ignored():
    stream = Conversations().send(message()).send(change("delete", "d1")).send(change("edit", "e1", text=text(1)))
    assert (stream.texts, stream.named) == ({}, {"e1": AFTER_DELETION_REASON})


@pytest.mark.parametrize("together", [True, False])
def test_an_edit_before_its_message_lands_as_the_message(together):
    stream = Conversations()
    events = [change("edit", "e1", text=text(1)), message(role="bot")]
    if together:
        stream.send(*events)
    else:
        stream.send(events[0])
        assert (stream.texts, stream.named) == ({}, {"e1": AWAITED_REASON})
        stream.send(events[1])
    assert (stream.texts, stream.found, stream.named) == ({"chat-0": text(1)}, {"chat-0": text(1).strip()}, {})
    [landed] = [found for found in stream.artifacts.values() if isinstance(found, Message)]
    assert landed.role == "bot"


@pytest.mark.parametrize("kind", ["delete", "redact"])
def test_a_message_that_was_deleted_before_it_came_is_not_found(kind):
    stream = Conversations().send(change(kind, "d1")).send(message())
    assert (stream.texts, stream.found, stream.named) == ({}, {}, {})


def test_a_change_waits_a_day_and_stays_named_after_it():
    early = {"ingested_at": NOW, "event_time": NOW}
    stream = Conversations().send(change("edit", "e1", text=text(1), **early))
    stream.send(message(ingested_at=NOW + MAX_WAIT + timedelta(seconds=1)))
    assert (stream.texts, stream.named) == ({"chat-0": text(0)}, {"e1": AWAITED_REASON})


def test_a_change_of_another_subjects_message_is_refused_and_named():
    stream = Conversations().send(message())
    stream.send(change("edit", "e1", text=text(1), subject_id="cust-2"), change("delete", "d1", subject_id="cust-2"))
    assert stream.texts == {"chat-0": text(0)}
    assert stream.named == {"e1": OTHER_SUBJECT_REASON, "d1": OTHER_SUBJECT_REASON}


def test_with_another_key_of_pseudonyms_the_owner_is_read_from_the_log():
    stream = Conversations().send(message(), message(1))
    stream.fold = lambda: ChatFold(
        stream.deriver, ChatMemory(stream.memory, lambda at: stream.log[at.offset], key=b"another key")
    )
    stream.send(change("edit", "e1", text=text(1)), change("delete", "d1", 1, subject_id="cust-2"))
    assert stream.texts == {"chat-0": text(1), "chat-1": text(0)}
    assert stream.named == {"d1": OTHER_SUBJECT_REASON}
    stream.send(change("delete", "d2", 1))
    assert stream.texts == {"chat-0": text(1)}


def test_a_change_that_waits_is_applied_with_another_key_too():
    stream = Conversations().send(change("edit", "e1", text=text(1)))
    stream.fold = lambda: ChatFold(
        stream.deriver, ChatMemory(stream.memory, lambda at: stream.log[at.offset], key=b"another key")
    )
    stream.send(message())
    assert (stream.texts, stream.named) == ({"chat-0": text(1)}, {})


def test_a_change_of_another_conversations_message_changes_nothing_and_is_named():
    stream = Conversations().send(message(), change("edit", "e1", text=text(1), conversation_id="conv-2"))
    assert (stream.texts, stream.named) == ({"chat-0": text(0)}, {"e1": AWAITED_REASON})


def test_the_sources_revision_orders_edits_and_without_one_the_log():
    stream = Conversations().send(message())
    stream.send(change("edit", "e2", text=text(2), revision=2)).send(change("edit", "e1", text=text(1), revision=1))
    assert stream.texts == {"chat-0": text(2)}
    stream.send(change("edit", "e3", text=text(3))).send(change("edit", "e0", text=text(0), revision=1))
    assert stream.texts == {"chat-0": text(3)}


def test_a_thousand_edits_leave_one_message_and_one_entry():
    stream = Conversations().send(message())
    stored = len(stream.memory)
    stream.send(*(change("edit", f"e{number}", text=text(number)) for number in range(1, 1001)))
    assert stream.texts == {"chat-0": text(1000)}
    assert len(stream.memory) == stored
    assert sum(map(len, stream.embedder.batches)) <= 1001


def test_the_memory_has_no_text_no_id_of_a_person_and_is_bounded(monkeypatch):
    monkeypatch.setattr(chat_memory, "MAX_MESSAGES", 5)
    stream = Conversations()
    stream.send(*(message(number, text=f"SECRET words {number}") for number in range(20)))
    assert len(stream.memory) == 1 + 2 * 5
    assert not any(word in repr(vars(stream.memory)) for word in ("words", "cust-1", "SECRET"))
    stream.send(change("edit", "e19", 19, text=text(1)), change("edit", "e1", 1, text=text(1)))
    assert stream.texts["chat-19"] == text(1)
    assert stream.named == {"e1": AWAITED_REASON}
    assert MAX_MESSAGES > 1000


def test_a_conversation_that_was_silent_for_long_is_forgotten():
    stream = Conversations().send(*(message(number) for number in range(9)))
    late = NOW + RETENTION + timedelta(days=1)
    stream.send(message(77, ingested_at=late, event_time=late))
    assert len(stream.memory) == 3
    stream.send(change("edit", "e1", 1, text=text(1), ingested_at=late, event_time=late))
    assert stream.named == {"e1": AWAITED_REASON}


LATE = {"ingested_at": NOW + RETENTION + timedelta(days=9), "event_time": NOW + RETENTION + timedelta(days=9)}


@pytest.mark.parametrize(
    ("changed", "texts"),
    [("edit", {"chat-0": text(1)}), ("delete", {}), ("redact", {})],
    ids=["edit", "delete", "redact"],
)
@pytest.mark.parametrize("forgotten_by", ["silence", "number"])
def test_a_changed_message_does_not_come_back_by_its_repetition_however_late(monkeypatch, changed, texts, forgotten_by):
    monkeypatch.setattr(chat_memory, "MAX_MESSAGES", 4)
    fields = {"text": text(1)} if changed == "edit" else {}
    stream = Conversations().send(message(), change(changed, "c1", **fields))
    if forgotten_by == "number":
        stream.send(*(message(number) for number in range(1, 9)))
    else:
        stream.send(message(1, **LATE))
    again = message(ingested_at=LATE["ingested_at"]) if forgotten_by == "silence" else message()
    stream.send(again)
    assert {event_id: found for event_id, found in stream.texts.items() if event_id == "chat-0"} == texts
    assert {event_id: found for event_id, found in stream.found.items() if event_id == "chat-0"} == {
        event_id: found.strip() for event_id, found in texts.items()
    }


def test_a_run_forgets_nothing_and_applies_a_deletion_after_a_long_silence():
    stream = Conversations()
    stream.fold = lambda: ChatFold(
        stream.deriver, ChatMemory(stream.memory, lambda at: stream.log[at.offset], forgets=False)
    )
    stream.send(message(), message(1), change("delete", "d1", 0, **LATE), change("edit", "e1", 1, text=text(1), **LATE))
    assert (stream.texts, stream.named) == ({"chat-1": text(1)}, {})


def test_a_repetition_of_an_edit_that_another_replaced_changes_nothing():
    first, second = change("edit", "e1", text=text(1)), change("edit", "e2", text=text(2))
    stream = Conversations().send(message(), first).send(second).send(first)
    assert (stream.texts, stream.found) == ({"chat-0": text(2)}, {"chat-0": text(2).strip()})
    stream.send(second)
    assert stream.texts == {"chat-0": text(2)}


def test_a_deletion_takes_away_what_a_run_with_another_redactor_had_made():
    stream = Conversations().send(message())
    [passage] = [found for found in stream.artifacts.values() if isinstance(found, Passage)]
    second = artifact_id("passage", passage.source_artifact_id, 1)
    stream.artifacts[second] = passage.model_copy(update={"artifact_id": second, "ordinal": 1})
    stream.send(change("delete", "d1"))
    assert (stream.texts, stream.found) == ({}, {})


def test_a_deletion_waits_for_its_message_without_a_bound():
    stream = Conversations().send(change("delete", "d1")).send(message(ingested_at=LATE["ingested_at"]))
    assert (stream.texts, stream.found, stream.named) == ({}, {}, {})


def test_an_edit_that_cannot_be_derived_takes_the_old_text_away_and_the_next_one_lands():
    class Fussy(SecretRedactor):
        def redact(self, texts, *, spoken=False):
            if any("poison" in each for each in texts):
                raise ValueError("poison")
            return super().redact(texts, spoken=spoken)

    stream = Conversations(ChatDeriver(CountingEmbedder(), Fussy(), MemoryMemo()))
    stream.send(message(), message(1), change("edit", "e1", text="poison"))
    assert stream.texts == {"chat-1": text(0)}
    [row] = stream.quarantine.values()
    assert (row.event_id, row.reasons) == ("e1", ("deriver raised ValueError",))
    stream.send(change("edit", "e2", text=text(2)))
    assert stream.texts == {"chat-0": text(2), "chat-1": text(0)}


def test_an_edit_whose_text_must_not_be_found_takes_the_old_text_away():
    stream = Conversations().send(message(text=text(0, passages=3)))
    outcome = stream.land(stream.append(change("edit", "e1", text="my card is 4111 1111 1111 1111")))
    assert [row.contract for row in outcome.quarantined] == ["passages"]
    assert (stream.texts, stream.found) == ({}, {})


def history():
    number = st.integers(0, 2)
    messages = st.builds(lambda n, size: message(n, text=text(n, size)), number, st.integers(1, 3))
    subject = st.sampled_from(["cust-1", "cust-1", "cust-1", "cust-2"])
    edits = st.tuples(st.just("edit"), number, subject, st.none() | st.integers(0, 3), st.integers(1, 3))
    deletions = st.tuples(st.sampled_from(["delete", "redact"]), number, subject, st.none(), st.just(0))
    return st.lists(messages | edits | deletions, max_size=14).map(numbered)


def numbered(drawn):
    """Events with ids of their own; of one message each repetition has the first content."""
    events, first = [], {}
    for place, part in enumerate(drawn):
        if not isinstance(part, tuple):
            events.append(first.setdefault(part.event_id, part))
            continue
        kind, number, subject, revision, size = part
        fields = {"subject_id": subject, "revision": revision}
        fields |= {"text": text(100 + place, size)} if kind == "edit" else {}
        events.append(change(kind, f"change-{place}", number, **fields))
    return events


class Model:
    """The rules of docs/explanation/chat-changes.md over a whole history: what is found, and what is named."""

    def __init__(self, events):
        self.texts, self.named = {}, {}
        ids = {getattr(event, "message_id", event.event_id) for event in events}
        for message_id in ids:
            self._message([event for event in events if getattr(event, "message_id", event.event_id) == message_id])

    def _message(self, events):
        own = next((place for place, event in enumerate(events) if event.kind == "chat_message"), None)
        before = events[:own] if own is not None else events
        waiting = self._waiting(before)
        if own is None:
            return
        original, current, revision, deleted = events[own], events[own].text, None, False
        if waiting is not None and waiting.subject_id == original.subject_id:
            self.named.pop(waiting.event_id)
            deleted = waiting.kind != "chat_edited"
            current, revision = (None, None) if deleted else (waiting.text, waiting.revision)
        for event in events[own + 1 :]:
            if event.kind == "chat_message":
                continue
            if event.subject_id != original.subject_id:
                self.named[event.event_id] = OTHER_SUBJECT_REASON
            elif event.kind != "chat_edited":
                deleted = True
            elif deleted:
                self.named[event.event_id] = AFTER_DELETION_REASON
            elif event.revision is None or revision is None or event.revision >= revision:
                current = event.text
                revision = revision if event.revision is None else event.revision
        if not deleted:
            self.texts[original.event_id] = current

    def _waiting(self, events):
        waiting = None
        for event in events:
            if waiting is None:
                waiting = event
                self.named[event.event_id] = AWAITED_REASON
                continue
            if event.subject_id != waiting.subject_id:
                self.named[event.event_id] = OTHER_SUBJECT_REASON
                continue
            gone = waiting.kind != "chat_edited"
            if event.kind == "chat_edited" and gone:
                self.named[event.event_id] = AFTER_DELETION_REASON
                continue
            revisions = (event.revision, waiting.revision)
            if event.kind == "chat_edited" and None not in revisions and event.revision < waiting.revision:
                continue
            if waiting.kind == "chat_redacted":
                continue
            self.named.pop(waiting.event_id)
            self.named[event.event_id] = AWAITED_REASON
            waiting = event
        return waiting


@settings(max_examples=150, deadline=None)
@given(events=history(), data=st.data())
def test_any_history_in_any_batches_with_crashes_ends_as_the_model_says(events, data):
    stream = Conversations()
    records = stream.append(*events)
    done = 0
    while done < len(records):
        end = data.draw(st.integers(done + 1, len(records)))
        if data.draw(st.booleans()):  # published and not committed: derived again, from the state before
            committed = copy.deepcopy(stream.memory)
            stream.land(records[done : data.draw(st.integers(done + 1, end))])
            stream.memory = committed
        stream.land(records[done:end])
        done = end
    model = Model(events)
    assert stream.texts == model.texts
    assert {name: found.split() for name, found in stream.found.items()} == {
        name: found.split() for name, found in model.texts.items()
    }
    assert stream.named == model.named
    at_once = Conversations()
    at_once.send(*events)
    assert (at_once.texts, at_once.found, at_once.named) == (stream.texts, stream.found, stream.named)
    assert rows(at_once) == rows(stream)


def rows(stream):
    """What the tables hold, without times of processing."""
    return {
        row_id: (record.kind, record.version, record.provenance.event_ids, getattr(record, "text", ""))
        for row_id, record in stream.artifacts.items()
    }
