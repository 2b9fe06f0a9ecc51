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

from mmplatform.derive.media.audio import RATE
from mmplatform.ports import Audio

FRAME_S: Final = 0.03
_FRAME: Final = int(RATE * FRAME_S)
_FULL_SCALE: Final = 32767
_LEAST_POWER: Final = 1e-12
_BREATH_S: Final = 0.2

QUIET_LINE_DBFS: Final = -60.0
"""The noise before anything was heard. A louder line is taken for speech until its noise is known, which is the safe
side."""


@dataclass(frozen=True, slots=True)
class Cutting:
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
    short_s: float = 2.5
    pad_s: float = 0.4
    longest_s: float = 20.0
    least_s: float = 0.12
    above_noise_db: float = 5.0
    noise_rise_db: float = 2.0
    still_s: float = 1.5
    still_db: float = 5.0
    gain: float = 4.0
    floor_dbfs: float = -65.0
    mode: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Closed windows as ``(start, end)`` in samples; the sample from which audio is still needed; the noise there."""

    windows: tuple[tuple[int, int], ...]
    keep_from: int
    noise_dbfs: float


def cut(audio: Audio, *, closed: bool, noise_dbfs: float = QUIET_LINE_DBFS, cutting: Cutting | None = None) -> Cut:
    """Find the windows that are complete.

    Args:
        audio: everything that is kept of the channel, mono, 16 kHz.
        closed: no more audio follows directly: a window that is still open ends here.
        noise_dbfs: the noise where ``audio`` begins, as an earlier cut told it.
        cutting: the parameters.
    """
    use = cutting or Cutting()
    voiced, noise = _voiced(audio, noise_dbfs, use)
    pad, longest = _frames(use.pad_s), _frames(use.longest_s)
    windows: list[tuple[int, int]] = []
    begin: int | None = None
    last = done = 0  # behind the last speech frame; behind the last window
    for frame, speech in enumerate(voiced):
        if speech:
            begin = frame if begin is None else begin
            last = frame + 1
        elif begin is not None and frame + 1 - last >= _pause(last - begin, use):
            windows += _window(audio, voiced, (begin, last, pad), done, use)
            done, begin = last + pad, None
        if begin is not None and frame + 1 - begin >= longest:
            at = _quietest(audio, begin, frame + 1)
            windows += _window(audio, voiced, (begin, at, 0), done, use)
            done, begin = at, at if last > at else None
    if closed:
        if begin is not None:
            windows += _window(audio, voiced, (begin, last, pad), done, use)
        return Cut(tuple(windows), audio.size, noise[-1] if noise else noise_dbfs)
    # Silence is dropped but for the padding of what may begin next.
    needed = max(done, (len(voiced) if begin is None else begin) - pad, 0)
    kept = min(needed, len(voiced))
    return Cut(tuple(windows), kept * _FRAME, noise[kept - 1] if kept else noise_dbfs)


def _voiced(audio: Audio, noise_dbfs: float, use: Cutting) -> tuple[list[bool], list[float]]:
    """For each frame, whether it is speech, and the noise by then."""
    import webrtcvad

    frames = audio.size // _FRAME
    detector = webrtcvad.Vad(use.mode)
    shaped = audio[: frames * _FRAME].reshape(frames, _FRAME)
    pcm = (np.clip(shaped * use.gain, -1.0, 1.0) * _FULL_SCALE).astype("<i2")
    level = _levels(shaped)
    still = _still(level, use)
    voiced: list[bool] = []
    noise: list[float] = []
    for n in range(frames):
        # The loudest of three frames: one quiet frame inside a word is not the line's noise.
        now = max(level[max(0, n - 2) : n + 1])
        noise_dbfs = min(max(noise_dbfs + use.noise_rise_db * FRAME_S, still[n]), now)
        noise.append(noise_dbfs)
        loud = level[n] > max(noise_dbfs + use.above_noise_db, use.floor_dbfs)
        # The detector hears every frame: it learns from the silent ones too.
        voiced.append(bool(detector.is_speech(pcm[n].tobytes(), RATE)) and loud)
    return voiced, noise


def _levels(frames: npt.NDArray[np.float32]) -> list[float]:
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return [float(level) for level in 10 * np.log10(power + _LEAST_POWER)]


def _still(level: Sequence[float], use: Cutting) -> list[float]:
    """For each frame, the level that stood still up to it, or nothing."""
    span = _frames(use.still_s)
    nothing = [-np.inf] * len(level)
    if len(level) < span:
        return nothing
    spans = np.lib.stride_tricks.sliding_window_view(np.array(level), span)
    highest = spans.max(axis=1)
    stood = np.where(highest - spans.min(axis=1) < use.still_db, highest, -np.inf)
    return [*nothing[: span - 1], *(float(each) for each in stood)]


def _window(
    audio: Audio, voiced: Sequence[bool], span: tuple[int, int, int], done: int, use: Cutting
) -> list[tuple[int, int]]:
    """A window with its padding, never reaching back into the one before; none when it holds too little speech."""
    begin, end, pad = span
    if sum(voiced[begin:end]) < _frames(use.least_s):
        return []
    first = max(begin - _frames(use.pad_s), done, 0)
    return [(first * _FRAME, min((end + pad) * _FRAME, audio.size))]


def _pause(spoken: int, use: Cutting) -> int:
    return _frames(use.short_pause_s if spoken < _frames(use.short_s) else use.pause_s)


def _quietest(audio: Audio, begin: int, end: int) -> int:
    """The frame in the last third around which the loudness over 0.2 s is least: a breath, most likely."""
    first = begin + (end - begin) * 2 // 3
    power = np.square(audio[first * _FRAME : end * _FRAME], dtype=np.float64).reshape(-1, _FRAME).mean(axis=1)
    width = min(_frames(_BREATH_S), end - first)
    smooth = np.convolve(power, np.ones(width) / width, mode="valid")
    return first + int(smooth.argmin()) + width // 2


def _frames(seconds: float) -> int:
    return max(1, round(seconds / FRAME_S))
