"""A rolling upgrade: a later release writes among today's events, and its workers join those of today.

What today's release does not know is kept (a field) or parked (a kind, a major version), and redriven after the
upgrade. Nothing is lost, at any moment, whichever of the workers has come first.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import pytest

from benchmarks.faults.stack import Broken, broken_stack, until
from benchmarks.fuzz.ledger import settle
from mmplatform.events import ChatMessage, Position, encode, utc_now
from mmplatform.kafka.dead_letters import DeadLetters
from mmplatform.kafka.headers import Pseudonyms, event_headers
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.local.supervisor.rolling_restart import request_restart
from mmplatform.modalities import CHAT
from tests.integration.next_release import MAJOR, as_new_kind, as_next_major, with_more_fields

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(3600)]
MODULE = "tests.integration.next_release"
REASON = "an event of an unknown kind or version: upgrade the workers, then redrive it"
UPGRADED = ("derive-chat", "archive")
WAYS = (encode, with_more_fields, as_new_kind, as_next_major)
"""How the next release writes: what today's knows, and what not."""

PATIENCE_S = 900.0
CONVERSATIONS = 12
"""Enough that each of two workers has some."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with broken_stack(tmp_path_factory.mktemp("upgrade"), derivers="call=0,screenshot=0") as running:
        yield running


def message(number: int) -> ChatMessage:
    now = utc_now()
    name = f"upgrade-{number % CONVERSATIONS}"
    return ChatMessage(
        conversation_id=name, event_id=f"event-{number}", subject_id=name, event_time=now, ingested_at=now,
        role="customer", text=f"ticket {number}",
    )  # fmt: skip


@dataclass
class Sources:
    """A source of today, through the gateway, and a gateway of the next release, which writes to the log."""

    stack: Broken
    readable: set[str] = field(default_factory=set)
    unknown: dict[Position, str] = field(default_factory=dict)
    next_number: int = 0

    @property
    def all(self) -> set[str]:
        return self.readable | set(self.unknown.values())

    def send(self, count: int) -> None:
        with self.stack.client() as client, closing(LogProducer(self.stack.addressed)) as producer:
            for number in range(self.next_number, self.next_number + count):
                event, way = message(number), number // CONVERSATIONS % (1 + len(WAYS))
                if way == len(WAYS):
                    client.chat(
                        conversation_id=event.conversation_id, subject_id=event.subject_id, role=event.role,
                        text=event.text, event_id=event.event_id,
                    )  # fmt: skip
                    self.readable.add(event.event_id)
                else:
                    self._write(producer, event, WAYS[way])
        self.next_number += count

    def _write(self, producer: LogProducer, event: ChatMessage, way) -> None:
        headers = event_headers(event, Pseudonyms(b"the next release")) | {"mood": b"calm"}
        if way is as_next_major:
            headers["schema_version"] = str(MAJOR).encode()
        name = topic_name(self.stack.settings, CHAT.topic)
        position = producer.send(name, event.conversation_key, way(event), headers=headers).result(60)
        if way in {encode, with_more_fields}:
            self.readable.add(event.event_id)
        else:
            self.unknown[position.model_copy(update={"topic": CHAT.topic})] = event.event_id


def raw(stack: Broken) -> dict[str, str]:
    return {row["event_id"]: row["record"] for row in stack.rows(CHAT.raw_table, "event_id", "record")}


def derived(stack: Broken) -> list[str]:
    return [event for row in stack.rows(CHAT.derived_table, "event_ids") for event in row["event_ids"]]


def found(stack: Broken) -> set[str]:
    subjects = [f"upgrade-{number}" for number in range(CONVERSATIONS)]
    return {event for subject in subjects for hit in stack.passages(subject).values() for event in hit["event_ids"]}


def letters(stack: Broken) -> dict[Position, str]:
    return {
        letter.position: letter.reason for letter in DeadLetters(stack.addressed, ReplayLog(stack.addressed)).read_all()
    }


def test_a_rolling_upgrade_loses_and_disorders_nothing_and_names_what_waits_for_it(stack):
    sources = Sources(stack)

    # Today's workers, which are restarted one after the other meanwhile.
    restart = threading.Thread(
        target=request_restart, args=(stack.settings.data_dir, ["derive-chat", "archive"], lambda *_: None)
    )
    restart.start()
    sources.send(10 * CONVERSATIONS)
    restart.join(PATIENCE_S)
    assert not restart.is_alive()
    sources.send(5 * CONVERSATIONS)
    settle(stack.addressed, PATIENCE_S)
    assert set(raw(stack)) == set(derived(stack)) == found(stack) == sources.readable
    assert sum('"mood":{"name":"calm","score":0.75}' in record for record in raw(stack).values()) == 3 * CONVERSATIONS
    assert letters(stack) == dict.fromkeys(sources.unknown, REASON)

    with ExitStack() as guests:
        # Old and new workers side by side: each has some of the topic partitions.
        for worker in UPGRADED:
            guest = stack.join(worker, f"next-{worker}", MODULE)
            guests.callback(guest.leave)
            until(guest.is_settled, PATIENCE_S, f"the next release's {worker} is ready")
        sources.send(10 * CONVERSATIONS)
        settle(stack.addressed, PATIENCE_S)
        parked = {sources.unknown[position] for position in letters(stack)}
        assert set(derived(stack)) | parked == sources.all
        assert set(raw(stack)) | parked == sources.all
        assert set(derived(stack)) >= sources.readable
        assert set(derived(stack)) & set(sources.unknown.values()), "the new deriver has no topic partition"

        # The old ones leave: the upgrade is complete. What was parked is redriven.
        for worker in UPGRADED:
            stack.retire(worker)
            guests.callback(stack.board.let_go, worker)
        with closing(LogProducer(stack.addressed)) as producer:
            waiting = DeadLetters(stack.addressed, ReplayLog(stack.addressed))
            before = waiting.read_all()
            results = waiting.redrive(before, producer)
        assert all(result.redriven_to for result in results), results
        until(lambda: set(raw(stack)) == set(derived(stack)) == sources.all, PATIENCE_S, "all is stored", every_s=2.0)
        until(lambda: found(stack) == sources.all, PATIENCE_S, "all is found", every_s=2.0)
        assert len(derived(stack)) == len(sources.all)
        assert len(letters(stack)) == len(before), "parked again"
