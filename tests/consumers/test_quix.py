"""Our Quix applications against a real broker."""

from __future__ import annotations

import uuid

import pytest
from quixstreams import Application

from mmplatform.consumers.quix import open_app, open_topic
from mmplatform.consumers.readiness import ASSIGNMENT, STORE, Readiness
from mmplatform.errors import Misconfigured
from mmplatform.ingest.kafka import admin
from mmplatform.ingest.topics import ensure_topics, topic_name
from mmplatform.modalities import CHAT
from mmplatform.settings import load
from tests.ingest.broker import any_broker


@pytest.mark.parametrize("callback", ["_on_revoke", "_on_lost"])
def test_what_goes_to_others_takes_the_obstacle_with_it(tmp_path, monkeypatch, callback):
    readiness = Readiness({})
    app = open_app(
        load(kafka="127.0.0.1:1", data_dir=tmp_path),
        group=CHAT.group,
        commit_s=0.1,
        commit_every=1,
        readiness=readiness,
    )
    # Quix lands a last time there, which may fail as well.
    monkeypatch.setattr(Application, callback, lambda *_: readiness.stands(STORE, "unavailable"))
    getattr(app, callback)(None, [])
    assert set(readiness.reasons()) == {ASSIGNMENT}


@pytest.mark.parametrize("gone", ["_on_lost", "_on_revoke"])
def test_a_quix_that_does_not_call_us_any_more_is_told(tmp_path, monkeypatch, gone):
    monkeypatch.delattr(Application, gone)
    with pytest.raises(Misconfigured, match=f"has no {gone}"):
        open_app(load(kafka="127.0.0.1:1", data_dir=tmp_path), group=CHAT.group, commit_s=0.1, commit_every=1)


@pytest.mark.broker
def test_a_topic_that_is_not_there_is_told_and_not_made_with_a_brokers_own_retention(tmp_path):
    with any_broker(tmp_path) as address:
        settings = load(kafka=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", data_dir=tmp_path)
        app = open_app(settings, group=CHAT.group, commit_s=0.1, commit_every=1)
        with pytest.raises(Misconfigured, match=CHAT.topic):
            open_topic(app, settings, CHAT.topic)
        assert topic_name(settings, CHAT.topic) not in admin(settings).list_topics(timeout=10).topics
        ensure_topics(settings)
        assert open_topic(app, settings, CHAT.topic).name == topic_name(settings, CHAT.topic)
