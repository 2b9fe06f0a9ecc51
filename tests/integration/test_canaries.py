"""Canaries of a real stack: found everywhere, in no figure of a customer, and a false receipt is an error."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.events import utc_now
from mmplatform.identity import CANARY_TENANT
from mmplatform.kafka.canary_key import CANARY_REQUEST_HEADER
from mmplatform.kafka.headers import is_canary
from mmplatform.kafka.reader import ReplayLog
from mmplatform.land.index.store import ChromaIndex
from mmplatform.modalities import ARTIFACTS_TOPIC, MODALITIES, TABLES
from mmplatform.pipeline.canary.figures import CanaryFigures
from mmplatform.pipeline.canary.retention import delete_old_canaries
from mmplatform.pipeline.canary.service import open_runner
from tests.integration.conftest import running_stack
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]
CUSTOMERS_CHATS = 3
OFTEN = {"MMPLATFORM_CANARY_INTERVAL_S": "1", "MMPLATFORM_CANARY_MEDIA_INTERVAL_S": "15"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A stack with frequent canaries, in which a customer's chats are stored."""
    with running_stack(tmp_path_factory.mktemp("canaries"), **OFTEN) as running:
        with running.client() as client:
            for number in range(CUSTOMERS_CHATS):
                client.chat(
                    conversation_id="parcels",
                    subject_id="customer",
                    role="customer",
                    text=f"parcel {number} has not come",
                    event_id=f"chat-{number}",
                )
        eventually_equal(lambda: len(running.passages("customer")), CUSTOMERS_CHATS, within_s=60)
        eventually(lambda: all_modalities_found(running), within_s=180)
        eventually_equal(lambda: len(running.rows("raw_chats")), CUSTOMERS_CHATS, within_s=60)
        yield running


def status(stack, service: str):
    return httpx.get(f"{stack.now().services[service].metrics_url}/status", timeout=10).json()


def all_modalities_found(stack) -> bool:
    found = status(stack, "canary")["canaries"]
    partitions = set(found.get("chat", {}).get("topic_partitions", {}))
    is_everywhere = partitions == {str(number) for number in range(stack.settings.topic_partitions)}
    return is_everywhere and all(found.get(name, {}).get("outcomes", {}).get("found") for name in MODALITIES)


def metric(page: str, name: str) -> float:
    """Sum of a metric's samples on a page."""
    lines = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_every_canary_is_found_and_no_receipt_was_false(stack):
    found = status(stack, "canary")["canaries"]
    for modality in MODALITIES:
        figures = found[modality]
        assert set(figures["outcomes"]) == {"found"}
        assert figures["false_receipts"] == 0
        assert 0 < figures["gap"]["p50"] < 60
    page = httpx.get(f"{stack.now().services['canary'].metrics_url}/metrics").text
    assert metric(page, "mmplatform_canary_false_receipts_total") == 0
    assert metric(page, "mmplatform_canary_gap_seconds_count") >= stack.settings.topic_partitions + 2


def test_their_gap_is_in_the_freshness_that_the_command_line_shows(stack, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(stack.settings.data_dir))
    shown = CliRunner().invoke(app, ["freshness"]).output
    assert "false receipts" in shown
    figures = json.loads(CliRunner().invoke(app, ["freshness", "--json"]).output)
    assert figures["canaries"]["chat"]["gap"]["count"] >= stack.settings.topic_partitions
    assert figures["chat"]["gap"]["count"] == CUSTOMERS_CHATS
    assert set(figures) == {"chat", "canaries"}  # no customer has sent a call or a screenshot


def test_no_search_of_a_customer_finds_one(stack):
    hits = stack.search("The canary sings", k=100)
    assert {hit["subject_id"] for hit in hits} == {"customer"}
    assert len(hits) == CUSTOMERS_CHATS
    subjects = {event["subject_id"] for event in canary_events(stack)}
    assert subjects
    assert all(stack.search("The canary sings", subject_id=subject) == [] for subject in subjects)


