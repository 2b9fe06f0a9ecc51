"""Conversations of canaries, by topic partition: each turn goes to the next one."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Final

from mmplatform.identity import CANARY_TENANT, conversation_key
from mmplatform.kafka.partitioner import topic_partition_of_key

REFRESH_S: Final = 3_600.0
"""Topic partitions are raised by hand, if ever."""


class TopicPartitions:
    """Names conversations whose events go to one topic partition after the other. Thread-safe.

    Args:
        count: topic partitions of the modality's topic now. Raises Unavailable.
        source: of the conversations.
        clock: monotonic seconds.
    """

    def __init__(self, count: Callable[[], int], source: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_count = count
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._counted_at = 0.0
        self._turn = 0

    def next_conversation(self, stem: str) -> str:
        """A conversation in the next topic partition, whose id begins with the stem. Raises Unavailable."""
        with self._lock:
            if not self._count or self._clock() - self._counted_at > REFRESH_S:
                self._count, self._counted_at = max(self._read_count(), 1), self._clock()
            wanted, count = self._turn % self._count, self._count
            self._turn += 1
        candidates = (f"{stem}-{number}" for number in itertools.count())
        return next(name for name in candidates if self._number(name, count) == wanted)

    def _number(self, conversation_id: str, count: int) -> int:
        return topic_partition_of_key(conversation_key(CANARY_TENANT, self._source, conversation_id), count)
