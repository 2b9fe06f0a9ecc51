"""The index as its writers see it while embedders are swapped: what is landed lands in every space that is in use.

The indexer and reprocessing runs write through here. Where one space serves and nothing is beside it, this costs two
questions to Chroma (0.7 ms each) for each batch and loads no model: passages come with the vectors of their own
embedder. A vector of another space than the passage's own is made here, by a model that is loaded when the first one
is needed.

1. Read the revision, so that nothing is written to a space that was retired.
2. Write to its spaces, the serving one first. A model may run before the other one is written, and a passage be taken
   back in that time: what the serving space does not have any more is not left in the other.
3. Read the revision again; when it is another one, write by that too.

A passage whose vector has another length than its embedder makes is refused before anything is written: in an empty
collection Chroma would take it, and from then on refuse every vector that is right.

So whoever publishes a candidate knows: what was acknowledged before is in the serving space, and what is acknowledged
later is in the candidate as well, or the revision says that it lacks something. No clock and no waiting is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from mmplatform.artifacts import Passage, pack_vector
from mmplatform.buckets import bucket_of
from mmplatform.derive.passages import embed
from mmplatform.errors import Rejected, Unavailable
from mmplatform.land.index.embedder_registry import Space, Spaces
from mmplatform.land.index.store import UPSERT_ROWS
from mmplatform.ports import Embedder, Memo

_log = structlog.get_logger(__name__)


class Index(Protocol):
    """What is written to."""

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Make findable. Raises Rejected, Unavailable."""

    def get(self, embedder: str, bucket: str, ids: Sequence[str]) -> Mapping[str, object]:
        """Those of the ids that one space has, by id. Raises Unavailable."""

    def delete(
        self,
        ids: Sequence[str],
        *,
        subject_id: str | None = None,
        bucket: str | None = None,
        embedder: str | None = None,
    ) -> None:
        """Take out. Raises Unavailable."""


class Log(Protocol):
    """Which spaces are in use."""

    def read(self) -> Spaces | None:
        """The newest revision."""

    def lack(self, before: Spaces) -> None:
        """Say that the space beside the serving one misses something."""


