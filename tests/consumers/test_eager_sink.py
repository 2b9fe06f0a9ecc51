"""A worker that lands before its checkpoint, against a real broker: whatever fails, each record is landed."""

from __future__ import annotations

import threading
import uuid

import pytest

from mmplatform.consumers.batch_sink import EagerSink
from mmplatform.consumers.quix_app import open_app, open_topic
from mmplatform.errors import Permanent, Unavailable
from mmplatform.events import encode
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import CHAT
from mmplatform.settings import load
from tests.builders import chat
from tests.servers.broker import any_broker
from tests.waiting import eventually

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]
NEVER_S = 3_600.0
"""No checkpoint is due by its age."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as address:
        yield address


@pytest.fixture
def settings(tmp_path, broker):
    prefix = f"t{uuid.uuid4().hex[:8]}."
    found = load(kafka_bootstrap_servers=broker, topic_prefix=prefix, data_dir=tmp_path, topic_partitions=2)
    ensure_topics(found)
    return found


class Landed:
    """Offsets that were landed; fails once, when so many were landed before."""

    def __init__(self, error=None, behind=0):
        self.batches: list[list[tuple[int, int]]] = []
        self._error, self._behind, self.failed_batches = error, behind, 0

    def land(self, records):
        if self._error is not None and len(self.offsets) >= self._behind and not self.failed_batches:
            self.failed_batches += 1
            raise self._error
        self.batches.append([(record.position.topic_partition, record.position.offset) for record in records])

    @property
    def offsets(self):
        return {offset for batch in self.batches for offset in batch}


def send(settings, first, count):
    producer = LogProducer(settings)
    topic = topic_name(settings, CHAT.topic)
    producer.send_all(LogRecord(topic, f"c{n}", encode(chat(n))) for n in range(first, first + count))
    producer.close()


def send_behind(settings, landed, first, count):
    """Send more once the first ones are landed."""
    eventually(lambda: len(landed.offsets) == first, every_s=0.05)
    send(settings, first, count)


def lag(settings):
    with ReplayLog(settings) as log:
        topic = topic_name(settings, CHAT.topic)
        return sum(log.lag(f"{settings.topic_prefix}{CHAT.group}", [topic])[topic].values())


def worker(settings, landed, commit_interval_s=NEVER_S):
    app = open_app(
        settings, group=CHAT.group, topics=(CHAT.topic,), commit_interval_s=commit_interval_s, commit_every=64
    )
    sink = EagerSink(settings, landed.land)
    app.pace_by(sink)
    app.dataframe(open_topic(app, settings, CHAT.topic)).sink(sink)
    return app


def run_until(app, check):
    failures = []

    def stop_when_done():
        try:
            eventually(check, within_s=60, every_s=0.05)
        except AssertionError as error:
            failures.append(error)
        app.stop()

    thread = threading.Thread(target=stop_when_done, daemon=True)
    thread.start()
    app.run()
    thread.join(30)
    assert failures == []


def test_records_are_landed_long_before_the_checkpoint_and_committed_when_the_worker_stops(settings):
    send(settings, 0, 5)
    landed, behind = Landed(), []
    run_until(
        worker(settings, landed), lambda: len(landed.offsets) == 5 and (behind.append(lag(settings)) or behind[-1] == 5)
    )
    assert lag(settings) == 0


def test_what_a_store_did_not_take_is_consumed_again_from_the_last_commit(settings):
    send(settings, 0, 5)
    landed = Landed(Unavailable("gone"), behind=5)
    app = worker(settings, landed)
    thread = threading.Thread(target=send_behind, args=(settings, landed, 5, 5), daemon=True)
    thread.start()
    run_until(app, lambda: len(landed.offsets) == 10)
    thread.join(30)
    assert landed.failed_batches == 1
    assert sum(map(len, landed.batches)) >= 15, "those since the last commit are landed twice"
    assert lag(settings) == 0


def test_after_a_crash_what_was_landed_and_not_committed_is_landed_again_and_nothing_is_missing(settings):
    send(settings, 0, 3)
    landed = Landed(Permanent("the disk"), behind=3)
    app = worker(settings, landed)
    thread = threading.Thread(target=send_behind, args=(settings, landed, 3, 4), daemon=True)
    thread.start()
    with pytest.raises(Permanent):
        app.run()
    thread.join(30)
    assert lag(settings) == 7, "nothing is committed that was not landed"
    again = Landed()
    run_until(worker(settings, again), lambda: len(again.offsets) == 7)
    assert lag(settings) == 0
