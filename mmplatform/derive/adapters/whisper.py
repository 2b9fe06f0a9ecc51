"""Speech to text by faster-whisper (CTranslate2), with guards against words that nobody said.

Whisper was trained to always write something: on noise, tones and silence it invents sentences ("I'm not gonna let you
go"). So a segment is dropped when the decoder doubts it by its own measures: the thresholds are Whisper's own (Radford
et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 4.5), applied to each segment, and
stricter where the two doubts meet. Decoding is greedy or by beam, never sampled: the same audio has the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmplatform.derive.adapters.model_files import fingerprint
from mmplatform.derive.media.audio import RATE
from mmplatform.errors import Misconfigured
from mmplatform.ports import Audio, Segment, SpokenWord

_RULES: Final = "3"
"""Raised whenever guards or decoding change, so that no memo answers for another rule."""

_NO_REPEATS: Final = 4
_TOKENS_A_SECOND: Final = 25
_MOST_TOKENS: Final = 440
"""No language is spoken faster, in Whisper's tokens; on noise the decoder would else run on to its limit of 448."""

_QUIET: Final = 1e-3
"""Peak amplitude (-60 dBFS) under which there is nothing to recognise."""


@dataclass(frozen=True, slots=True)
class Guards:
    """When a segment is not believed. Real speech, shouted, mumbled or over a telephone, stays below 0.66 no-speech.

    Nobody speaks as fast as the decoder puts what it makes up: 8 to 160 words a second, and real speech has 5 at most.
    Over music both doubts are moderate at once (0.4, -0.9); of 80 segments of real speech, half of them over a
    telephone, none is as doubtful on both sides (``python -m benchmarks.accuracy``).
    """

    no_speech: float = 0.6
    perhaps_no_speech: float = 0.4
    doubtful_log_probability: float = -0.8
    certainly_no_speech: float = 0.8
    log_probability: float = -1.0
    hopeless_log_probability: float = -1.5
    compression_ratio: float = 2.4
    word_probability: float = 0.35
    words_a_second: float = 8.0

    def believe(self, segment: Segment) -> bool:
        """Whether somebody said this."""
        return not self._doubted(segment) and self._can_be_said(segment)

    def _doubted(self, segment: Segment) -> bool:
        """Whether the decoder doubts it: that there is speech, that these are the words, or both a little."""
        no_speech, log_probability = segment.no_speech, segment.mean_log_probability
        return (
            no_speech > self.certainly_no_speech
            or log_probability < self.hopeless_log_probability
            or (no_speech > self.no_speech and log_probability < self.log_probability / 2)
            or (no_speech > self.perhaps_no_speech and log_probability < self.doubtful_log_probability)
        )

    def _can_be_said(self, segment: Segment) -> bool:
        """Whether these are words, heard well enough, no faster than anybody speaks, and not the same ones for ever."""
        words = segment.words
        if segment.compression_ratio > self.compression_ratio or not any(letter.isalnum() for letter in segment.text):
            return False
        if len(words) > 1 and len(words) > self.words_a_second * (segment.end_s - segment.start_s):
            return False
        return bool(words) and float(np.mean([word.probability for word in words])) >= self.word_probability

    def went_in_circles(self, segments: Sequence[Segment]) -> bool:
        """Whether somebody spoke, and the decoder fell into repeating itself over it."""
        return any(
            segment.compression_ratio > self.compression_ratio and segment.no_speech <= self.no_speech
            for segment in segments
        )


class WhisperTranscriber:
    """A Whisper model in a local directory; one at a time is decoded, on ``threads`` threads.

    Raises:
        Misconfigured: the directory holds no such model.
    """

    def __init__(
        self,
        directory: Path,
        *,
        beam: int = 1,
        threads: int = 1,
        language: str | None = None,
        guards: Guards | None = None,
    ) -> None:
        from faster_whisper import WhisperModel

        self.name: str = directory.name
        # Whatever changes the words is part of the version: a memo must not answer for another setting.
        self.version: str = f"{fingerprint(directory / 'model.bin')}-r{_RULES}-b{beam}-{language or 'auto'}"
        self._beam = beam
        self._language = language
        self._guards = guards or Guards()
        try:
            self._model: Any = WhisperModel(
                str(directory), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=1
            )
        except Exception as error:
            raise Misconfigured(
                f"cannot load the speech model in {directory}: {type(error).__name__}; pull it again"
            ) from error
        self._encode_anew = self._model.encode
        self._encoded: tuple[Any, Any] | None = None
        self._model.encode = self._encode
        self.warm_up()

    def warm_up(self) -> None:
        """Decode a second of silence: the first call allocates what all others use."""
        self._decode(np.zeros(RATE, dtype=np.float32), self._language)

    def transcribe(self, audio: Audio, *, language: str | None = None) -> list[Segment]:
        """Segments in time order; an empty list for what is not speech."""
        if audio.size == 0 or float(np.abs(audio).max()) < _QUIET:
            return []
        told = language or self._language or self._tell(audio)
        found = self._decode(audio, told)
        if self._guards.went_in_circles(found):
            found = self._decode(audio, told, no_repeat_ngram_size=_NO_REPEATS)
        self._encoded = None
        return [segment for segment in found if self._guards.believe(segment)]

    def _tell(self, audio: Audio) -> str:
        """The language of the first 30 s. faster-whisper's own detection would pay for the encoder a second time."""
        from faster_whisper.audio import pad_or_trim

        model = self._model
        if not model.model.is_multilingual:
            return "en"
        features = model.feature_extractor(audio)
        # Cut as the decoder cuts its first window (it leaves the last frame off), so that it finds this encoding.
        first = features[:, : min(model.feature_extractor.nb_max_frames, features.shape[-1] - 1)]
        token, _ = model.model.detect_language(model.encode(pad_or_trim(first)))[0][0]
        return str(token[2:-2])

    def _encode(self, features: Any) -> Any:
        """Encode, or answer with the last encoding when it is of the same features."""
        if self._encoded is None or not np.array_equal(self._encoded[0], features):
            self._encoded = features, self._encode_anew(features)
        return self._encoded[1]

    def _decode(self, audio: Audio, language: str | None, **options: int) -> list[Segment]:
        length_s = audio.size / RATE
        found, info = self._model.transcribe(
            audio,
            language=language,
            beam_size=self._beam,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
            vad_filter=False,
            max_new_tokens=min(_MOST_TOKENS, _TOKENS_A_SECOND * (1 + int(length_s))),
            **options,
        )
        return [_segment(segment, info.language, length_s) for segment in found]


def _segment(segment: Any, language: str, length_s: float) -> Segment:
    """Times end with the audio: the decoder sees 30 s, most of them padding."""
    words = tuple(
        SpokenWord(
            min(float(word.start), length_s), min(float(word.end), length_s), word.word.strip(), float(word.probability)
        )
        for word in segment.words or ()
        if word.word.strip()
    )
    return Segment(
        start_s=min(float(segment.start), length_s),
        end_s=min(float(segment.end), length_s),
        text=segment.text.strip(),
        words=words,
        no_speech=float(segment.no_speech_prob),
        mean_log_probability=float(segment.avg_logprob),
        compression_ratio=float(segment.compression_ratio),
        language=language,
    )
