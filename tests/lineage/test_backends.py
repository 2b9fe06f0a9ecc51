"""Events through the real transports: to a file, to a server in this process, to the embedded broker."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka import Consumer

from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.topics import ensure_topics
from mmplatform.lineage import backends
from mmplatform.lineage.backends import open_backend
from mmplatform.settings import load
from tests.lineage.events import an_event
from tests.lineage.spec import check
from tests.servers.broker import embedded_broker
from tests.servers.process import free_ports


def opened(where, **more):
    return open_backend(load(openlineage_url=where, **more), client_config)


def test_a_file_gets_a_line_for_each_event(tmp_path):
    path = tmp_path / "new" / "events.jsonl"
    for _ in range(2):  # two processes
        backend = opened(f"file:{path}")
        backend.send(an_event())
        backend.close()
    lines = path.read_text().splitlines()
    assert [check(json.loads(line))["eventType"] for line in lines] == ["START", "START"]


def test_a_file_that_cannot_be_written_may_be_later(tmp_path):
    backend = opened(f"file:{tmp_path}")
    with pytest.raises(Unavailable):
        backend.send(an_event())


def test_a_folder_that_cannot_be_made_is_reported_at_the_start(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(Misconfigured, match="MMPLATFORM_OPENLINEAGE_URL"):
        opened(f"file:{tmp_path}/taken/events.jsonl")


def test_a_server_gets_valid_events_where_openlineage_servers_listen(collector):
    backend = opened(collector.address)
    backend.send(an_event())
    backend.close()
    (event,) = collector.events
    check(event)
    ((path, headers),) = collector.requests
    assert path == "/api/v1/lineage"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers


def test_a_path_of_ones_own_and_a_token_are_used(collector, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # reaches nobody
    backend = opened(f"{collector.address}/openapi/openlineage/api/v1/lineage?a=b", openlineage_token="word")
    backend.send(an_event())
    ((path, headers),) = collector.requests
    assert path == "/openapi/openlineage/api/v1/lineage?a=b"
    assert headers["Authorization"] == "Bearer word"


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (400, Rejected, "400"),
        (401, Rejected, "MMPLATFORM_OPENLINEAGE_TOKEN"),
        (404, Rejected, "the path in MMPLATFORM_OPENLINEAGE_URL"),
        (429, Unavailable, "429"),
        (500, Unavailable, "500"),
        (503, Unavailable, "503"),
    ],
)
def test_an_answer_says_whether_to_try_again(collector, status, error, message):
    collector.status = status
    with pytest.raises(error, match=message):
        opened(collector.address).send(an_event())
    assert len(collector.requests) == 1, "when to try again is the caller's business"


def test_a_redirection_is_no_success(collector):
    collector.status, collector.location = 302, f"{collector.address}/login"
    with pytest.raises(Rejected, match="another address"):
        opened(collector.address).send(an_event())


def test_nobody_at_home_is_unavailable():
    with pytest.raises(Unavailable, match="ConnectionError") as message:
        opened(f"http://user:secret@127.0.0.1:{free_ports(1)[0]}").send(an_event())
    assert "secret" not in str(message.value)


def test_a_server_that_hangs_is_unavailable(collector, monkeypatch):
    monkeypatch.setattr(backends, "TIMEOUT_S", 0.2)
    collector.hang.set()
    with pytest.raises(Unavailable, match="ReadTimeout"):
        opened(collector.address).send(an_event())


@pytest.mark.parametrize("where", ["http://", "https://host:port"])
def test_an_address_that_is_none_is_reported_at_the_start(where):
    with pytest.raises(Misconfigured, match="MMPLATFORM_OPENLINEAGE_URL"):
        open_backend(load().model_copy(update={"openlineage_url": where}), client_config)


@pytest.mark.parametrize("where", ["ftp://host", "events.jsonl", "file:", "kafka:", "kafka:a topic"])
def test_what_is_no_backend_is_a_wrong_setting(where):
    with pytest.raises(Misconfigured, match="MMPLATFORM_OPENLINEAGE_URL"):
        load(openlineage_url=where)


@pytest.mark.broker
def test_a_topic_gets_the_event_under_the_key_of_its_parent(tmp_path):
    with embedded_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address, openlineage_url="kafka:told", topic_prefix="t.")
        ensure_topics(settings)
        backend = open_backend(settings, client_config)
        backend.send(an_event())
        backend.close()
        consumer = Consumer(client_config(settings) | {"group.id": "reader", "auto.offset.reset": "earliest"})
        consumer.subscribe(["t.told"])
        message = consumer.poll(30)
        consumer.close()
    assert message.key() == b"run:mmplatform/archive"
    assert check(json.loads(message.value()))["job"]["name"] == "archive.raw_chats"


@pytest.mark.broker
def test_a_broker_that_is_away_is_unavailable(monkeypatch):
    monkeypatch.setattr(backends, "TIMEOUT_S", 0.3)
    backend = opened("kafka", kafka_bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="is the broker"):
        backend.send(an_event())
    assert time.monotonic() - started < 60


def test_half_a_login_is_reported_at_the_start():
    with pytest.raises(Misconfigured, match="SASL"):
        opened("kafka", kafka_bootstrap_servers="x:1", kafka_security_protocol="SASL_SSL")
