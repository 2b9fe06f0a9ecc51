"""The audio behind a call's state: decoded chunks in a small cache, read again from the blobs when it is cold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmplatform.derive.call.state import ChunkRef
from mmplatform.derive.media.audio import SAMPLE_RATE, Samples, decode
from mmplatform.ports import Audio, Blobs

MAX_CACHED_BYTES: Final = 64 * 2**20
_SILENCE_PEAK: Final = 1e-3
_DUAL_MONO_TOLERANCE: Final = 0.01
"""Of the loudest sample: what two copies of one voice may differ by after a lossy codec."""


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """A chunk at 16 kHz, shape ``(channels, samples)``; ``mixed``: all voices are on every channel (dual mono)."""

    samples: Samples
    mixed: bool


class CallAudioCache:
    """Decoded chunks by content; the cache only saves time, so that a worker may lose it at any moment."""

    def __init__(self, blobs: Blobs, *, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._cache: OrderedDict[str, DecodedChunk] = OrderedDict()
        self._size = 0

    def decode(self, chunk: ChunkRef) -> DecodedChunk:
        """The chunk's audio; the same voice on both channels is kept on the first only.

        Raises:
            Rejected: the blob is missing, damaged, or cannot be decoded.
            Unavailable: the blob store does not answer.
        """
        if chunk.lost:
            return DecodedChunk(np.zeros((1, round(chunk.duration_s * SAMPLE_RATE)), dtype=np.float32), mixed=False)
        # The same bytes under another media type are other audio.
        key = f"{chunk.blob.sha256} {chunk.blob.media_type}"
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        found = _without_dual_mono(decode(self._blobs.get(chunk.blob), chunk.blob.media_type))
        self._cache[key] = found
        self._size += found.samples.nbytes
        while self._size > self._max_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._size -= dropped.samples.nbytes
        return found

    def channel(self, run: Sequence[ChunkRef], channel: int, from_s: float) -> Audio:
        """One channel of chunks that follow each other, from ``from_s`` to the end of the last one.

        Each chunk lies where it says that it starts: the end of one that reaches into the next gives way (an encoder's
        padding), and a small hole is silence. A chunk that lacks the channel is silent on it.
        """
        first = round(from_s * SAMPLE_RATE)
        laid = np.zeros(max(round(run[-1].end_s * SAMPLE_RATE) - first, 0), dtype=np.float32)
        for chunk in run:
            samples = self.decode(chunk).samples
            at = round(chunk.start_s * SAMPLE_RATE) - first
            if channel >= samples.shape[0] or at >= laid.size:
                continue
            part = samples[channel, max(-at, 0) : laid.size - at]
            laid[max(at, 0) : max(at, 0) + part.size] = part
        return laid


def _without_dual_mono(samples: Samples) -> DecodedChunk:
    loudest = float(np.abs(samples[0]).max())
    mixed = False
    for channel in range(1, samples.shape[0]):
        if (
            loudest > _SILENCE_PEAK
            and float(np.abs(samples[channel] - samples[0]).max()) <= _DUAL_MONO_TOLERANCE * loudest
        ):
            samples[channel] = 0.0
            mixed = True
    return DecodedChunk(samples, mixed)
