"""Chunk deduplicator: which chunks of a call were accepted, and with which audio.

A source that repeats itself sends the same audio under a chunk's index: a duplicate. One that restarts its numbering
under the same call sends other audio, which must not be dropped as a duplicate. So a fingerprint of each accepted
chunk's audio is stored, in pages. At most two pages lie in the call's state: the current one, and the one in which a
late source fills a gap. The others are spilled into the blob store, so that an hour of 1 s chunks costs the state 3 kB,
and 1.2 kB when the call is over. A page whose blob is missing makes its chunks unknown, and the reason of their
quarantine says so.
"""

from __future__ import annotations

from typing import Final

import structlog

from mmplatform.derive.call.state import AcceptedChunks, ChunkRef, FingerprintPage
from mmplatform.errors import Rejected
from mmplatform.events import BlobRef
from mmplatform.ports import Blobs

PAGE_CHUNKS: Final = 256
"""Chunks in a page."""

MAX_SPILLED_PAGES: Final = 1024
"""Pages whose pointer is stored: 72 hours of 1 s chunks in 75 kB, of a longer call the last ones."""

_MAX_OPEN_PAGES: Final = 2
_FINGERPRINT_CHARS: Final = 6
"""Hex digits of the audio's SHA-256: one in 16 million other chunks passes for a duplicate."""

_NO_FINGERPRINT: Final = "." * _FINGERPRINT_CHARS
_PAGE_CHARS: Final = PAGE_CHUNKS * _FINGERPRINT_CHARS
"""A page is spilled at its full length, so that its hash alone is its pointer."""

_MEDIA_TYPE: Final = "text/plain"
_log = structlog.get_logger(__name__)


def audio_fingerprint(chunk: ChunkRef) -> str:
    """Shorten the hash of a chunk's audio."""
    return chunk.blob.sha256[:_FINGERPRINT_CHARS]


class ChunkDeduplicator:
    """Reads and writes the pages of one call at a time. Raises ``Unavailable`` when the blobs do not answer."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def find(self, accepted: AcceptedChunks, index: int) -> str | None:
        """Find the fingerprint of an accepted chunk; None when it was not accepted, or its page is lost."""
        number, slot = divmod(index, PAGE_CHUNKS)
        fingerprint = self._fingerprints(accepted, number)[slot * _FINGERPRINT_CHARS : (slot + 1) * _FINGERPRINT_CHARS]
        return fingerprint if fingerprint not in {"", _NO_FINGERPRINT} else None

    def add(self, accepted: AcceptedChunks, chunk: ChunkRef) -> AcceptedChunks:
        """Add an accepted chunk."""
        number, slot = divmod(chunk.index, PAGE_CHUNKS)
        start, end = slot * _FINGERPRINT_CHARS, (slot + 1) * _FINGERPRINT_CHARS
        marks = self._fingerprints(accepted, number).ljust(end, ".")
        page = FingerprintPage(number=number, marks=marks[:start] + audio_fingerprint(chunk) + marks[end:])
        other_pages = tuple(page for page in accepted.open if page.number != number)
        spilled = tuple(pair for pair in accepted.kept if pair[0] != number)
        return self.spill(AcceptedChunks(open=(page, *other_pages), kept=spilled), max_open=_MAX_OPEN_PAGES)

    def spill(self, accepted: AcceptedChunks, *, max_open: int = 0) -> AcceptedChunks:
        """Write full pages, and all but the ``max_open`` last used ones, into the blob store."""
        open_pages = tuple(page for page in accepted.open if not _is_full(page))[:max_open]
        to_spill = {page.number: page.marks for page in accepted.open if page not in open_pages}
        if not to_spill:
            return accepted
        pointers = {
            number: self._blobs.put(marks.ljust(_PAGE_CHARS, ".").encode(), media_type=_MEDIA_TYPE).key
            for number, marks in to_spill.items()
        }
        spilled = tuple(sorted((dict(accepted.kept) | pointers).items()))[-MAX_SPILLED_PAGES:]
        return AcceptedChunks(open=open_pages, kept=spilled)

    def _fingerprints(self, accepted: AcceptedChunks, number: int) -> str:
        for page in accepted.open:
            if page.number == number:
                return page.marks
        key = dict(accepted.kept).get(number)
        if key is None:
            return ""
        try:
            pointer = BlobRef(key=key, sha256=key.rsplit("/", 1)[-1], size=_PAGE_CHARS, media_type=_MEDIA_TYPE)
            return self._blobs.get(pointer).decode()
        except Rejected as error:
            _log.warning("a page of accepted chunks is missing", page=number, reason=str(error))
            return ""


def _is_full(page: FingerprintPage) -> bool:
    return len(page.marks) == _PAGE_CHARS and "." not in page.marks
