"""Sources that number their events alike: ids that collide, contents that conflict, and events that are repeated.

Two sources have conversations of the same names and number the messages of each from 1. Now and then an identity comes
again, with another content (a conflict) or with the same one (a repetition). Half of them come through the gateway,
which refuses a conflict while it remembers the first content. The others are written as by a gateway that does not.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from benchmarks.faults.fault_sets import FaultSets
from benchmarks.faults.stack import Broken
from mmplatform.artifacts import artifact_id
from mmplatform.client.client import GatewayClient
from mmplatform.errors import Busy, Conflict, Unavailable
from mmplatform.events import ChatMessage, encode, utc_now
from mmplatform.kafka.headers import Pseudonyms, event_headers
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import CHAT, IDENTITY

SOURCES: Final = ("desk-a", "desk-b")
_MESSAGES: Final = 30
"""Messages of a conversation: one search returns all of them."""

_LATER: Final = 25
"""Events between an event and what comes under its identity again."""

_ATTEMPTS: Final = 60
COLUMNS: Final = {
    "raw_chats": ("source", "event_uid", "raw_id"),
    "messages": ("source", "event_uids", "artifact_id", "text"),
    "quarantine": ("source", "quarantine_id", "contract"),
}
Row = Mapping[str, Any]


@dataclass(slots=True)
class CollisionVerdict(FaultSets):
    """Fate of the identities; the sets from ``lost`` on should be empty.

    Attributes:
        sent: identities that were acknowledged.
        repeated: contents that were acknowledged again.
        refused: conflicts that the gateway refused.
        named: conflicts on the log that have their quarantine row.
        lost: identities without a raw row, a message or a hit.
        doubled: twice in a table, or two messages of one identity.
        unasked: messages and quarantine rows of nothing that was acknowledged.
        stale: messages and hits with another text than the first.
        unnamed: conflicts on the log without a quarantine row.
    """

    FAULTS: ClassVar = ("lost", "doubled", "unasked", "stale", "unnamed")

    sent: int = 0
    repeated: int = 0
    refused: int = 0
    named: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    unasked: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)


class Collisions:
    """One source in a thread of its own, under several names.

    Attributes:
        firsts: the first content of each identity, as acknowledged.
        conflicts: quarantine id → text of each conflict that was acknowledged.
        refused: number of conflicts that the gateway refused.
        repeated: number of contents that were acknowledged again.
    """

    def __init__(self, stack: Broken, pace_s: float) -> None:
        self._stack = stack
        self._pace_s = pace_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._failure: BaseException | None = None
        self.firsts: dict[str, ChatMessage] = {}
        self.conflicts: dict[str, str] = {}
        self.refused = 0
        self.repeated = 0

    def start(self) -> None:
        """Let it send."""
        self._thread.start()

    def stop(self, within_s: float = 1200.0) -> None:
        """Send no more; raises what stopped the source before."""
        self._stop.set()
        self._thread.join(timeout=within_s)
        if self._thread.is_alive():
            raise TimeoutError("the source of colliding ids still waits for its acknowledgement")
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            with self._stack.client() as client, closing(LogProducer(self._stack.addressed)) as producer:
                for number in itertools.count():
                    self._step(client, producer, number)
                    if self._stop.wait(self._pace_s):
                        return
        except BaseException as error:  # noqa: BLE001 - raised where the source is stopped
            self._failure = error

    def _step(self, client: GatewayClient, producer: LogProducer, number: int) -> None:
        first = message(number)
        self._post(client, first)
        self.firsts[first.uid] = first
        if number < _LATER:
            return
        earlier = message(number - _LATER)
        way = number % 6
        if way in {0, 3}:
            self._conflict(client, producer, earlier, through_gateway=way == 0)
        elif way == 1:
            self._post(client, earlier)
            self.repeated += 1
        elif way == 4:
            self._write(producer, earlier)
            self.repeated += 1

    def _conflict(
        self, client: GatewayClient, producer: LogProducer, earlier: ChatMessage, *, through_gateway: bool
    ) -> None:
        conflicting = earlier.model_copy(update={"text": f"another content: {earlier.text}"})
        if through_gateway:
            try:
                self._post(client, conflicting)
            except Conflict:
                self.refused += 1
                return
        else:
            self._write(producer, conflicting)
        self.conflicts[conflict_id(conflicting)] = conflicting.text

    def _post(self, client: GatewayClient, event: ChatMessage) -> None:
        client.chat(
            conversation_id=event.conversation_id,
            subject_id=event.subject_id,
            role=event.role,
            text=event.text,
            event_id=event.event_id,
            source=event.source,
        )

    def _write(self, producer: LogProducer, event: ChatMessage) -> None:
        """Write as another gateway does; one whose acknowledgement was lost may lie there twice."""
        settings, retryable = self._stack.settings, retry_if_exception_type((Unavailable, Busy))
        for attempt in Retrying(retry=retryable, stop=stop_after_attempt(_ATTEMPTS), wait=wait_fixed(1.0)):
            with attempt:
                producer.send(
                    topic_name(settings, CHAT.topic),
                    event.conversation_key,
                    encode(event),
                    headers=event_headers(event, Pseudonyms(b"another gateway")),
                ).result()


def message(number: int) -> ChatMessage:
    """The message of a step; ids repeat in each conversation, conversations in each source."""
    turn, source = divmod(number, len(SOURCES))
    turn, parity = divmod(turn, 2)
    block, index = divmod(turn, _MESSAGES)
    conversation = str(2 * block + parity + 1)
    now = utc_now()
    return ChatMessage(
        source=SOURCES[source],
        conversation_id=conversation,
        event_id=str(index + 1),
        subject_id=f"{SOURCES[source]}-{conversation}",
        event_time=now,
        ingested_at=now,
        role="customer",
        text=f"ticket {index + 1} in queue {conversation} at {SOURCES[source]}",
    )


def conflict_id(event: ChatMessage) -> str:
    """Id of the quarantine row of a conflict."""
    return artifact_id("quarantined", f"{event.uid}/{event.digest}", 0)


def is_colliding(row: Row) -> bool:
    """True for a row of these sources."""
    return row["source"] in SOURCES


def compare(stack: Broken, sent: Collisions, within_s: float = 240.0) -> CollisionVerdict:
    """Compare, once no worker is behind; what differs is checked again until ``within_s`` is over."""
    give_up = time.monotonic() + within_s
    while True:
        verdict = judge(*collect(stack, sent), sent)
        if not verdict.faults or time.monotonic() > give_up:
            return verdict
        time.sleep(2.0)


def collect(stack: Broken, sent: Collisions) -> tuple[Mapping[str, Sequence[Row]], dict[str, list[str]]]:
    """Rows of these sources as they lie in the tables, and the texts of all hits of each of their subjects."""
    tables = {
        table: [row for row in stack.rows(table, *columns) if is_colliding(row)] for table, columns in COLUMNS.items()
    }
    subjects = sorted({event.subject_id for event in sent.firsts.values()})
    return tables, {subject: [hit["text"] for hit in stack.passages(subject).values()] for subject in subjects}


def judge(tables: Mapping[str, Sequence[Row]], hits: Mapping[str, list[str]], sent: Collisions) -> CollisionVerdict:
    """Compare what was acknowledged with what is stored."""
    firsts, verdict = sent.firsts, CollisionVerdict(len(sent.firsts), sent.repeated, sent.refused)
    messages = [(row["event_uids"][0], row["text"]) for row in tables["messages"]]
    verdict.lost |= _names(firsts, set(firsts) - {row["event_uid"] for row in tables["raw_chats"]})
    verdict.lost |= _names(firsts, set(firsts) - {uid for uid, _ in messages})
    verdict.doubled |= _repeated(row["raw_id"] for row in tables["raw_chats"])
    verdict.doubled |= _repeated(row["artifact_id"] for row in tables["messages"])
    verdict.doubled |= _names(firsts, _repeated(uid for uid, _ in messages))
    verdict.unasked |= {uid for uid, _ in messages if uid not in firsts}
    verdict.stale |= _names(firsts, {uid for uid, text in messages if uid in firsts and text != firsts[uid].text})
    for subject, texts in hits.items():
        wanted = {event.text for event in firsts.values() if event.subject_id == subject}
        verdict.lost |= wanted - set(texts)
        verdict.stale |= set(texts) - wanted
        verdict.doubled |= _repeated(texts)
    named = {row["quarantine_id"] for row in tables["quarantine"] if row["contract"] == IDENTITY}
    verdict.named = len(named & set(sent.conflicts))
    verdict.unnamed |= {text for row, text in sent.conflicts.items() if row not in named}
    verdict.unasked |= {row["quarantine_id"] for row in tables["quarantine"]} - set(sent.conflicts)
    return verdict


def table(verdict: CollisionVerdict) -> str:
    """Header and one line."""
    names = ("identities", "repeated", "refused", "named", "lost", "doubled", "never sent", "stale", "unnamed")
    numbers = (verdict.sent, verdict.repeated, verdict.refused, verdict.named)
    sets = (verdict.lost, verdict.doubled, verdict.unasked, verdict.stale, verdict.unnamed)
    head = "|" + "|".join(f" {name} " for name in names) + "|\n|" + "---:|" * len(names)
    return f"{head}\n| {' | '.join(str(number) for number in (*numbers, *map(len, sets)))} |"


def _names(firsts: Mapping[str, ChatMessage], uids: Iterable[str]) -> set[str]:
    return {firsts[uid].text if uid in firsts else uid for uid in uids}


def _repeated(ids: Iterable[str]) -> set[str]:
    return {found for found, count in Counter(ids).items() if count > 1}
