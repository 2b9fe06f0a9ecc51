"""The plan of a chaos run, and the board that its processes read."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

from benchmarks.faults.board import Board, Dial
from benchmarks.faults.plan import SECONDARY_KINDS, draw
from benchmarks.faults.stack import SERVICES
from tests.waiting import eventually


def test_a_seed_gives_the_same_plan_and_another_seed_another():
    assert draw(30, 7, long_s=10) == draw(30, 7, long_s=10)
    assert draw(30, 7, long_s=10) != draw(30, 8, long_s=10)


def test_every_process_is_killed_and_every_other_fault_comes():
    plan = draw(100, 1, long_s=10)
    kinds = Counter(fault.kind for fault in plan)
    assert kinds == {"kill": 100} | dict.fromkeys(SECONDARY_KINDS, 10)
    killed = Counter(fault.target for fault in plan if fault.kind == "kill")
    assert set(killed) == set(SERVICES)
    assert max(killed.values()) - min(killed.values()) <= 1
    assert all(fault.seconds for fault in plan if fault.kind in {"freeze", "slow disk", "clock", "join", "zombie"})


def test_a_process_that_is_held_starts_once_it_is_let_go(tmp_path):
    board, told = Board(tmp_path / "board"), tmp_path / "told"
    board.hold("server")
    program = f"open({str(told)!r}, 'w').close()"
    command = [sys.executable, "-m", "benchmarks.faults.process", board.folder, "server", sys.executable, "-c", program]
    process = subprocess.Popen(command)
    time.sleep(0.5)
    assert process.poll() is None
    assert not told.exists()
    board.let_go("server")
    assert process.wait(timeout=60) == 0
    assert told.exists()


def test_a_dial_is_nought_until_it_is_turned(tmp_path):
    board = Board(tmp_path)
    dial = Dial(board, "disk")
    assert dial() == 0.0
    board.set("disk", 0.3)
    eventually(lambda: dial() == 0.3)


def test_a_worker_under_attack_has_the_boards_clock_and_its_disk_is_slow(tmp_path):
    program = f"""
from pathlib import Path
from benchmarks.faults.board import Board, Dial
from benchmarks.faults.process import set_wrong, slow_down
board = Board(Path({str(tmp_path)!r}))
board.set("clock", -7200.0)
set_wrong(Dial(board, "clock"))
calls = []
slow_down(lambda: calls.append("late") or 0.0, lakehouse=False)
from datetime import UTC, datetime
from mmplatform.consumers.indexer import utc_now
from mmplatform.land.blobs.file_store import FileBlobs
assert 7100 < (datetime.now(UTC) - utc_now()).total_seconds() < 7300
blobs = FileBlobs(Path({str(tmp_path / "blobs")!r}))
assert blobs.get(blobs.put(b"x", media_type="audio/wav")) == b"x"
assert calls == ["late", "late"]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
