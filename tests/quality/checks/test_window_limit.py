"""The checks of a figure against its limit."""

from __future__ import annotations

import pytest

from quality.checks.window_limit import check_limit
from quality.windows.limits import check_limits
from tests.quality.windows.windows import days, window


def check(table, name, current, baseline=()):
    return check_limit(name, check_limits(table, current.figures)[name], current, list(baseline))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("null_rate", 0.2, 0.6),
        ("duplicate_rate", 0.3, 0.6),
        ("redacted_share", 0.5, 0.99),
        ("confidence", 0.8, 0.3),
    ],
)
def test_a_broken_limit_is_an_error_with_a_plot(name, good, bad):
    assert check("transcripts", name, window(**{name: good})).passed
    result = check("transcripts", name, window(**{name: bad}))
    assert not result.passed
    assert result.severity == "ERROR"
    assert result.metadata[name] == bad
    assert f"{bad}" in result.description
    assert "data:image/svg+xml" in result.metadata["plot"].text


@pytest.mark.parametrize("name", ["null_rate", "duplicate_rate", "redacted_share", "confidence"])
def test_a_small_hour_never_fails(name):
    result = check("transcripts", name, window(volume=49, **{name: 0.0 if name == "confidence" else 1.0}))
    assert result.passed
    assert "too few to judge" in result.description


def test_an_hour_without_the_figure_passes():
    assert check("transcripts", "confidence", window()).description == "no rows with this figure"


def test_redaction_that_stops_is_an_error_where_usually_much_is_redacted():
    result = check("messages", "redacted_share", window(volume=200, redacted_share=0.0), days(4, redacted_share=0.3))
    assert not result.passed
    assert "redactor may be off" in result.description


def test_an_hour_without_personal_data_passes_where_there_usually_is_little():
    current = window(volume=200, redacted_share=0.0)
    assert check("messages", "redacted_share", current, days(4, redacted_share=0.05)).passed
    assert check("messages", "redacted_share", current, days(2, redacted_share=0.5)).passed, "too little history"
    assert check("messages", "redacted_share", current).passed
