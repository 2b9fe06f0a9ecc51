"""What becomes of what was measured: the fit of the archiver, the quantiles, and what is written down."""

from __future__ import annotations

import json

import pytest

from benchmarks.backlogs import fitted
from benchmarks.unit_costs import Round, keep, quantiles, summary


def a_round(commits, rows, *, chat=0.01):
    return Round(
        units=2, cpu_s={"derive-chat": chat, "archive": 0.1}, log_bytes=1_234.5, blob_bytes=0, lake_bytes=500,
        rows=rows, passages=1, commits=commits,
    )  # fmt: skip


def test_a_commit_and_a_row_are_distinguished():
    amounts = [(1, 100), (2, 100), (1, 10_000), (3, 400)]
    seconds = [commits * 0.1 + rows * 0.0002 for commits, rows in amounts]
    assert fitted(amounts, seconds) == pytest.approx((0.1, 0.0002))


def test_nothing_costs_less_than_nought():
    commit, row = fitted([(3, 200), (6, 200), (9, 200)], [9.0, 5.0, 1.0])
    assert commit == 0.0
    assert row == pytest.approx(15.0 / 600)
    commit, row = fitted([(3, 20), (3, 200), (3, 400)], [9.0, 5.0, 1.0])
    assert row == 0.0
    assert commit == pytest.approx(15.0 / 9)


def test_quantiles_are_over_rounds():
    assert quantiles([1.0, 2.0, 3.0]) == {"mean": 2.0, "p50": 2.0, "p95": 2.9, "p99": 2.98}


def test_what_is_written_down_can_be_read_by_a_program(tmp_path):
    rounds = {"chat": [a_round(3, 10), a_round(6, 20)], "call": [a_round(3, 80)]}
    found = summary(rounds)
    assert found["units"]["chat"]["rows"] == 15
    assert found["units"]["chat"]["cpu_s"]["derive-chat"]["p99"] == 0.01
    assert json.loads(json.dumps(found)) == found
    keep(tmp_path / "costs.json", rounds)
    assert len(json.loads((tmp_path / "costs.part").read_text())["chat"]) == 2
