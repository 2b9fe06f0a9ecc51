import json
import os
import subprocess
import sys

import pytest

from mmplatform.errors import Permanent, Unavailable
from mmplatform.events import utc_now
from mmplatform.local import run_file
from mmplatform.local.run_file import ServiceRun, StackLock, StackRun
from mmplatform.settings import load


def a_run(**services: str) -> StackRun:
    return StackRun(
        pid=os.getpid(),
        started_at=utc_now(),
        data_dir="/data",
        gateway="http://127.0.0.1:8080",
        kafka="127.0.0.1:19092",
        chroma="http://127.0.0.1:18000",
        dagster="",
        services={
            name: ServiceRun(pid=1, state=state, restarts=0, metrics_url="", log="") for name, state in services.items()
        },
    )


@pytest.fixture
def lock(tmp_path, monkeypatch):
    monkeypatch.setattr(run_file, "_LOCK_TIMEOUT_S", 0.0)
    lock = StackLock(tmp_path)
    lock.acquire()
    yield lock
    lock.release()


@pytest.mark.usefixtures("lock")
def test_the_run_file_has_the_agreed_keys(tmp_path):
    run_file.write(tmp_path, a_run(broker="ready"))
    found = json.loads((tmp_path / "run" / "stack.json").read_text())
    assert {"pid", "started_at", "gateway", "kafka", "chroma", "dagster", "services"} <= found.keys()
    assert {"pid", "state", "restarts", "metrics_url", "log"} <= found["services"]["broker"].keys()
    assert run_file.read_running(tmp_path) == a_run(broker="ready").model_copy(
        update={"started_at": run_file.read_running(tmp_path).started_at}
    )


def test_a_run_file_without_a_lock_is_stale(tmp_path, lock):
    run_file.write(tmp_path, a_run())
    assert run_file.read_running(tmp_path) is not None
    lock.release()
    assert run_file.read_running(tmp_path) is None
    assert run_file.read(tmp_path) is not None


@pytest.mark.usefixtures("lock")
def test_a_second_stack_is_refused_with_the_pid_of_the_first(tmp_path):
    run_file.write(tmp_path, a_run())
    with pytest.raises(Permanent, match=rf"already runs .*pid {os.getpid()} .*127\.0\.0\.1:8080.*mmplatform down"):
        StackLock(tmp_path).acquire()


@pytest.mark.usefixtures("lock")
def test_a_run_file_left_by_a_crash_is_not_taken_for_a_starting_stack(tmp_path):
    run_file.write(tmp_path, a_run().model_copy(update={"pid": 1}))
    assert run_file.read_running(tmp_path) is None
    with pytest.raises(Permanent, match=rf"pid {os.getpid()}, starting"):
        StackLock(tmp_path).acquire()


@pytest.mark.usefixtures("lock")
def test_addresses_that_are_not_configured_are_those_of_the_running_stack(tmp_path):
    run_file.write(tmp_path, a_run())
    settings = load(data_dir=tmp_path, kafka_bootstrap_servers="", chroma_url="")
    assert run_file.with_kafka_address(settings).kafka_bootstrap_servers == "127.0.0.1:19092"
    assert run_file.with_chroma_address(settings).chroma_url == "http://127.0.0.1:18000"
    own = load(data_dir=tmp_path, kafka_bootstrap_servers="kafka:9092", chroma_url="http://chroma:8000")
    assert (run_file.with_kafka_address(own), run_file.with_chroma_address(own)) == (own, own)


def test_without_a_running_stack_a_missing_address_says_how_to_start_one(tmp_path):
    settings = load(data_dir=tmp_path, kafka_bootstrap_servers="", chroma_url="")
    for fill in (run_file.with_kafka_address, run_file.with_chroma_address):
        with pytest.raises(Unavailable, match="mmplatform up"):
            fill(settings)


def test_the_lock_ends_with_its_process(tmp_path):
    code = (
        "import pathlib, time; from mmplatform.local.run_file import StackLock\n"
        f"lock = StackLock(pathlib.Path({str(tmp_path)!r})); lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert run_file.is_locked(tmp_path)
        process.kill()
    assert not run_file.is_locked(tmp_path)
    StackLock(tmp_path).acquire()


def test_a_directory_that_cannot_be_made_is_reported_with_its_setting(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Permanent, match="MMPLATFORM_DATA_DIR"):
        StackLock(tmp_path / "file" / "data").acquire()


def test_nothing_runs_where_nothing_ever_ran(tmp_path):
    assert run_file.read_running(tmp_path) is None
    assert run_file.read(tmp_path) is None
    run_file.remove(tmp_path)


@pytest.mark.parametrize(
    ("states", "settled"),
    [
        ({"broker": "ready", "index": "ready"}, True),
        ({"broker": "ready", "index": "crash-loop"}, True),
        ({"broker": "ready", "index": "starting"}, False),
        ({"broker": "crash-loop", "index": "blocked"}, True),
        ({"broker": "crash-loop", "index": "waiting"}, False),
        ({"broker": "ready", "dagster": "starting"}, False),
        ({"broker": "ready", "dagster": "ready"}, True),
    ],
)
def test_a_stack_is_settled_when_all_services_are_ready_or_given_up(states, settled):
    assert a_run(**states).settled is settled


def test_the_down_summary_names_failed_and_blocked_services():
    run = a_run(broker="crash-loop", gateway="blocked", index="blocked", chroma="ready", dagster="starting")
    assert set(run.down_services) == {"broker", "gateway", "index"}
    assert run.down_summary == "given up: broker; blocked by that: gateway, index"
    assert a_run(broker="crash-loop", chroma="ready").down_summary == "given up: broker"
    assert a_run(broker="ready").down_summary == ""
