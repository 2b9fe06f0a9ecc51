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
    verdicts, refused = run(tmp_path, draw(KILLS, SEED, long_s=6.0))
    assert refused == {}
    assert all(verdict.sent for verdict in verdicts.values())
    assert {modality: verdict.faults for modality, verdict in verdicts.items() if verdict.faults} == {}
