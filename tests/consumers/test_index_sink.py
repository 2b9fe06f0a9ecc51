"""Writes of the indexer: full and rare under load, soon in a quiet moment, and the same rows in the end."""

from __future__ import annotations

import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quixstreams.sinks.base import SinkBackpressureError

from mmplatform.artifacts import VECTOR_HEADER, Passage, Retraction
from mmplatform.buckets import bucket_name
from mmplatform.consumers.index_sink import MAX_UNCOMMITTED_RECORDS, QUIET_S, IndexSink, split_rows
from mmplatform.consumers.indexer import index_app, newest_per_id
from mmplatform.errors import Unavailable
from mmplatform.events import encode
from mmplatform.kafka.headers import Pseudonyms, output_headers
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, INDEX_GROUP
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.retrieve.tail.tail import Tail
from mmplatform.settings import load
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus
from tests.builders import NOW, chat, message, passage, position
from tests.doubles.memory_index import MemoryIndex
from tests.servers.broker import any_broker
from tests.waiting import eventually

FILL = 5
PSEUDONYMS = Pseudonyms(b"key of the tests")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Store:
    """What was written, in writes of a bucket each; may be away."""

    def __init__(self):
        self.writes: list[list[str]] = []
        self.rows: dict[str, Passage | Retraction] = {}
        self.away = False
        self.letters = []

    def write(self, rows):
        if self.away:
            raise Unavailable("the index is away")
        passages, retractions, _ = split_rows(rows)
        found = [*passages, *retractions]
        assert len({bucket_name(row.subject_key) for row in found}) == 1
        for row in found:
            stored = self.rows.get(row.artifact_id)
            if stored is None or (row.version, isinstance(row, Retraction)) > (
                stored.version,
                isinstance(stored, Retraction),
            ):
                self.rows[row.artifact_id] = row
        self.writes.append([row.artifact_id for row in found])
        return []


def sink_over(store, **change):
    settings = load(index_max_batch_size=FILL, **change)
    clock = Clock()
    return IndexSink(settings, store.write, store.letters.extend, WorkerStatus("index"), clock=clock), clock


def a_passage(number, offset=None, subject="cust-1", text=None):
    return passage(message(chat(number, subject_id=subject), position(number if offset is None else offset)), text=text)


def record(artifact, offset=0, *, awaited=False):
    headers = output_headers(artifact, PSEUDONYMS, awaited=awaited)
    if isinstance(artifact, Passage):
        headers = {**headers, VECTOR_HEADER: artifact.vector_f32}
    return ConsumedRecord(position(offset, "artifacts"), encode(artifact), NOW, headers=headers, logged_at=NOW)


def take(sink, *artifacts):
    """One poll for each; true as soon as the sink asks for a checkpoint."""
    for artifact in artifacts:
        sink.accept(record(artifact))
        if sink.after_poll():
            return True
    return False


def two_subjects():
    """Two subjects of different buckets."""
    other = next(
        name for name in map(str, range(99)) if bucket_name(f"default/{name}") != bucket_name("default/cust-1")
    )
    return "cust-1", other


def test_a_full_bucket_is_written_at_once_and_the_others_wait_for_company():
    store = Store()
    sink, _ = sink_over(store)
    first, second = two_subjects()
    rare = a_passage(100, subject=second)
    assert bucket_name(rare.subject_key) != bucket_name(a_passage(0, subject=first).subject_key)
    assert not take(sink, rare, *(a_passage(n, subject=first) for n in range(FILL - 1)))
    assert store.writes == []
    assert not take(sink, a_passage(FILL, subject=first)), "nothing is committed: another bucket waits"
    assert [len(write) for write in store.writes] == [FILL]
    assert sink.pending == FILL + 1
    sink.flush()
    assert [len(write) for write in store.writes] == [FILL, 1]
    assert sink.pending == 0


def test_a_quiet_moment_is_a_checkpoint_and_a_busy_one_is_not():
    sink, clock = sink_over(Store())
    assert not sink.after_poll(), "nothing waits"
    for number in range(FILL - 1):
        assert not take(sink, a_passage(number))
        clock.now += 0.9 * QUIET_S
        assert not sink.after_poll()
    clock.now += 0.2 * QUIET_S
    assert sink.after_poll()
    assert not sink.lands_when_idle, "a poll may wait meanwhile"


def test_what_a_run_waits_for_is_written_under_load_too():
    store = Store()
    sink, clock = sink_over(store)
    assert not take(sink, a_passage(0), a_passage(1))
    sink.accept(record(a_passage(2), 2, awaited=True))
    assert not sink.after_poll(), "more of the run may follow"
    clock.now += 0.9 * QUIET_S
    sink.accept(record(a_passage(3), 3, awaited=True))
    assert not sink.after_poll()
    clock.now += 0.2 * QUIET_S
    assert take(sink, a_passage(4, subject=two_subjects()[1])), "the topic is never quiet"
    sink.flush()
    assert set(store.rows) == {a_passage(n).artifact_id for n in range(4)} | {
        a_passage(4, subject=two_subjects()[1]).artifact_id
    }
    clock.now += 2 * QUIET_S
    assert not take(sink, a_passage(5)), "the stream alone is awaited by nobody"


def test_without_a_tail_a_passage_is_written_as_soon_as_nothing_more_waits():
    sink, _ = sink_over(Store(), tail_max_bytes=0)
    assert not sink.lands_when_idle
    assert not take(sink, a_passage(0), a_passage(1))
    assert sink.lands_when_idle
    assert sink.after_poll()


