"""The ``index_landings`` sensor over a real Chroma and an index worker's real status page."""

import os
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mmplatform.buckets import bucket_name
from mmplatform.consumers.indexer import record_freshness
from mmplatform.events import utc_now
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.local import run_file
from mmplatform.local.status import worker_status
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.index_counts import BucketCounts
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from resources.stack import StackResource
from sensors.index_landings import index_sensor
from sensors.index_landings_diff import Cursor, bucket_landings
from tests.land.records import EMBEDDER, passage, retraction

SINCE = datetime(2026, 3, 1, 9, tzinfo=UTC)
ANN, BOB = bucket_name("ann"), bucket_name("bob")


class Worker:
    """The indexer's own functions over a real index, and its status page."""

    def __init__(self, stores):
        self._stores = stores
        self._server = None
        self.start()

    def start(self):
        self.stop()
        self._status = WorkerStatus("index", freshness=FreshnessTracker())
        self._server = serve_status(self._status, 0)
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        service = run_file.ServiceRun(pid=1, state="ready", restarts=0, metrics_url=url, log="")
        data_dir = self._stores.settings.data_dir
        found = run_file.StackRun(
            pid=os.getpid(), started_at=utc_now(), data_dir=str(data_dir), gateway="", kafka="", chroma="", dagster="",
            services={"index": service},
        )  # fmt: skip
        run_file.write(data_dir, found)

    def stop(self):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def take(self, *passages, gone=()):
        self._stores.index(*passages, at=utc_now())
        if gone:
            index = ChromaIndex.open(self._stores.settings)
            index.delete([each.artifact_id for each in gone])
            index.close()
        record_freshness(self._status, passages, gone)


@pytest.fixture
def worker(stores):
    lock = run_file.StackLock(stores.settings.data_dir)
    lock.acquire()
    found = Worker(stores)
    yield found
    found.stop()
    lock.release()


def tick(cursor=None):
    with dg.build_sensor_context(cursor=cursor, resources={"stack": StackResource()}) as context:
        return index_sensor(context)


def told(result):
    return {
        event.partition: {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_events or []
    }


@pytest.mark.broker
def test_the_buckets_that_changed_are_told_with_gap_and_watermark_and_only_once(worker):
    at = utc_now() - timedelta(seconds=4)
    worker.take(passage(1, at=at), passage(2, at=at), passage(3, at=at, subject="bob"))
    first = tick()
    figures = told(first)
    assert set(figures) == {ANN, BOB}
    assert (figures[ANN]["upserted"], figures[ANN]["dagster/partition_row_count"]) == (2, 2)
    assert 4 <= figures[ANN]["gap_p99_s"] < 60
    assert figures[ANN]["watermark"] == at.timestamp()
    again = tick(first.cursor)
    assert not again.asset_events
    assert "no bucket changed" in again.skip_reason.skip_message
    worker.take(passage(4, at=at), gone=[retraction(passage(1))])
    figures = told(tick(again.cursor))
    assert set(figures) == {ANN}
    assert (figures[ANN]["upserted"], figures[ANN]["deleted"], figures[ANN]["dagster/partition_row_count"]) == (1, 1, 2)


@pytest.mark.broker
def test_what_a_new_worker_counts_is_news_and_what_others_did_shows_in_the_count(worker, stores):
    worker.take(passage(1))
    first = tick()
    worker.start()
    assert not tick(first.cursor).asset_events
    worker.take(passage(2))
    stores.index(passage(3, subject="bob"), at=utc_now())
    figures = told(tick(first.cursor))
    assert figures[ANN]["upserted"] == 1
    assert (figures[BOB]["upserted"], figures[BOB]["dagster/partition_row_count"]) == (0, 1)
    assert "gap_p50_s" not in figures[BOB], "nobody measured it"


@pytest.mark.broker
def test_what_a_build_copies_beside_is_no_news_and_is_counted_once(worker, stores):
    serving, candidate = Space(model="minilm", name=EMBEDDER), Space(model="new", name="new@2")
    index = ChromaIndex.open(stores.settings)
    log = EmbedderRegistry(index)
    log.ensure_serving(serving)
    worker.take(passage(1), passage(2))
    first = tick()
    assert told(first)[ANN]["dagster/partition_row_count"] == 2
    built = log.change_spaces(log.latest(), serving=serving, candidate=candidate)
    stores.index(passage(1, embedder=candidate.name), at=utc_now())
    during = tick(first.cursor)
    assert not during.asset_events
    worker.take(passage(3))
    figures = told(tick(during.cursor))
    assert (figures[ANN]["upserted"], figures[ANN]["dagster/partition_row_count"]) == (1, 3)
    stores.index(passage(2, embedder=candidate.name), passage(3, embedder=candidate.name), at=utc_now())
    log.change_spaces(built, serving=candidate, previous=serving)
    assert not tick(tick(during.cursor).cursor).asset_events, "nor is the swap"
    index.close()


@pytest.mark.broker
def test_an_index_that_does_not_answer_is_no_empty_bucket(worker, monkeypatch):
    worker.take(passage(1))
    cursor = tick().cursor
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", "http://127.0.0.1:1")
    result = tick(cursor)
    assert "the index cannot be asked: Unavailable" in result.skip_reason.skip_message
    assert result.cursor is None


def test_without_a_stack_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    assert "is unreachable: no stack runs" in tick().skip_reason.skip_message


def status(since=SINCE, **upserted):
    buckets = {name: worker_status.BucketPayload(upserted=count) for name, count in upserted.items()}
    return worker_status.WorkerStatusPayload(measured_since=since, buckets=buckets)


def test_an_update_that_leaves_the_count_as_it_was_is_news():
    _, cursor = bucket_landings(status(b01=3), {"b01": 3, "b02": 0}, Cursor())
    ((found,), _) = bucket_landings(status(b01=5), {"b01": 3, "b02": 0}, Cursor.parse(cursor.model_dump_json()))
    assert (found.bucket, found.upserted, found.passages) == ("b01", 2, 3)


def test_a_new_worker_with_fewer_counts_never_takes_any_back():
    _, cursor = bucket_landings(status(b01=50), {"b01": 50}, Cursor())
    ((found,), _) = bucket_landings(status(SINCE + timedelta(hours=1), b01=2), {"b01": 50}, cursor)
    assert found.upserted == 2


def test_a_cursor_that_cannot_be_read_begins_anew():
    assert Cursor.parse("nonsense") == Cursor.parse('{"version":9}') == Cursor()


def test_gaps_leave_the_window_and_counts_do_not():
    counts = BucketCounts(window_s=0.0)
    counts.record_upsert("ann", SINCE, 3.0)
    counts.record_upsert("ann", SINCE - timedelta(hours=1), 5.0)
    counts.record_delete("bob")
    found = counts.as_json()
    assert found[ANN] == {"upserted": 2, "deleted": 0, "gap": {}, "watermark": SINCE.isoformat()}
    assert found[BOB]["deleted"] == 1
    assert found[BOB]["watermark"] is None
