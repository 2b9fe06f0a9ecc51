"""What becomes of measured rounds: the fit of the archiver, the quantiles, and what is written down."""

from __future__ import annotations

import json

import pytest

from benchmarks.unit_costs import Round, fitted, keep, quantiles, summary


def a_round(commits, rows, *, units=2, archive=0.0, chat=0.01):
    return Round(
        units=units, cpu_s={"derive-chat": chat, "archive": archive / units}, log_bytes=1_234.5, blob_bytes=0,
        lake_bytes=500, rows=rows, passages=1, commits=commits, archive_cpu_s=archive, archive_busy_s=2 * archive,
    )  # fmt: skip


def costing(commits, rows, commit=0.1, row=0.002):
    return a_round(commits, rows, archive=commits * commit + rows * 2 * row)


def test_a_commit_and_a_row_are_told_apart():
    rounds = [costing(3, 10), costing(6, 10), costing(3, 100), costing(9, 40)]
    assert fitted(rounds, [each.archive_cpu_s for each in rounds]) == pytest.approx((0.1, 0.002))


def test_nothing_costs_less_than_nought():
    rounds = [a_round(3, 100), a_round(6, 100), a_round(9, 100)]
    commit, row = fitted(rounds, [9.0, 5.0, 1.0])
    assert commit == 0.0
    assert row == pytest.approx(15.0 / 600)
    commit, row = fitted([a_round(3, 10), a_round(3, 100), a_round(3, 200)], [9.0, 5.0, 1.0])
    assert row == 0.0
    assert commit == pytest.approx(15.0 / 9)


def test_quantiles_are_over_rounds():
    assert quantiles([1.0, 2.0, 3.0]) == {"mean": 2.0, "p50": 2.0, "p95": 2.9, "p99": 2.98}


def test_what_is_written_down_can_be_read_by_a_program(tmp_path):
    rounds = {"chat": [costing(3, 10), costing(6, 20)], "call": [costing(3, 80)]}
    found = summary(rounds)
    assert found["archive"] == {"commit_cpu_s": 0.1, "row_cpu_s": 0.002, "commit_busy_s": 0.2, "row_busy_s": 0.004}
    assert found["units"]["chat"]["rows"] == 15
    assert found["units"]["chat"]["cpu_s"]["derive-chat"]["p99"] == 0.01
    assert json.loads(json.dumps(found)) == found
    keep(tmp_path / "costs.json", rounds)
    assert len(json.loads((tmp_path / "costs.part").read_text())["chat"]) == 2
