"""Calls being spoken: of each open call, since when its audio is in no utterance yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import orjson
from pydantic import ValidationError
from quixstreams import Application

from mmplatform.derive.call.state import CallState
from mmplatform.identity import subject_key
from mmplatform.kafka.headers import Pseudonyms
from mmplatform.progress import MAX_CALL_SUBJECTS, OpenCall

STATE_KEY: Final = "call"
_STORED_KEY_END: Final = b"|" + orjson.dumps(STATE_KEY)
"""Quix' key of a state: the key of the record, and this."""

_OVER: Final = (b'"ended":true', b'"run":[]', b'"waiting":[]', b'"late":null')
"""Parts of the stored JSON of a call that is over: most states are such, and need not be parsed."""


class OpenCalls:
    """Open calls of the assigned topic partitions. For one thread."""

    def __init__(self, pseudonyms: Pseudonyms, tenant: str) -> None:
        self._pseudonyms = pseudonyms
        self._tenant = tenant
        self._calls: dict[int, dict[str, OpenCall]] = {}

    def note(self, topic_partition: int, key: str, state: CallState) -> None:
        """Note the state of a call behind one of its events."""
        calls = self._calls.setdefault(topic_partition, {})
        chunks = [*state.run, *state.waiting, *(state.late.run if state.late else ())]
        if not chunks:
            calls.pop(key, None)
            return
        subjects = sorted({self._pseudonyms.of_subject(subject_key(self._tenant, c.subject_id)) for c in chunks})
        calls[key] = OpenCall(
            conversation_key=key,
            subjects=subjects[:MAX_CALL_SUBJECTS],
            since=min(chunk.ingested_at for chunk in chunks),
        )

    def by_topic_partition(self) -> dict[int, list[OpenCall]]:
        """The open calls of each topic partition that had one, the oldest first."""
        return {number: sorted(calls.values(), key=lambda call: call.since) for number, calls in self._calls.items()}

    def restore(self, app: Application, topic_partitions: Collection[int]) -> None:
        """Replace everything by what Quix' store has: a worker took the topic partitions over."""
        self._calls = {}
        for number, key, stored in stored_states(app, topic_partitions):
            try:
                self.note(number, key, CallState.model_validate(stored))
            except ValidationError:
                continue  # of another release: its next event resets it, and says so


def stored_states(app: Application, topic_partitions: Collection[int]) -> Iterator[tuple[int, str, Any]]:
    """States of open calls in Quix' store: topic partition, key of the call's records, and the JSON's value."""
    for stores in app._state_manager.stores.values():  # noqa: SLF001 - Quix iterates a store within a record's key only
        for store in stores.values():
            for number, partition in store.partitions.items():
                if number not in topic_partitions:
                    continue
                for key, value in partition.iter_items(lower_bound=b""):  # type: ignore[attr-defined]
                    if key.endswith(_STORED_KEY_END) and not all(part in value for part in _OVER):
                        yield number, key.removesuffix(_STORED_KEY_END).decode(errors="replace"), orjson.loads(value)
