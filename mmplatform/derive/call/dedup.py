"""Which chunks of a call were taken in, and with which audio.

A source that repeats itself sends the same audio under a chunk's number: a duplicate. One that numbers anew under the
same call sends other audio, which must not vanish as a duplicate. So of each chunk that was taken in a mark of its
audio is kept, in pages. At most two pages lie in the call's state: the one that the call is at, and the one in which a
late source fills a gap. The others lie in the memo under their content's hash, so that an hour of 1 s chunks costs the
state 2 kB, and 0.4 kB when the call is over. What the memo forgot is not known any more, and is said to be so.
"""

from __future__ import annotations

import hashlib
from typing import Final

from mmplatform.derive.call.state import ChunkRef, Taken, TakenPage
from mmplatform.ports import Memo

PAGE: Final = 256
"""Chunks in a page."""

MOST_PAGES: Final = 4096
"""Pages whose place in the memo is remembered: a million chunks, of a longer call the last ones."""

_OPEN: Final = 2
_MARK: Final = 6
"""Hex digits of the audio's SHA-256: one in 16 million other chunks passes for a repetition."""

_SPACE: Final = "call-chunks@1"
_NONE: Final = "." * _MARK


def mark_of(chunk: ChunkRef) -> str:
    """What tells a chunk's audio from other audio."""
    return chunk.blob.sha256[:_MARK]


class TakenChunks:
    """Reads and writes the pages of one call at a time. Raises ``Unavailable`` when the memo does not answer."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo

    def find(self, taken: Taken, index: int) -> str | None:
        """The mark under which a chunk was taken in; None when it was not, or when nobody knows any more."""
        number, at = divmod(index, PAGE)
        mark = self._marks(taken, number)[at * _MARK : (at + 1) * _MARK]
        return mark if mark not in {"", _NONE} else None

    def add(self, taken: Taken, chunk: ChunkRef) -> Taken:
        """Remember that a chunk was taken in."""
        number, at = divmod(chunk.index, PAGE)
        marks = self._marks(taken, number).ljust((at + 1) * _MARK, ".")
        page = TakenPage(number=number, marks=marks[: at * _MARK] + mark_of(chunk) + marks[(at + 1) * _MARK :])
        others = tuple(other for other in taken.open if other.number != number)
        kept = tuple(pair for pair in taken.kept if pair[0] != number)
        return self.put_away(Taken(open=(page, *others), kept=kept), most=_OPEN)

    def put_away(self, taken: Taken, *, most: int = 0) -> Taken:
        """Leave ``most`` open pages, those used last; the others, and all that are full, go into the memo."""
        open_ = tuple(page for page in taken.open if not _full(page))[:most]
        away = {page.number: page.marks for page in taken.open if page not in open_}
        if not away:
            return taken
        keys = {number: hashlib.sha256(marks.encode()).hexdigest()[:16] for number, marks in away.items()}
        self._memo.put_many(_SPACE, {key: away[number].encode() for number, key in keys.items()})
        kept = tuple(sorted((dict(taken.kept) | keys).items()))[-MOST_PAGES:]
        return Taken(open=open_, kept=kept)

    def _marks(self, taken: Taken, number: int) -> str:
        for page in taken.open:
            if page.number == number:
                return page.marks
        key = dict(taken.kept).get(number)
        return self._memo.get_many(_SPACE, [key]).get(key, b"").decode() if key else ""


def _full(page: TakenPage) -> bool:
    return len(page.marks) == PAGE * _MARK and "." not in page.marks
