"""The index without a server, for unit tests; it passes the behaviour suite of ``ChromaIndex``."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np

from mmplatform.artifacts import Passage, Retraction, Vector
from mmplatform.buckets import bucket_name
from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import Modality
from mmplatform.identity import is_canary_key
from mmplatform.land.index.row_codec import Hit, passage_metadata, row_to_hit
from mmplatform.land.index.tombstones import RETENTION
from mmplatform.versions import NO_VERSION

Row = tuple[Passage, datetime]


class MemoryServer:
    """Holds passages by (embedder, id) and retractions by id, beyond the life of a client."""

    def __init__(self) -> None:
        # Never changed, only exchanged for another one: who reads is not disturbed by who writes.
        self.rows: dict[tuple[str, str], Row] = {}
        self.retracted: dict[str, tuple[str, datetime]] = {}
        self.writing = threading.RLock()


class MemoryTombstones:
    """Versions of retractions: what the server has, as this client last read it."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._versions: dict[str, str] | None = None

    def forget(self) -> None:
        self._versions = None

    def versions(self) -> Mapping[str, str]:
        if self._versions is None:
            self._versions = {row_id: version for row_id, (version, _) in self._server.retracted.items()}
        return self._versions

    def add(self, retractions: Sequence[Retraction], now: datetime) -> None:
        with self._server.writing:
            versions = dict(self.versions())
            for retraction in retractions:
                row_id, version = retraction.artifact_id, retraction.version.sortable
                stored = self._server.retracted.get(row_id, (NO_VERSION, now))
                if version > stored[0]:
                    self._server.retracted = self._server.retracted | {row_id: (version, now)}
                versions[row_id] = max(version, stored[0], versions.get(row_id, NO_VERSION))
            self._versions = versions

    def prune(self, now: datetime) -> None:
        with self._server.writing:
            self._server.retracted = {
                row_id: entry for row_id, entry in self._server.retracted.items() if entry[1] >= now - RETENTION
            }
        self.forget()


class MemoryIndex:
    """A client of a :class:`MemoryServer`. Set ``down`` to make every call raise ``Unavailable``."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        self.down = False
        self.server = server or MemoryServer()
        self.tombstones = MemoryTombstones(self.server)

    def close(self) -> None:
        pass

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        self._answer()
        retracted = self.tombstones.versions()
        with self.server.writing:
            rows = dict(self.server.rows)
            for passage in passages:
                known = (row.vector for (embedder, _), (row, _) in rows.items() if embedder == passage.embedder)
                if any(len(vector) != len(passage.vector) for vector in known):
                    raise Rejected("index: cannot upsert: InvalidDimension")
            newest: dict[tuple[str, str], Passage] = {}
            for passage in passages:
                earlier = newest.get((passage.embedder, passage.artifact_id))
                if earlier is None or passage.version >= earlier.version:
                    newest[passage.embedder, passage.artifact_id] = passage
            for key, passage in newest.items():
                stored = rows[key][0].version.sortable if key in rows else NO_VERSION
                if passage.version.sortable > max(stored, retracted.get(passage.artifact_id, NO_VERSION)):
                    rows[key] = (passage, indexed_at)
            self.server.rows = rows

    def restamp(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        self._answer()
        with self.server.writing:
            rows = dict(self.server.rows)
            for passage in passages:
                key = (passage.embedder, passage.artifact_id)
                if key in rows and rows[key][0].version == passage.version:
                    rows[key] = (rows[key][0], indexed_at)
            self.server.rows = rows

    def versions(self, embedder: str, bucket: str, ids: Sequence[str]) -> dict[str, str]:
        self._answer()
        return {row_id: row.version.sortable for row_id, (row, _) in self._of(embedder, bucket, ids)}

    def get(self, embedder: str, bucket: str, ids: Sequence[str]) -> dict[str, tuple[str, Mapping[str, object]]]:
        self._answer()
        found = self._of(embedder, bucket, ids)
        return {row_id: (row.text, passage_metadata(row, indexed_at)) for row_id, (row, indexed_at) in found}

    def delete(
        self,
        ids: Sequence[str],
        *,
        bucket: str | None = None,
        embedder: str | None = None,
        through: Mapping[str, str] | None = None,
    ) -> None:
        self._answer()

        def goes(key: tuple[str, str], passage: Passage) -> bool:
            return (
                key[1] in ids
                and embedder in {None, key[0]}
                and bucket in {None, bucket_name(passage.subject_key)}
                and (through is None or passage.version.sortable <= through[key[1]])
            )

        with self.server.writing:
            self.server.rows = {key: row for key, row in self.server.rows.items() if not goes(key, row[0])}

    def search(
        self,
        vector: Vector,
        *,
        embedder: str,
        subject: str | None = None,
        tenant: str | None = None,
        modalities: Sequence[Modality] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        k: int = 10,
    ) -> list[Hit]:
        self._answer()
        query = vector / np.linalg.norm(vector)
        hits = [
            row_to_hit(
                passage.artifact_id,
                passage.text,
                float(query @ passage.vector / np.linalg.norm(passage.vector)),
                passage_metadata(passage, indexed_at),
            )
            for passage, indexed_at in self.server.rows.values()
            if passage.embedder == embedder
            and (subject == passage.subject_key or (subject is None and not is_canary_key(passage.subject_key)))
            and tenant in {None, passage.tenant}
            and (not modalities or passage.modality in modalities)
            and (since is None or passage.stamps.event_time >= since)
            and (until is None or passage.stamps.event_time < until)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))[:k]

    def ids(
        self, *, subject: str | None = None, bucket: str | None = None, embedder: str | None = None
    ) -> Iterator[str]:
        self._answer()
        for passage, _ in self.server.rows.values():
            if (
                (subject == passage.subject_key or (subject is None and not is_canary_key(passage.subject_key)))
                and (subject is not None or bucket in {None, bucket_name(passage.subject_key)})
                and embedder in {None, passage.embedder}
            ):
                yield passage.artifact_id

    def count(self, *, embedder: str | None = None, bucket: str | None = None) -> int:
        return len(list(self.ids(embedder=embedder, bucket=bucket)))

    def _of(self, embedder: str, bucket: str, ids: Sequence[str]) -> list[tuple[str, Row]]:
        rows = ((row_id, self.server.rows.get((embedder, row_id))) for row_id in ids)
        return [(row_id, row) for row_id, row in rows if row and bucket_name(row[0].subject_key) == bucket]

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("index: the server does not answer")
