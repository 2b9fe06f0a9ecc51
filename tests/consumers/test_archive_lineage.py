"""The archiver's batches and their lineage: a real lakehouse, a real queue, real HTTP; only the log is left out."""

from __future__ import annotations

import time

import pytest

from mmplatform.consumers.archiver import batch_writer
from mmplatform.derive.passages import quarantine
from mmplatform.errors import Unavailable
from mmplatform.events import encode, utc_now
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.headers import Pseudonyms, output_headers
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.lineage.backends import open_backend
from mmplatform.lineage.emitter import LineageEmitter
from mmplatform.lineage.landings import StreamLineage
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.settings import load
from mmplatform.telemetry.status_server import WorkerStatus
from tests.builders import arrival, chat, message, passage, position
from tests.lineage.collector import collecting
from tests.lineage.events import COLUMNS
from tests.lineage.spec import check
from tests.servers.process import free_ports
from tests.waiting import eventually

PSEUDONYMS = Pseudonyms(b"key of the tests")


@pytest.fixture
def collector():
    with collecting() as (found, address):
        found.address = address
        yield found


class Archive:
    """An archiver that is fed by hand."""

    def __init__(self, folder, address, **queue) -> None:
        settings = load(data_dir=folder, kafka_bootstrap_servers="broker:9092", openlineage_url=address)
        self.lakehouse = Lakehouse.open(settings)
        self.lakehouse.ensure_tables()
        self.status = WorkerStatus("archive")
        self.emitter = LineageEmitter(open_backend(settings, client_config), **queue)
        self.status.watch_lineage(self.emitter.counts)
        lineage = StreamLineage(settings, COLUMNS, self.emitter, "3")
        self.land = batch_writer(settings, self.lakehouse, None, self.status, lineage)
        self._offset = 0

    def feed(self, *records, topic="artifacts"):
        batch = []
        for record in records:
            headers = output_headers(record, PSEUDONYMS) if topic == "artifacts" else {}
            batch.append(ConsumedRecord(position(self._offset, topic), encode(record), utc_now(), headers=headers))
            self._offset += 1
        self.land(batch)

    def rows(self, table):
        return self.lakehouse.scan(table).num_rows


@pytest.fixture
def archive(tmp_path):
    made: list[Archive] = []

    def make(address, **queue):
        made.append(Archive(tmp_path, address, **queue))
        return made[-1]

    yield make
    for each in made:
        each.emitter.close(0)


def test_every_commit_is_told_and_every_event_is_valid(archive, collector):
    archived = archive(collector.address)
    archived.feed(chat(1), chat(2), topic="interactions.chat")
    source = message(chat(1), position(0))
    archived.feed(source, passage(source))
    archived.feed(
        quarantine(arrival(chat(3)), contract="raw_chats", reasons=["text: text not blank"]), topic="quarantine"
    )
    archived.emitter.close(30)
    assert [(event["job"]["name"], event["eventType"]) for event in map(check, collector.events)] == [
        (f"archive.{table}", state)
        for table in ("raw_chats", "messages", "passages", "quarantine")
        for state in ("START", "COMPLETE")
    ]
    assert archived.emitter.counts() == {"sent": 8, "refused": 0, "dropped": 0, "failed": 0, "queued": 0}


def test_what_is_told_of_a_commit_is_what_iceberg_says_of_it(archive, collector):
    archived = archive(collector.address)
    archived.feed(chat(1), chat(2), topic="interactions.chat")
    table = archived.lakehouse.table("raw_chats")
    snapshot = table.current_snapshot()
    archived.emitter.close(30)
    (complete,) = collector.of_job("archive.raw_chats", "COMPLETE")
    (output,) = complete["outputs"]
    statistics = output["outputFacets"]["outputStatistics"]
    assert statistics["rowCount"] == int(snapshot.summary["added-records"]) == 2
    assert statistics["size"] == int(snapshot.summary["added-files-size"]) > 0
    assert statistics["fileCount"] == int(snapshot.summary["added-data-files"])
    assert output["facets"]["version"]["datasetVersion"] == str(snapshot.snapshot_id)
    location = output["facets"]["symlinks"]["identifiers"][1]
    assert (location["namespace"], location["name"]) == ("file", table.location().removeprefix("file://"))


def test_a_replaced_row_is_told_as_the_one_row_that_was_written(archive, collector):
    archived = archive(collector.address)
    event = chat(1)
    archived.feed(message(event, position(0)))
    archived.feed(message(event, position(1), text="said otherwise"))
    archived.emitter.close(30)
    last = collector.of_job("archive.messages", "COMPLETE")[-1]
    assert last["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert archived.rows("messages") == 1


def test_a_batch_that_lands_again_completes_without_rows(archive, collector):
    archived = archive(collector.address)
    event = chat(1)
    archived.feed(event, topic="interactions.chat")
    archived.feed(event, topic="interactions.chat")
    archived.emitter.close(30)
    counts = [
        event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"]
        for event in collector.of_job("archive.raw_chats", "COMPLETE")
    ]
    assert counts == [1, 0]


def test_a_landing_that_fails_is_told_and_read_again(archive, collector, monkeypatch):
    archived = archive(collector.address)

    def away(*_, **__):
        raise Unavailable("lakehouse: cannot append to raw_chats: OSError; is the catalog there?")

    with monkeypatch.context() as patch:
        patch.setattr(archived.lakehouse, "land", away)
        with pytest.raises(Unavailable):
            archived.feed(chat(1), topic="interactions.chat")
    archived.feed(chat(1), topic="interactions.chat")
    archived.emitter.close(30)
    states = [event["eventType"] for event in collector.of_job("archive.raw_chats")]
    assert states == ["START", "FAIL", "START", "COMPLETE"]


def test_a_backend_that_hangs_does_not_hold_up_a_batch(archive, collector):
    collector.hang.set()
    archived = archive(collector.address, max_queued=4)
    for number in range(6):
        archived.feed(chat(number), topic="interactions.chat")
    assert archived.rows("raw_chats") == 6
    assert collector.events == []
    counts = archived.status.as_json()["lineage"]
    assert (counts["sent"], counts["dropped"], counts["queued"]) == (0, 8, 4)
    started = time.monotonic()
    archived.emitter.close(0.2)
    assert time.monotonic() - started < 30
    assert archived.emitter.counts()["dropped"] == 12


def test_a_backend_that_refuses_connections_does_not_hold_up_a_batch(archive):
    archived = archive(f"http://127.0.0.1:{free_ports(1)[0]}", retry_s=0.01)
    for number in range(3):
        archived.feed(chat(number), topic="interactions.chat")
    assert archived.rows("raw_chats") == 3
    assert archived.emitter.counts() == {"sent": 0, "refused": 0, "dropped": 0, "failed": 0, "queued": 6}


def test_a_backend_that_refuses_events_does_not_hold_up_a_batch(archive, collector):
    collector.status = 422
    archived = archive(collector.address)
    for number in range(3):
        archived.feed(chat(number), topic="interactions.chat")
    assert archived.rows("raw_chats") == 3
    eventually(lambda: archived.emitter.counts()["refused"] == 6, within_s=30, every_s=0.05)


def test_a_backend_that_comes_back_gets_what_waited(archive, collector):
    collector.status = 503
    archived = archive(collector.address, retry_s=0.05)
    archived.feed(chat(1), topic="interactions.chat")
    eventually(lambda: collector.requests, within_s=30, every_s=0.05)
    collector.status = 201
    eventually(lambda: archived.emitter.counts()["sent"] == 2, within_s=30, every_s=0.05)
    assert [event["eventType"] for event in collector.events] == ["START", "COMPLETE"]
