"""The index without a server, for unit tests; it passes the behaviour suite of ``ChromaIndex``."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from mmplatform.artifacts import Passage, Vector
from mmplatform.buckets import bucket_name
from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import Modality
from mmplatform.land.index.row_codec import Hit, passage_metadata, row_to_hit


class MemoryIndex:
    """Passages in a dict by (embedder, id). Set ``down`` to make every call raise ``Unavailable``."""

    def __init__(self) -> None:
        self.down = False
        # Never changed, only exchanged for another one: who reads is not disturbed by who writes.
        self._rows: dict[tuple[str, str], tuple[Passage, datetime]] = {}
        self._writing = threading.Lock()

    def close(self) -> None:
        pass

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        self._answer()
        with self._writing:
            for passage in passages:
                known = (row.vector for (embedder, _), (row, _) in self._rows.items() if embedder == passage.embedder)
                if any(len(vector) != len(passage.vector) for vector in known):
                    raise Rejected("index: cannot upsert: InvalidDimension")
            self._rows = self._rows | {(each.embedder, each.artifact_id): (each, indexed_at) for each in passages}

    def delete(self, ids: Sequence[str], *, subject_id: str | None = None) -> None:
        self._answer()
        with self._writing:
            self._rows = {
                key: row
                for key, row in self._rows.items()
                if key[1] not in ids
                or (subject_id is not None and bucket_name(row[0].subject_id) != bucket_name(subject_id))
            }

    def search(
        self,
        vector: Vector,
        *,
        embedder: str,
        subject_id: str | None = None,
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
            for passage, indexed_at in self._rows.values()
            if passage.embedder == embedder
            and subject_id in {None, passage.subject_id}
            and (not modalities or passage.modality in modalities)
            and (since is None or passage.stamps.event_time >= since)
            and (until is None or passage.stamps.event_time < until)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))[:k]

    def ids(
        self, *, subject_id: str | None = None, bucket: str | None = None, embedder: str | None = None
    ) -> Iterator[str]:
        self._answer()
        for passage, _ in self._rows.values():
            if (
                subject_id in {None, passage.subject_id}
                and bucket in {None, bucket_name(passage.subject_id)}
                and embedder in {None, passage.embedder}
            ):
                yield passage.artifact_id

    def count(self, *, embedder: str | None = None) -> int:
        return len(list(self.ids(embedder=embedder)))

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("index: the server does not answer")
