"""The whole stack dies at once, its supervisor too; a new one on the same folder goes on."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import psutil
import pytest

from benchmarks.faults.ledger import Ledger
from benchmarks.faults.stack import broken_stack
from benchmarks.faults.verdict import compare
from mmplatform.local import run_file
from tests.waiting import eventually

pytestmark = [
    pytest.mark.system,
    pytest.mark.stack,
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif("MMPLATFORM_TEST_FAULTS" not in os.environ, reason="takes a minute: `make test-faults` runs it"),
]


def test_killing_the_whole_stack_loses_nothing(tmp_path):
    with broken_stack(tmp_path / "data") as stack:
        ledger = Ledger(stack)
        ledger.start()
        ledger.wait_for(60)
        run = stack.now()
        pids = [run.pid, *(service.pid for service in run.services.values() if service.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not run_file.is_locked(stack.settings.data_dir), within_s=60)
        eventually(lambda: not any(alive(pid) for pid in pids), within_s=60)
        ledger.abandon()
    with broken_stack(tmp_path / "data") as again:
        # A post whose answer was lost may have landed unacknowledged.
        verdicts = compare(again, ledger, exact=False)
    assert all(verdict.sent for verdict in verdicts.values())
    assert {modality: verdict.faults for modality, verdict in verdicts.items() if verdict.faults} == {}


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
