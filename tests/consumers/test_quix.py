"""Our Quix applications against a real broker."""

from __future__ import annotations

import uuid

import pytest

from mmplatform.consumers.quix import open_app, open_topic
from mmplatform.errors import Misconfigured
from mmplatform.ingest.kafka import admin
from mmplatform.ingest.topics import ensure_topics, topic_name
from mmplatform.modalities import CHAT
from mmplatform.settings import load
from tests.ingest.broker import any_broker


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
