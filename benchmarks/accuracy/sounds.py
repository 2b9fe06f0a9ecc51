"""Sounds without speech: silence, noise and music, made from a seed, of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmplatform.derive.media.audio import SAMPLE_RATE
from mmplatform.ports import Audio

Samples = npt.NDArray[np.float64]
_STRETCH_S: Final = 20.0
_SCALE: Final = (0, 2, 4, 5, 7, 9, 11)


def silence(seconds: float, seed: int) -> Audio:
    """By turns nothing at all and a line so quiet that only its last bits move."""
    return _sound(seconds, seed, [lambda n, _: np.zeros(n), lambda n, chance: chance.normal(0, 3e-4, n)])


def noise(seconds: float, seed: int) -> Audio:
    """By turns white, pink and brown, soft and loud, steady and in the rhythm of syllables, with clicks between."""
    kinds = [
        lambda n, chance: chance.uniform(0.002, 0.1) * chance.normal(0, 1, n),
        lambda n, chance: chance.uniform(0.01, 0.2) * _coloured(n, 0.5, chance),
        lambda n, chance: chance.uniform(0.01, 0.2) * _coloured(n, 1.0, chance),
        lambda n, chance: 0.1 * _coloured(n, 0.5, chance) * _swelling(n, chance.uniform(2, 6)),
        lambda n, chance: 0.5 * np.where(chance.uniform(size=n) > 1 - 3 / SAMPLE_RATE, chance.choice([-1, 1], n), 0.0),
    ]
    return _sound(seconds, seed, kinds)


def music(seconds: float, seed: int) -> Audio:
    """By turns plucked chords, a melody with vibrato, drums, all of them together, and held chords."""
    kinds = [
        _plucked,
        _melody,
        _drums,
        lambda n, chance: 0.5 * (_plucked(n, chance) + _melody(n, chance) + _drums(n, chance)),
        lambda n, chance: 0.1 * _tones(np.arange(n) / SAMPLE_RATE, [_pitch(chance) for _ in range(3)], 4),
    ]
    return _sound(seconds, seed, kinds)


def _sound(seconds: float, seed: int, kinds: list[Callable[[int, np.random.Generator], Samples]]) -> Audio:
    chance = np.random.default_rng(seed)
    left = round(seconds * SAMPLE_RATE)
    parts = []
    for turn in range(10**6):
        size = min(left, round(_STRETCH_S * SAMPLE_RATE))
        if size <= 0:
            break
        parts.append(kinds[turn % len(kinds)](size, chance))
        left -= size
    return np.clip(np.concatenate(parts), -1, 1).astype(np.float32)


def _coloured(size: int, slope: float, chance: np.random.Generator) -> Samples:
    frequency = np.maximum(np.fft.rfftfreq(size), 1e-4)
    spectrum = (chance.normal(size=frequency.size) + 1j * chance.normal(size=frequency.size)) / frequency**slope
    samples = np.fft.irfft(spectrum, size)
    return np.asarray(samples / samples.std() / 3)


def _swelling(size: int, times_a_second: float) -> Samples:
    return 0.5 + 0.5 * np.sin(2 * np.pi * times_a_second * np.arange(size) / SAMPLE_RATE)


def _pitch(chance: np.random.Generator) -> float:
    return float(130.8 * 2 ** ((12 * chance.integers(0, 2) + _SCALE[chance.integers(0, 7)]) / 12))


def _tones(t: Samples, pitches: list[float], harmonics: int) -> Samples:
    return np.asarray(sum(np.sin(2 * np.pi * f * k * t) / k for f in pitches for k in range(1, harmonics + 1)))


def _notes(size: int, length_s: float) -> Iterator[tuple[int, Samples]]:
    step = round(length_s * SAMPLE_RATE)
    for first in range(0, size, step):
        yield first, np.arange(min(step, size - first)) / SAMPLE_RATE


def _plucked(size: int, chance: np.random.Generator) -> Samples:
    out: Any = np.zeros(size)
    for first, t in _notes(size, chance.choice([0.25, 0.5])):
        pitches = [_pitch(chance) for _ in range(3)]
        out[first : first + t.size] = 0.1 * _tones(t, pitches, 5) * np.exp(-3 * t)
    return np.asarray(out)


def _melody(size: int, chance: np.random.Generator) -> Samples:
    out: Any = np.zeros(size)
    for first, t in _notes(size, chance.choice([0.3, 0.6])):
        waver = t + 0.0004 * np.sin(2 * np.pi * 5.5 * t)
        swell = np.minimum(1, 20 * t) * np.minimum(1, 20 * (t[-1] - t))
        out[first : first + t.size] = 0.12 * _tones(waver, [2 * _pitch(chance)], 6) * swell
    return np.asarray(out)


def _drums(size: int, chance: np.random.Generator) -> Samples:
    out: Any = np.zeros(size)
    for beat, (first, t) in enumerate(_notes(size, 0.25)):
        drum = np.sin(2 * np.pi * 60 * t * np.exp(-4 * t)) if beat % 4 == 0 else chance.normal(0, 0.3, t.size)
        out[first : first + t.size] = 0.4 * drum * np.exp(-(6 if beat % 4 == 0 else 25) * t)
    return np.asarray(out)
