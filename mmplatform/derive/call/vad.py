"""Voice activity detection: finds speech on one channel, and cuts only where there is none.

Fixed cuts ruin recognition (a word error rate of 2 becomes 19 with cuts every 5 s), so a pause closes a window, and a
window that grows too long is cut at its quietest frame. Missed speech is lost for good; noise passed as speech costs
one ASR call, whose filter drops it. So in doubt a frame is speech.

A frame is speech when WebRTC's detector accepts it at its least aggressive mode (modes 2 and 3 lose a quiet speaker's
words) and it is louder than the noise by a few decibels (mode 0 alone accepts line noise whenever it starts again). The
noise level follows the quietest frames, in one number that the caller stores: at once downwards, slowly upwards, and at
once upwards where the level is steadier than any voice (a line that turns noisy, a dial tone).

Pure: the same audio from the same position with the same noise gives the same windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmplatform.derive.media.audio import SAMPLE_RATE
from mmplatform.ports import Audio

FRAME_S: Final = 0.03
_FRAME_SAMPLES: Final = int(SAMPLE_RATE * FRAME_S)
_FULL_SCALE: Final = 32767
_MIN_POWER: Final = 1e-12
_BREATH_S: Final = 0.2

QUIET_LINE_DBFS: Final = -60.0
"""Noise level at the start of a channel. A louder line counts as speech until its noise is known: the safe side."""


@dataclass(frozen=True, slots=True)
class VadConfig:
    """Times in seconds, levels in decibels.

    Attributes:
        pause_s: silence that closes a window.
        short_pause_s: silence that closes a window of less than ``short_window_s``. Half a sentence alone is misheard
            ("and that should be all" → "and I should be all"), so hesitation gets a little more time.
        pad_s: silence included on both sides, so that soft starts and ends are not lost.
        max_window_s: a longer window is cut at its quietest frame.
        min_speech_s: speech that a window must contain; less is a click.
        above_noise_db: how much louder than the noise speech is.
        noise_rise_db: how much the noise may rise in a second; a long sentence must not become its own noise.
        steady_s: how long a level must be steady to be noise.
        steady_db: range of a steady level; a voice varies by 10 dB and more.
        gain: amplification for the detector, which misses a quiet speaker's first syllables.
        floor_dbfs: a quieter frame is silence, whatever the detector decides.
        mode: WebRTC's aggressiveness, 0 to 3.
    """

    pause_s: float = 0.6
    short_pause_s: float = 1.0
    short_window_s: float = 2.5
    pad_s: float = 0.4
    max_window_s: float = 20.0
    min_speech_s: float = 0.12
    above_noise_db: float = 5.0
    noise_rise_db: float = 2.0
    steady_s: float = 1.5
    steady_db: float = 5.0
    gain: float = 4.0
    floor_dbfs: float = -65.0
    mode: int = 0


_DEFAULT: Final = VadConfig()


@dataclass(frozen=True, slots=True)
class VadResult:
    """Closed windows as ``(start, end)`` in samples; the first sample that is still needed; the noise there."""

    windows: tuple[tuple[int, int], ...]
    keep_from: int
    noise_dbfs: float


def find_speech(
    audio: Audio, *, closed: bool, noise_dbfs: float = QUIET_LINE_DBFS, config: VadConfig = _DEFAULT
) -> VadResult:
    """Find the windows that are complete.

    Args:
        audio: all stored audio of the channel, mono, 16 kHz.
        closed: no more audio follows directly: an open window ends here.
        noise_dbfs: the noise where ``audio`` starts, as an earlier result reported it.
        config: thresholds and durations.
    """
    voiced, noise = _voiced_frames(audio, noise_dbfs, config)
    pad, max_frames = _frame_count(config.pad_s), _frame_count(config.max_window_s)
    windows: list[tuple[int, int]] = []
    start: int | None = None
    speech_end = window_end = 0  # after the last speech frame; after the last window
    for frame, is_speech in enumerate(voiced):
        if is_speech:
            start = frame if start is None else start
            speech_end = frame + 1
        elif start is not None and frame + 1 - speech_end >= _closing_pause(speech_end - start, config):
            windows += _padded_window(audio, voiced, (start, speech_end, pad), window_end, config)
            window_end, start = speech_end + pad, None
        if start is not None and frame + 1 - start >= max_frames:
            cut = _quietest_frame(audio, start, frame + 1)
            windows += _padded_window(audio, voiced, (start, cut, 0), window_end, config)
            window_end, start = cut, cut if speech_end > cut else None
    if closed:
        if start is not None:
            windows += _padded_window(audio, voiced, (start, speech_end, pad), window_end, config)
        return VadResult(tuple(windows), audio.size, noise[-1] if noise else noise_dbfs)
    # Silence is dropped, but for the padding of the next window.
    needed = max(window_end, (len(voiced) if start is None else start) - pad, 0)
    keep_from = min(needed, len(voiced))
    return VadResult(tuple(windows), keep_from * _FRAME_SAMPLES, noise[keep_from - 1] if keep_from else noise_dbfs)


def _voiced_frames(audio: Audio, noise_dbfs: float, config: VadConfig) -> tuple[list[bool], list[float]]:
    """Classify each frame as speech or not, and estimate the noise up to it."""
    import webrtcvad

    count = audio.size // _FRAME_SAMPLES
    detector = webrtcvad.Vad(config.mode)
    frames = audio[: count * _FRAME_SAMPLES].reshape(count, _FRAME_SAMPLES)
    pcm = (np.clip(frames * config.gain, -1.0, 1.0) * _FULL_SCALE).astype("<i2")
    levels = _levels_dbfs(frames)
    steady = _steady_levels(levels, config)
    voiced: list[bool] = []
    noise: list[float] = []
    for n in range(count):
        # The loudest of three frames: one quiet frame inside a word is not the line's noise.
        recent = max(levels[max(0, n - 2) : n + 1])
        noise_dbfs = min(max(noise_dbfs + config.noise_rise_db * FRAME_S, steady[n]), recent)
        noise.append(noise_dbfs)
        loud = levels[n] > max(noise_dbfs + config.above_noise_db, config.floor_dbfs)
        # The detector gets every frame: it learns from the silent ones too.
        voiced.append(bool(detector.is_speech(pcm[n].tobytes(), SAMPLE_RATE)) and loud)
    return voiced, noise


def _levels_dbfs(frames: npt.NDArray[np.float32]) -> list[float]:
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return [float(level) for level in 10 * np.log10(power + _MIN_POWER)]


def _steady_levels(levels: Sequence[float], config: VadConfig) -> list[float]:
    """Compute for each frame the level that was steady up to it, or minus infinity."""
    span = _frame_count(config.steady_s)
    unsteady = [-np.inf] * len(levels)
    if len(levels) < span:
        return unsteady
    spans = np.lib.stride_tricks.sliding_window_view(np.array(levels), span)
    highest = spans.max(axis=1)
    steady = np.where(highest - spans.min(axis=1) < config.steady_db, highest, -np.inf)
    return [*unsteady[: span - 1], *(float(level) for level in steady)]


def _padded_window(
    audio: Audio, voiced: Sequence[bool], span: tuple[int, int, int], window_end: int, config: VadConfig
) -> list[tuple[int, int]]:
    """Build a window with its padding, after the previous one; none when it contains too little speech."""
    start, end, pad = span
    if sum(voiced[start:end]) < _frame_count(config.min_speech_s):
        return []
    first = max(start - _frame_count(config.pad_s), window_end, 0)
    return [(first * _FRAME_SAMPLES, min((end + pad) * _FRAME_SAMPLES, audio.size))]


def _closing_pause(spoken: int, config: VadConfig) -> int:
    is_short = spoken < _frame_count(config.short_window_s)
    return _frame_count(config.short_pause_s if is_short else config.pause_s)


def _quietest_frame(audio: Audio, start: int, end: int) -> int:
    """Find the frame in the last third around which the loudness over 0.2 s is least: most likely a breath."""
    first = start + (end - start) * 2 // 3
    frames = audio[first * _FRAME_SAMPLES : end * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    width = min(_frame_count(_BREATH_S), end - first)
    smooth = np.convolve(power, np.ones(width) / width, mode="valid")
    return first + int(smooth.argmin()) + width // 2


def _frame_count(seconds: float) -> int:
    return max(1, round(seconds / FRAME_S))
