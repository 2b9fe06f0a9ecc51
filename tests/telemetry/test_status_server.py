from __future__ import annotations

import socket
import struct
import threading
from datetime import timedelta

import httpx
import pytest
from prometheus_client import generate_latest

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from tests.builders import NOW, stamps
from tests.waiting import eventually


@pytest.fixture
def served():
    status = WorkerStatus("index", freshness=FreshnessTracker())
    server = serve_status(status, 0)
    yield status, f"http://127.0.0.1:{server.server_address[1]}"
    status.close()
    server.shutdown()
    server.server_close()


def test_a_worker_is_healthy_only_when_it_runs(served):
    status, url = served
    assert httpx.get(f"{url}/healthz").status_code == 503
    status.state = "running"
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_the_page_tells_lag_rate_and_gap(served):
    status, url = served
    status.record_batch(30, 0.1, passages=30)
    assert status.freshness is not None
    status.freshness.record("chat", stamps(), NOW + timedelta(seconds=10))
    status.watch_lag(lambda: 7)
    page = eventually(lambda: (found := httpx.get(f"{url}/status").json())["lag"] == 7 and found, within_s=10)
    assert page["rate"] == pytest.approx(2.0)
    assert page["gap"]["chat"]["p50"] == pytest.approx(10.0)
    assert page["freshness"]["chat"]["slowest"] == "publish"
    assert page["measured_since"] == status.freshness.measured_since.isoformat()


def test_a_worker_that_measures_no_gap_says_none():
    assert WorkerStatus("archive").as_json()["measured_since"] is None


def test_an_unknown_lag_is_not_zero(served):
    status, url = served
    calls = []

    def unreachable() -> int:
        calls.append(1)
        raise ConnectionError

    status.watch_lag(unreachable)
    eventually(lambda: calls, within_s=5)
    assert httpx.get(f"{url}/status").json()["lag"] is None


def test_the_metrics_page_has_counters_histogram_and_rolling_quantiles(served):
    status, url = served
    status.record_batch(3, 0.2, passages=2, dead_letters=1)
    assert status.freshness is not None
    gap = status.freshness.record("chat", stamps(), NOW + timedelta(seconds=10))
    status.record_gap("chat", gap.total)
    page = httpx.get(f"{url}/metrics").text
    assert 'mmplatform_outcomes_total{outcome="dead_letters",worker="index"} 1.0' in page
    assert 'mmplatform_freshness_gap_seconds_bucket{le="13.0",modality="chat"} 1.0' in page
    assert 'mmplatform_freshness_seconds{modality="chat",quantile="p99",stage="derive"} 3.0' in page


def test_an_unknown_page_says_which_there_are(served):
    _, url = served
    answer = httpx.get(f"{url}/nothing")
    assert answer.status_code == 404
    assert "/metrics" in answer.text


def test_a_worker_shows_what_became_of_its_lineage(served):
    status, url = served
    assert httpx.get(f"{url}/status").json()["lineage"] is None
    assert "mmplatform_lineage" not in httpx.get(f"{url}/metrics").text
    counts = {"sent": 4, "refused": 0, "dropped": 2, "failed": 1, "queued": 3}
    status.watch_lineage(lambda: counts)
    assert httpx.get(f"{url}/status").json()["lineage"] == counts
    page = httpx.get(f"{url}/metrics").text
    assert 'mmplatform_lineage_events_total{outcome="sent"} 4.0' in page
    assert 'mmplatform_lineage_events_total{outcome="dropped"} 2.0' in page
    assert "mmplatform_lineage_queued 3.0" in page


def test_what_was_shed_is_counted_in_the_status_and_in_the_metrics():
    status = WorkerStatus("derive-chat")
    status.record_batch(3, 0.1, artifacts=2, shed=2)
    status.record_batch(1, 0.1, artifacts=1, shed=0)
    assert status.as_json()["shed"] == 2
    page = generate_latest(status.registry).decode()
    assert 'mmplatform_outcomes_total{outcome="shed",worker="derive-chat"} 2.0' in page


def test_the_page_listens_at_the_configured_address():
    status = WorkerStatus("index")
    server = serve_status(status, 0, "0.0.0.0")
    try:
        assert httpx.get(f"http://127.0.0.2:{server.server_address[1]}/status").json()["worker"] == "index"
    finally:
        server.shutdown()
        server.server_close()


def test_an_address_that_cannot_be_listened_on_is_reported_with_its_variable():
    with pytest.raises(Misconfigured, match="MMPLATFORM_METRICS_HOST"):
        serve_status(WorkerStatus("index"), 0, "203.0.113.7")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Unavailable, match="MMPLATFORM_METRICS_PORT"):
        serve_status(WorkerStatus("index"), taken.getsockname()[1])


def test_a_reader_that_goes_away_leaves_no_traceback_past_our_logging(served, capsys):
    status, url = served
    asked, answered = threading.Event(), threading.Event()
    as_json = status.as_json

    def slowly():
        asked.set()
        assert answered.wait(10)
        return as_json() | {"long": "x" * 10_000_000}

    status.as_json = slowly
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reader.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        assert asked.wait(10)
    answered.set()
    status.as_json = as_json
    eventually(lambda: not [each for each in threading.enumerate() if "process_request" in each.name], within_s=10)
    assert httpx.get(f"{url}/status").is_success
    assert "Traceback" not in capsys.readouterr().err
