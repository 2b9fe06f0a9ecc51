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
from sensors.index_landings import index_landings_sensor
from sensors.index_landings_diff import IndexLandingsCursor, diff_index_landings
from tests.land.records import EMBEDDER, passage, retraction

SINCE = datetime(2026, 3, 1, 9, tzinfo=UTC)
ANN, BOB = bucket_name("default/ann"), bucket_name("default/bob")


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
        return index_landings_sensor(context)


def metadata(result):
    return {
        event.partition: {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_events or []
    }


@pytest.mark.broker
def test_changed_buckets_are_reported_with_gap_and_watermark_and_only_once(worker):
    at = utc_now() - timedelta(seconds=4)
    worker.take(passage(1, at=at), passage(2, at=at), passage(3, at=at, subject="bob"))
    first = tick()
    counts = metadata(first)
    assert set(counts) == {ANN, BOB}
    assert (counts[ANN]["upserted"], counts[ANN]["dagster/partition_row_count"]) == (2, 2)
    assert 4 <= counts[ANN]["gap_p99_s"] < 60
    assert counts[ANN]["watermark"] == at.timestamp()
    again = tick(first.cursor)
    assert not again.asset_events
    assert "no bucket changed" in again.skip_reason.skip_message
    worker.take(passage(4, at=at), gone=[retraction(passage(1))])
    counts = metadata(tick(again.cursor))
    assert set(counts) == {ANN}
    assert (counts[ANN]["upserted"], counts[ANN]["deleted"], counts[ANN]["dagster/partition_row_count"]) == (1, 1, 2)


@pytest.mark.broker
def test_counts_of_a_new_worker_are_all_new_and_changes_by_others_show_in_the_number_of_passages(worker, stores):
    worker.take(passage(1))
    first = tick()
    worker.start()
    assert not tick(first.cursor).asset_events
    worker.take(passage(2))
    stores.index(passage(3, subject="bob"), at=utc_now())
    counts = metadata(tick(first.cursor))
    assert counts[ANN]["upserted"] == 1
    assert (counts[BOB]["upserted"], counts[BOB]["dagster/partition_row_count"]) == (0, 1)
    assert "gap_p50_s" not in counts[BOB], "nobody measured it"


@pytest.mark.broker
def test_passages_of_a_candidate_embedder_are_not_reported_and_counted_once(worker, stores):
    serving, candidate = Space(model="minilm", name=EMBEDDER), Space(model="new", name="new@2")
    index = ChromaIndex.open(stores.settings)
    log = EmbedderRegistry(index)
    log.ensure_serving(serving)
    worker.take(passage(1), passage(2))
    first = tick()
    assert metadata(first)[ANN]["dagster/partition_row_count"] == 2
    built = log.change_spaces(log.latest(), serving=serving, candidate=candidate)
    stores.index(passage(1, embedder=candidate.name), at=utc_now())
    during = tick(first.cursor)
    assert not during.asset_events
    worker.take(passage(3))
    counts = metadata(tick(during.cursor))
    assert (counts[ANN]["upserted"], counts[ANN]["dagster/partition_row_count"]) == (1, 3)
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
    assert "the index cannot be read: Unavailable" in result.skip_reason.skip_message
    assert result.cursor is None


def test_without_a_stack_the_tick_is_skipped_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    assert "is unreachable: no stack runs" in tick().skip_reason.skip_message


def status(since=SINCE, **upserted):
    buckets = {name: worker_status.BucketPayload(upserted=count) for name, count in upserted.items()}
    return worker_status.WorkerStatusPayload(measured_since=since, buckets=buckets)


def test_an_update_that_leaves_the_count_unchanged_is_reported():
    _, cursor = diff_index_landings(status(b01=3), {"b01": 3, "b02": 0}, IndexLandingsCursor())
    ((found,), _) = diff_index_landings(
        status(b01=5), {"b01": 3, "b02": 0}, IndexLandingsCursor.parse(cursor.model_dump_json())
    )
    assert (found.bucket, found.upserted, found.passages) == ("b01", 2, 3)


def test_a_new_worker_with_fewer_counts_never_takes_any_back():
    _, cursor = diff_index_landings(status(b01=50), {"b01": 50}, IndexLandingsCursor())
    ((found,), _) = diff_index_landings(status(SINCE + timedelta(hours=1), b01=2), {"b01": 50}, cursor)
    assert found.upserted == 2


def test_an_unreadable_cursor_starts_again():
    assert IndexLandingsCursor.parse("nonsense") == IndexLandingsCursor.parse('{"version":9}') == IndexLandingsCursor()


def test_gaps_leave_the_window_and_counts_do_not():
    counts = BucketCounts(window_s=0.0)
    counts.record_upsert("default/ann", SINCE, 3.0)
    counts.record_upsert("default/ann", SINCE - timedelta(hours=1), 5.0)
    counts.record_delete("default/bob")
    found = counts.as_json()
    assert found[ANN] == {"upserted": 2, "deleted": 0, "gap": {}, "watermark": SINCE.isoformat()}
    assert found[BOB]["deleted"] == 1
    assert found[BOB]["watermark"] is None
