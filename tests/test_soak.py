"""The slope that ``benchmarks.soak`` prints: a leak is told from a process that breathes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soak import Slope

MB = 2**20


def hour(mb_an_hour, breathing_mb, seed=1):
    """A sample every 5 s, slowly breathing and noisy, after a start that is out of line."""
    noise = np.random.default_rng(seed)
    seconds = np.arange(0, 3600, 5.0)
    sizes = 300 + mb_an_hour * seconds / 3600 + breathing_mb * np.sin(seconds / 40) + noise.normal(0, 1, seconds.size)
    sizes[:60] -= 200
    return list(zip(seconds, sizes * MB, strict=True))


@pytest.mark.parametrize("leak", [40.0, -40.0])
def test_a_leak_is_measured(leak):
    slope = Slope.from_samples(hour(leak, 5))
    assert slope.per_hour == pytest.approx(leak, abs=slope.error + 1)
    assert ("grows" if leak > 0 else "shrinks") in slope.summary


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_only_breathes_is_flat(seed):
    slope = Slope.from_samples(hour(0.0, 5, seed))
    assert "flat" in slope.summary
    assert slope.lower > 250


def test_a_few_samples_tell_nothing():
    assert Slope.from_samples(hour(0.0, 5)[:20]) is None
