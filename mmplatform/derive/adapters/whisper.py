"""Speech → text by faster-whisper (CTranslate2), with a filter against hallucinated words.

Whisper was trained to always write something: on noise, tones and silence it invents sentences ("I'm not gonna let you
go"). So a segment is dropped when the decoder's measures doubt it. The thresholds are Whisper's own (Radford et al.,
"Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 4.5), applied to each segment, and stricter
where both measures doubt. Decoding is greedy or by beam search, never sampled: the same audio has the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmplatform.derive.adapters.model_files import weights_fingerprint
from mmplatform.derive.adapters.spoken_language import CLEAR_LANGUAGE, hear, hear_english
from mmplatform.derive.media.audio import SAMPLE_RATE
from mmplatform.errors import Misconfigured
from mmplatform.ports import Audio, Segment, SpokenWord

_RULES_VERSION: Final = "6"
"""Increased whenever filter or decoding change, so that no memo answers for another rule."""

_NO_REPEAT_NGRAM_SIZE: Final = 4
_MAX_TOKENS_PER_SECOND: Final = 25
_MAX_TOKENS: Final = 440
"""No language is spoken faster, in Whisper's tokens; on noise the decoder would else run to its limit of 448."""

_VOICE_PROBABILITY: Final = 0.8
"""Real speech reaches 0.96, an electric buzzer in the rhythm of syllables 0.59, noise 0.25."""

_MIN_VOICED_FRAMES: Final = 3
_VOICE_FRAME: Final = 512
"""Samples that Silero's detector judges at once: 32 ms. The shortest word has 6 voiced frames, noise none."""

_SILENCE_PEAK: Final = 1e-3
"""Peak amplitude (-60 dBFS) below which nothing is recognised."""


@dataclass(frozen=True, slots=True)
class HallucinationFilter:
    """Thresholds of a credible segment. Real speech, shouted, mumbled or over a telephone, stays below 0.66 no-speech.

    Hallucinated words come at 8 to 160 words a second; real speech has at most 5. Over music both doubts are moderate
    at once (0.4, -0.9); of 80 segments of real speech, half of them over a telephone, none is as doubtful by both
    measures (``python -m benchmarks.accuracy``).
    """

    no_speech_threshold: float = 0.6
    suspect_no_speech: float = 0.4
    suspect_log_probability: float = -0.8
    max_no_speech: float = 0.8
    log_probability_threshold: float = -1.0
    min_log_probability: float = -1.5
    compression_ratio_threshold: float = 2.4
    min_word_probability: float = 0.35
    max_words_per_second: float = 8.0
    speech_no_speech: float = 0.3
    min_speech_words: int = 3

    def accepts(self, segment: Segment) -> bool:
        """Check that a segment is credible speech."""
        return not self._is_doubtful(segment) and self._is_plausible(segment)

    def _is_doubtful(self, segment: Segment) -> bool:
        """Check for the decoder's doubt: of speech, of these words, or a little of both."""
        no_speech, log_probability = segment.no_speech, segment.mean_log_probability
        return (
            no_speech > self.max_no_speech
            or log_probability < self.min_log_probability
            or (no_speech > self.no_speech_threshold and log_probability < self.log_probability_threshold / 2)
            or (no_speech > self.suspect_no_speech and log_probability < self.suspect_log_probability)
        )

    def _is_plausible(self, segment: Segment) -> bool:
        """Check for probable words, at the rate of speech, and without endless repetition."""
        words = segment.words
        if segment.compression_ratio > self.compression_ratio_threshold or not any(
            letter.isalnum() for letter in segment.text
        ):
            return False
        if len(words) > 1 and len(words) > self.max_words_per_second * (segment.end_s - segment.start_s):
            return False
        return bool(words) and float(np.mean([word.probability for word in words])) >= self.min_word_probability

    def is_speech(self, segment: Segment) -> bool:
        """Check for certain speech, though its words are doubtful: another sound would be doubtful as speech too."""
        words = len(segment.words)
        spoken_s = segment.end_s - segment.start_s
        return (
            segment.no_speech < self.speech_no_speech
            and segment.mean_log_probability >= self.min_log_probability
            and segment.compression_ratio <= self.compression_ratio_threshold
            and self.min_speech_words <= words <= self.max_words_per_second * spoken_s
        )

    def is_repetitive(self, segments: Sequence[Segment]) -> bool:
        """Check for speech over which the decoder began to repeat itself."""
        return any(
            segment.compression_ratio > self.compression_ratio_threshold
            and segment.no_speech <= self.no_speech_threshold
            for segment in segments
        )


