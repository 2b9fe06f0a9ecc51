"""Limits as Pandera models: each is broken on its bad side alone."""

from __future__ import annotations

import pytest

from quality.windows.figures import WINDOW_COLUMNS, WindowFigures
from quality.windows.limits import LIMITED_FIGURES, check_limits
from quality.windows.models import WINDOW_MODELS

BAD = {"null_rate": 0.99, "duplicate_rate": 0.99, "redacted_share": 0.99, "confidence": 0.1}
GOOD = {"null_rate": 0.05, "duplicate_rate": 0.2, "redacted_share": 0.3, "confidence": 0.9}
FIGURES = [(table, name) for table, names in LIMITED_FIGURES.items() for name in names]


def test_every_table_with_windows_has_limits():
    assert set(WINDOW_COLUMNS) == set(LIMITED_FIGURES) == set(WINDOW_MODELS)
    assert all(tuple(WINDOW_MODELS[table].to_schema().columns) == names for table, names in LIMITED_FIGURES.items())


@pytest.mark.parametrize(("table", "name"), FIGURES)
def test_a_limit_is_broken_by_its_own_figure_alone(table, name):
    figures = WindowFigures(volume=100, **GOOD | {name: BAD[name]})
    assert {figure for figure, limit in check_limits(table, figures).items() if limit.broken} == {name}


@pytest.mark.parametrize("table", WINDOW_COLUMNS)
@pytest.mark.parametrize("figures", [WindowFigures(), WindowFigures(volume=100, **GOOD)])
def test_good_and_missing_figures_keep_the_limits(table, figures):
    assert not any(limit.broken for limit in check_limits(table, figures).values())


def test_a_limit_words_its_side():
    limits = check_limits("transcripts", WindowFigures(volume=100, **GOOD))
    assert limits["confidence"].text == "at least 0.4"
    assert limits["null_rate"].text == "at most 0.5"
