"""The archiver as a process, with the embedded broker and a collector of lineage."""

from __future__ import annotations

import sys

import httpx
import pytest

from mmplatform.events import encode
from mmplatform.kafka.producer import LogProducer
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.builders import chat
from tests.lineage.spec import check
from tests.servers.broker import embedded_broker
from tests.servers.process import answers, free_ports, running
from tests.waiting import eventually

pytestmark = pytest.mark.broker
WORKER = [sys.executable, "-m", "mmplatform.worker", "archive"]


@pytest.fixture
def settings(tmp_path, collector):
    with embedded_broker(tmp_path / "broker") as address:
        yield load(
            kafka_bootstrap_servers=address,
            data_dir=tmp_path / "data",
            archive_commit_interval_s=0.3,
            openlineage_url=collector.address,
            openlineage_token="word",
            metrics_port=free_ports(1)[0],
        )


def working(settings, folder):
    given = ("kafka_bootstrap_servers", "data_dir", "archive_commit_interval_s", "openlineage_url", "metrics_port")
    environment = {f"MMPLATFORM_{name.upper()}": str(getattr(settings, name)) for name in given}
    environment["MMPLATFORM_OPENLINEAGE_TOKEN"] = settings.openlineage_token.get_secret_value()
    ready = answers(settings.metrics_port, "/healthz")
    return running(WORKER, log=folder / "worker.log", ready=ready, env=environment, within_s=120)


def put(settings, number):
    producer = LogProducer(settings)
    producer.send("interactions.chat", "conv-1", encode(chat(number))).result(timeout=30)
    producer.close()


def landed(settings):
    return Lakehouse.open(settings).scan("raw_chats").num_rows


def test_a_worker_tells_of_its_run_and_of_its_landings(tmp_path, settings, collector):
    page = f"http://127.0.0.1:{settings.metrics_port}"
    with working(settings, tmp_path):
        put(settings, 1)
        (complete,) = eventually(lambda: collector.of_job("archive.raw_chats", "COMPLETE"))
        counts = eventually(lambda: (told := httpx.get(f"{page}/status").json()["lineage"])["sent"] >= 3 and told)
        assert (counts["dropped"], counts["failed"]) == (0, 0)
        assert 'mmplatform_lineage_events_total{outcome="sent"}' in httpx.get(f"{page}/metrics").text
    begin, end = eventually(lambda: len(found := collector.of_job("archive")) == 2 and found)
    assert (begin["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert complete["run"]["facets"]["parent"]["run"]["runId"] == begin["run"]["runId"]
    assert complete["inputs"][0]["namespace"] == f"kafka://{settings.kafka_bootstrap_servers}"
    assert [check(event) for event in collector.events]
    assert {headers["Authorization"] for _, headers in collector.requests} == {"Bearer word"}
    assert "word" not in (tmp_path / "worker.log").read_text().split()


def test_a_worker_whose_collector_hangs_archives_and_stops_in_time(tmp_path, settings, collector):
    collector.hang.set()
    with working(settings, tmp_path) as worker:
        put(settings, 1)
        eventually(lambda: collector.requests)
        eventually(lambda: landed(settings) == 1)
        put(settings, 2)
        eventually(lambda: landed(settings) == 2)
        worker.terminate()
        assert worker.wait(timeout=60) == 0
    assert collector.events == []
    assert "lineage events dropped at the end" in (tmp_path / "worker.log").read_text()
