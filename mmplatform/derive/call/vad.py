"""Voice activity: where on one channel speech lies, cut only where nobody speaks.

Fixed cuts ruin recognition (a word error rate of 2 becomes 19 with cuts every 5 s), so a window is closed by a pause;
one that grows too long is cut at its quietest place. What is missed here is lost for good, and what is taken for speech
by mistake costs one ASR call whose guards drop it; so in doubt it is speech.

A frame is speech when WebRTC's detector says so at its least aggressive (modes 2 and 3 lose a quiet speaker's words)
and it is louder than the noise by a few decibels (mode 0 alone takes line noise for speech whenever it begins anew).
The noise is followed from below, in one number that the caller keeps: at once downwards, slowly upwards, and at once
upwards where the level stands still as no voice does (a line that turns noisy, a dial tone).

Pure: the same audio from the same place with the same noise gives the same windows.
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
"""The noise before anything was heard. A louder line is taken for speech until its noise is known, which is the safe
side."""


@dataclass(frozen=True, slots=True)
class VadConfig:
    """Times in seconds, levels in decibels.

    Attributes:
        pause_s: silence that closes a window.
        short_pause_s: silence that closes a window of less than ``short_s``. Recognised alone, half a sentence is
            guessed ("and that should be all" → "and I should be all"), so hesitation gets a little more time.
        pad_s: what is kept of the silence on both sides, so that soft beginnings and endings are not lost.
        longest_s: a window longer than this is cut at its quietest place.
        least_s: speech that a window must hold; less is a click.
        above_noise_db: how much louder than the noise speech is.
        noise_rise_db: how much the noise may rise in a second; a long sentence must not become its own noise.
        still_s: how long a level must stand still to be the noise.
        still_db: within what it stands still; a voice swings by 10 dB and more.
        gain: what the detector is given more than there is; it is deaf to a quiet speaker's first syllables.
        floor_dbfs: a quieter frame is silence whatever the detector says.
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


@dataclass(frozen=True, slots=True)
class VadResult:
    """Closed windows as ``(start, end)`` in samples; the sample from which audio is still needed; the noise there."""

    windows: tuple[tuple[int, int], ...]
    keep_from: int
    noise_dbfs: float


def find_speech(
    audio: Audio, *, closed: bool, noise_dbfs: float = QUIET_LINE_DBFS, config: VadConfig | None = None
) -> VadResult:
    """Find the windows that are complete.

    Args:
        audio: everything that is kept of the channel, mono, 16 kHz.
        closed: no more audio follows directly: a window that is still open ends here.
        noise_dbfs: the noise where ``audio`` begins, as an earlier cut told it.
        config: thresholds and durations; the defaults when None.
    """
    config_or_default = config or VadConfig()
    voiced, noise = _voiced_frames(audio, noise_dbfs, config_or_default)
    pad, longest = _frame_count(config_or_default.pad_s), _frame_count(config_or_default.max_window_s)
    windows: list[tuple[int, int]] = []
    begin: int | None = None
    last = done = 0  # behind the last speech frame; behind the last window
    for frame, speech in enumerate(voiced):
        if speech:
            begin = frame if begin is None else begin
            last = frame + 1
        elif begin is not None and frame + 1 - last >= _closing_pause(last - begin, config_or_default):
            windows += _padded_window(audio, voiced, (begin, last, pad), done, config_or_default)
            done, begin = last + pad, None
        if begin is not None and frame + 1 - begin >= longest:
            at = _quietest_frame(audio, begin, frame + 1)
            windows += _padded_window(audio, voiced, (begin, at, 0), done, config_or_default)
            done, begin = at, at if last > at else None
    if closed:
        if begin is not None:
            windows += _padded_window(audio, voiced, (begin, last, pad), done, config_or_default)
        return VadResult(tuple(windows), audio.size, noise[-1] if noise else noise_dbfs)
    # Silence is dropped but for the padding of what may begin next.
    needed = max(done, (len(voiced) if begin is None else begin) - pad, 0)
    kept = min(needed, len(voiced))
    return VadResult(tuple(windows), kept * _FRAME_SAMPLES, noise[kept - 1] if kept else noise_dbfs)


def _voiced_frames(audio: Audio, noise_dbfs: float, use: VadConfig) -> tuple[list[bool], list[float]]:
    """For each frame, whether it is speech, and the noise by then."""
    import webrtcvad

    frames = audio.size // _FRAME_SAMPLES
    detector = webrtcvad.Vad(use.mode)
    shaped = audio[: frames * _FRAME_SAMPLES].reshape(frames, _FRAME_SAMPLES)
    pcm = (np.clip(shaped * use.gain, -1.0, 1.0) * _FULL_SCALE).astype("<i2")
    level = _levels_dbfs(shaped)
    still = _steady_levels(level, use)
    voiced: list[bool] = []
    noise: list[float] = []
    for n in range(frames):
        # The loudest of three frames: one quiet frame inside a word is not the line's noise.
        now = max(level[max(0, n - 2) : n + 1])
        noise_dbfs = min(max(noise_dbfs + use.noise_rise_db * FRAME_S, still[n]), now)
        noise.append(noise_dbfs)
        loud = level[n] > max(noise_dbfs + use.above_noise_db, use.floor_dbfs)
        # The detector hears every frame: it learns from the silent ones too.
        voiced.append(bool(detector.is_speech(pcm[n].tobytes(), SAMPLE_RATE)) and loud)
    return voiced, noise


def _levels_dbfs(frames: npt.NDArray[np.float32]) -> list[float]:
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return [float(level) for level in 10 * np.log10(power + _MIN_POWER)]


def _steady_levels(level: Sequence[float], use: VadConfig) -> list[float]:
    """For each frame, the level that stood still up to it, or nothing."""
    span = _frame_count(use.steady_s)
    nothing = [-np.inf] * len(level)
    if len(level) < span:
        return nothing
    spans = np.lib.stride_tricks.sliding_window_view(np.array(level), span)
    highest = spans.max(axis=1)
    stood = np.where(highest - spans.min(axis=1) < use.steady_db, highest, -np.inf)
    return [*nothing[: span - 1], *(float(each) for each in stood)]


def _padded_window(
    audio: Audio, voiced: Sequence[bool], span: tuple[int, int, int], done: int, use: VadConfig
) -> list[tuple[int, int]]:
    """A window with its padding, never reaching back into the one before; none when it holds too little speech."""
    begin, end, pad = span
    if sum(voiced[begin:end]) < _frame_count(use.min_speech_s):
        return []
    first = max(begin - _frame_count(use.pad_s), done, 0)
    return [(first * _FRAME_SAMPLES, min((end + pad) * _FRAME_SAMPLES, audio.size))]


def _closing_pause(spoken: int, use: VadConfig) -> int:
    return _frame_count(use.short_pause_s if spoken < _frame_count(use.short_window_s) else use.pause_s)


def _quietest_frame(audio: Audio, begin: int, end: int) -> int:
    """The frame in the last third around which the loudness over 0.2 s is least: a breath, most likely."""
    first = begin + (end - begin) * 2 // 3
    power = (
        np.square(audio[first * _FRAME_SAMPLES : end * _FRAME_SAMPLES], dtype=np.float64)
        .reshape(-1, _FRAME_SAMPLES)
        .mean(axis=1)
    )
    width = min(_frame_count(_BREATH_S), end - first)
    smooth = np.convolve(power, np.ones(width) / width, mode="valid")
    return first + int(smooth.argmin()) + width // 2


def _frame_count(seconds: float) -> int:
    return max(1, round(seconds / FRAME_S))
