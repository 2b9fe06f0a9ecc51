"""Baselines: the hours to compare with, and the usual range by their median."""

from __future__ import annotations

from datetime import timedelta

import pytest

from quality.windows.baseline import Band, baseline_hours, baseline_windows, usual_band
from quality.windows.figures import WindowFigures
from tests.quality.windows.windows import HOUR


@pytest.mark.parametrize(
    ("age", "step", "count"),
    [
        (timedelta(days=40), timedelta(weeks=1), 4),
        (timedelta(days=21), timedelta(weeks=1), 3),
        (timedelta(days=20), timedelta(days=1), 7),
        (timedelta(days=3), timedelta(days=1), 3),
        (timedelta(days=2, hours=23), timedelta(days=1), 0),
    ],
)
def test_weeks_come_first_and_days_where_there_are_few_of_them(age, step, count):
    assert baseline_hours(HOUR, HOUR - age) == [HOUR - n * step for n in range(count, 0, -1)]


def test_an_hour_without_rows_is_a_window_with_none():
    hours = [HOUR - timedelta(days=2), HOUR - timedelta(days=1)]
    found = baseline_windows(hours, {hours[1]: WindowFigures(volume=7)}, {hours[1]})
    assert [window.figures.volume for window in found] == [0, 7]


def test_of_too_few_values_there_is_no_band():
    assert usual_band([1.0, 2.0], 0.0) is None


def test_the_band_is_by_median_and_deviation_so_that_one_outlier_moves_it_little():
    assert usual_band([100.0, 102.0, 98.0, 9000.0], 0.0).expected == 101.0
    assert usual_band([100.0, 102.0, 98.0, 9000.0], 0.0).high < 120


def test_the_band_is_never_narrower_than_its_floor():
    assert usual_band([0.5, 0.5, 0.5], 0.15) == Band(0.5, 0.35, 0.65)
