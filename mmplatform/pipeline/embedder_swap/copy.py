"""Copies the collections of one embedder to those of another, bucket by bucket, while writers write to both.

The source is the searched index, not the table of passages. A retraction reaches the index at once and the table up to
one archiver commit later: a copy of the table would bring retracted passages back, and miss fresh ones.
Texts and metadata are copied; vectors are computed by the other model, and those in the memo are not paid for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mmplatform.derive.passages import embed, space_name
from mmplatform.errors import Unavailable
from mmplatform.land.index.row_codec import IndexRow
from mmplatform.ports import Embedder, Memo

_PAGE_ROWS: Final = 200
_MAX_COMPARISONS: Final = 20
"""Comparisons of one page: each further one means that a writer of the stream came between."""

RowsById = Mapping[str, tuple[str, Mapping[str, Any]]]
CopyProgressCallback = Callable[[int, int], None]
"""Called with the compared passages and the total of the bucket."""


class CopyableIndex(Protocol):
    """The index whose collections are source and target."""

    def ids(self, *, bucket: str, embedder: str) -> Iterator[str]:
        """Ids of one collection."""

    def get(self, embedder: str, bucket: str, ids: Sequence[str]) -> RowsById:
        """Text and metadata, by id."""

    def upsert_rows(self, embedder: str, bucket: str, rows: Sequence[IndexRow]) -> None:
        """Upsert."""

    def delete(self, ids: Sequence[str], *, bucket: str, embedder: str) -> None:
        """Delete."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """Counts of one bucket. ``embedded``: texts that the model embedded; the memo had the others."""

    passages: int = 0
    written: int = 0
    embedded: int = 0
    removed: int = 0

    def __add__(self, other: CopyResult) -> CopyResult:
        return CopyResult(
            self.passages + other.passages,
            self.written + other.written,
            self.embedded + other.embedded,
            self.removed + other.removed,
        )


class IndexCopier:
    """Copies from the collections of ``source`` (``name@version``) to those of an embedder."""

    def __init__(self, index: CopyableIndex, source: str, embedder: Embedder, memo: Memo) -> None:
        self._index = index
        self._source = source
        self._embedder = embedder
        self._target = space_name(embedder)
        self._memo = memo

    def copy_bucket(self, bucket: str, on_progress: CopyProgressCallback = lambda result, total: None) -> CopyResult:  # noqa: ARG005 - the names document it
        """Compare all rows of a bucket, and write those that differ.

        Ids are listed a second time: a deletion meanwhile shifts the pages of a list, and an id may slip between two.

        Raises:
            Unavailable: the index or the memo does not answer. Written rows stay.
        """
        wanted, present = self._list_ids(bucket)
        ids = [*wanted, *(row_id for row_id in present if row_id not in wanted)]
        result = CopyResult()
        for start in range(0, len(ids), _PAGE_ROWS):
            result += self._copy_page(bucket, ids[start : start + _PAGE_ROWS])
            on_progress(min(start + _PAGE_ROWS, len(ids)), len(ids))
        wanted, present = self._list_ids(bucket)
        moved = [row_id for row_id in {**wanted, **present} if (row_id in wanted) != (row_id in present)]
        for start in range(0, len(moved), _PAGE_ROWS):
            result += self._copy_page(bucket, moved[start : start + _PAGE_ROWS])
        return result + CopyResult(passages=len(wanted))

    def _list_ids(self, bucket: str) -> tuple[dict[str, None], dict[str, None]]:
        """Ids in the order of their arrival, each once."""
        return (
            dict.fromkeys(self._index.ids(bucket=bucket, embedder=self._source)),
            dict.fromkeys(self._index.ids(bucket=bucket, embedder=self._target)),
        )

    def _copy_page(self, bucket: str, ids: Sequence[str]) -> CopyResult:
        """Compare, write, and compare again until both are equal: a writer may have written in between."""
        result = CopyResult()
        for _ in range(_MAX_COMPARISONS):
            source = self._index.get(self._source, bucket, ids)
            target = self._index.get(self._target, bucket, ids)
            rows = {row_id: (text, self._retarget(metadata)) for row_id, (text, metadata) in source.items()}
            stale = {row_id: row for row_id, row in rows.items() if target.get(row_id) != row}
            surplus = [row_id for row_id in target if row_id not in source]
            if not stale and not surplus:
                return result
            result += self._write(bucket, stale)
            self._index.delete(surplus, bucket=bucket, embedder=self._target)
            result += CopyResult(removed=len(surplus))
        raise Unavailable(f"bucket {bucket} changes faster than it can be copied: run it again")

    def _write(self, bucket: str, rows: RowsById) -> CopyResult:
        if not rows:
            return CopyResult()
        embeddings = embed([text for text, _ in rows.values()], self._embedder, self._memo)
        embedded = [
            IndexRow(row_id, text, metadata, embedding.vector)
            for (row_id, (text, metadata)), embedding in zip(rows.items(), embeddings, strict=True)
        ]
        self._index.upsert_rows(self._target, bucket, embedded)
        return CopyResult(written=len(embedded), embedded=sum(embedding.seconds > 0 for embedding in embeddings))

    def _retarget(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {**metadata, "embedder": self._target}
