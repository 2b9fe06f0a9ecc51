"""The check of an hour's languages against the usual mix."""

from __future__ import annotations

from quality.checks.language_mix import check_language_mix
from tests.quality.windows.windows import days, window

USUAL = {"en": 0.7, "de": 0.3}


def test_a_usual_mix_passes():
    assert check_language_mix(window(languages={"en": 0.6, "de": 0.35, "fr": 0.05}), days(4, languages=USUAL)).passed


def test_another_mix_is_a_warning_that_names_the_language():
    result = check_language_mix(window(languages={"en": 0.2, "de": 0.3, "cy": 0.5}), days(4, languages=USUAL))
    assert not result.passed
    assert result.severity == "WARN"
    assert result.metadata["distance"] == 0.5
    assert {row["language"]: row["now"] for row in result.metadata["shares"].rows} == {"en": 0.2, "de": 0.3, "cy": 0.5}
    assert result.metadata["plot"].text.startswith("![share of ")


def test_small_hours_and_little_history_pass():
    other = {"cy": 1.0}
    assert check_language_mix(window(volume=20, languages=other), days(4, languages=USUAL)).passed
    result = check_language_mix(window(languages=other), days(2, languages=USUAL))
    assert result.passed
    assert "too little history" in result.description
    assert check_language_mix(window(languages=other), days(4)).passed, "hours without a language are no history"
