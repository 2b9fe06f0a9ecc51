"""File locks between real processes, one of which is suspended while it holds the lock."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from mmplatform.errors import Unavailable
from mmplatform.land import file_lock as module
from mmplatform.land.file_lock import LockTimeout, file_lock
from mmplatform.land.lakehouse.table_locks import TableLocks
from mmplatform.pipeline.reprocess.hour_lock import lock_hour
from tests.builders import NOW

HOUR = timedelta(hours=1)
HOLDS = (
    "import sys\nfrom pathlib import Path\nfrom mmplatform.land.file_lock import file_lock\n"
    "with file_lock(Path(sys.argv[1])):\n    print('there', flush=True)\n    sys.stdin.read()\n"
)
ASKS = (
    "import sys\nfrom datetime import datetime\nfrom pathlib import Path\nfrom mmplatform.errors import Unavailable\n"
    "from mmplatform.pipeline.reprocess.hour_lock import lock_hour\n"
    "try:\n    with lock_hour(Path(sys.argv[1]), 't', datetime.fromisoformat(sys.argv[2]), timeout_s=0):\n"
    "        print('free')\n"
    "except Unavailable:\n    print('locked')\n"
)


@contextmanager
def a_suspended_holder(path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout.readline() == "there\n"
            child.send_signal(signal.SIGSTOP)
            yield
        finally:
            child.kill()


def asked(folder, hour):
    """What another process finds."""
    return subprocess.check_output([sys.executable, "-c", ASKS, str(folder), hour.isoformat()], text=True).split()[-1]


def test_one_hour_stays_locked_when_another_one_of_the_same_table_is_released(tmp_path):
    with lock_hour(tmp_path, "t", NOW):
        with lock_hour(tmp_path, "t", NOW + HOUR):
            assert asked(tmp_path, NOW + HOUR) == "locked"
        assert asked(tmp_path, NOW) == "locked"
        assert asked(tmp_path, NOW + HOUR) == "free"
    assert asked(tmp_path, NOW) == "free"
    assert list(tmp_path.iterdir()) == [], "a released hour leaves no file"


def test_a_wait_for_a_suspended_holder_ends_and_its_lock_ends_with_its_process(tmp_path):
    waited = []
    with a_suspended_holder(tmp_path / "t.lock"):
        with (
            pytest.raises(LockTimeout),
            file_lock(tmp_path / "t.lock", on_wait=lambda: waited.append(1), timeout_s=0.2),
        ):
            pytest.fail("locked by two")
        assert waited == [1]
    with file_lock(tmp_path / "t.lock", timeout_s=0):  # its process was killed
        pass


def test_a_table_is_written_all_the_same_and_waited_for_once(tmp_path):
    locks, impatient = TableLocks(tmp_path, timeout_s=0.2), TableLocks(tmp_path, timeout_s=0)
    with capture_logs() as logs:
        with a_suspended_holder(tmp_path / "messages.lock"):
            with locks.lock("messages"):
                pass
            locks._timeout_s = 600.0
            with locks.lock("messages"):
                pass
        assert [line["log_level"] for line in logs] == ["warning"]
        with locks.lock("messages"), impatient.lock("messages"):  # free once more: it is locked again
            pass
    assert [line["log_level"] for line in logs] == ["warning"] * 2


def test_an_hour_is_waited_for_until_the_timeout_and_the_lock_is_named(tmp_path):
    path = tmp_path / f"messages-{NOW:%Y-%m-%d-%H}.lock"
    with (
        a_suspended_holder(path),
        pytest.raises(Unavailable, match=rf"fuser .*{path.name}"),
        lock_hour(tmp_path, "messages", NOW, timeout_s=0.2),
    ):
        pytest.fail("locked by two")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "fix the rights on "),
        (errno.EPERM, "fix the rights on "),
        (errno.EROFS, "fix the rights on "),
        (errno.ENOSYS, "this file system has no locks: move MMPLATFORM_DATA_DIR"),
        (errno.ENOLCK, "this file system has no locks: move MMPLATFORM_DATA_DIR"),
        (errno.EOPNOTSUPP, "this file system has no locks: move MMPLATFORM_DATA_DIR"),
        (errno.ENOSPC, ""),
        (errno.EISDIR, ""),
    ],
)
def test_a_file_that_cannot_be_locked_is_named_with_the_remedy_of_its_error(tmp_path, monkeypatch, code, remedy):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "_acquire", fail)
    path = tmp_path / "t.lock"
    with pytest.raises(Unavailable) as raised, file_lock(path):
        pytest.fail("locked")
    said = f"cannot lock {path}: {os.strerror(code)}"
    assert str(raised.value).startswith(f"{said}; {remedy}" if remedy else said)
    assert remedy or str(raised.value) == said


def test_a_directory_in_the_place_of_a_lock_is_no_question_of_rights(tmp_path):
    (tmp_path / "t.lock").mkdir()
    with pytest.raises(Unavailable, match="directory") as raised, file_lock(tmp_path / "t.lock"):
        pytest.fail("locked")
    assert "rights" not in str(raised.value)
