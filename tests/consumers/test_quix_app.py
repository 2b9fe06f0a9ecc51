"""Our Quix applications against a real broker."""

from __future__ import annotations

import signal
import threading
import uuid

import pytest
from quixstreams import Application

from mmplatform.consumers.batch_sink import BatchSink
from mmplatform.consumers.quix_app import open_app, open_topic
from mmplatform.errors import Misconfigured
from mmplatform.kafka.connection import admin_client
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import CALL, CHAT
from mmplatform.settings import load
from mmplatform.telemetry.readiness import ASSIGNMENT, LOOP, STORE, Readiness
from tests.servers.broker import any_broker


@pytest.mark.parametrize("callback", ["_on_revoke", "_on_lost"])
def test_what_goes_to_others_takes_the_obstacle_with_it(tmp_path, monkeypatch, callback):
    readiness = Readiness({})
    app = open_app(
        load(kafka_bootstrap_servers="127.0.0.1:1", data_dir=tmp_path),
        group=CHAT.group,
        topics=(),
        commit_interval_s=0.1,
        commit_every=1,
        readiness=readiness,
    )
    # Quix lands a last time there, which may fail as well.
    monkeypatch.setattr(Application, callback, lambda *_: readiness.block(STORE, "unavailable"))
    getattr(app, callback)(None, [])
    assert set(readiness.reasons()) == {ASSIGNMENT}


def test_the_loop_beats_and_its_state_is_read_back_before_the_worker_is_ready(tmp_path, monkeypatch):
    now = [0.0]
    readiness = Readiness({}, clock=lambda: now[0])
    settings = load(kafka_bootstrap_servers="127.0.0.1:1", data_dir=tmp_path, kafka_max_poll_interval_s=60)
    app = open_app(settings, group=CALL.group, topics=(), commit_interval_s=0.1, commit_every=1, readiness=readiness)
    monkeypatch.setattr(Application, "_on_assign", lambda *_: None)
    monkeypatch.setattr(Application, "_process_message", lambda *_: None)
    app._processing_context.init_checkpoint()
    app._process_message({})
    now[0] = 61.0
    assert set(readiness.reasons()) == {LOOP}
    monkeypatch.setattr(type(app._state_manager), "recovery_required", True)
    app._on_assign(None, [])
    now[0] = 6_100.0
    assert set(readiness.reasons()) == {ASSIGNMENT}
    app._process_message({})
    assert readiness.reasons() == {}


@pytest.mark.parametrize("missing", ["_on_lost", "_on_revoke"])
def test_a_quix_that_does_not_call_us_any_more_is_told(tmp_path, monkeypatch, missing):
    monkeypatch.delattr(Application, missing)
    with pytest.raises(Misconfigured, match=f"has no {missing}"):
        open_app(
            load(kafka_bootstrap_servers="127.0.0.1:1", data_dir=tmp_path),
            group=CHAT.group,
            topics=(),
            commit_interval_s=0.1,
            commit_every=1,
        )


@pytest.mark.broker
@pytest.mark.timeout(60)
def test_a_stop_that_comes_while_quix_subscribes_is_not_lost(tmp_path, monkeypatch):
    with any_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", data_dir=tmp_path)
        ensure_topics(settings)
        app = open_app(settings, group=CHAT.group, topics=(CHAT.topic,), commit_interval_s=0.1, commit_every=1)
        app.dataframe(open_topic(app, settings, CHAT.topic)).sink(BatchSink(settings, lambda _: None))
        subscribe = app._consumer.subscribe

        def stopped_meanwhile(*args, **kwargs) -> None:
            subscribe(*args, **kwargs)
            signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(app._consumer, "subscribe", stopped_meanwhile)
        too_late = threading.Event()
        rescue = threading.Timer(20, lambda: (too_late.set(), Application.stop(app)))
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        rescue.start()
        try:
            app.run()
        finally:
            rescue.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
    assert not too_late.is_set()


@pytest.mark.broker
def test_a_topic_that_is_not_there_is_told_and_not_made_with_a_brokers_own_retention(tmp_path):
    with any_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", data_dir=tmp_path)
        app = open_app(settings, group=CHAT.group, topics=(), commit_interval_s=0.1, commit_every=1)
        with pytest.raises(Misconfigured, match=CHAT.topic):
            open_topic(app, settings, CHAT.topic)
        assert topic_name(settings, CHAT.topic) not in admin_client(settings).list_topics(timeout=10).topics
        ensure_topics(settings)
        assert open_topic(app, settings, CHAT.topic).name == topic_name(settings, CHAT.topic)
