"""Audio of a call's chunks: decoded samples in a small cache, decoded again from the blobs on a miss."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmplatform.derive.call.bleed import silence_copies
from mmplatform.derive.call.origin import UtteranceOrigin
from mmplatform.derive.call.state import ChunkRef
from mmplatform.derive.media.audio import SAMPLE_RATE, Samples, Span, read
from mmplatform.events import BlobRef
from mmplatform.ports import Audio, Blobs

MAX_CACHED_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """Chunk at 16 kHz.

    Attributes:
        samples: shape ``(channels, samples)``.
        mixed: every channel has all voices (dual mono).
        missing: spans that cannot be decoded and are silent, in seconds from its start.
    """

    samples: Samples
    mixed: bool
    missing: tuple[Span, ...] = ()


class CallAudioCache:
    """Decoded chunks by content. The cache only saves time: a worker may lose it at any moment."""

    def __init__(self, blobs: Blobs, *, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._cache: OrderedDict[str, DecodedChunk] = OrderedDict()
        self._size = 0

    def decode(self, chunk: ChunkRef) -> DecodedChunk:
        """Decode the chunk's audio; a voice that is on two channels is on the louder one, of dual mono on the first.

        Raises:
            Rejected: the blob is missing, damaged, or cannot be decoded.
            Unavailable: the blob store does not answer.
        """
        if chunk.lost:
            return DecodedChunk(_silence(round(chunk.duration_s * SAMPLE_RATE)), mixed=False)
        decoded = self._decode(chunk.blob)
        if not chunk.skipped_s:
            return decoded
        missing = ((start_s - chunk.skipped_s, end_s - chunk.skipped_s) for start_s, end_s in decoded.missing)
        samples = decoded.samples[:, round(chunk.skipped_s * SAMPLE_RATE) :]
        return DecodedChunk(samples, decoded.mixed, tuple(span for span in missing if span[1] > 0))

    def _decode(self, blob: BlobRef) -> DecodedChunk:
        # The same bytes under another media type are other audio.
        key = f"{blob.sha256} {blob.media_type}"
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        content = read(self._blobs.get(blob), blob.media_type)
        mixed = silence_copies(content.samples)
        decoded = DecodedChunk(content.samples, mixed, content.missing)
        self._cache[key] = decoded
        self._size += decoded.samples.nbytes
        while self._size > self._max_bytes and len(self._cache) > 1:
            _, evicted = self._cache.popitem(last=False)
            self._size -= evicted.samples.nbytes
        return decoded

    def channel(self, run: Sequence[ChunkRef], channel: int, from_s: float) -> Audio:
        """Join one channel of contiguous chunks, from ``from_s`` to the end of the last one.

        Each chunk is placed at its declared start: one that reaches into the next is cut (an encoder's padding), and a
        small hole is silence. A chunk without the channel is silent on it.
        """
        first = round(from_s * SAMPLE_RATE)
        size = max(round(run[-1].end_s * SAMPLE_RATE) - first, 0)
        return _join(((chunk_start(chunk.start_s), self.decode(chunk).samples) for chunk in run), channel, first, size)

    def cut(self, origin: UtteranceOrigin) -> Audio:
        """Cut an utterance's window out of its chunks again: the very samples that were transcribed.

        Raises:
            Rejected, Unavailable: as :meth:`decode`.
        """
        positioned = (
            (
                chunk.first_sample,
                _silence(chunk.lost_samples)
                if chunk.lost_samples
                else self._decode(chunk.blob).samples[:, chunk.skipped_samples :],
            )
            for chunk in origin.chunks
        )
        return _join(positioned, origin.channel, origin.first_sample, origin.samples)


def chunk_start(start_s: float) -> int:
    """Convert a chunk's declared start to samples."""
    return round(start_s * SAMPLE_RATE)


def _join(positioned: Iterable[tuple[int, Samples]], channel: int, first: int, size: int) -> Audio:
    """Join one channel of chunks, each at its start, into ``size`` samples from ``first`` on; later ones overwrite."""
    joined = np.zeros(size, dtype=np.float32)
    for start, samples in positioned:
        offset = start - first
        if channel >= samples.shape[0] or offset >= size:
            continue
        part = samples[channel, max(-offset, 0) : size - offset]
        joined[max(offset, 0) : max(offset, 0) + part.size] = part
    return joined


def _silence(samples: int) -> Samples:
    return np.zeros((1, samples), dtype=np.float32)
