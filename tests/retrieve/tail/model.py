"""The log, the index behind it and the tail before it, with a model of what a search must find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mmplatform.artifacts import Passage, Retraction
from mmplatform.buckets import bucket_name
from mmplatform.consumers.indexer import newest_per_id
from mmplatform.land.index.newest_versions import StoredVersion
from mmplatform.progress import EventSource
from mmplatform.retrieve.search.overlay import Overlay, Query
from mmplatform.retrieve.tail.tail import Scope, Tail
from mmplatform.versions import NO_VERSION, Version
from tests.doubles.embedder import SeededEmbedder
from tests.doubles.memory_index import MemoryIndex, MemoryServer
from tests.land.records import EMBEDDER, NOON, passage, retraction, unit_vector

NUMBER = 0
"""The only topic partition of the model's log."""


def of_memory(index: MemoryIndex, embedder: str, passages: Sequence[Passage]) -> dict[str, StoredVersion]:
    """What ``newest_versions`` reads of a Chroma server, of the double."""
    index._answer()
    assert len({each.artifact_id for each in passages}) == len(passages), "Chroma refuses an id that comes twice"
    found: dict[str, StoredVersion] = {}
    for each in passages:
        row_id = each.artifact_id
        row, _ = index.server.rows.get((embedder, row_id), (None, None))
        retraction, _ = index.server.retracted.get(row_id, (NO_VERSION, None))
        versions = [StoredVersion(row.version.sortable, is_retraction=False)] if row is not None else []
        versions += [StoredVersion(retraction, is_retraction=True)] if retraction else []
        found |= {row_id: max(versions)} if versions else {}
    return found


def overlay_of(index: MemoryIndex, tail: Tail | None = None) -> Overlay:
    """The double's index under a tail, which is empty by default."""
    return Overlay(index, Tail(1 << 20) if tail is None else tail, partial(of_memory, index))


def land(index: MemoryIndex, records: Sequence[Passage | Retraction]) -> None:
    """Land records as the indexer does: retractions first, then passages."""
    passages, retractions = newest_per_id(records)
    index.tombstones.add(retractions, NOON)
    for each in retractions:
        through = {each.artifact_id: each.version.sortable}
        index.delete([each.artifact_id], bucket=bucket_name(each.subject_key), through=through)
    index.upsert(passages, NOON)


@dataclass
class World:
    """A log, an index that has landed it up to ``landed``, and a tail that has read it up to ``read``."""

    log: list[Passage | Retraction] = field(default_factory=list)
    landed: int = 0
    index: MemoryIndex = field(default_factory=lambda: MemoryIndex(MemoryServer()))
    embedder: SeededEmbedder = field(default_factory=SeededEmbedder)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new gateway: its tail begins where the index has committed."""
        self.tail = Tail(1 << 20)
        end = max((record.provenance.position.offset + 1 for record in self.log), default=0)
        self.tail.begin({EventSource("interactions.chat", NUMBER): end})
        self.overlay = overlay_of(self.index, self.tail)
        self.read = self.landed
        self.follow()

    def publish(self, record: Passage | Retraction, *, follow: bool = True) -> None:
        """Append a record; the tail reads it at once, unless it is behind."""
        self.log.append(record)
        if follow:
            self.follow()

    def follow(self) -> None:
        """Read to the end of the log."""
        for offset in range(self.read, len(self.log)):
            self.tail.apply(self.log[offset], topic_partition=NUMBER, offset=offset, applied_at=NOON)
        self.read = len(self.log)

    def land(self, records: int) -> None:
        """The index lands some more records and commits; the tail does not know yet."""
        land(self.index, self.log[self.landed : self.landed + records])
        self.landed = min(self.landed + records, len(self.log))

    def evict(self) -> None:
        """The tail learns what the index has committed."""
        self.tail.evict({NUMBER: self.landed})

    def search(self, text: str, k: int = 100, **filters):
        """What is found, best first."""
        query = Query(unit_vector(text), EMBEDDER, self.embedder.embed, k)
        is_current = self.read == len(self.log)
        return self.overlay.search(query, Scope("default", **filters), tail_is_current=is_current).found

    def expected(self, text: str, k: int = 100, subject: str | None = None) -> list[tuple[str, str]]:
        """The model: id and text of the newest passage of each id that no retraction covers, best first."""
        newest: dict[str, Passage | Retraction] = {}
        for record in self.log[: max(self.read, self.landed)]:
            stored = newest.get(record.artifact_id)
            rank = (record.version, isinstance(record, Retraction))
            if stored is None or rank > (stored.version, isinstance(stored, Retraction)):
                newest[record.artifact_id] = record
        passages = [
            record
            for record in newest.values()
            if isinstance(record, Passage) and subject in {None, record.subject_key}
        ]
        query = unit_vector(text)
        ranked = sorted(passages, key=lambda each: (-round(float(np.dot(each.vector, query)), 6), each.artifact_id))
        return [(each.artifact_id, each.text) for each in ranked[:k]]


def version_of(number: int, offset: int, *, derivation: int = 0, subject: str = "ann") -> Passage:
    """A passage of an id that the event at ``offset`` completed."""
    text = f"text {number} of event {offset} by run {derivation}"
    return passage(number, subject=subject, text=text, version=Version(offset=offset, derivation=derivation))


def retracted(number: int, offset: int) -> Retraction:
    """A retraction of the same id."""
    return retraction(version_of(number, offset))