class WhisperTranscriber:
    """Transcriber on a Whisper model in a local directory; decodes one audio at a time, on ``threads`` threads.

    Raises:
        Misconfigured: the directory holds no such model.
    """

    def __init__(
        self,
        directory: Path,
        *,
        beam_size: int = 1,
        threads: int = 1,
        language: str | None = None,
        hallucination_filter: HallucinationFilter | None = None,
    ) -> None:
        from faster_whisper import WhisperModel

        self.name: str = directory.name
        # Every setting that changes the words is part of the version: no memo must answer for another setting.
        self.version: str = (
            f"{weights_fingerprint(directory / 'model.bin')}-r{_RULES_VERSION}-b{beam_size}-{language or 'auto'}"
        )
        self._beam_size = beam_size
        self._language = language
        self._hallucination_filter = hallucination_filter or HallucinationFilter()
        try:
            self._model: Any = WhisperModel(
                str(directory), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=1
            )
        except Exception as error:
            raise Misconfigured(
                f"cannot load the speech model in {directory}: {type(error).__name__}; pull it again"
            ) from error
        self._run_encoder = self._model.encode
        self._last_encoding: tuple[Any, Any] | None = None
        self._model.encode = self._encode
        self.warm_up()

    def warm_up(self) -> None:
        """Run encoder and decoder once, on a second of silence and one token.

        A transcription would encode 30 s, for 1.5 s of processor. The first one takes 0.2 s more than the second one.
        """
        model = self._model
        frames = SAMPLE_RATE // model.feature_extractor.hop_length
        features = model.feature_extractor(np.zeros(SAMPLE_RATE, dtype=np.float32))[:, :frames]
        start = model.hf_tokenizer.token_to_id("<|startoftranscript|>")
        model.model.generate(self._run_encoder(features), [[start]], max_length=2)

    def transcribe(self, audio: Audio, *, language: str | None = None) -> list[Segment]:
        """Transcribe into segments in time order; an empty list without speech.

        Speech without credible words, as of one short syllable or in an unclear language, is a segment without words.
        """
        if audio.size == 0 or float(np.abs(audio).max()) < _SILENCE_PEAK:
            return []
        length_s = audio.size / SAMPLE_RATE
        decode = partial(self._decode_steadily, audio)
        if self._model.model.is_multilingual:
            heard = hear(decode, self._detect_languages(audio), language or self._language, length_s)
        else:
            heard = hear_english(decode, length_s)
        self._last_encoding = None
        found = [replace(segment, language_probability=heard.probability) for segment in heard.segments]
        accepted = [segment for segment in found if self._hallucination_filter.accepts(segment)]
        if accepted and heard.is_credible:
            return accepted
        certain = [segment for segment in found if self._hallucination_filter.is_speech(segment)]
        if certain and heard.probability >= CLEAR_LANGUAGE:
            return [replace(segment, words=(), text="") for segment in certain]
        # What the filter accepts is speech, also where its words are in another language.
        is_speech = bool(accepted) or _is_voiced(audio)
        return [_wordless(length_s, heard.language, heard.probability)] if is_speech else []

    def _decode_steadily(self, audio: Audio, language: str) -> list[Segment]:
        """Decode, and once more where the decoder begins to repeat itself over speech."""
        found = self._decode(audio, language)
        if self._hallucination_filter.is_repetitive(found):
            return self._decode(audio, language, no_repeat_ngram_size=_NO_REPEAT_NGRAM_SIZE)
        return found

    def _detect_languages(self, audio: Audio) -> dict[str, float]:
        """Detect the language of the first 30 s; faster-whisper's own detection would run the encoder a second time."""
        from faster_whisper.audio import pad_or_trim

        model = self._model
        features = model.feature_extractor(audio)
        # Cut as the decoder cuts its first window (it leaves the last frame off), so that it finds this encoding.
        first = features[:, : min(model.feature_extractor.nb_max_frames, features.shape[-1] - 1)]
        detected = model.model.detect_language(model.encode(pad_or_trim(first)))[0]
        return {str(token[2:-2]): float(probability) for token, probability in detected}

    def _encode(self, features: Any) -> Any:
        """Encode features, or reuse the last encoding when the features are the same."""
        if self._last_encoding is None or not np.array_equal(self._last_encoding[0], features):
            self._last_encoding = features, self._run_encoder(features)
        return self._last_encoding[1]

    def _decode(self, audio: Audio, language: str | None, **options: int) -> list[Segment]:
        length_s = audio.size / SAMPLE_RATE
        found, info = self._model.transcribe(
            audio,
            language=language,
            beam_size=self._beam_size,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
            vad_filter=False,
            max_new_tokens=min(_MAX_TOKENS, _MAX_TOKENS_PER_SECOND * (1 + int(length_s))),
            **options,
        )
        return [_segment(segment, info.language, length_s) for segment in found]


def _is_voiced(audio: Audio) -> bool:
    """Check for a voice by Silero's detector, which tells it from noise and clicks in 0.1 s."""
    from faster_whisper.vad import get_vad_model

    padded = np.pad(audio.astype(np.float32), (0, -audio.size % _VOICE_FRAME))
    probabilities = np.asarray(get_vad_model()(padded)).ravel()
    return int((probabilities >= _VOICE_PROBABILITY).sum()) >= _MIN_VOICED_FRAMES


def _wordless(length_s: float, language: str, probability: float) -> Segment:
    """Build the segment of a voice without credible words."""
    return Segment(0.0, length_s, "", (), 0.0, 0.0, 1.0, language, probability)


def _segment(segment: Any, language: str, length_s: float) -> Segment:
    """Convert a segment; its times end with the audio, because the decoder sees 30 s with padding."""
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
