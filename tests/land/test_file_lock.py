"""Locks of the system between real processes, one of which is suspended with the lock in its hand."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from mmplatform.errors import Unavailable
from mmplatform.land.file_lock import Held, held
from mmplatform.land.lakehouse.table_locks import TableTurns
from mmplatform.pipeline.reprocess.hour_lock import turn
from tests.builders import NOW

HOLDS = (
    "import sys\nfrom pathlib import Path\nfrom mmplatform.land.file_lock import held\n"
    "with held(Path(sys.argv[1]), int(sys.argv[2])):\n    print('there', flush=True)\n    sys.stdin.read()\n"
)
ASKS = (
    "import sys\nfrom pathlib import Path\nfrom mmplatform.land.file_lock import Held, held\n"
    "try:\n    with held(Path(sys.argv[1]), int(sys.argv[2]), at_most_s=0):\n        print('free')\n"
    "except Held:\n    print('held')\n"
)


@contextmanager
def somebody_suspended(path, place=0):
    command = [sys.executable, "-c", HOLDS, str(path), str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "there\n"
            child.send_signal(signal.SIGSTOP)
            yield
        finally:
            child.kill()


def asked(path, place):
    """What another process finds."""
    return subprocess.check_output([sys.executable, "-c", ASKS, str(path), str(place)], text=True).strip()


def test_one_place_is_held_on_when_another_one_of_the_same_file_is_let_go(tmp_path):
    path = tmp_path / "t.lock"
    with held(path, 5):
        with held(path, 6):
            assert asked(path, 6) == "held"
        assert asked(path, 5) == "held"
        assert asked(path, 6) == "free"
    assert asked(path, 5) == "free"


def test_nobody_waits_for_ever_for_who_is_suspended(tmp_path):
    waited = []
    with somebody_suspended(tmp_path / "t.lock"):
        with pytest.raises(Held), held(tmp_path / "t.lock", waiting=lambda: waited.append(1), at_most_s=0.2):
            pytest.fail("held by two")
        assert waited == [1]
    with held(tmp_path / "t.lock", at_most_s=0):  # its process is gone
        pass


def test_a_table_is_written_all_the_same_and_waited_for_once(tmp_path):
    turns, at_once = TableTurns(tmp_path, at_most_s=0.2), TableTurns(tmp_path, at_most_s=0)
    with capture_logs() as logs:
        with somebody_suspended(tmp_path / "messages.lock"):
            with turns.at("messages"):
                pass
            turns._at_most_s = 600.0
            with turns.at("messages"):
                pass
        assert [each["log_level"] for each in logs] == ["warning"]
        with turns.at("messages"), at_once.at("messages"):  # free once more: it is held again
            pass
    assert [each["log_level"] for each in logs] == ["warning"] * 2


def test_an_hour_is_waited_for_until_the_wait_is_over_and_the_lock_is_named(tmp_path):
    path, place = tmp_path / "messages.lock", int(NOW.timestamp()) // 3600
    with (
        somebody_suspended(path, place),
        pytest.raises(Unavailable, match=r"messages\.lock"),
        turn(tmp_path, "messages", NOW, at_most_s=0.2),
    ):
        pytest.fail("held by two")
