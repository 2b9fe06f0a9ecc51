"""The fuzzer against the running stack: what it sent is accounted for to the last input."""

from __future__ import annotations

import os

import pytest

from benchmarks.fuzz.__main__ import fuzz

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]
INPUTS = int(os.environ.get("MMPLATFORM_TEST_FUZZ_INPUTS", "5000"))


def test_every_input_of_a_seed_ends_in_one_place_and_no_worker_ends(stack):
    ledger, wrong = fuzz(stack.settings, stack.run, INPUTS, seed=20)
    assert wrong == [], ledger.table()
    assert sum(ledger.sent.values()) == INPUTS
