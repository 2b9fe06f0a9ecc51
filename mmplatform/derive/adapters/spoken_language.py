"""Choice of the language of speech, and the check that words are in it: Whisper writes any speech as any language.

It translates foreign speech into the language that it is given, or invents words. Three measures together show that:
the probability of the detected language, that of the expected one, and how sure the decoder is of its words in each.

The thresholds lie between what Whisper base measures on windows from 3 s. Of 105 with English speech (persons, also
over a telephone; synthesizers with accents), English has a probability of .47 or more and its words a mean log
probability of -1.06 or more. Of 72 with foreign speech (a synthesizer in 19 languages, also over a telephone; persons
in three), English has at most .51; the persons' own words have -0.66 or more. No foreign window keeps English words,
and no English one loses what the filter accepts. Below 3 s, 7 of 24 keep English words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mmplatform.ports import Segment

Decode = Callable[[str], list[Segment]]
"""Decodes the window in a language."""

CLEAR_LANGUAGE: Final = 0.6
"""Probability from which a language is spoken."""

_CLEAR_SHORT_LANGUAGE: Final = 0.85
_LIKELY_LANGUAGE: Final = 0.5
_IMPROBABLE_LANGUAGE: Final = 0.05
"""Probability up to which the expected language is not spoken: short Japanese has 0.01 English, short English 0.3."""

_MIN_LANGUAGE_S: Final = 3.0
"""A shorter window may be detected as any language ("okay")."""

_MIN_DETECTED: Final = 0.3
_MIN_DETECTED_LOG_PROBABILITY: Final = -0.85
_MIN_ADVANTAGE: Final = 0.25
"""Words in a language that is detected but not clear: likely ones, and more so than those in the expected language."""

_MIN_FOREIGN_LOG_PROBABILITY: Final = -1.0
"""Whisper's own threshold. Below it a third of the words is right at best, or the language is wrong."""

_MIN_ENGLISH_LOG_PROBABILITY: Final = -1.0
"""Threshold of Whisper tiny.en from 3 s on: 97 windows of English speech lie above it, and 6 of 83 of foreign one."""

_MIN_EXPECTED: Final = 0.1
_MIN_LIKELY_LOG_PROBABILITY: Final = -1.05
_MIN_UNCLEAR_LOG_PROBABILITY: Final = -0.8
"""Sureness of words in the expected language, from where it is likely and from where it is probable."""


@dataclass(frozen=True, slots=True)
class HeardSpeech:
    """Decoded window; ``is_credible``: its words, if any, are in the language that is spoken."""

    language: str
    probability: float
    segments: list[Segment]
    is_credible: bool


def hear(decode: Decode, probabilities: Mapping[str, float], expected: str | None, length_s: float) -> HeardSpeech:
    """Decode a window in the language that is spoken in it, as far as that can be known.

    Args:
        decode: run once, or twice where another language than the expected one is likely and not clear.
        probabilities: of the languages.
        expected: language to prefer; None: the detected one is it.
        length_s: duration of the window.
    """
    detected = max(probabilities, key=lambda language: probabilities[language])
    if expected is None:
        return HeardSpeech(detected, probabilities[detected], decode(detected), is_credible=True)
    if detected == expected:
        return _in_expected(decode(expected), expected, probabilities[expected])
    probability, expected_probability = probabilities[detected], probabilities.get(expected, 0.0)
    if _is_clear(probability, expected_probability, length_s):
        segments = decode(detected)
        is_credible = mean_log_probability(segments) >= _MIN_FOREIGN_LOG_PROBABILITY
        return HeardSpeech(detected, probability, segments, is_credible)
    in_expected = _in_expected(decode(expected), expected, expected_probability)
    if probability >= _MIN_DETECTED:
        segments = decode(detected)
        sureness = mean_log_probability(segments)
        advantage = sureness - mean_log_probability(in_expected.segments)
        if sureness >= _MIN_DETECTED_LOG_PROBABILITY and advantage >= _MIN_ADVANTAGE:
            return HeardSpeech(detected, probability, segments, is_credible=True)
    if in_expected.is_credible:
        return in_expected
    return HeardSpeech(detected, probability, in_expected.segments, is_credible=False)


def hear_english(decode: Decode, length_s: float) -> HeardSpeech:
    """Decode a window by a model that has no other language: in long foreign speech it is less sure of its words."""
    segments = decode("en")
    is_credible = length_s < _MIN_LANGUAGE_S or mean_log_probability(segments) >= _MIN_ENGLISH_LOG_PROBABILITY
    return HeardSpeech("en", 1.0, segments, is_credible)


def mean_log_probability(segments: Sequence[Segment]) -> float:
    """Mean log probability of the decoded tokens, by the duration of the segments; minus infinity without any."""
    duration_s = sum(segment.end_s - segment.start_s for segment in segments)
    if duration_s <= 0:
        return max((segment.mean_log_probability for segment in segments), default=float("-inf"))
    weighted = sum(segment.mean_log_probability * (segment.end_s - segment.start_s) for segment in segments)
    return weighted / duration_s


def _is_clear(probability: float, expected_probability: float, length_s: float) -> bool:
    """Check that the detected language is spoken, and not the expected one."""
    if expected_probability <= _IMPROBABLE_LANGUAGE:
        return probability >= _LIKELY_LANGUAGE
    return probability >= (CLEAR_LANGUAGE if length_s >= _MIN_LANGUAGE_S else _CLEAR_SHORT_LANGUAGE)


def _in_expected(segments: list[Segment], language: str, probability: float) -> HeardSpeech:
    """Judge words in the expected language: the less probable it is, the surer they must be."""
    likely = probability >= _LIKELY_LANGUAGE
    min_log_probability = _MIN_LIKELY_LOG_PROBABILITY if likely else _MIN_UNCLEAR_LOG_PROBABILITY
    is_sure = mean_log_probability(segments) >= min_log_probability
    is_credible = probability >= CLEAR_LANGUAGE or (probability >= _MIN_EXPECTED and is_sure)
    return HeardSpeech(language, probability, segments, is_credible)
