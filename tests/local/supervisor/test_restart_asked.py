"""A caller of a rolling restart never waits for an answer that cannot come."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.local import run_file
from mmplatform.local.run_file import RollingRun, ServiceRun, StackRun
from mmplatform.local.supervisor import rolling_restart
from mmplatform.local.supervisor.rolling_restart import RollingRestart, request_restart


def write_run(data, rolling=None, *, replaceable=True):
    """Write the run file of a stack whose supervisor is this process."""
    service = ServiceRun(pid=1, state="ready", restarts=0, metrics_url="", log="", replaceable=replaceable)
    run = StackRun(
        pid=os.getpid(), started_at=utc_now(), data_dir=str(data), gateway="", kafka="", chroma="", dagster="",
        services={"index": service}, rolling=rolling,
    )  # fmt: skip
    run_file.write(data, run)


@pytest.fixture
def data(tmp_path):
    lock = run_file.StackLock(tmp_path)
    lock.acquire()
    yield tmp_path
    lock.release()


@pytest.fixture
def signals():
    """Signals that the supervisor received."""
    received = []
    before = signal.signal(signal.SIGUSR2, lambda *_: received.append(1))
    yield received
    signal.signal(signal.SIGUSR2, before)


def request(data):
    request_restart(data, [], lambda *_: None)


def test_a_supervisor_of_an_older_release_is_not_sent_a_signal_that_would_kill_it(data, signals):
    write_run(data, replaceable=False)
    with pytest.raises(Unavailable, match="mmplatform down"):
        request(data)
    assert signals == []


def test_a_request_that_is_not_accepted_fails(data, signals, monkeypatch):
    monkeypatch.setattr(rolling_restart._follow, "__kwdefaults__", {"accept_timeout_s": 0.3})
    write_run(data, RollingRun(asked="previous"))
    with pytest.raises(Unavailable, match="did not start within"):
        request(data)
    assert signals == [1]


@pytest.mark.usefixtures("signals")
def test_of_two_requests_at_once_one_fails_because_the_other_was_accepted(data):
    write_run(data, RollingRun(asked="previous"))
    concurrent = threading.Timer(0.3, write_run, (data, RollingRun(asked="concurrent", todo=("index",))))
    concurrent.start()
    with pytest.raises(Unavailable, match="another restart was requested"):
        request(data)
    concurrent.join()


async def test_an_unexpected_error_ends_the_restart_as_failed(tmp_path):
    class Broken:
        async def restart(self):
            raise ValueError("what a customer said")

    run_file.run_dir(tmp_path).mkdir()
    (run_file.run_dir(tmp_path) / "restart.json").write_text('{"asked": "me", "names": ["index", "archive"]}')
    changed = asyncio.Event()
    restart = RollingRestart({"index": Broken(), "archive": Broken()}, tmp_path, changed.set)
    restart.begin()
    changed.clear()
    await asyncio.wait_for(changed.wait(), 10)
    assert restart.run == RollingRun(asked="me", todo=("archive",), failed="index: ValueError")
    assert not restart.run.in_progress
