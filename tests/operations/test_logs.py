"""Logs of a running stack: ids and positions, on success and failure, and no text of a customer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer

from mmplatform.events import ChatMessage, encode
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.reader import ReplayLog
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT, DEAD_LETTERS_TOPIC, QUARANTINE_TOPIC
from tests.ingest.gateways import picture
from tests.waiting import eventually

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]
SECRETS = ("Quellwasser", "4111 1111 1111 1111", "hieronymus@example.com", "212-555-0142")
TEXT = f"I am Hieronymus {SECRETS[0]}, card {SECRETS[1]}, mail {SECRETS[2]}, phone {SECRETS[3]}"
NOT_OURS = {"supervisor", "chroma"}
"""The supervisor's journal is for people, and Chroma is a compiled program with lines of its own."""

BROKEN_CONTRACT = "logs-quarantined"
UNAVAILABLE = "unavailable: the micro-batch is read again"
NOT_JSON = (CHAT.topic, ARTIFACTS_TOPIC, QUARANTINE_TOPIC)


def chat(**changes):
    now = datetime.now(UTC)
    good = {
        "event_id": "logs-good",
        "conversation_id": "logs",
        "subject_id": "logs",
        "event_time": now.isoformat(),
        "role": "customer",
        "text": TEXT,
    }
    return good | changes


def send_personal_data(stack) -> list[int]:
    """Send personal data through every endpoint in every wrong field; return the answers' status."""
    with httpx.Client(base_url=stack.now().gateway, timeout=60) as http:
        answers = [
            http.post("/v1/events/chat", json=chat()),
            http.post("/v1/events/chat", json=chat(text=f"{TEXT}, again")),  # 409
            http.post("/v1/events/chat", json=chat(event_id="logs-role", role=TEXT)),
            http.post("/v1/events/chat", json=chat(event_id="logs-key") | {TEXT: TEXT}),
            http.post("/v1/events/chat", json=chat(event_id="logs-time", event_time=TEXT)),
            http.post("/v1/events/chat", json={"text": TEXT}),
            http.post("/v1/events/chat", content=TEXT, headers={"Content-Type": "application/json"}),
            http.post("/v1/events/chat", content=TEXT, headers={"Content-Type": TEXT}),
            http.post("/v1/events/screenshot", params={"conversation_id": TEXT, "subject_id": "s"}, content=picture()),
            http.post("/v1/events/screenshot", files={"file": (TEXT, TEXT.encode(), "image/png")}),
            http.post("/v1/calls/logs/chunks", params={"index": TEXT}, content=TEXT),
            http.post("/v1/calls/logs/end", json={"subject_id": TEXT * 20}),
            http.post("/v1/search", json={"query": TEXT, "subject_id": "logs"}),
            http.post("/v1/search", json={"query": TEXT, TEXT: TEXT}),
            http.get(f"/{TEXT}"),
        ]
    return [answer.status_code for answer in answers]


def written(stack) -> None:
    """By a foreign client, straight onto the topics: what cannot be read, and what breaks its contract."""
    producer = Producer(client_config(stack.addressed))
    for topic in NOT_JSON:
        producer.produce(topic, value=TEXT.encode(), key=b"logs")
    now = datetime.now(UTC)
    bad = ChatMessage(
        event_id=BROKEN_CONTRACT,
        conversation_id="logs",
        subject_id="logs",
        event_time=now,
        ingested_at=now,
        role="customer",
        text=f"{TEXT}\x00",
    )
    producer.produce(CHAT.topic, value=encode(bad), key=b"logs")
    producer.produce(CHAT.topic, value=encode(bad).replace(b'"customer"', json.dumps(TEXT).encode()), key=b"logs")
    assert producer.flush(30) == 0


def indexer_noticed(stack) -> bool:
    """The indexer writes in a quiet moment, when the index may be back: it is killed again until then."""
    with suppress(ProcessLookupError, AssertionError):
        stack.kill("chroma")
    return UNAVAILABLE in (stack.settings.data_dir / "logs" / "index.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def logs(stack) -> dict[str, list[str]]:
    """The lines of each process after all that, and after an index that went away."""
    answers = send_personal_data(stack)
    assert 202 in answers
    assert 200 in answers
    assert {409, 415, 422, 404} <= set(answers)
    before = len(list(ReplayLog(stack.addressed).read(DEAD_LETTERS_TOPIC)))
    written(stack)
    log = ReplayLog(stack.addressed)
    eventually(lambda: len(list(log.read(DEAD_LETTERS_TOPIC))) >= before + len(NOT_JSON) + 1, within_s=120)
    stack.kill("chroma")
    with stack.client() as client:
        for number in range(20):
            client.chat(conversation_id="logs", subject_id="logs", role="customer", text=f"{TEXT} {number}")
    eventually(lambda: indexer_noticed(stack), within_s=120)
    stack.wait_ready("chroma", restarts=1)
    stack.settle()
    folder = stack.settings.data_dir / "logs"
    return {path.stem: path.read_text(errors="replace").splitlines() for path in folder.glob("*.log")}


def records(logs, name) -> list[dict[str, object]]:
    return [json.loads(line) for line in logs[name] if line.strip() and not line.startswith("=== ")]


def test_nothing_that_was_sent_is_in_any_log(logs):
    assert {"gateway", "derive-chat", "index", "archive", "broker", "chroma"} <= set(logs)
    found = [(name, line) for name, lines in logs.items() for line in lines if any(word in line for word in SECRETS)]
    assert found == []


def test_every_line_of_our_processes_is_json_with_a_level_a_time_and_its_worker(logs):
    for name in set(logs) - NOT_OURS - {"broker"}:
        for line in records(logs, name):
            assert line["level"]
            assert line["timestamp"]
            assert line["worker"] == name
    assert records(logs, "broker")


def test_a_quarantined_record_is_logged_with_its_id_and_its_reason(logs):
    refused = [line for line in records(logs, "derive-chat") if line["event"] == "records refused"]
    assert any(BROKEN_CONTRACT in line["quarantined"] and line["reasons"] for line in refused)
    assert sum(line["dead_letters"] for line in refused) >= 2
    assert any(line["dead_letters"] for line in records(logs, "index") if "dead_letters" in line)


def test_an_unavailable_index_is_logged_by_the_workers_that_need_it(logs):
    lines = [line for line in records(logs, "index") if line["event"] == UNAVAILABLE]
    assert lines
    assert all(line["reason"].startswith("index: ") for line in lines)


def test_a_model_that_is_broken_ends_its_worker_with_one_line_that_names_it(stack, tmp_path):
    broken = tmp_path / "broken-model"
    broken.mkdir()
    (broken / "model.onnx").write_bytes(b"no model")
    settings = stack.addressed
    environment = os.environ | {
        "MMPLATFORM_DATA_DIR": str(tmp_path),
        "MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "MMPLATFORM_EMBEDDING_MODEL": str(broken),
        "MMPLATFORM_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "mmplatform.worker", "derive-chat"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    last = json.loads(done.stderr.splitlines()[-1])
    assert last["event"] == "worker stops"
    assert last["level"] == "error"
    assert last["worker"] == "derive-chat"
    assert Path(broken).name in str(last)
