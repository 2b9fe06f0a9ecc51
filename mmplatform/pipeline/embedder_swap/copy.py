"""Makes the collections of one embedder hold what those of another hold, bucket by bucket, while both are written to.

What is searched is what is copied, not the table of passages: a retraction is in the index at once and in the table up
to an archiver's commit later, so that a copy of the table would bring back what was taken back, and miss what is fresh.
Texts and metadata are as they are; the vectors are the other model's, and what the memo knows is not paid for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mmplatform.derive.passages import embed, space_name
from mmplatform.errors import Unavailable
from mmplatform.land.index.row_codec import IndexRow
from mmplatform.ports import Embedder, Memo

_PAGE: Final = 200
_LOOKS: Final = 20
"""How often a page is compared again after it was written: each time a writer of the stream was in between."""

Found = Mapping[str, tuple[str, Mapping[str, Any]]]
Told = Callable[[int, int], None]
"""Called with the passages that are compared, and all of the bucket."""


class Index(Protocol):
    """What is copied within."""

    def ids(self, *, bucket: str, embedder: str) -> Iterator[str]:
        """Ids of one collection."""

    def get(self, embedder: str, bucket: str, ids: Sequence[str]) -> Found:
        """Text and metadata, by id."""

    def put(self, embedder: str, bucket: str, rows: Sequence[IndexRow]) -> None:
        """Upsert."""

    def delete(self, ids: Sequence[str], *, bucket: str, embedder: str) -> None:
        """Take out."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a bucket came to. ``embedded``: texts that the model ran on; the memo knew the rest."""

    passages: int = 0
    written: int = 0
    embedded: int = 0
    removed: int = 0

    def __add__(self, other: Copied) -> Copied:
        return Copied(
            self.passages + other.passages,
            self.written + other.written,
            self.embedded + other.embedded,
            self.removed + other.removed,
        )


class Copier:
    """Copies from the collections of ``source`` (``name@version``) to those of an embedder."""

    def __init__(self, index: Index, source: str, embedder: Embedder, memo: Memo) -> None:
        self._index = index
        self._source = source
        self._embedder = embedder
        self._target = space_name(embedder)
        self._memo = memo

    def bucket(self, bucket: str, told: Told = lambda done, of: None) -> Copied:  # noqa: ARG005 - names say what it is told
        """Compare all rows of a bucket, and write what differs.

        Ids are listed a second time: a deletion meanwhile shifts the pages of a list, and an id may slip between two.

        Raises:
            Unavailable: the index or the memo does not answer. What was written stays.
        """
        wanted, there = self._listed(bucket)
        ids = [*wanted, *(each for each in there if each not in wanted)]
        done = Copied()
        for start in range(0, len(ids), _PAGE):
            done += self._page(bucket, ids[start : start + _PAGE])
            told(min(start + _PAGE, len(ids)), len(ids))
        wanted, there = self._listed(bucket)
        late = [each for each in {**wanted, **there} if (each in wanted) != (each in there)]
        for start in range(0, len(late), _PAGE):
            done += self._page(bucket, late[start : start + _PAGE])
        return done + Copied(passages=len(wanted))

    def _listed(self, bucket: str) -> tuple[dict[str, None], dict[str, None]]:
        """Ids in the order of their arrival, each once."""
        return (
            dict.fromkeys(self._index.ids(bucket=bucket, embedder=self._source)),
            dict.fromkeys(self._index.ids(bucket=bucket, embedder=self._target)),
        )

    def _page(self, bucket: str, ids: Sequence[str]) -> Copied:
        """Compare, write, and compare again, until both hold the same: a writer may have been quicker than us."""
        done = Copied()
        for _ in range(_LOOKS):
            source = self._index.get(self._source, bucket, ids)
            target = self._index.get(self._target, bucket, ids)
            rows = {each: (text, self._as_ours(metadata)) for each, (text, metadata) in source.items()}
            stale = {each: row for each, row in rows.items() if target.get(each) != row}
            gone = [each for each in target if each not in source]
            if not stale and not gone:
                return done
            done += self._write(bucket, stale)
            self._index.delete(gone, bucket=bucket, embedder=self._target)
            done += Copied(removed=len(gone))
        raise Unavailable(f"bucket {bucket} changes quicker than it can be copied: run it again")

    def _write(self, bucket: str, rows: Found) -> Copied:
        if not rows:
            return Copied()
        found = embed([text for text, _ in rows.values()], self._embedder, self._memo)
        made = [
            IndexRow(each, text, metadata, one.vector)
            for (each, (text, metadata)), one in zip(rows.items(), found, strict=True)
        ]
        self._index.put(self._target, bucket, made)
        return Copied(written=len(made), embedded=sum(one.seconds > 0 for one in found))

    def _as_ours(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {**metadata, "embedder": self._target}
