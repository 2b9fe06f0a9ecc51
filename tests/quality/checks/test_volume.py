"""The check of an hour's volume: few, many or no rows, quiet hours, hours that still run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quality.checks.volume import check_volume
from tests.quality.windows.windows import days, window


@pytest.mark.parametrize(
    ("rows", "passed", "severity"),
    [(1000, True, "ERROR"), (450, True, "ERROR"), (390, False, "WARN"), (0, False, "ERROR"), (1700, False, "WARN")],
)
def test_far_fewer_or_far_more_rows_than_usual_fail(rows, passed, severity):
    result = check_volume(window(volume=rows), days(4, volume=1000))
    assert result.passed == passed
    if not passed:
        assert result.severity == severity
        assert result.metadata["plot"].text.startswith("![rows](data:image/svg+xml")
    assert result.metadata["usual"] == 1000


def test_hours_that_vary_allow_more():
    assert check_volume(window(volume=200), days(4, volume=[200, 1000, 1800, 900])).passed
    assert not check_volume(window(volume=200), days(4, volume=[990, 1000, 1010, 1000])).passed


def test_a_quiet_hour_never_fails():
    for rows in (0, 5, 400):
        assert check_volume(window(volume=rows), days(7, volume=20)).passed


def test_without_history_it_passes_and_explains_why():
    result = check_volume(window(volume=0), days(2, volume=1000))
    assert result.passed
    assert "too little history" in result.description
    assert "plot" not in result.metadata


def test_an_hour_that_runs_may_have_few_rows_but_not_too_many():
    running = replace(window(volume=10), complete=False)
    assert check_volume(running, days(4, volume=1000)).passed
    assert "still running" in check_volume(running, days(4, volume=1000)).description
    assert not check_volume(replace(window(volume=9000), complete=False), days(4, volume=1000)).passed