def test_an_index_that_is_away_is_asked_again_soon_and_not_after_a_full_bucket():
    store = Store()
    sink, _ = sink_over(store)
    store.away = True
    assert take(sink, *(a_passage(n) for n in range(FILL)))
    with pytest.raises(SinkBackpressureError):
        sink.flush()
    assert sink.pending == 0, "the log has it"
    assert not take(sink, a_passage(0))
    assert sink.lands_when_idle
    assert sink.after_poll()
    store.away = False
    sink.flush()
    assert len(store.rows) == 1
    assert not take(sink, a_passage(1))
    assert not sink.after_poll(), "writes are full again"


def test_a_failure_at_the_checkpoint_itself_is_retried_the_same_way():
    store = Store()
    sink, _ = sink_over(store)
    take(sink, a_passage(0))
    store.away = True
    with pytest.raises(SinkBackpressureError):
        sink.flush()
    take(sink, a_passage(0))
    assert sink.after_poll()


def test_what_does_not_parse_is_published_before_the_commit_and_only_once():
    store = Store()
    sink, _ = sink_over(store)
    sink.accept(ConsumedRecord(position(7, "artifacts"), b"nonsense", NOW))
    assert not take(sink, message(chat(1), position(1)), a_passage(2))
    assert store.letters == []
    sink.flush()
    sink.flush()
    assert [letter.position.offset for letter in store.letters] == [7]


def retraction(artifact):
    fields = artifact.model_dump(include={"artifact_id", "modality", "conversation_id", "subject_id"})
    return Retraction(**fields, stamps=artifact.stamps, provenance=artifact.provenance, reason="test")


@st.composite
def streams(draw):
    """Records of a few ids in any order of versions, with the moments at which the sink is polled idle or flushed."""
    steps = []
    for _ in range(draw(st.integers(1, 40))):
        made = a_passage(draw(st.integers(0, 6)), offset=draw(st.integers(0, 5)), subject=f"s{draw(st.integers(0, 3))}")
        steps.append(retraction(made) if draw(st.booleans()) else made)
        if draw(st.booleans()):
            steps.append(draw(st.sampled_from(["idle", "flush"])))
    return steps


@given(streams())
def test_however_the_writes_fall_the_index_has_the_newest_record_of_each_id(steps):
    store = Store()
    sink, clock = sink_over(store)
    artifacts = []
    for step in steps:
        if step == "flush":
            sink.flush()
        elif step == "idle":
            clock.now += 2 * QUIET_S
            if sink.after_poll():
                sink.flush()
        else:
            artifacts.append(step)
            assert not take(sink, step)
    sink.flush()
    passages, retractions = newest_per_id(artifacts)
    assert {row.artifact_id: row.version for row in [*passages, *retractions]} == {
        row_id: row.version for row_id, row in store.rows.items()
    }
    assert {row.artifact_id for row in retractions} == {
        row_id for row_id, row in store.rows.items() if isinstance(row, Retraction)
    }


def test_the_tail_holds_what_the_index_keeps_back():
    """The longest texts of a passage, at 100 chats a second: the interval, and what is kept after a commit."""
    settings = load()
    tail = Tail(settings.tail_max_bytes)
    long = a_passage(0, text="x" * 2_000).model_copy(update={"vector_f32": bytes(4 * 384)})
    tail.apply(long, topic_partition=0, offset=0, applied_at=NOW)
    seconds = settings.index_commit_interval_s + 10.0 + 5.0  # EVICTION_DELAY_S, and a slow write
    assert 100 * seconds * tail.bytes < 0.5 * settings.tail_max_bytes
    # And at any rate: the index commits after so many records, which a burst may all make passages.
    assert MAX_UNCOMMITTED_RECORDS * tail.bytes < 0.5 * settings.tail_max_bytes


class Landed:
    """Writable index over memory, which counts its writes."""

    def __init__(self):
        self.memory = MemoryIndex()
        self.upserts: list[int] = []

    def upsert(self, passages, indexed_at):
        self.memory.upsert(passages, indexed_at)
        self.upserts.append(len(passages))

    def restamp(self, passages, indexed_at):
        self.memory.restamp(passages, indexed_at)

    def retract(self, retractions, now):
        self.memory.tombstones.add(retractions, now)

    def forget_retractions(self):
        self.memory.tombstones.forget()


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_the_worker_commits_a_quiet_moment_after_the_last_record_and_at_once_when_it_stops(tmp_path):
    with any_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", data_dir=tmp_path)
        ensure_topics(settings)
        producer, log, index = LogProducer(settings), ReplayLog(settings), Landed()
        topic = topic_name(settings, ARTIFACTS_TOPIC)
        status = WorkerStatus("index", freshness=FreshnessTracker())
        app = index_app(settings, index, producer, status)

        def send(first, count):
            for number in range(first, first + count):
                row = record(a_passage(number))
                producer.send(topic, f"c{number}", row.value, headers=row.headers).result(timeout=30)

        def lag():
            return sum(log.lag(f"{settings.topic_prefix}{INDEX_GROUP}", [topic])[topic].values())

        def drive():
            send(0, 3)
            eventually(lambda: sum(index.upserts) == 3, within_s=30, every_s=0.05)
            eventually(lambda: lag() == 0, within_s=5, every_s=0.05)
            send(3, 120)  # two full buckets, and a rest that waits for company
            eventually(lambda: sum(index.upserts) >= 100, within_s=30, every_s=0.02)
            app.stop()

        thread = threading.Thread(target=drive, daemon=True)
        thread.start()
        app.run()
        thread.join(timeout=30)
        assert sum(index.upserts) == 123
        assert lag() == 0
        assert max(index.upserts) <= 60
        assert len(index.upserts) <= 7, "writes are full"
        log.close()
        producer.close()
    assert status.freshness.summary()["chat"].gap.count == 123
