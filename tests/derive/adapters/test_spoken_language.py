"""The language of a window of speech, by what the model measured on real and synthesised speech."""

from __future__ import annotations

import pytest

from mmplatform.derive.adapters.spoken_language import hear, hear_english, mean_log_probability
from mmplatform.ports import Segment, SpokenWord


class ScriptedDecoder:
    """Decodes with a given mean log probability in each language."""

    def __init__(self, **log_probabilities):
        self.log_probabilities = log_probabilities
        self.languages = []

    def __call__(self, language):
        self.languages.append(language)
        return [segment(language, self.log_probabilities[language])]


def segment(language, log_probability, start_s=0.0, end_s=4.0):
    words = (SpokenWord(start_s, end_s, language, 0.8),)
    return Segment(start_s, end_s, language, words, 0.1, log_probability, 1.1, language)


@pytest.mark.parametrize(
    ("probabilities", "length_s", "decoded", "language"),
    [
        ({"en": 0.98}, 18.5, {"en": -1.3}, "en"),  # clear: doubtful words are the filter's matter
        ({"en": 0.47, "ja": 0.2}, 4.4, {"en": -0.66}, "en"),  # a person who hesitates
        ({"en": 0.59, "de": 0.22}, 4.3, {"en": -1.0}, "en"),
        ({"en": 0.55, "nn": 0.1}, 4.1, {"en": -0.43}, "en"),  # an accent
        ({"en": 0.32, "fi": 0.2}, 2.2, {"en": -0.52}, "en"),  # short
        ({"sv": 0.6, "en": 0.3}, 1.4, {"en": -0.5, "sv": -0.7}, "en"),  # "okay" may be any language
        ({"de": 0.98, "en": 0.01}, 6.7, {"de": -0.35}, "de"),
        ({"sv": 0.7, "en": 0.3}, 4.0, {"sv": -0.6}, "sv"),
        ({"es": 0.9, "en": 0.03}, 1.4, {"es": -0.6}, "es"),
        ({"ja": 0.58, "en": 0.01}, 1.8, {"ja": -0.9}, "ja"),  # short, and English is out of the question
        ({"es": 0.47, "en": 0.04}, 5.5, {"en": -1.68, "es": -0.65}, "es"),  # not clear, and the words are
        ({"de": 0.42, "en": 0.13}, 5.5, {"en": -1.53, "de": -0.74}, "de"),
    ],
)
def test_words_in_the_spoken_language(probabilities, length_s, decoded, language):
    heard = hear(ScriptedDecoder(**decoded), probabilities, "en", length_s)
    assert (heard.language, heard.probability, heard.is_credible) == (language, probabilities[language], True)
    assert [found.language for found in heard.segments] == [language]


@pytest.mark.parametrize(
    ("probabilities", "length_s", "decoded", "language"),
    [
        ({"en": 0.5, "nn": 0.18}, 4.2, {"en": -1.12}, "en"),  # Dutch: English is likely, its words are not
        ({"de": 0.35, "en": 0.29}, 4.5, {"en": -1.15, "de": -1.02}, "de"),
        ({"pt": 0.28, "en": 0.03}, 3.1, {"en": -0.63}, "pt"),  # a sure translation, by far not English
        ({"nn": 0.43, "en": 0.15}, 5.8, {"en": -1.04, "nn": -1.13}, "nn"),
        ({"la": 0.39, "en": 0.06}, 5.5, {"en": -0.58, "la": -0.44}, "la"),  # Italian: no more sure than English
        ({"hu": 0.87, "en": 0.01}, 6.5, {"hu": -1.13}, "hu"),  # Turkish, clearly mistaken for Hungarian
        ({"ko": 0.4, "en": 0.02}, 1.4, {"en": -0.5, "ko": -0.9}, "ko"),
    ],
)
def test_words_that_are_in_no_language_that_was_spoken(probabilities, length_s, decoded, language):
    heard = hear(ScriptedDecoder(**decoded), probabilities, "en", length_s)
    assert (heard.language, heard.probability, heard.is_credible) == (language, probabilities[language], False)


def test_clear_speech_is_decoded_once():
    for probabilities in ({"en": 0.9}, {"de": 0.9, "en": 0.01}):
        decoder = ScriptedDecoder(en=-0.3, de=-0.3)
        hear(decoder, probabilities, "en", 4.0)
        assert len(decoder.languages) == 1


def test_without_an_expected_language_the_detected_one_is_it():
    heard = hear(ScriptedDecoder(nn=-1.2), {"nn": 0.3, "en": 0.2}, None, 4.0)
    assert (heard.language, heard.is_credible) == ("nn", True)


@pytest.mark.parametrize(
    ("length_s", "log_probability", "is_credible"),
    [(4.5, -0.96, True), (4.5, -1.13, False), (1.9, -1.13, True)],
)
def test_a_model_of_english_alone_has_no_words_for_long_speech_of_which_it_is_not_sure(
    length_s, log_probability, is_credible
):
    heard = hear_english(ScriptedDecoder(en=log_probability), length_s)
    assert (heard.language, heard.is_credible) == ("en", is_credible)


def test_the_sureness_of_a_window_is_that_of_its_longer_segments():
    found = [segment("en", -0.4, 0.0, 9.0), segment("en", -1.4, 9.0, 10.0)]
    assert mean_log_probability(found) == pytest.approx(-0.5)
    assert mean_log_probability([segment("en", -0.4, 1.0, 1.0)]) == -0.4
    assert mean_log_probability([]) == float("-inf")
