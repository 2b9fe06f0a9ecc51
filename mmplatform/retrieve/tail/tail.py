"""The tail: passages and retractions that are on the log, while the index may not have them yet.

Of the records of one id the highest version counts, as in every store; of equal versions the retraction counts. An
entry leaves only when the index has committed its record. Nothing here knows a store or the log's client.

Memory for one passage of 384 dimensions is about 4 KB: vector, text and record.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from mmplatform.artifacts import Passage, Retraction, Vector
from mmplatform.events import Modality
from mmplatform.land.index.newest_versions import StoredVersion
from mmplatform.progress import EventSource
from mmplatform.retrieve.tail.event_order import EventOrder

_RECORD_BYTES: Final = 2_000
"""Memory of a record beside its text and vector, by tracemalloc."""

MAX_HITS: Final = 1_500
"""Best passages of one snapshot: more than an answer has, than the index gives, and than are compared with it."""

_REMEMBERED_PASSAGES: Final = 20_000
"""Passages that left the tail and whose time of arrival is remembered: a hit of the index is given it."""


class TailState(StrEnum):
    """State of the tail: only in ``current`` everything derived is in reach."""

    CURRENT = "current"
    CATCHING_UP = "catching_up"
    FULL = "full"
    UNAVAILABLE = "unavailable"
    OFF = "off"


class Scope(NamedTuple):
    """Passages of a search: filters, of which ``None`` and the empty tuple leave nothing out."""

    tenant: str
    subject: str | None = None
    modalities: tuple[Modality, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def includes(self, passage: Passage) -> bool:
        """True for a passage in scope; times are event times, the end is exclusive."""
        return (
            passage.tenant == self.tenant
            and (self.subject is None or passage.subject_key == self.subject)
            and (not self.modalities or passage.modality in self.modalities)
            and (self.since is None or passage.stamps.event_time >= self.since)
            and (self.until is None or passage.stamps.event_time < self.until)
        )


@dataclass(slots=True)
class TailEntry:
    """The newest record of one id.

    Attributes:
        in_order: no newer version of it can be stored: it follows all records of its source so far.
        vectors: unit vectors by embedder (``name@version``), float32.
    """

    artifact: Passage | Retraction
    version: str
    topic_partition: int
    offset: int
    applied_at: datetime
    in_order: bool
    bytes: int
    vectors: dict[str, Vector] = field(default_factory=dict)

    @property
    def mask(self) -> StoredVersion:
        """Version, as a search compares it with rows of the index; of two records of one id the higher counts."""
        return StoredVersion(self.version, isinstance(self.artifact, Retraction))


class TailHit(NamedTuple):
    """Passage of the tail with its score, the cosine similarity."""

    passage: Passage
    score: float
    version: str
    applied_at: datetime
    in_order: bool


@dataclass(frozen=True, slots=True)
class TailSnapshot:
    """The tail at one moment, as a search sees it.

    Attributes:
        hits: the passages in scope, best first, at least :data:`MAX_HITS` where there are so many.
        masks: versions by id, of everything in the tail.
    """

    hits: list[TailHit]
    masks: Mapping[str, StoredVersion]


class Tail:
    """Newest versions of what is on the log behind the index. Thread-safe.

    Args:
        max_bytes: memory above which :attr:`full` is true; the follower stops reading then.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: dict[str, TailEntry] = {}
        self._masks: dict[str, StoredVersion] = {}
        self._by_subject: dict[str, dict[str, TailEntry]] = {}
        self._arrivals: dict[int, deque[tuple[int, str]]] = {}
        self._order = EventOrder()
        self._applied_at: OrderedDict[str, tuple[str, datetime]] = OrderedDict()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """True when it takes more memory than its bound."""
        return self._bytes >= self._max_bytes

    @property
    def bytes(self) -> int:
        """Memory of its entries, estimated."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def forget_order(self) -> None:
        """Take nothing for in order until :meth:`begin`: records may have been skipped."""
        with self._lock:
            self._order = EventOrder()

    def begin(self, ends: Mapping[EventSource, int]) -> None:
        """Set where the topics of interactions end now: only of later events it is known what was published before.

        Args:
            ends: the next offset, by topic (without prefix) and topic partition.
        """
        with self._lock:
            self._order.begin(ends)

    def apply(self, artifact: Passage | Retraction, *, topic_partition: int, offset: int, applied_at: datetime) -> None:
        """Add one record of the log; one with a lower version than the entry of its id changes nothing."""
        with self._lock:
            in_order = self._order.advance(artifact)
            entry = _entry(artifact, topic_partition, offset, applied_at, in_order=in_order)
            existing = self._entries.get(artifact.artifact_id)
            if existing is not None:
                if existing.mask >= entry.mask:  # an equal version is a repetition, unless it retracts
                    return
                self._remove(artifact.artifact_id)
            self._entries[artifact.artifact_id] = entry
            self._masks[artifact.artifact_id] = entry.mask
            self._by_subject.setdefault(artifact.subject_key, {})[artifact.artifact_id] = entry
            self._bytes += entry.bytes
            self._arrivals.setdefault(topic_partition, deque()).append((offset, artifact.artifact_id))

    def evict(self, committed: Mapping[int, int]) -> None:
        """Drop the entries whose records the index has landed; ``committed``: its next offset, by topic partition."""
        with self._lock:
            for topic_partition, next_offset in committed.items():
                arrivals = self._arrivals.get(topic_partition, deque())
                while arrivals and arrivals[0][0] < next_offset:
                    offset, row_id = arrivals.popleft()
                    entry = self._entries.get(row_id)
                    if entry is not None and (entry.topic_partition, entry.offset) == (topic_partition, offset):
                        self._drop(row_id)

    def clear(self, topic_partition: int) -> None:
        """Drop everything of a topic partition: it is read again from an earlier offset."""
        with self._lock:
            for _, row_id in self._arrivals.pop(topic_partition, deque()):
                entry = self._entries.get(row_id)
                if entry is not None and entry.topic_partition == topic_partition:
                    self._drop(row_id)

    def settle(self, stored: Mapping[str, StoredVersion], queried: Mapping[str, str]) -> None:
        """Mark entries as in order, or drop those of which the index has a newer version.

        Args:
            stored: versions of rows and retractions of the index, by id.
            queried: versions of the entries about which it was asked, by id.
        """
        with self._lock:
            for row_id, version in queried.items():
                entry = self._entries.get(row_id)
                if entry is None or entry.version != version:
                    continue
                if row_id in stored and stored[row_id].outdates(version):
                    self._drop(row_id)
                else:
                    entry.in_order = True

    def snapshot(
        self, vector: Vector, scope: Scope, *, embedder: str, embed: Callable[[Sequence[str]], Vector]
    ) -> TailSnapshot:
        """Passages in scope with their scores, and the versions of everything.

        Args:
            vector: the query's embedding, shape ``(dimensions,)``.
            scope: filters of the search.
            embedder: ``name@version`` that made it.
            embed: embeds texts with it: passages of another embedder have no vector of this one yet.
        """
        with self._lock:
            # Per search a copy at the speed of C, and the entries of one subject only: 4,000 entries took 5 ms.
            masks = self._masks.copy()
            scanned = self._entries if scope.subject is None else self._by_subject.get(scope.subject, {})
            found = [
                (entry, entry.artifact)
                for entry in scanned.values()
                if isinstance(entry.artifact, Passage) and scope.includes(entry.artifact)
            ]
        _add_vectors(found, embedder, embed)
        # A foreign vector of another length is a dead letter of the indexer, and no reason to answer nothing.
        found = [(entry, passage) for entry, passage in found if len(entry.vectors[embedder]) == len(vector)]
        if not found:
            return TailSnapshot([], masks)
        scores = np.stack([entry.vectors[embedder] for entry, _ in found]) @ _unit(vector)
        best: Iterable[int] = range(len(found))
        if len(found) > MAX_HITS:
            # Of equal scores at the border all are taken: the order by id decides.
            border = np.partition(scores, len(scores) - MAX_HITS)[len(scores) - MAX_HITS]
            best = np.flatnonzero(scores >= border).tolist()
        hits = [
            TailHit(found[n][1], float(scores[n]), found[n][0].version, found[n][0].applied_at, found[n][0].in_order)
            for n in best
        ]
        return TailSnapshot(sorted(hits, key=lambda hit: (-hit.score, hit.passage.artifact_id)), masks)

    def applied_at(self, row_id: str, version: str) -> datetime | None:
        """Time at which this version of a passage was in reach here, also for one that the index has by now."""
        entry = self._entries.get(row_id)
        if entry is not None and entry.version == version:
            return entry.applied_at
        remembered = self._applied_at.get(row_id)
        return remembered[1] if remembered is not None and remembered[0] == version else None

    def _remove(self, row_id: str) -> TailEntry:
        entry = self._entries.pop(row_id)
        del self._masks[row_id]
        entries = self._by_subject[entry.artifact.subject_key]
        del entries[row_id]
        if not entries:
            del self._by_subject[entry.artifact.subject_key]
        self._bytes -= entry.bytes
        return entry

    def _drop(self, row_id: str) -> None:
        entry = self._remove(row_id)
        self._applied_at[row_id] = (entry.version, entry.applied_at)
        while len(self._applied_at) > _REMEMBERED_PASSAGES:
            self._applied_at.popitem(last=False)


def _entry(
    artifact: Passage | Retraction, topic_partition: int, offset: int, applied_at: datetime, *, in_order: bool
) -> TailEntry:
    vectors, size = {}, _RECORD_BYTES
    if isinstance(artifact, Passage):
        vectors[artifact.embedder] = _unit(artifact.vector)
        size += 2 * len(artifact.text) + 2 * len(artifact.vector_f32)
    return TailEntry(artifact, artifact.version.sortable, topic_partition, offset, applied_at, in_order, size, vectors)


def _add_vectors(
    found: Sequence[tuple[TailEntry, Passage]], embedder: str, embed: Callable[[Sequence[str]], Vector]
) -> None:
    """Embed the passages that another embedder embedded; an entry stores the vector for the next search."""
    missing = [(entry, passage.text) for entry, passage in found if embedder not in entry.vectors]
    vectors = embed([text for _, text in missing]) if missing else ()
    for (entry, _), vector in zip(missing, vectors, strict=True):
        entry.vectors[embedder] = _unit(vector)


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    unit: Vector = np.asarray(vector / length if length else vector, dtype=np.float32)
    return unit
