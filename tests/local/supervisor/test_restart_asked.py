"""Who asks for a rolling restart never waits for an answer that cannot come."""

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


def written(data, asked=None, *, replaceable=True):
    """The run file of a stack whose supervisor is this process."""
    each = ServiceRun(pid=1, state="ready", restarts=0, metrics_url="", log="", replaceable=replaceable)
    run = StackRun(
        pid=os.getpid(), started_at=utc_now(), data_dir=str(data), gateway="", kafka="", chroma="", dagster="",
        services={"index": each}, rolling=asked,
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
    """The signals that the supervisor got."""
    got = []
    before = signal.signal(signal.SIGUSR2, lambda *_: got.append(1))
    yield got
    signal.signal(signal.SIGUSR2, before)


def ask(data):
    request_restart(data, [], lambda *_: None)


def test_a_supervisor_of_an_older_release_is_not_sent_a_signal_that_would_kill_it(data, signals):
    written(data, replaceable=False)
    with pytest.raises(Unavailable, match="mmplatform down"):
        ask(data)
    assert signals == []


def test_who_is_not_heard_is_told(data, signals, monkeypatch):
    monkeypatch.setattr(rolling_restart._follow, "__kwdefaults__", {"accept_timeout_s": 0.3})
    written(data, RollingRun(asked="the one before"))
    with pytest.raises(Unavailable, match="has not begun"):
        ask(data)
    assert signals == [1]


@pytest.mark.usefixtures("signals")
def test_of_two_who_ask_at_once_one_is_told_that_the_other_was_heard(data):
    written(data, RollingRun(asked="the one before"))
    other = threading.Timer(0.3, written, (data, RollingRun(asked="the other", todo=("index",))))
    other.start()
    with pytest.raises(Unavailable, match="somebody else"):
        ask(data)
    other.join()


async def test_an_unexpected_error_ends_the_restart_as_failed(tmp_path):
    class Broken:
        async def restart(self):
            raise ValueError("what a customer said")

    run_file.run_dir(tmp_path).mkdir()
    (run_file.run_dir(tmp_path) / "restart.json").write_text('{"asked": "me", "names": ["index", "archive"]}')
    told = asyncio.Event()
    asked = RollingRestart({"index": Broken(), "archive": Broken()}, tmp_path, told.set)
    asked.begin()
    told.clear()
    await asyncio.wait_for(told.wait(), 10)
    assert asked.run == RollingRun(asked="me", todo=("archive",), failed="index: ValueError")
    assert not asked.run.in_progress
