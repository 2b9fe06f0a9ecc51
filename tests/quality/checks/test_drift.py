"""The check of an hour's shares against their usual range."""

from __future__ import annotations

from quality.checks.drift import check_drift
from tests.quality.windows.windows import days, window

NAMES = ("null_rate", "duplicate_rate", "redacted_share", "confidence")
USUAL = {"null_rate": 0.1, "duplicate_rate": 0.05, "redacted_share": [0.2, 0.22, 0.19, 0.2], "confidence": 0.85}


def test_usual_shares_pass():
    result = check_drift(NAMES, window(null_rate=0.15, redacted_share=0.25, confidence=0.8), days(4, **USUAL))
    assert result.passed
    assert {row["figure"] for row in result.metadata["figures"].rows} == {"null_rate", "redacted_share", "confidence"}


def test_an_unusual_share_is_a_warning_that_names_it():
    result = check_drift(NAMES, window(null_rate=0.1, redacted_share=0.6, confidence=0.84), days(4, **USUAL))
    assert not result.passed
    assert result.severity == "WARN"
    assert result.description == "share of texts with a redacted value: 0.6, usually 0.2"
    assert result.metadata["plot"].text.startswith("![share of texts with a redacted value]")


def test_confidence_that_falls_is_drift_before_it_breaks_its_limit():
    assert not check_drift(NAMES, window(confidence=0.6), days(4, **USUAL)).passed


def test_small_hours_and_little_history_pass():
    assert "too few to judge" in check_drift(NAMES, window(volume=10, null_rate=1.0), days(4, **USUAL)).description
    assert "too little history" in check_drift(NAMES, window(null_rate=1.0), days(2, null_rate=0.1)).description
    small_past = days(4, volume=10, null_rate=0.1)
    assert check_drift(NAMES, window(null_rate=1.0), small_past).passed, "small hours are no history"
