"""The sensor ``complete_up_to`` with a real log: quiet, waiting, caught up, and a log that does not answer."""

import os
from contextlib import contextmanager

import dagster as dg
import pytest

from mmplatform.events import utc_now
from mmplatform.local import run_file
from quality.slas import ASSET_WINDOWS
from resources.stack import StackResource
from sensors.complete_up_to import complete_up_to_sensor

pytestmark = pytest.mark.broker


def tick(cursor=None):
    with dg.build_sensor_context(cursor=cursor, resources={"stack": StackResource()}) as context:
        return complete_up_to_sensor(context)


@contextmanager
def running_stack(settings, states):
    """A run file of a stack whose services are in these states."""
    lock = run_file.StackLock(settings.data_dir)
    lock.acquire()
    services = {
        name: run_file.ServiceRun(pid=1, state=state, restarts=0, metrics_url="", log="")
        for name, state in states.items()
    }
    run_file.write(
        settings.data_dir,
        run_file.StackRun(
            pid=os.getpid(),
            started_at=utc_now(),
            data_dir=str(settings.data_dir),
            gateway="",
            kafka=settings.kafka_bootstrap_servers,
            chroma=settings.chroma_url,
            dagster="",
            services=services,
        ),
    )
    try:
        yield
    finally:
        lock.release()


def materialized(result):
    events = result.asset_events or []
    return {event.asset_key.to_user_string() for event in events if isinstance(event, dg.AssetMaterialization)}


def outcomes(result):
    events = result.asset_events or []
    return {e.asset_key.to_user_string(): e.passed for e in events if isinstance(e, dg.AssetCheckEvaluation)}


def test_a_quiet_stream_is_complete_and_the_next_tick_repeats_nothing(stores):
    first = tick()
    assert materialized(first) == set(ASSET_WINDOWS)
    assert outcomes(first) == dict.fromkeys(ASSET_WINDOWS, True)
    event = next(e for e in first.asset_events if isinstance(e, dg.AssetMaterialization))
    assert event.partition is None
    assert {"complete_up_to", "lag", "gap_s"} == set(event.metadata)
    assert "half of its window" in tick(first.cursor).skip_reason.skip_message
    del stores


def test_an_asset_in_front_of_which_a_record_waits_is_not_complete(stores):
    stores.send("interactions.chat", 2)
    found = materialized(tick())
    assert found == {"raw_calls", "raw_screenshots", "transcripts", "captions"}, "all others need the chat"
    stores.commit("derive-chat", "interactions.chat", 2)
    stores.commit("archive", "interactions.chat", 2)
    assert materialized(tick()) == set(ASSET_WINDOWS)


def test_a_worker_that_is_not_ready_stops_what_it_feeds(stores, settings):
    with running_stack(settings, {"derive-chat-1": "restarting", "archive": "ready"}):
        found = materialized(tick())
    assert found == {"raw_chats", "raw_calls", "raw_screenshots", "transcripts", "captions"}
    del stores


def test_a_log_that_does_not_answer_reports_nothing(stores, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = tick()
    assert not result.asset_events
    assert "Unavailable" in result.skip_reason.skip_message
    del stores
