"""Worker processes at their start and at their unexpected end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mmplatform.telemetry import standby
from mmplatform.telemetry.status_server import WorkerStatus
from tests.servers.broker import any_broker
from tests.servers.chroma import running_chroma
from tests.servers.process import free_ports
from tests.waiting import eventually

BREAK = """
import sys
from mmplatform import worker

def run(settings):
    try:
        {"the customer's words": 1}["the customer's words, again"]
    except KeyError as error:
        raise {{raised}} from error

worker.WORKERS["index"] = run
sys.exit(worker.main(["index"]))
"""


def broken(raised: str) -> tuple[int, str]:
    """Exit code and log of a worker whose code raises something."""
    code = BREAK.replace("{{raised}}", raised)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_an_unexpected_error_is_logged_by_type_and_place_and_never_by_its_words():
    code, log = broken("ValueError('the customer said 4711')")
    assert code == 1
    assert "worker stops" in log
    assert "ValueError" in log
    assert "KeyError" in log
    assert "<string>:9" in log
    assert "customer" not in log
    assert "4711" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("raised", "kept"),
    [
        ("OSError(28, 'No space left on device', '/home/somebody')", "No space left on device"),
        ("ModuleNotFoundError('what', name='kio')", "No module named 'kio'"),
        ("MemoryError('what')", "MemoryError"),
    ],
)
def test_what_the_system_itself_says_is_kept_for_it_leads_to_the_mend(raised, kept):
    code, log = broken(raised)
    assert code == 1
    assert kept in log
    assert "somebody" not in log
    assert "what" not in log


@contextmanager
def running_worker(name: str, folder: Path, **settings: str):
    """Its log, and what its ``/healthz`` answers."""
    (port,) = free_ports(1)
    own = {"DATA_DIR": str(folder / "data"), "METRICS_PORT": str(port), **settings}
    environment = os.environ | {f"MMPLATFORM_{key}": value for key, value in own.items()}
    log = folder / f"{name}.log"

    def health() -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).text
        except httpx.TransportError:
            return ""

    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mmplatform.worker", name], env=environment, stdout=output, stderr=output
        )
        try:
            yield process, log, health
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as address:
        yield address


@pytest.mark.broker
def test_an_indexer_waits_for_an_index_that_is_away_and_goes_on_when_it_comes(kafka, tmp_path):
    (port,) = free_ports(1)
    with running_worker("index", tmp_path, KAFKA_BOOTSTRAP_SERVERS=kafka, CHROMA_URL=f"http://127.0.0.1:{port}") as (
        process,
        log,
        health,
    ):
        eventually(lambda: log.read_text().count("waits for the index") > 1, within_s=60)
        assert health() == "starting"
        with running_chroma(tmp_path / "chroma", port=port):
            eventually(lambda: health() == "running", within_s=60)
            assert process.poll() is None


@pytest.mark.broker
def test_an_archiver_waits_for_a_catalog_that_is_away(kafka, tmp_path):
    (port,) = free_ports(1)
    address = f"postgresql+psycopg2://user:hunter2@127.0.0.1:{port}/catalog"
    with running_worker("archive", tmp_path, KAFKA_BOOTSTRAP_SERVERS=kafka, ICEBERG_CATALOG=address) as (
        process,
        log,
        health,
    ):
        eventually(lambda: log.read_text().count("waits for the lakehouse") > 1, within_s=60)
        assert health() == "starting"
        assert process.poll() is None
        assert "hunter2" not in log.read_text()


def test_a_successor_takes_its_turn_also_when_the_signal_wakes_another_thread(monkeypatch):
    """As under load, where it comes between the last look at signals and the wait: it interrupts no wait then."""
    stands_by = threading.Event()
    monkeypatch.setattr(standby._log, "info", lambda *_: stands_by.set())

    def send_signal() -> None:
        assert stands_by.wait(30)
        time.sleep(0.5)  # the main thread is in its wait
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    teller = threading.Thread(target=send_signal, daemon=True)
    teller.start()
    try:
        standby.wait_in_standby(WorkerStatus("index"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    teller.join(timeout=30)
