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

from mmplatform.derive.call.state import AcceptedChunks, ChunkRef, FingerprintPage
from mmplatform.ports import Memo

PAGE_CHUNKS: Final = 256
"""Chunks in a page."""

MAX_SPILLED_PAGES: Final = 4096
"""Pages whose place in the memo is remembered: a million chunks, of a longer call the last ones."""

_MAX_OPEN_PAGES: Final = 2
_FINGERPRINT_CHARS: Final = 6
"""Hex digits of the audio's SHA-256: one in 16 million other chunks passes for a repetition."""

_MEMO_SPACE: Final = "call-chunks@1"
_NO_FINGERPRINT: Final = "." * _FINGERPRINT_CHARS


def audio_fingerprint(chunk: ChunkRef) -> str:
    """What tells a chunk's audio from other audio."""
    return chunk.blob.sha256[:_FINGERPRINT_CHARS]


class ChunkDeduplicator:
    """Reads and writes the pages of one call at a time. Raises ``Unavailable`` when the memo does not answer."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo

    def find(self, taken: AcceptedChunks, index: int) -> str | None:
        """The mark under which a chunk was taken in; None when it was not, or when nobody knows any more."""
        number, at = divmod(index, PAGE_CHUNKS)
        mark = self._fingerprints(taken, number)[at * _FINGERPRINT_CHARS : (at + 1) * _FINGERPRINT_CHARS]
        return mark if mark not in {"", _NO_FINGERPRINT} else None

    def add(self, taken: AcceptedChunks, chunk: ChunkRef) -> AcceptedChunks:
        """Remember that a chunk was taken in."""
        number, at = divmod(chunk.index, PAGE_CHUNKS)
        marks = self._fingerprints(taken, number).ljust((at + 1) * _FINGERPRINT_CHARS, ".")
        page = FingerprintPage(
            number=number,
            marks=marks[: at * _FINGERPRINT_CHARS] + audio_fingerprint(chunk) + marks[(at + 1) * _FINGERPRINT_CHARS :],
        )
        others = tuple(other for other in taken.open if other.number != number)
        kept = tuple(pair for pair in taken.kept if pair[0] != number)
        return self.spill(AcceptedChunks(open=(page, *others), kept=kept), max_open=_MAX_OPEN_PAGES)

    def spill(self, taken: AcceptedChunks, *, max_open: int = 0) -> AcceptedChunks:
        """Leave ``most`` open pages, those used last; the others, and all that are full, go into the memo."""
        open_ = tuple(page for page in taken.open if not _is_full(page))[:max_open]
        away = {page.number: page.marks for page in taken.open if page not in open_}
        if not away:
            return taken
        keys = {number: hashlib.sha256(marks.encode()).hexdigest()[:16] for number, marks in away.items()}
        self._memo.put_many(_MEMO_SPACE, {key: away[number].encode() for number, key in keys.items()})
        kept = tuple(sorted((dict(taken.kept) | keys).items()))[-MAX_SPILLED_PAGES:]
        return AcceptedChunks(open=open_, kept=kept)

    def _fingerprints(self, taken: AcceptedChunks, number: int) -> str:
        for page in taken.open:
            if page.number == number:
                return page.marks
        key = dict(taken.kept).get(number)
        return self._memo.get_many(_MEMO_SPACE, [key]).get(key, b"").decode() if key else ""


def _is_full(page: FingerprintPage) -> bool:
    return len(page.marks) == PAGE_CHUNKS * _FINGERPRINT_CHARS and "." not in page.marks
