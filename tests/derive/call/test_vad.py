"""Voice activity: every burst is found, no long pause is bridged, and speech is not cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.derive.call.vad import QUIET_LINE_DBFS, VadConfig, find_speech

RATE = 16_000
DEFAULT = VadConfig()
NOISES = np.random.default_rng(7)


def voiced(bursts, length_s, level=0.2):
    """A voice (harmonics of 140 Hz, swelling) in the bursts, silence between."""
    t = np.arange(round(length_s * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 14)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    on = np.zeros_like(t)
    for start, end in bursts:
        on[(t >= start) & (t < end)] = 1.0
    return (voice / np.abs(voice).max() * on * level).astype(np.float32)


def streamed(audio, chunk_s, config=DEFAULT):
    """The windows, in seconds, when the audio comes in chunks, and how long after its end each was closed."""
    keep, noise, found, waits = 0, QUIET_LINE_DBFS, [], []
    size = round(chunk_s * RATE)
    for end in [*range(size, audio.size, size), audio.size]:
        step = find_speech(audio[keep:end], closed=end == audio.size, noise_dbfs=noise, config=config)
        found += [((keep + first) / RATE, (keep + last) / RATE) for first, last in step.windows]
        waits += [(end - keep - last) / RATE for _, last in step.windows]
        keep, noise = keep + step.keep_from, step.noise_dbfs
    return found, waits


def match(windows, bursts):
    return len(windows) == len(bursts) and all(
        first <= start + 0.03 and last >= end - 0.03 and first >= start - 0.5 and last <= end + 0.5
        for (first, last), (start, end) in zip(windows, bursts, strict=True)
    )


BURSTS = [(0.8, 2.0), (3.5, 7.1), (8.0, 11.9), (13.4, 14.0)]


@pytest.mark.parametrize("chunk_s", [0.1, 0.2, 1.0, 2.5, 20.0])
@pytest.mark.parametrize("level", [0.4, 0.02])
def test_every_burst_is_one_window_however_it_is_chunked(chunk_s, level):
    windows, _ = streamed(voiced(BURSTS, 16, level), chunk_s)
    assert match(windows, BURSTS)


def test_a_window_is_closed_soon_after_its_pause_began():
    _, waits = streamed(voiced(BURSTS, 16), 0.1)
    assert max(waits) <= VadConfig().short_pause_s - VadConfig().pad_s + 0.15


@pytest.mark.parametrize("noise", [0.001, 0.01])
def test_a_voice_is_told_from_the_noise_of_its_line(noise):
    audio = voiced([(start + 6, end + 6) for start, end in BURSTS], 24, 0.4)
    noisy = audio + NOISES.normal(0, noise, audio.size).astype(np.float32)
    windows, _ = streamed(noisy, 1.0)
    speech = [(first, last) for first, last in windows if last > 5]
    assert match(speech, [(start + 6, end + 6) for start, end in BURSTS])


def test_a_breath_between_words_closes_nothing_and_a_real_pause_does():
    audio = voiced([(0.5, 3.5), (3.9, 5.0), (5.8, 9.0)], 11)
    windows, _ = streamed(audio, 0.5)
    assert len(windows) == 2
    assert windows[0][1] == pytest.approx(5.4, abs=0.1)


def test_hesitation_after_a_few_words_is_waited_for():
    windows, _ = streamed(voiced([(0.5, 1.2), (2.0, 4.8)], 7), 0.5)
    assert len(windows) == 1


@pytest.mark.parametrize("chunk_s", [0.5, 30.0])
def test_speech_without_a_pause_is_cut_where_it_is_quietest(chunk_s):
    audio = voiced([(0.5, 17.0), (17.15, 40.0)], 42)
    windows, _ = streamed(audio, chunk_s)
    assert max(last - first for first, last in windows) <= VadConfig().max_window_s + 1
    assert windows[0][1] == pytest.approx(17.08, abs=0.1)
    joints = [(before[1], after[0]) for before, after in pairwise(windows)]
    assert all(end == start for end, start in joints)


@pytest.mark.parametrize("what", ["silence", "hiss", "click", "dial tone far away"])
def test_a_sound_that_is_no_voice_gives_no_window(what):
    t = np.arange(10 * RATE) / RATE
    audio = {
        "silence": 0 * t,
        "hiss": NOISES.normal(0, 3e-4, t.size),
        "click": 0.9 * ((t > 3) & (t < 3.01)),
        "dial tone far away": 5e-4 * (np.sin(2 * np.pi * 350 * t) + np.sin(2 * np.pi * 440 * t)),
    }[what].astype(np.float32)
    assert streamed(audio, 1.0)[0] == []


def test_a_line_that_becomes_noisy_is_no_endless_speech():
    """Its noise counts as speech at first, and is known in the end."""
    audio = np.concatenate([np.zeros(5 * RATE), NOISES.normal(0, 0.003, 120 * RATE)]).astype(np.float32)
    windows, _ = streamed(audio, 1.0)
    assert sum(last - first for first, last in windows) < 5


def test_silence_is_dropped():
    step = find_speech(np.zeros(30 * RATE, dtype=np.float32), closed=False)
    assert (30 * RATE - step.keep_from) / RATE <= VadConfig().pad_s + 0.03


def test_nothing_gives_nothing():
    step = find_speech(np.empty(0, dtype=np.float32), closed=True)
    assert (step.windows, step.keep_from) == ((), 0)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.floats(0.05, 6.0), st.floats(0.05, 2.5)), min_size=1, max_size=8),
    chunk_s=st.sampled_from([0.2, 0.7, 1.0, 5.0]),
    max_window_s=st.sampled_from([3.0, 20.0]),
)
def test_windows_never_overlap_and_hold_all_speech(lengths, chunk_s, max_window_s):
    bursts, burst_start = [], 0.5
    for speech, pause in lengths:
        bursts.append((burst_start, burst_start + speech))
        burst_start += speech + pause
    audio = voiced(bursts, burst_start + 0.5)
    windows, _ = streamed(audio, chunk_s, VadConfig(max_window_s=max_window_s))
    assert all(first < last for first, last in windows)
    assert all(before[1] <= after[0] for before, after in pairwise(windows))
    inside = np.zeros(audio.size, dtype=bool)
    for first, last in windows:
        inside[round(first * RATE) : round(last * RATE)] = True
    # Less than ``min_speech_s`` of a voice is a click; all else must be in a window.
    for start, end in bursts:
        if end - start >= 0.3:
            span = inside[round(start * RATE) : round(end * RATE)]
            assert span.mean() > 0.97
