"""Bleed between channels: a voice that is on two channels stays on the louder one.

A handset's microphone hears its own loudspeaker, and a mixer leaks. Then each sentence would be transcribed twice, the
second time under the wrong speaker. A copy is the other channel, quieter, up to 30 ms apart; two people who talk at
once are no copies of each other. Pure: the same samples give the same result.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np

from mmplatform.derive.media.audio import SAMPLE_RATE, Samples
from mmplatform.ports import Audio

_WINDOW: Final = SAMPLE_RATE * 2 // 5
_HOP: Final = SAMPLE_RATE // 10
_MAX_LAG: Final = SAMPLE_RATE * 3 // 100
_MIN_CORRELATION: Final = 0.9
"""A copy through a joint-stereo MP3 has .97 and more, two people who talk at once .7 and less."""

_MIN_POWER: Final = 1e-8
"""Mean square (-80 dBFS) below which a channel is silent anyway."""

_MAX_RESIDUAL: Final = 0.35
_QUIET: Final = 0.05
"""Power within a copy, as a share of its own: what remains there is noise."""

_SAME_LEVEL: Final = 0.794
"""Ratio of powers (1 dB) from which on neither channel is the louder one."""


def silence_copies(samples: Samples) -> bool:
    """Silence copies in place, on the quieter channel; return True when both are equally loud (dual mono)."""
    found = 0
    equal = 0
    copies = np.zeros(samples.shape, dtype=bool)
    for first, second in combinations(range(samples.shape[0]), 2):
        for start in range(0, max(1, samples.shape[1] - _WINDOW + _HOP), _HOP):
            window = slice(start, min(start + _WINDOW, samples.shape[1]))
            powers = [float(np.mean(np.square(samples[n, window]))) for n in (first, second)]
            if min(powers) < _MIN_POWER:
                continue
            same_level = min(powers) >= _SAME_LEVEL * max(powers)
            source, copy = (second, first) if powers[1] > powers[0] and not same_level else (first, second)
            silent = _copied(samples[source, window], samples[copy, window])
            if silent.any():
                copies[copy, window] |= silent
                found, equal = found + 1, equal + same_level
    samples[copies] = 0.0
    return found > 0 and 2 * equal > found


def _copied(source: Audio, copy: Audio) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mark the samples of a window that are a copy of another one; none where the window as a whole is not."""
    size = copy.size
    copied = np.zeros(size, dtype=bool)
    padded = 1 << (size + _MAX_LAG).bit_length()
    cross = np.fft.irfft(np.fft.rfft(copy, padded) * np.conj(np.fft.rfft(source, padded)), padded)
    lags = np.arange(-_MAX_LAG, _MAX_LAG + 1)
    lag = int(lags[np.abs(cross[lags]).argmax()])
    # Only where both have the same moment: at a chunk's border the first or last milliseconds have no counterpart.
    common = slice(max(lag, 0), size + min(lag, 0))
    shifted = np.zeros(size, dtype=np.float32)
    shifted[common] = source[max(-lag, 0) : size - max(lag, 0)]
    power = float(np.sum(np.square(shifted, dtype=np.float64)))
    copy_power = float(np.sum(np.square(copy[common], dtype=np.float64)))
    if abs(cross[lag]) < _MIN_CORRELATION * np.sqrt(power * copy_power) or not power:
        return copied
    residual = np.zeros(size, dtype=np.float32)
    residual[common] = np.square(copy[common] - float(cross[lag]) / power * shifted[common])
    for start in range(0, size, _HOP):
        part = slice(start, start + _HOP)
        own = float(np.mean(np.square(copy[part])))
        if float(np.mean(residual[part])) <= _MAX_RESIDUAL * own or own < _QUIET * copy_power / size:
            copied[part] = True
    return copied
