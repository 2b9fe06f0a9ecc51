"""Memory of the chat fold in Quix's store, whose changelog another worker restores; and the reader of the log.

A micro-batch is derived before Quix's checkpoint, and its changes are part of that checkpoint: state, changelog and
offsets are committed together. After a crash the events since then are derived again, from the state before them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from mmplatform.consumers.quix_app import WorkerApplication
from mmplatform.derive.chat_memory import HEAD_NAME, is_expired, parse_head, stored_names
from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import Event, Position, decode_event
from mmplatform.kafka.headers import log_generation
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.settings import Settings

SWEEP_INTERVAL_S: Final = 10.0
SWEEP_MARGIN: Final = timedelta(hours=1)
SWEEP_ITEMS: Final = 500
"""Stored values that one sweep reads, in about a millisecond."""

_SEPARATOR: Final = b"|"
_HEAD_END: Final = _SEPARATOR + orjson.dumps(HEAD_NAME)
"""Quix' key of a conversation's head: the key of its records, and this."""


class QuixChatStore:
    """Values of the conversations of the assigned topic partitions. For the worker's thread."""

    def __init__(self, app: WorkerApplication, stream_id: str) -> None:
        self._app = app
        self._stream_id = stream_id
        self._newest: dict[int, datetime] = {}
        self._checkpoint: Any = None
        self._swept_at = 0.0
        self._cursors: dict[int, bytes] = {}

    def get(self, conversation: str, name: str, topic_partition: int) -> Any:
        """The value; None: there is none."""
        return self._state(conversation, topic_partition).get(name)

    def set(self, conversation: str, name: str, topic_partition: int, value: Any) -> None:
        """Store a value with the checkpoint."""
        self._state(conversation, topic_partition).set(name, value)
        head = parse_head(value) if name == HEAD_NAME else None
        if head is not None and head.last_at > self._newest.get(topic_partition, head.last_at - SWEEP_MARGIN):
            self._newest[topic_partition] = head.last_at

    def delete(self, conversation: str, name: str, topic_partition: int) -> None:
        """Delete a value with the checkpoint."""
        self._state(conversation, topic_partition).delete(name)

    def begin(self) -> None:
        """Begin a micro-batch: its changes belong to the checkpoint of now, and to no later one."""
        self._checkpoint = self._app._processing_context.checkpoint  # noqa: SLF001 - as in _state

    def sweep(self, *, interval_s: float = SWEEP_INTERVAL_S) -> int:
        """Forget conversations that were silent for too long, a few of the stored ones in turn; returns how many.

        The fold ignores them already, so that nothing depends on when they are swept: the time is that of the newest
        event of their topic partition, less what the clocks of gateways may differ. A worker may be days behind.
        """
        if time.monotonic() - self._swept_at < interval_s:
            return 0
        self._swept_at = time.monotonic()
        return sum(
            self._sweep_partition(number, values, self._newest[number] - SWEEP_MARGIN)
            for number, values in self._partitions()
            if number in self._newest
        )

    def _sweep_partition(self, number: int, values: Any, now: datetime) -> int:
        forgotten, read, last = 0, 0, b""
        for key, value in values.iter_items(lower_bound=self._cursors.get(number, b"")):
            read, last = read + 1, key
            if (
                key.endswith(_HEAD_END)
                and (head := parse_head(orjson.loads(value))) is not None
                and is_expired(head, now)
            ):
                forgotten += self._forget(key.removesuffix(_HEAD_END).decode(errors="replace"), number, now)
            if read >= SWEEP_ITEMS:
                break
        self._cursors[number] = last + b"\x00" if read >= SWEEP_ITEMS else b""
        return forgotten

    def _forget(self, conversation: str, number: int, now: datetime) -> bool:
        head = parse_head(self.get(conversation, HEAD_NAME, number))  # this micro-batch may have begun it again
        if head is None or not is_expired(head, now):
            return False
        for name in stored_names(lambda name: self.get(conversation, name, number), head):
            self.delete(conversation, name, number)
        return True

    def _partitions(self) -> Iterator[tuple[int, Any]]:
        store = self._app._state_manager.get_store(self._stream_id, "default")  # noqa: SLF001 - as in _state
        yield from list(store.partitions.items())

    def _state(self, conversation: str, topic_partition: int) -> Any:
        # Quix gives a state to a function of one record only: a sink has many, and they belong to its checkpoint too.
        checkpoint = self._app._processing_context.checkpoint  # noqa: SLF001
        if checkpoint is not self._checkpoint:
            # Quix leaves a flush alone that outlasts a revoke. Its events are read again, by the worker that has them.
            raise Unavailable("the checkpoint of this micro-batch is gone: its topic partitions were revoked")
        transaction = checkpoint.get_store_transaction(stream_id=self._stream_id, partition=topic_partition)
        return transaction.as_state(prefix=conversation.encode())


class LoggedEvents:
    """Reads events of the log by position: a change whose message came later."""

    def __init__(self, log: ReplayLog, settings: Settings) -> None:
        self._log = log
        self._settings = settings

    def __call__(self, position: Position) -> Event | None:
        """The event; None where the log no longer has it, or another one there. Raises Unavailable."""
        number, offset = position.topic_partition, position.offset
        topic = topic_name(self._settings, position.topic)
        for entry in self._log.read(topic, {number: offset}, {number: offset + 1}):
            if log_generation(entry.headers) != position.generation:
                return None  # the log began again: another event is there
            try:
                return decode_event(entry.value)
            except Rejected:
                return None
        return None