def canary_events(stack) -> list[dict]:
    log = ReplayLog(stack.addressed)
    entries = [entry for spec in MODALITIES.values() for entry in log.read(spec.topic) if is_canary(entry.headers)]
    return [json.loads(entry.value) for entry in entries]


def test_they_are_marked_on_the_log_and_of_a_tenant_of_their_own(stack):
    assert {event["tenant"] for event in canary_events(stack)} == {CANARY_TENANT}
    marked = [is_canary(entry.headers) for entry in ReplayLog(stack.addressed).read(ARTIFACTS_TOPIC)]
    assert marked.count(False) == 2 * CUSTOMERS_CHATS  # a message and a passage
    assert marked.count(True) >= 2 * stack.settings.topic_partitions


def test_no_table_and_no_count_has_one(stack):
    wanted = dict.fromkeys(TABLES, 0) | dict.fromkeys(("raw_chats", "messages", "passages"), CUSTOMERS_CHATS)
    eventually_equal(lambda: {table: len(stack.rows(table)) for table in TABLES}, wanted, within_s=60)
    with closing(ChromaIndex.open(stack.addressed)) as index:
        eventually_equal(index.count, CUSTOMERS_CHATS, within_s=60)
    indexed = status(stack, "index")
    assert sum(bucket["upserted"] for bucket in indexed["buckets"].values()) == CUSTOMERS_CHATS
    assert {name: gap["count"] for name, gap in indexed["gap"].items()} == {"chat": CUSTOMERS_CHATS}
    page = httpx.get(f"{stack.now().gateway}/metrics").text
    assert metric(page, "mmplatform_gateway_events_total") == CUSTOMERS_CHATS
    assert metric(page, "mmplatform_gateway_retrievable_gap_seconds_count") == CUSTOMERS_CHATS


def test_no_total_of_a_receipt_counts_one(stack):
    """Also while one is on its way: each second there is a new one."""
    for _ in range(40):
        answer = httpx.post(f"{stack.now().gateway}/v1/search", json={"query": "parcels"}, timeout=30).json()
        for modality in answer["receipt"]["modalities"]:
            assert modality["pending"] in {0, None}
            assert modality["open_calls"] == 0


def test_a_receipt_that_claims_too_much_raises_the_error_metric(stack):
    """The search in front of the canaries leaves out the hits, and leaves the receipt as it was."""
    registry = CollectorRegistry()
    figures = CanaryFigures(registry)
    with search_without_hits(stack.now().gateway) as address:
        port = int(stack.now().gateway.rpartition(":")[2])
        liar = stack.addressed.model_copy(update={"gateway_port": port, "canary_search_url": address})
        with open_runner(liar, figures, timeout_s=8) as runner:
            report = runner.run("chat")
    assert report is not None
    assert report.outcome == "missing"
    assert report.claims == {"fence", "complete_until"}
    labels = {"modality": "chat", "claim": "complete_until"}
    assert registry.get_sample_value("mmplatform_canary_false_receipts_total", labels) == 1


class search_without_hits:  # noqa: N801 - a context manager
    def __init__(self, gateway: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name: self.headers[name] for name in (CANARY_REQUEST_HEADER, "Content-Type")}
                answer = httpx.post(f"{gateway}{self.path}", content=body, headers=headers, timeout=30).json()
                emptied = json.dumps(answer | {"hits": []}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(emptied)))
                self.end_headers()
                self.wfile.write(emptied)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_old_ones_leave_blobs_and_index_and_customers_stay(stack):
    blobs = stack.settings.blobs_dir / CANARY_TENANT
    assert any(path.is_file() for path in blobs.rglob("*"))
    assert delete_old_canaries(stack.addressed, utc_now()) == (0, 0)  # of today
    deleted = delete_old_canaries(stack.addressed, utc_now() + timedelta(days=2))
    assert deleted.blobs >= 2
    assert deleted.collections >= 1
    with closing(ChromaIndex.open(stack.addressed)) as index:
        assert index.count() == CUSTOMERS_CHATS
