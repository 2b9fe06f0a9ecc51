"""Voice activity detectors to compare: the product's own, and Silero's network, which faster-whisper bundles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from mmplatform.derive.call import vad
from mmplatform.ports import Audio

WEBRTC: Final = "webrtc"
SILERO: Final = "silero"
_SILERO_SAMPLES: Final = 512
_SILERO_FRAME_S: Final = 0.032
RELEASE_RATIO: Final = 0.6
"""Speech goes on until the probability is below this part of the threshold, as in Silero's own hysteresis."""


@contextmanager
def detector(name: str, threshold: float) -> Iterator[None]:
    """Within the block the product's segmenter uses this detector; its pauses, pads and cuts stay as they are."""
    if name == WEBRTC:
        yield
        return
    names = ("FRAME_S", "_FRAME_SAMPLES", "_voiced_frames")
    before = {name_in_module: getattr(vad, name_in_module) for name_in_module in names}
    after = {"FRAME_S": _SILERO_FRAME_S, "_FRAME_SAMPLES": _SILERO_SAMPLES, "_voiced_frames": _silero(threshold)}
    for name_in_module in names:
        setattr(vad, name_in_module, after[name_in_module])
    try:
        yield
    finally:
        for name_in_module in names:
            setattr(vad, name_in_module, before[name_in_module])


VoicedFrames = Callable[[Audio, float, vad.VadConfig], tuple[list[bool], list[float]]]


def _silero(threshold: float) -> VoicedFrames:
    from faster_whisper.vad import get_vad_model

    model = get_vad_model()

    def voiced_frames(audio: Audio, noise_dbfs: float, config: vad.VadConfig) -> tuple[list[bool], list[float]]:  # noqa: ARG001
        count = audio.size // _SILERO_SAMPLES
        if not count:
            return [], []
        # A copy: the model writes into its input.
        samples = np.array(audio[: count * _SILERO_SAMPLES], dtype=np.float32)
        voiced, speaking = [], False
        for probability in np.asarray(model(samples)).ravel():
            speaking = bool(probability >= threshold * (RELEASE_RATIO if speaking else 1.0))
            voiced.append(speaking)
        return voiced, [noise_dbfs] * count

    return voiced_frames