class InStep:
    """Writes passages to every space in use. For one thread.

    Args:
        index: the store.
        log: says which spaces are in use; without a revision each passage goes into its embedder's own.
        open_space: loads a model; Misconfigured where it is not there.
        memo: opens what remembers vectors.
        length_of: how many parts a space's vectors have, asked with a number that was seen; ``None`` where its model is
            not here, and then the index alone decides.
    """

    def __init__(
        self,
        index: Index,
        log: Log,
        open_space: Callable[[Space], Embedder],
        memo: Callable[[], Memo],
        length_of: Callable[[Space, int], int | None] = lambda _space, _seen: None,
    ) -> None:
        self._index = index
        self._log = log
        self._open_space = open_space
        self._open_memo = memo
        self._length_of = length_of
        self._lengths: dict[str, int | None] = {}
        self._memo: Memo | None = None
        self._models: dict[str, Embedder] = {}
        self._told = 0

    def spaces(self) -> Spaces | None:
        """The newest revision. Raises Unavailable."""
        known = self._log.read()
        active = {space.name for space in known.active} if known else set[str]()
        self._models = {name: model for name, model in self._models.items() if name in active}
        return known

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Make findable in every space in use.

        A space beside the serving one never holds the serving one up: what it could not take is logged and written
        into the revision.

        Raises:
            Unavailable: the index does not answer.
            Rejected: a vector is not of its embedder's length, or the serving space does not take a row.
            Misconfigured: the serving space's model is needed and not there.
        """
        # 1.
        known = self.spaces()
        self._check_vectors(known, passages)
        while True:
            # 2.
            self._write(known, passages, indexed_at)
            # 3.
            now = self.spaces()
            if (now and now.revision) == (known and known.revision):
                return
            known = now

    def _check_vectors(self, known: Spaces | None, passages: Sequence[Passage]) -> None:
        """Raise Rejected for a vector that its embedder did not make: of another length, or without a direction."""
        if not all(each.vector.any() for each in passages):
            raise Rejected("a vector of zeros, to which nothing is near")
        for space in known.active if known else ():
            for length in {len(each.vector) for each in passages if each.embedder == space.name}:
                if space.name not in self._lengths:
                    self._lengths[space.name] = self._length_of(space, length)
                right = self._lengths[space.name]
                if right not in {None, length}:
                    raise Rejected(f"a vector of {length} parts, where {space.name} makes {right}")

    def delete(self, ids: Sequence[str], *, subject_id: str | None = None) -> None:
        """Take passages out of every space, the serving one first, as :meth:`upsert` writes. Raises Unavailable.

        Whoever copies a row from the serving space to another meanwhile either sees it gone, or has the copy taken out
        behind it.
        """
        known = self.spaces()
        while True:
            if known is not None and known.beside is not None:
                self._index.delete(ids, subject_id=subject_id, embedder=known.serving.name)
            self._index.delete(ids, subject_id=subject_id)
            now = self.spaces()
            if (now and now.revision) == (known and known.revision):
                return
            known = now

    def _write(self, known: Spaces | None, passages: Sequence[Passage], indexed_at: datetime) -> None:
        if known is None:
            self._index.upsert(passages, indexed_at)
            return
        self._index.upsert(self._within(known.serving, passages), indexed_at)
        if known.beside is None:
            return
        try:
            made = self._within(known.beside, passages)
            for start in range(0, len(made), UPSERT_ROWS):
                self._follow(known, known.beside, made[start : start + UPSERT_ROWS], indexed_at)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever ails the other model, what is searched goes on
            if self._told != known.revision:
                _log.error("not indexed for the embedder beside", space=known.beside.name, error=type(error).__name__)
            self._told = known.revision
            self._log.lack(known)

    def _follow(self, known: Spaces, beside: Space, rows: Sequence[Passage], indexed_at: datetime) -> None:
        """Write rows to the space beside, but for those that were taken out of the serving one since they were written.

        Looked at on both sides of the write: whoever takes a passage back does it in the serving space first. The first
        look leaves no more than the write itself for an end of this process to fall into.
        """
        gone = {each for ids in self._gone(known, rows).values() for each in ids}
        rows = [row for row in rows if row.artifact_id not in gone]
        try:
            self._index.upsert(rows, indexed_at)
        finally:  # what was refused may have been written in part
            for bucket, ids in self._gone(known, rows).items():
                self._index.delete(ids, bucket=bucket, embedder=beside.name)
                if self._index.get(known.serving.name, bucket, ids):
                    # Somebody landed it anew at this very time, and it may be his row that we took out.
                    self._log.lack(known)

    def _gone(self, known: Spaces, rows: Sequence[Passage]) -> dict[str, list[str]]:
        """Of the rows the ids that the serving space does not have, by bucket."""
        buckets: dict[str, list[str]] = {}
        for row in rows:
            buckets.setdefault(bucket_of(row.subject_id), []).append(row.artifact_id)
        gone = {}
        for bucket, ids in buckets.items():
            there = self._index.get(known.serving.name, bucket, ids)
            if missing := [each for each in ids if each not in there]:
                gone[bucket] = missing
        return gone

    def _within(self, space: Space, passages: Sequence[Passage]) -> list[Passage]:
        """The passages with that space's vectors."""
        others = [each for each in passages if each.embedder != space.name]
        if not others:
            return list(passages)
        found = embed([each.text for each in others], self._model(space), self._remembered())
        made = {
            id(each): each.model_copy(update={"embedder": space.name, "vector_f32": pack_vector(one.vector)})
            for each, one in zip(others, found, strict=True)
        }
        return [made.get(id(each), each) for each in passages]

    def _model(self, space: Space) -> Embedder:
        if space.name not in self._models:
            _log.info("loads an embedder beside the one that derives", space=space.name)
            self._models[space.name] = self._open_space(space)
        return self._models[space.name]

    def _remembered(self) -> Memo:
        if self._memo is None:
            self._memo = self._open_memo()
        return self._memo
