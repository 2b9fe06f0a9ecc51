"""The audio behind a call's state: decoded chunks in a small cache, read again from the blobs when it is cold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmplatform.derive.call.state import ChunkRef
from mmplatform.derive.media.audio import RATE, Samples, decode
from mmplatform.ports import Audio, Blobs

CACHED_BYTES: Final = 64 * 2**20
_SILENT: Final = 1e-3
_SAME: Final = 0.01
"""Of the loudest sample: what two copies of one voice may differ by after a lossy codec."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A chunk at 16 kHz, shape ``(channels, samples)``; ``mixed``: all voices are on every channel (dual mono)."""

    samples: Samples
    mixed: bool


class CallAudio:
    """Decoded chunks by content; the cache only saves time, so that a worker may lose it at any moment."""

    def __init__(self, blobs: Blobs, *, cached_bytes: int = CACHED_BYTES) -> None:
        self._blobs = blobs
        self._cached_bytes = cached_bytes
        self._cache: OrderedDict[str, Decoded] = OrderedDict()
        self._size = 0

    def decoded(self, chunk: ChunkRef) -> Decoded:
        """The chunk's audio; the same voice on both channels is kept on the first only.

        Raises:
            Rejected: the blob is missing, damaged, or cannot be decoded.
            Unavailable: the blob store does not answer.
        """
        if chunk.lost:
            return Decoded(np.zeros((1, round(chunk.duration_s * RATE)), dtype=np.float32), mixed=False)
        # The same bytes under another media type are other audio.
        key = f"{chunk.blob.sha256} {chunk.blob.media_type}"
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        found = _told_apart(decode(self._blobs.get(chunk.blob), chunk.blob.media_type))
        self._cache[key] = found
        self._size += found.samples.nbytes
        while self._size > self._cached_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._size -= dropped.samples.nbytes
        return found

    def channel(self, run: Sequence[ChunkRef], channel: int, from_s: float) -> Audio:
        """One channel of chunks that follow each other, from ``from_s`` to the end of the last one.

        Each chunk lies where it says that it starts: the end of one that reaches into the next gives way (an encoder's
        padding), and a small hole is silence. A chunk that lacks the channel is silent on it.
        """
        first = round(from_s * RATE)
        laid = np.zeros(max(round(run[-1].end_s * RATE) - first, 0), dtype=np.float32)
        for chunk in run:
            samples = self.decoded(chunk).samples
            at = round(chunk.start_s * RATE) - first
            if channel >= samples.shape[0] or at >= laid.size:
                continue
            part = samples[channel, max(-at, 0) : laid.size - at]
            laid[max(at, 0) : max(at, 0) + part.size] = part
        return laid


def _told_apart(samples: Samples) -> Decoded:
    loudest = float(np.abs(samples[0]).max())
    mixed = False
    for channel in range(1, samples.shape[0]):
        if loudest > _SILENT and float(np.abs(samples[channel] - samples[0]).max()) <= _SAME * loudest:
            samples[channel] = 0.0
            mixed = True
    return Decoded(samples, mixed)
