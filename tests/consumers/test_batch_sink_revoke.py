"""A flush on a revoke that takes too long goes on beside the worker: what comes meanwhile is of the next batch."""

from __future__ import annotations

import threading

import pytest
from quixstreams import Application

from mmplatform.artifacts import Passage
from mmplatform.consumers.batch_sink import BatchSink, EagerSink
from mmplatform.consumers.index_sink import IndexSink
from mmplatform.consumers.quix_app import open_app
from mmplatform.errors import Unavailable
from mmplatform.events import encode
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT
from mmplatform.settings import load
from mmplatform.telemetry.status_server import WorkerStatus
from tests.land.records import passage


class Slow:
    """Lands once it may; notes the ids in the order in which they were landed."""

    def __init__(self):
        self.may_land, self.begun = threading.Event(), threading.Event()
        self.landed = []

    def wait(self):
        self.begun.set()
        assert self.may_land.wait(20)

    def land(self, records):
        self.wait()
        self.landed += [record.position.offset for record in records]

    def write_bucket(self, rows):
        self.wait()
        self.landed += [row.record.position.offset for row in rows]
        return []


def index_sink(slow):
    return IndexSink(load(), slow.write_bucket, lambda _: None, WorkerStatus("index"))


def batch_sink(slow):
    return BatchSink(load(), slow.land)


def eager_sink(slow):
    return EagerSink(load(), slow.land)


def add(sink, offset):
    record: Passage = passage(offset)
    headers = [("vector", record.vector_f32)]
    sink.add(encode(record), record.conversation_key.encode(), 0, headers, ARTIFACTS_TOPIC, 0, offset)


@pytest.mark.parametrize("build", [batch_sink, eager_sink, index_sink])
def test_records_that_come_while_an_old_flush_goes_on_are_landed_too(build):
    slow = Slow()
    sink = build(slow)
    add(sink, 0)
    flush = threading.Thread(target=sink.flush)
    flush.start()
    assert slow.begun.wait(20)
    add(sink, 1)
    slow.may_land.set()
    flush.join()
    assert sink.pending == 1
    sink.flush()
    assert slow.landed == [0, 1]
    assert sink.pending == 0


def test_a_worker_that_lost_its_topic_partitions_keeps_neither_their_records_nor_their_offsets(tmp_path, monkeypatch):
    settings = load(kafka_bootstrap_servers="127.0.0.1:1", data_dir=tmp_path)
    app = open_app(settings, group=CHAT.group, topics=(), commit_interval_s=60.0, commit_every=0)

    def away(_):
        raise Unavailable("away")

    sink = EagerSink(settings, away)
    app._processing_context.sink_manager.register(sink)
    app._processing_context.init_checkpoint()
    app._processing_context.store_offset("interactions.chat", 0, 5)
    add(sink, 5)
    sink.after_poll()
    assert sink.after_poll()  # it failed: the checkpoint is due
    monkeypatch.setattr(Application, "_on_lost", lambda *_: None)
    app._on_lost(None, [])
    assert app._processing_context.checkpoint.empty()
    assert sink.pending == 0
    sink.flush()  # nothing is left to fail
