"""A short chaos run: everything that `make chaos` does a hundred times, ten times."""

from __future__ import annotations

import os

import pytest

from benchmarks.chaos import run
from benchmarks.faults.plan import draw

pytestmark = [
    pytest.mark.system,
    pytest.mark.stack,
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif("MMPLATFORM_TEST_FAULTS" not in os.environ, reason="takes minutes: `make test-faults` runs it"),
]
KILLS, SEED = 10, 3


def test_ten_kills_and_other_faults_lose_double_and_disorder_nothing(tmp_path):
    outcome = run(tmp_path, draw(KILLS, SEED, long_s=6.0), canaries=1_000, edits=2_000)
    assert outcome.canaries.count("found") > 0
    assert outcome.canaries.count("missing") == 0
    assert outcome.canaries.false_receipts == 0
    assert outcome.refused == {}
    assert all(verdict.sent for verdict in (*outcome.verdicts.values(), outcome.colliding))
    assert outcome.colliding.named > 0
    assert outcome.colliding.refused > 0
    assert outcome.edited.edits > outcome.edited.deletions > 0
    assert outcome.edited.named > 0
    assert outcome.faults == {}
