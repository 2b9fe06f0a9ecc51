"""The ``freshness_breach`` sensor and its diagnosing job with a real log and an index worker's real status page."""

from __future__ import annotations

import os
from datetime import timedelta

import dagster as dg
import pytest
from confluent_kafka import Consumer, TopicPartition

import resources.stack
from definitions import defs
from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.topics import ensure_topics
from mmplatform.local import run_file
from mmplatform.settings import load
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from resources.stack import StackResource, Subscription
from sensors.freshness_breach import freshness_breach_sensor
from tests.builders import stamps
from tests.servers.broker import any_broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as address:
        yield address


@pytest.fixture
def stack(tmp_path, broker, monkeypatch):
    """A running stack's run file, log and index worker; the worker measures by the yielded tracker."""
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MMPLATFORM_TOPIC_PREFIX", f"{tmp_path.name.strip('_')}-")
    monkeypatch.setenv("MMPLATFORM_TOPIC_PARTITIONS", "1")
    ensure_topics(load(kafka_bootstrap_servers=broker))
    tracker = FreshnessTracker()
    server = serve_status(WorkerStatus("index", freshness=tracker), 0)
    lock = run_file.StackLock(tmp_path)
    lock.acquire()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    service = run_file.ServiceRun(pid=1, state="ready", restarts=0, metrics_url=url, log="")
    run_file.write(
        tmp_path,
        run_file.StackRun(
            pid=os.getpid(),
            started_at=utc_now(),
            data_dir=str(tmp_path),
            gateway="",
            kafka=broker,
            chroma="",
            dagster="",
            services={"index": service},
        ),
    )
    yield tracker
    lock.release()
    server.shutdown()
    server.server_close()


def tick(cursor=None):
    with dg.build_sensor_context(cursor=cursor, resources={"stack": StackResource()}) as context:
        return freshness_breach_sensor(context)


def outcomes(result):
    return {event.asset_key.to_user_string(): event.passed for event in result.asset_events or []}


def slow(tracker, **changed):
    now = utc_now()
    own = {"event_time": now - timedelta(seconds=9), "ingested_at": now, "taken_at": now, "derived_at": now}
    tracker.record("chat", stamps(**own | changed), now)


def test_a_quiet_stack_is_fresh_in_every_modality_and_the_next_tick_has_no_change(stack):
    first = tick()
    assert outcomes(first) == {"messages": True, "transcripts": True, "captions": True}
    assert "quiet" in first.asset_events[0].description
    assert not first.run_requests
    again = tick(first.cursor)
    assert not again.asset_events
    assert "no change" in again.skip_reason.skip_message
    del stack


def test_a_breach_fails_the_check_and_requests_a_diagnosis_once(stack):
    before = tick().cursor
    slow(stack)
    breach = tick(before)
    assert outcomes(breach) == {"messages": False}
    (request,) = breach.run_requests
    assert request.run_config["ops"]["diagnose"]["config"] == {"modality": "chat"}
    again = tick(breach.cursor)
    assert not again.asset_events
    assert not again.run_requests


def test_recovery_passes_the_check(stack):
    slow(stack)
    breach = tick()
    stack._gaps.clear()  # the window went by
    assert outcomes(tick(breach.cursor)) == {"messages": True}


def test_the_diagnosis_names_the_slowest_stage_on_the_table(stack):
    slow(stack)
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("diagnose_freshness")
        config = {"ops": {"diagnose": {"config": {"modality": "chat"}}}}
        assert job.execute_in_process(instance=instance, run_config=config).success
        (record,) = instance.fetch_observations(dg.AssetKey("messages"), limit=5).records
    seen = record.asset_observation.metadata
    assert seen["guilty"].value == "ingest"
    assert seen["stages_p95_s"].value["ingest"] == 9.0
    assert seen["waiting"].value["derive-chat"] == {"lag": 0, "oldest_s": 0.0}


def test_records_without_a_consumer_are_a_stalled_watermark(stack, broker, monkeypatch):
    settings = load(kafka_bootstrap_servers=broker)
    producer = LogProducer(settings)
    topic = f"{settings.topic_prefix}interactions.chat"
    for _ in range(3):
        producer.send(topic, "c", b"{}").result(20)
    producer.close()
    monkeypatch.setattr(resources.stack, "utc_now", lambda: utc_now() + timedelta(seconds=100))
    group = f"{settings.topic_prefix}derive-chat"
    consumer = Consumer({"bootstrap.servers": broker, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    result = tick()
    assert outcomes(result) == {"messages": False, "transcripts": True, "captions": True}
    (event,) = (event for event in result.asset_events if not event.passed)
    assert "2 wait for derive-chat" in event.description
    assert event.metadata["guilty"].value == "derive-chat"
    consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    consumer.close()
    assert outcomes(tick(result.cursor)) == {"messages": True}
    del stack


def test_without_a_running_stack_the_tick_is_skipped_with_the_reason_and_the_cursor_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    result = tick('{"version":1,"fresh":{"chat":false}}')
    assert "the replay log is unreachable: no stack runs" in result.skip_reason.skip_message
    assert result.cursor is None


def test_an_index_worker_that_does_not_answer_is_no_quiet_hour(stack, tmp_path):
    run = run_file.read_running(tmp_path)
    gone = run.services["index"].model_copy(update={"metrics_url": "http://127.0.0.1:1"})
    run_file.write(tmp_path, run.model_copy(update={"services": {"index": gone}}))
    assert "the index worker does not answer" in tick().skip_reason.skip_message
    with dg.DagsterInstance.ephemeral() as instance:
        config = {"ops": {"diagnose": {"config": {"modality": "chat"}}}}
        job = defs.resolve_job_def("diagnose_freshness")
        result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    assert not result.success
    del stack


def test_an_unreadable_cursor_starts_again(stack):
    assert len(tick("nonsense").asset_events) == 3
    del stack


def test_a_slow_broker_is_given_up_before_dagster_ends_the_tick(stack):
    seconds = iter(range(0, 1000, 15))
    readers = [
        Subscription("derive-chat", "interactions.chat"),
        Subscription("index", "artifacts"),
        Subscription("archive", "artifacts"),
    ]
    with pytest.raises(Unavailable, match="too slow"):
        StackResource().backlog(readers, clock=lambda: next(seconds))
    del stack
